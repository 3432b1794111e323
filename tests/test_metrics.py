"""Metrics of saved pictures: by their published formulas, written out once more."""

import numpy as np
import pytest
import torch
from engine_support import ReferenceVGG19, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from nst.engine import metrics
from nst.engine.images import to_png
from nst.engine.layers import LAYERS
from nst.engine.losses import gram_matrix
from nst.engine.run import decode
from nst.engine.style_metrics import colour_distance, cumulative
from nst.engine.weights import VGGWeights

SEEDS = st.integers(0, 2**32)


def noise(seed: int, height: int = 24, width: int = 20) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def ssim_by_formula(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. (2004), eq. 13, with their Gaussian window of 11×11, σ 1.5, K1 0.01 and K2 0.03, about every pixel.

    The pictures are mirrored at their edges; Wang's own program leaves out windows that would reach beyond them.
    """
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    values = []
    wide = [np.pad(image, ((0, 0), (5, 5), (5, 5)), "reflect") for image in (a, b)]
    for channel in range(a.shape[0]):
        for y in range(a.shape[1]):
            for x in range(a.shape[2]):
                p, q = (image[channel, y : y + 11, x : x + 11] for image in wide)
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * p * p).sum() - mp**2, (window * q * q).sum() - mq**2
                both = (window * p * q).sum() - mp * mq
                c1, c2 = 0.01**2, 0.03**2
                values.append((2 * mp * mq + c1) * (2 * both + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return float(np.mean(values))


class TestSSIM:
    """1 for equal pictures."""

    @pytest.mark.parametrize("strength", [0.05, 0.3, 1.0])
    def test_by_the_formula(self, strength: float) -> None:
        a = picture("content", "chelsea")[..., :24, :20]
        b = (1 - strength) * a + strength * noise(0)
        expected = ssim_by_formula(a[0].double().numpy(), b[0].double().numpy())
        assert metrics.ssim(a, b) == pytest.approx(expected, abs=1e-4)

    def test_of_equal_pictures_is_1_and_of_opposite_ones_negative(self) -> None:
        a = noise(0)
        assert metrics.ssim(a, a) == pytest.approx(1)
        assert metrics.ssim(a, 1 - a) < 0

    @given(SEEDS, SEEDS)
    @settings(max_examples=10, deadline=None)
    def test_does_not_care_which_is_which(self, one: int, other: int) -> None:
        assert metrics.ssim(noise(one), noise(other)) == pytest.approx(metrics.ssim(noise(other), noise(one)), abs=1e-5)


class TestPSNR:
    """10 · log10(1 / mean squared error)."""

    @pytest.mark.parametrize(("error", "expected"), [(1.0, 0.0), (0.1, 20.0), (0.01, 40.0)])
    def test_by_hand(self, error: float, expected: float) -> None:
        black = torch.zeros(1, 3, 4, 4)
        assert metrics.psnr(black + error, black) == pytest.approx(expected, abs=1e-3)

    @given(SEEDS, SEEDS)
    @settings(max_examples=10, deadline=None)
    def test_by_the_formula(self, one: int, other: int) -> None:
        a, b = noise(one), noise(other)
        error = float(np.square(a.numpy() - b.numpy(), dtype=np.float64).mean())
        expected = 100 if error == 0 else 10 * np.log10(1 / error)
        assert metrics.psnr(a, b) == pytest.approx(expected, abs=1e-3)

    def test_of_equal_pictures_is_100(self) -> None:
        assert metrics.psnr(noise(0), noise(0)) == 100.0


class TestDistances:
    """In feature space, at fixed layers."""

    def test_content_distance_by_its_definition(self, weights: VGGWeights) -> None:
        x, c = picture("content", "chelsea"), picture("content", "egeskov")
        x = torch.nn.functional.interpolate(x, c.shape[-2:], mode="nearest")
        reference = ReferenceVGG19(weights)
        with torch.no_grad():
            fx, fc = reference(x)["conv4_2"], reference(c)["conv4_2"]
        expected = ((fx - fc).square().sum() / fc.square().sum()).item()
        assert metrics.content_distance(x, c, "normalised") == pytest.approx(expected, rel=1e-4)

    def test_style_distance_by_its_definition(self, weights: VGGWeights) -> None:
        x, s = picture("content", "chelsea"), picture("style", "cafe_terrace", 56)
        assert x.shape != s.shape
        reference = ReferenceVGG19(weights)
        parts = []
        with torch.no_grad():
            features, targets = reference(x), reference(s)
        for layer in LAYERS:
            gx, gs = (
                torch.einsum("ihw,jhw->ij", f[layer][0], f[layer][0]) / f[layer][0, 0].numel()
                for f in (features, targets)
            )
            parts.append(((gx - gs).square().sum() / gs.square().sum()).item())
        mean = np.exp(np.mean(np.log(parts)))
        assert metrics.style_distance(x, s, "normalised") == pytest.approx(mean, rel=1e-3)

    def test_no_layer_rules_the_mean_of_gram_errors(self) -> None:
        errors = [0.007, 0.008, 0.033, 0.27, 5.12]
        assert metrics.mean_error(errors) == pytest.approx(np.prod(errors) ** 0.2)
        for index in range(5):  # whichever halves, the mean falls by the same share
            halved = [error / 2 if i == index else error for i, error in enumerate(errors)]
            assert metrics.mean_error(halved) == pytest.approx(metrics.mean_error(errors) * 0.5**0.2)

    def test_a_layer_that_fits_by_chance_does_not_make_the_mean_vanish(self) -> None:
        fits = [0.1] * 15 + [0.0]
        assert metrics.mean_error(fits) == pytest.approx(0.1 ** (15 / 16) * metrics.SMALLEST_ERROR ** (1 / 16))

    def test_from_a_picture_to_itself_they_are_least(self) -> None:
        x = picture("content", "chelsea")
        assert metrics.content_distance(x, x, "normalised") == 0
        assert metrics.style_distance(x, x, "normalised") == pytest.approx(metrics.SMALLEST_ERROR)

    def test_they_order_pictures_as_one_would(self) -> None:
        cat, wave = picture("content", "chelsea", 96), picture("style", "great_wave", 96)
        blurred = torch.nn.functional.avg_pool2d(cat, 3, 1, 1)
        other = torch.rand(cat.shape, generator=torch.Generator().manual_seed(0))
        assert metrics.content_distance(blurred, cat, "normalised") < metrics.content_distance(other, cat, "normalised")
        half = wave[..., : wave.shape[-1] // 2]
        assert metrics.style_distance(half, wave, "normalised") < metrics.style_distance(cat, wave, "normalised")


class TestGramMatrices:
    """For pictures of them."""

    def test_are_those_of_the_features(self, weights: VGGWeights) -> None:
        shown = decode(picture("content", "chelsea"))
        found = metrics.gram_matrices([(shown, 1.0)], ["conv1_1", "conv3_1"], "normalised")
        with torch.no_grad():
            features = ReferenceVGG19(weights)(metrics.as_tensor(shown))
        assert list(found) == ["conv1_1", "conv3_1"]
        assert found["conv3_1"].shape == (256, 256)
        for layer, gram in found.items():
            expected = gram_matrix(features[layer])[0].numpy()
            np.testing.assert_allclose(gram, expected, rtol=1e-3, atol=1e-3 * expected.max())

    def test_relative_distance_by_hand(self) -> None:
        values, target = np.array([[1, 2], [2, 5]], np.float32), np.array([[1, 2], [2, 1]], np.float32)
        assert metrics.relative_distance(values, target) == pytest.approx(16 / 10)


class TestEightBits:
    """A picture becomes a tensor and a picture again."""

    def test_every_value_survives(self) -> None:
        values = np.arange(256, dtype=np.uint8).reshape(16, 16)
        shown = Image.fromarray(np.stack([values, values.T, 255 - values], axis=-1))
        tensor = metrics.as_tensor(shown)
        assert tensor.shape == (1, 3, 16, 16)
        assert (tensor.min(), tensor.max()) == (0, 1)
        assert decode(tensor).tobytes() == shown.tobytes()

    @given(st.floats(-1, 2))
    def test_values_are_rounded_to_the_nearest(self, value: float) -> None:
        found = decode(torch.full((1, 3, 1, 1), value)).getpixel((0, 0))[0]  # type: ignore[index]
        assert abs(found - min(max(value, 0), 1) * 255) <= 0.5 + 1e-4


class TestDistancesInOnePass:
    """The way runs measure: the same numbers as one by one, whatever was measured before."""

    def test_equal_each_by_itself(self) -> None:
        made, content, style = (decode(noise(seed, 48, 64)) for seed in (1, 2, 3))
        x, c, s = map(metrics.as_tensor, (made, content, style))
        for _ in range(2):  # the second time from what was kept
            found = metrics.distances(x, to_png(content), [(to_png(style), 1.0)], "normalised")
            assert found.content == metrics.content_distance(x, c, "normalised")
            assert found.style == metrics.style_distance(x, s, "normalised")
            assert found.gram_errors is not None
            assert found.style == metrics.mean_error(found.gram_errors)
            assert found.colour == colour_distance(x, cumulative(s))

    def test_from_a_picture_to_itself_all_are_least(self) -> None:
        made = decode(noise(1, 48, 64))
        found = metrics.distances(metrics.as_tensor(made), to_png(made), [(to_png(made), 1.0)], "normalised")
        least = pytest.approx(metrics.SMALLEST_ERROR)
        assert found == metrics.Distances(
            content=0,
            style=least,
            gram_errors=(0.0,) * 16,
            sliced_wasserstein=0,
            colour=0,
            cfsd=0,
            st_lpips=0,
            arrangement=None,
        )

    def test_nothing_to_compare_with(self) -> None:
        found = metrics.distances(noise(1, 48, 64), None, [], "normalised")
        assert set(vars(found).values()) == {None}
