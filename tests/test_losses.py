"""The three losses: by hand, by slow loops, by what must hold for any activations, and their gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from nst.engine.losses import content_loss, gram_distance, gram_matrix, total_variation

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(2, 6), st.integers(2, 6))
SEEDS = st.integers(0, 2**32)


def activations(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


class TestGram:
    """G_ij = Σ F_i F_j / (H·W)."""

    def test_by_hand(self) -> None:
        # Two channels on a 1×2 picture: (1, 2) and (3, 4).
        features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
        expected = [[1 * 1 + 2 * 2, 1 * 3 + 2 * 4], [3 * 1 + 4 * 2, 3 * 3 + 4 * 4]]
        assert torch.equal(gram_matrix(features), torch.tensor([expected]) / 2)

    @given(SHAPES, SEEDS)
    @settings(max_examples=20, deadline=None)
    def test_by_loops(self, shape: tuple[int, int, int, int], seed: int) -> None:
        features = activations(shape, seed)
        batch, channels, height, width = shape
        expected = torch.zeros(batch, channels, channels, dtype=torch.float64)
        for b in range(batch):
            for i in range(channels):
                for j in range(channels):
                    for y in range(height):
                        for x in range(width):
                            expected[b, i, j] += features[b, i, y, x] * features[b, j, y, x] / (height * width)
        torch.testing.assert_close(gram_matrix(features), expected)

    @given(SHAPES, SEEDS)
    @settings(max_examples=20, deadline=None)
    def test_is_symmetric_and_has_no_negative_eigenvalues(self, shape: tuple[int, ...], seed: int) -> None:
        gram = gram_matrix(activations(shape, seed) - 0.5)
        torch.testing.assert_close(gram, gram.mT)  # no BLAS promises the bits
        assert torch.linalg.eigvalsh(gram).min() > -1e-12

    @given(SHAPES, SEEDS)
    @settings(max_examples=20, deadline=None)
    def test_does_not_know_where_things_are(self, shape: tuple[int, ...], seed: int) -> None:
        features = activations(shape, seed)
        order = torch.randperm(shape[2] * shape[3], generator=torch.Generator().manual_seed(seed))
        shuffled = features.flatten(2)[:, :, order].reshape(shape)
        torch.testing.assert_close(gram_matrix(shuffled), gram_matrix(features))

    def test_does_not_know_how_large_the_picture_is(self) -> None:
        features = activations((1, 4, 3, 5), 0)
        torch.testing.assert_close(gram_matrix(features.repeat(1, 1, 2, 3)), gram_matrix(features))

    def test_is_the_same_in_any_memory_layout(self) -> None:
        features = activations((2, 8, 4, 6), 0, torch.float32)
        last = features.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(gram_matrix(last), gram_matrix(features))

    def test_of_bfloat16_is_float32_and_near(self) -> None:
        features = activations((1, 16, 20, 20), 0)
        rough = gram_matrix(features.bfloat16())
        assert rough.dtype == torch.float32
        torch.testing.assert_close(rough, gram_matrix(features).float(), rtol=0.02, atol=0)


class TestContentLoss:
    """|F − P|² / |P|²."""

    def test_by_hand(self) -> None:
        features = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 2, 2)
        target = torch.tensor([1.0, 1.0, 1.0, 3.0]).reshape(1, 1, 2, 2)
        assert content_loss(features, target).tolist() == pytest.approx([(0 + 1 + 4 + 1) / (1 + 1 + 1 + 9)])

    @given(SHAPES, SEEDS)
    @settings(max_examples=20, deadline=None)
    def test_is_0_for_a_match_and_1_for_blank_features(self, shape: tuple[int, ...], seed: int) -> None:
        target = activations(shape, seed) + 0.1
        ones = torch.ones(shape[0], dtype=torch.float64)
        assert torch.equal(content_loss(target, target), 0 * ones)
        torch.testing.assert_close(content_loss(torch.zeros_like(target), target), ones)

    @given(SHAPES, SEEDS, st.floats(1e-3, 1e3))
    @settings(max_examples=20, deadline=None)
    def test_is_the_same_in_any_unit(self, shape: tuple[int, ...], seed: int, unit: float) -> None:
        features, target = activations(shape, seed), activations(shape, seed + 1) + 0.1
        torch.testing.assert_close(content_loss(unit * features, unit * target), content_loss(features, target))

    def test_is_one_value_a_picture(self) -> None:
        features, target = activations((3, 2, 4, 4), 0), activations((3, 2, 4, 4), 1)
        each = [content_loss(f[None], t[None]).item() for f, t in zip(features, target, strict=True)]
        assert content_loss(features, target).tolist() == pytest.approx(each)

    def test_sums_many_bfloat16_values_exactly_enough(self) -> None:
        # A sum kept in bfloat16 would stop growing at 256.
        features = torch.zeros(1, 64, 32, 32, dtype=torch.bfloat16)
        assert content_loss(features, torch.ones_like(features)).item() == 1.0
        assert content_loss(features, torch.ones_like(features)).dtype == torch.float32

    def test_has_a_gradient_of_zero_at_a_match(self) -> None:
        target = activations((1, 2, 3, 3), 0)
        features = target.clone().requires_grad_()
        content_loss(features, target).sum().backward()
        assert features.grad is not None
        assert torch.equal(features.grad, torch.zeros_like(target))

    def test_of_a_target_without_activations_is_a_number(self) -> None:
        blank = torch.zeros(1, 2, 3, 3)
        assert content_loss(blank, blank).item() == 0
        assert not content_loss(blank + 1e-20, blank).isnan()


class TestGramDistance:
    """|G − A|² / |A|², of each picture."""

    def test_by_hand(self) -> None:
        # One channel: G is the mean square.  First picture: G = 5/2, A = 1: (3/2)² / 1 = 9/4.  Second: G = 4, A = 2: 1.
        features = torch.tensor([[[[1.0, 2.0]]], [[[2.0, 2.0]]]])
        targets = torch.tensor([[[1.0]], [[2.0]]])
        assert gram_distance(features, targets).tolist() == pytest.approx([9 / 4, 1])

    def test_of_a_picture_turned_over_is_zero(self) -> None:
        features = activations((1, 4, 5, 6), 0)
        assert gram_distance(features.flip(2, 3), gram_matrix(features)).item() < 1e-24
        assert gram_distance(0 * features, gram_matrix(features)).item() == pytest.approx(1)


class TestTotalVariation:
    """Mean squared difference of neighbours."""

    def test_by_hand(self) -> None:
        # Down: 2 and 3.  Across: 1 and 2.
        picture = torch.tensor([[[0.0, 1.0], [2.0, 4.0]]]).repeat(1, 3, 1, 1)
        assert total_variation(picture).tolist() == pytest.approx([(4 + 9) / 2 + (1 + 4) / 2])

    @given(SHAPES, SEEDS)
    @settings(max_examples=20, deadline=None)
    def test_is_the_same_for_mirrored_and_lighter_pictures(self, shape: tuple[int, ...], seed: int) -> None:
        picture = activations(shape, seed)
        expected = total_variation(picture)
        assert (expected >= 0).all()
        for other in (picture.flip(2), picture.flip(3), picture.mT, picture + 0.25):
            torch.testing.assert_close(total_variation(other), expected)
        assert torch.equal(total_variation(torch.full(shape, 0.5)), torch.zeros(shape[0]))

    def test_is_less_for_a_smoother_picture(self) -> None:
        noise = activations((1, 3, 16, 16), 0)
        smooth = torch.nn.functional.avg_pool2d(noise, 3, 1, 1)
        assert total_variation(smooth) < total_variation(noise)


@given(SEEDS)
@settings(max_examples=5, deadline=None)
def test_gradients_are_exact(seed: int) -> None:
    """Against differences of the loss itself, in float64."""
    shape = (2, 3, 4, 3)
    features = activations(shape, seed).requires_grad_()
    target = activations(shape, seed + 1)
    assert gradcheck(gram_matrix, features)
    assert gradcheck(lambda x: content_loss(x, target), features)
    assert gradcheck(lambda x: gram_distance(x, gram_matrix(target)), features)
    assert gradcheck(total_variation, features)
