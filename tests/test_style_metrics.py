"""The style metrics: known values, what they do not see, and a second computation."""

import numpy as np
import pytest
import torch
from engine_support import ReferenceVGG19, finished, make_job, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nst.engine import metrics
from nst.engine.images import from_png, to_png
from nst.engine.layers import LAYERS
from nst.engine.run import decode
from nst.engine.style_metrics import QUANTILES, arrangement, colour_distance, cumulative, projected, sliced_wasserstein
from nst.engine.weights import VGGWeights

SEEDS = st.integers(0, 2**32)


def features(seed: int, channels: int = 8, height: int = 24, width: int = 20) -> Tensor:
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(seed)).square()


def shuffled(values: Tensor, seed: int = 0) -> Tensor:
    """(1, C, H, W) with its positions in another order."""
    order = torch.randperm(values[0, 0].numel(), generator=torch.Generator().manual_seed(seed))
    return values.flatten(2)[..., order].reshape(values.shape)


def distance(found: Tensor, target: Tensor) -> float:
    return sliced_wasserstein({"layer": projected(found)}, {"layer": projected(target)})


def wasserstein(a: np.ndarray, b: np.ndarray, power: int = 1) -> float:
    """∫ |F⁻¹(q) − G⁻¹(q)|^p dq of two samples of any sizes, exactly: both step functions cut at all of their steps."""
    edges = np.union1d(np.arange(a.size + 1) / a.size, np.arange(b.size + 1) / b.size)
    middles = (edges[1:] + edges[:-1]) / 2
    a, b = (np.sort(each)[(middles * each.size).astype(int)] for each in (a, b))
    return float((np.diff(edges) * np.abs(a - b) ** power).sum())


