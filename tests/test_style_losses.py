"""The style losses: by hand, by what must hold for any activations, and their gradients.  A new one joins `LOSSES`."""

import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from engine_support import make_job, picture, relative_error, run
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from torch import Tensor
from torch.autograd import gradcheck

from nst.engine import style_losses, style_metrics
from nst.engine.jobs import StyleLoss
from nst.engine.losses import gram_distance, gram_matrix
from nst.engine.style_losses import gram, moments, sliced_wasserstein
from nst.engine.vgg import Encoder
from nst.engine.weights import VGGWeights

LOSSES: tuple[StyleLoss, ...] = get_args(StyleLoss)
SHAPES = st.tuples(st.just(1), st.integers(1, 5), st.integers(2, 6), st.integers(2, 6))
SEEDS = st.integers(0, 2**32)


def activations(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def distance(loss: StyleLoss, features: Tensor, style: Tensor) -> Tensor:
    """From activations (B, C, H, W) to those of one style (1, C, H', W')."""
    module = style_losses.load(loss)
    target = module.target(style, features[0, 0].numel())
    return module.distance(features, target.expand(len(features), *target.shape[1:]))


@pytest.mark.parametrize("loss", LOSSES)
class TestEveryLoss:
    """What the objective relies on."""

    @given(shape=SHAPES, seed=SEEDS)
    @settings(max_examples=20, deadline=None)
    def test_is_0_for_a_match_and_1_for_blank_features(self, loss: StyleLoss, shape: Any, seed: int) -> None:
        style = activations(shape, seed) + 0.1
        assert distance(loss, style, style).item() == pytest.approx(0, abs=1e-12)
        assert distance(loss, 0 * style, style).item() == pytest.approx(1)

    @given(shape=SHAPES, seed=SEEDS)
    @settings(max_examples=20, deadline=None)
    def test_does_not_know_where_things_are(self, loss: StyleLoss, shape: Any, seed: int) -> None:
        features, style = activations(shape, seed), activations(shape, seed + 1)
        order = torch.randperm(shape[2] * shape[3], generator=torch.Generator().manual_seed(seed))
        shuffled = features.flatten(2)[:, :, order].reshape(shape)
        torch.testing.assert_close(distance(loss, shuffled, style), distance(loss, features, style))
        shifted = style.roll((1, 1), (2, 3))
        torch.testing.assert_close(distance(loss, features, shifted), distance(loss, features, style))

    @given(shape=SHAPES, seed=SEEDS, unit=st.floats(1e-3, 1e3))
    @settings(max_examples=20, deadline=None)
    def test_is_the_same_in_any_unit(self, loss: StyleLoss, shape: Any, seed: int, unit: float) -> None:
        features, style = activations(shape, seed), activations(shape, seed + 1) + 0.1
        torch.testing.assert_close(distance(loss, unit * features, unit * style), distance(loss, features, style))

    def test_does_not_know_how_large_the_pictures_are(self, loss: StyleLoss) -> None:
        features, style = activations((1, 4, 3, 4), 0), activations((1, 4, 2, 6), 1)
        expected = distance(loss, features, style)
        torch.testing.assert_close(distance(loss, features.repeat(1, 1, 2, 3), style), expected)
        torch.testing.assert_close(distance(loss, features, style.repeat(1, 1, 3, 1)), expected)
        assert distance(loss, style.repeat(1, 1, 2, 3), style).item() == pytest.approx(0, abs=1e-12)

    @given(seed=SEEDS)
    @settings(max_examples=5, deadline=None)
    def test_its_gradient_is_exact(self, loss: StyleLoss, seed: int) -> None:
        """Against differences of the loss itself, in float64, for pictures of another size than the style."""
        features, style = activations((2, 3, 4, 3), seed).requires_grad_(), activations((1, 3, 2, 4), seed + 1)
        assert gradcheck(lambda x: distance(loss, x, style), features)

    def test_its_gradient_is_0_at_a_match_and_a_number_at_blank_features(self, loss: StyleLoss) -> None:
        style = activations((1, 3, 4, 5), 0)
        for features, expected in ((style.clone(), 0.0), (torch.zeros_like(style), None)):
            features.requires_grad_()
            distance(loss, features, style).sum().backward()
            assert features.grad is not None
            assert features.grad.isfinite().all()
            assert expected is None or features.grad.abs().max() < 1e-12

    def test_of_a_style_without_activations_is_a_number(self, loss: StyleLoss) -> None:
        blank = torch.zeros(1, 3, 4, 4)
        assert distance(loss, blank, blank).item() == 0
        assert not distance(loss, blank + 1e-20, blank).isnan()

    @pytest.mark.parametrize("threads", [1, 2])
    def test_a_picture_of_a_batch_has_the_bits_that_it_has_alone(self, loss: StyleLoss, threads: int) -> None:
        features = activations((3, 64, 40, 27), 0, torch.float32).contiguous(memory_format=torch.channels_last)
        style = activations((1, 64, 30, 30), 1, torch.float32)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            together = features.clone().requires_grad_()
            losses = distance(loss, together, style)
            losses.sum().backward()
            for number in range(3):
                alone = features[number : number + 1].clone().requires_grad_()
                single = distance(loss, alone, style)
                single.sum().backward()
                assert torch.equal(single[0], losses[number])
                assert torch.equal(alone.grad[0], together.grad[number])  # type: ignore[index]
        finally:
            torch.set_num_threads(before)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, which takes a batch at once")
    def test_on_a_gpu_it_is_as_on_the_cpu(self, loss: StyleLoss) -> None:
        features, style = activations((3, 64, 20, 27), 0, torch.float32), activations((1, 64, 30, 30), 1, torch.float32)
        found = []
        for device in ("cpu", "cuda"):
            pictures = features.to(device).requires_grad_()
            losses = distance(loss, pictures, style.to(device))
            (losses * torch.tensor([1.0, 2.0, 3.0], device=device)).sum().backward()
            assert pictures.grad is not None
            found.append((losses.detach().cpu(), pictures.grad.cpu()))
        for here, there in zip(*found, strict=True):
            assert relative_error(there, here) < 1e-3

    def test_is_float32_and_near_for_bfloat16_activations(self, loss: StyleLoss, weights: VGGWeights) -> None:
        found = {}
        for dtype in (torch.bfloat16, torch.float32):
            encoder = Encoder(weights, "conv3_1", dtype=dtype)
            pixels = picture("content", "egeskov", 64).requires_grad_()
            with torch.no_grad():
                style = encoder(picture("style", "great_wave", 64), ["conv3_1"])["conv3_1"]
            value = distance(loss, encoder(pixels, ["conv3_1"])["conv3_1"], style)
            assert value.dtype == torch.float32
            value.sum().backward()
            found[dtype] = (value.detach(), pixels.grad)
        for rough, exact in zip(found[torch.bfloat16], found[torch.float32], strict=True):
            assert rough is not None
            assert exact is not None
            assert relative_error(rough, exact) < 0.1

    def test_is_lower_in_the_picture_that_it_was_optimised_for(self, loss: StyleLoss) -> None:
        result = run(make_job("synthesize", style_loss=loss, iterations=12))
        assert result.losses[-1] < 0.5 * result.losses[0]
        assert result.quality.final_loss < 0.5 * result.losses[0]
        assert all(math.isfinite(value) for value in result.losses)
        assert run(make_job("synthesize", style_loss=loss, iterations=12)).png == result.png


class TestGram:
    def test_is_that_of_the_losses(self) -> None:
        features, style = activations((2, 4, 3, 5), 0), activations((1, 4, 4, 4), 1)
        assert torch.equal(gram.target(style, 15), gram_matrix(style))
        expected = gram_distance(features, gram_matrix(style).expand(2, 4, 4))
        assert torch.equal(distance("gram", features, style), expected)


class TestMoments:
    def test_by_hand(self) -> None:
        # One channel.  Picture: mean 2, deviation 1.  Style: mean 4, deviation 3: (2² + 2²) / (4² + 3²).
        features = torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 2)
        style = torch.tensor([1.0, 7.0]).reshape(1, 1, 2, 1)
        assert distance("moments", features, style).item() == pytest.approx(8 / 25)

    def test_by_numpy(self) -> None:
        features, style = activations((1, 4, 3, 5), 0), activations((1, 4, 6, 2), 1)
        found, wanted = (
            np.stack([each[0].flatten(1).numpy().mean(1), each[0].flatten(1).numpy().std(1)])
            for each in (features, style)
        )
        expected = np.square(found - wanted).sum() / np.square(wanted).sum()
        assert distance("moments", features, style).item() == pytest.approx(expected)

    def test_knows_nothing_else(self) -> None:
        # 0 and 2 half of the time; -0.3 … and back: both have mean 1 and deviation 1.
        features = torch.tensor([0.0, 2.0, 0.0, 2.0]).reshape(1, 1, 2, 2)
        style = torch.tensor([1 - math.sqrt(2), 1.0, 1.0, 1 + math.sqrt(2)]).reshape(1, 1, 2, 2)
        assert distance("moments", features, style).item() == pytest.approx(0, abs=1e-12)
        assert distance("sliced_wasserstein", features, style).item() > 0.01


class TestSlicedWasserstein:
    def test_by_hand(self) -> None:
        # One channel, whose only direction is ±1: (1, 2, 4) against (1, 3, 5), sorted, whatever their order.
        features = torch.tensor([4.0, 1.0, 2.0]).reshape(1, 1, 1, 3)
        style = torch.tensor([3.0, 5.0, 1.0]).reshape(1, 1, 3, 1)
        assert distance("sliced_wasserstein", features, style).item() == pytest.approx((0 + 1 + 1) / (1 + 9 + 25))

    def test_by_scipy_in_each_direction(self) -> None:
        """scipy has W₁; for a style that is the picture moved by a constant, W₂² is its square."""
        features = activations((1, 3, 4, 5), 0)
        style = features + torch.tensor([0.5, -0.2, 0.1], dtype=torch.float64)[:, None, None]
        directions = sliced_wasserstein.directions(3, sliced_wasserstein.SEED, torch.device("cpu")).double()
        lines = [(directions @ each[0].flatten(1)).numpy() for each in (features, style)]
        squares = [wasserstein_distance(*pair) ** 2 for pair in zip(*lines, strict=True)]
        expected = sum(squares) * 20 / np.square(lines[1]).sum()
        assert distance("sliced_wasserstein", features, style).item() == pytest.approx(expected)

    def test_directions_are_at_right_angles_and_others_than_the_metrics(self) -> None:
        for channels in (64, 512):
            own = sliced_wasserstein.directions(channels, sliced_wasserstein.SEED, torch.device("cpu"))
            torch.testing.assert_close(own @ own.T, torch.eye(channels), atol=1e-5, rtol=0)
            other = sliced_wasserstein.directions(channels, channels, torch.device("cpu"))
            assert (own @ other.T).abs().max() < 0.9

    def test_is_near_the_metric_of_the_name(self) -> None:
        """Which has other directions and 1024 quantiles."""
        features, style = activations((1, 64, 20, 20), 0), activations((1, 64, 20, 20), 1).square()
        metric = style_metrics.sliced_wasserstein(*({"a": style_metrics.projected(each)} for each in (features, style)))
        assert distance("sliced_wasserstein", features, style).item() == pytest.approx(metric, rel=0.05)


def test_each_module_has_the_two_functions() -> None:
    assert [style_losses.load(loss) for loss in ("gram", "moments")] == [gram, moments]
    for loss in LOSSES:
        module = style_losses.load(loss)
        assert module.__doc__
        assert callable(module.target)
        assert callable(module.distance)