class TestSlicedWasserstein:
    """Of distributions of features."""

    def test_of_the_same_and_of_a_shuffled_one_is_0(self) -> None:
        assert distance(features(0), features(0)) == 0
        assert distance(shuffled(features(0)), features(0)) == pytest.approx(0, abs=1e-9)

    def test_sees_more_than_means_and_products(self) -> None:
        """Two distributions with the same Gram matrix and mean, which a Gram distance cannot tell apart."""
        two_values = torch.tensor([0.0, 2.0]).repeat(200).reshape(1, 1, 20, 20)
        three_values = torch.tensor([1 - 2**0.5, 1.0, 1.0, 1 + 2**0.5]).repeat(100).reshape(1, 1, 20, 20)
        for moment in (1, 2):
            assert two_values.pow(moment).mean().item() == pytest.approx(three_values.pow(moment).mean().item())
        expected = (3 - 2 * 2**0.5) / 2 + 1 / 2  # the outer quarters move by √2 − 1, the inner ones by 1
        assert distance(two_values, three_values) == pytest.approx(expected / 2, rel=1e-5)

    def test_a_shift_of_everything_by_hand(self) -> None:
        """Moved by v, every projection moves by its share of v, and the shares' squares add up to |v|²."""
        target, by = features(0), torch.tensor([1.0, -2, 0, 3, 0.5, 0, 1, 1])
        energy = target.square().sum((1, 2, 3)).item() / target[0, 0].numel()
        found = distance(target + by[:, None, None], target)
        assert found == pytest.approx(by.square().sum().item() / energy, rel=1e-3)

    def test_blank_features_are_at_1(self) -> None:
        assert distance(torch.zeros(1, 8, 24, 20), features(0)) == pytest.approx(1)

    @given(SEEDS, st.floats(0.1, 3))
    @settings(max_examples=10, deadline=None)
    def test_against_an_exact_computation_for_other_sizes(self, seed: int, scale: float) -> None:
        """One channel has one direction, up to its sign."""
        a, b = scale * features(seed, 1, 30, 40), features(seed + 1, 1, 17, 20)
        expected = wasserstein(a.double().numpy().ravel(), b.double().numpy().ravel(), 2) / b.square().mean().item()
        assert distance(a, b) == pytest.approx(expected, rel=0.03, abs=1e-4)

    def test_grows_with_the_difference(self) -> None:
        target = features(0)
        found = [distance((1 - share) * target + share * features(1).sqrt(), target) for share in (0.1, 0.3, 1.0)]
        assert 0 < found[0] < found[1] < found[2]

    def test_layers_count_alike_whatever_their_scale(self) -> None:
        found, target = {"a": features(0), "b": features(1)}, {"a": features(2), "b": features(3)}
        scaled = [{"a": each["a"], "b": 1000 * each["b"]} for each in (found, target)]
        value, other = (
            sliced_wasserstein(*({name: projected(each) for name, each in layers.items()} for layers in (one, two)))
            for one, two in ((found, target), scaled)
        )
        assert other == pytest.approx(value, rel=1e-4)

    def test_projections_are_quantiles_in_directions_at_right_angles(self) -> None:
        one_hot = torch.eye(8).reshape(1, 8, 1, 8)
        found = projected(one_hot)
        assert found.shape == (8, QUANTILES)
        assert (found.diff(dim=1) >= 0).all()
        # The features are the unit vectors, so the values in a direction are its entries: a direction has length 1.
        entries = found[:, QUANTILES // 16 :: QUANTILES // 8]
        torch.testing.assert_close(entries.square().sum(1), torch.ones(8))

    def test_of_pictures_at_the_layers_of_the_style_distance(self, weights: VGGWeights) -> None:
        x, s = picture("content", "chelsea"), picture("style", "cafe_terrace", 56)
        reference = ReferenceVGG19(weights)
        with torch.no_grad():
            found, target = reference(x), reference(s)
        layers = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
        expected = np.mean([distance(found[layer], target[layer]) for layer in layers])
        made, style = decode(x), to_png(decode(s))
        value = metrics.distances(metrics.as_tensor(made), None, [(style, 1.0)], "normalised").sliced_wasserstein
        assert value == pytest.approx(expected, rel=1e-3)


class TestColourDistance:
    """Of histograms."""

    def test_of_the_same_and_of_a_shuffled_picture_is_0(self) -> None:
        shown = picture("style", "great_wave")
        assert colour_distance(shown, cumulative(shown)) == 0
        assert colour_distance(shuffled(shown), cumulative(shown)) == 0
        assert colour_distance(torch.cat([shown, shown], dim=-1), cumulative(shown)) == pytest.approx(0, abs=1e-12)

    @pytest.mark.parametrize(("red", "expected"), [(0, 0), (51, 0.2 / 3), (255, 1 / 3)])
    def test_a_channel_that_is_brighter_by_hand(self, red: int, expected: float) -> None:
        black = torch.zeros(1, 3, 4, 4)
        brighter = black.clone()
        brighter[:, 0] = red / 255
        assert colour_distance(brighter, cumulative(black)) == pytest.approx(expected)
        assert colour_distance(black, cumulative(brighter)) == pytest.approx(expected)

    def test_black_against_white_is_1(self) -> None:
        assert colour_distance(torch.ones(1, 3, 2, 5), cumulative(torch.zeros(1, 3, 7, 3))) == pytest.approx(1)

    @pytest.mark.parametrize("size", [48, 64])
    def test_against_the_distance_of_the_pixels_themselves(self, size: int) -> None:
        a, b = picture("content", "chelsea"), picture("style", "cafe_terrace", size)
        channels = zip(a[0].double().numpy(), b[0].double().numpy(), strict=True)
        expected = np.mean([wasserstein(one.ravel(), other.ravel()) for one, other in channels])
        assert colour_distance(a, cumulative(b)) == pytest.approx(expected, rel=1e-6)


class TestArrangement:
    """Whether a texture is its original again, moved or not."""

    @staticmethod
    def at(shown: Tensor) -> Tensor:
        return metrics.activations(shown, [metrics.ARRANGEMENT_LAYER], "normalised")[metrics.ARRANGEMENT_LAYER]

    def test_of_the_same_is_1_and_of_features_moved_in_a_circle(self) -> None:
        target = features(0)
        assert arrangement(target, target) == pytest.approx(1)
        assert arrangement(3 * target.roll((5, 9), (2, 3)) + 7, target) == pytest.approx(1)

    def test_of_unrelated_and_of_blank_features_is_about_0(self) -> None:
        assert abs(arrangement(features(0, 64), features(1, 64))) < 0.15
        assert arrangement(torch.zeros(1, 8, 24, 20), features(0)) == 0

    def test_by_its_definition(self) -> None:
        """Every shift by itself, on features blurred in place, for an odd and an even side."""
        from scipy.ndimage import gaussian_filter

        blurred = []
        for each in (features(0, 3, 9, 12), features(1, 3, 9, 12)):
            centred = (each - each.mean((2, 3), keepdim=True))[0].double().numpy()
            blurred.append(np.stack([gaussian_filter(c, 1.5, mode="wrap", truncate=8) for c in centred]))
        one, other = blurred
        cosines = [
            (one * np.roll(other, (dy, dx), (1, 2))).sum() / np.sqrt((one**2).sum() * (other**2).sum())
            for dy in range(9)
            for dx in range(12)
        ]
        assert arrangement(features(0, 3, 9, 12), features(1, 3, 9, 12)) == pytest.approx(max(cosines), rel=1e-3)

    @pytest.mark.parametrize("name", ["cafe_terrace", "great_wave", "composition_viii"])
    def test_a_moved_original_is_told_from_another_painting(self, name: str) -> None:
        style = picture("style", name, 192)
        others = [picture("style", other, 192) for other in ("cafe_terrace", "great_wave") if other != name]
        target = self.at(style)
        assert arrangement(self.at(style.roll((37, 21), (2, 3))), target) > 0.75
        for other in others:
            fitted = torch.nn.functional.interpolate(other, style.shape[-2:], mode="bilinear", antialias=True)
            assert arrangement(self.at(fitted), target) < 0.2

    def test_of_textures_grows_with_the_depth_of_their_layers(self) -> None:
        shallow, deep = (
            finished(
                make_job("synthesize", style="cafe_terrace", style_layers=layers, size=192, iterations=40,
                         learning_rate=0.05)
            ).quality.arrangement
            for layers in (LAYERS[:5], LAYERS[10:15])
        )  # fmt: skip
        assert shallow is not None and deep is not None
        assert shallow < 0.25
        assert deep > 1.5 * shallow


class TestGramErrors:
    """What the style distance is the mean of."""

    def test_a_shift_hardly_changes_them(self) -> None:
        """Of a texture, in a circle.  Edges move into the middle, which shows where errors were next to nothing."""
        made = finished(make_job("synthesize", style="great_wave", style_layers=LAYERS[:5], size=192, iterations=40))
        texture = metrics.as_tensor(from_png(made.png))
        style = to_png(decode(picture("style", "great_wave", 192)))
        moved = texture.roll((37, 21), (2, 3))
        before, after = (
            np.asarray(metrics.distances(shown, None, [(style, 1.0)], "normalised").gram_errors)
            for shown in (texture, moved)
        )
        assert (before[:5] < 0.05).all()
        np.testing.assert_allclose(after, before, rtol=0.3, atol=0.03)
        assert metrics.content_distance(moved, texture, "normalised") > 0.5


class TestSharedVariation:
    """What two pictures have in common, place by place."""

    def test_of_the_same_picture_is_all_and_of_its_negative_none(self) -> None:
        shown = picture("content", "chelsea")
        assert metrics.shared_variation(shown, shown) == 1
        negative = 2 * shown.mean((-2, -1), keepdim=True) - shown
        assert metrics.shared_variation(shown, negative) == pytest.approx(-1, abs=1e-5)
        assert metrics.shared_variation(shown, negative + 0.5) < -1

    def test_of_unrelated_ones_is_about_0(self) -> None:
        a, b = (features(seed, 3, 64, 64) for seed in (0, 1))
        assert metrics.shared_variation(a, b) == pytest.approx(0, abs=0.03)
        assert metrics.shared_variation(a, 0.2 * b + 0.4) < 0.03

    def test_of_one_with_noise_by_hand(self) -> None:
        """Independent noise as strong as the picture in both: half of each one's variation is shared."""
        a, first, second = (features(seed, 3, 64, 64) for seed in (0, 1, 2))
        assert metrics.shared_variation(a + first, a + second) == pytest.approx(0.5, abs=0.03)

    def test_of_two_blank_pictures(self) -> None:
        assert metrics.shared_variation(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)) == 1
