"""CFSD and ST-LPIPS: against their authors' programs, and as one would expect."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from engine_support import picture
from torch import Tensor

from nst.engine import cfsd, metrics, st_lpips
from nst.engine.images import to_png
from nst.engine.run import decode


def noise(seed: int, height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def perceived(a: Tensor, b: Tensor) -> float:
    return st_lpips.distance(st_lpips.activations(a), st_lpips.activations(b))


def structural(picture: Tensor, content: Tensor) -> float:
    features, target = (metrics.activations(x, [cfsd.LAYER], "normalised")[cfsd.LAYER] for x in (picture, content))
    return cfsd.distance(features, target)


class TestSTLPIPS:
    """Shift-tolerant LPIPS of Ghildyal & Liu (2022)."""

    @pytest.mark.parametrize(
        ("a", "b", "expected"),
        [
            (noise(0, 64, 80), noise(1, 64, 80), 0.03698844),
            (noise(2, 48, 37), noise(3, 48, 37), 0.04108424),
        ],
        ids=["64×80", "odd sizes"],
    )
    def test_of_noises_is_what_the_authors_program_says(self, a: Tensor, b: Tensor, expected: float) -> None:
        """`LPIPS(net="alex", variant="shift_tolerant")(a, b, normalize=True)` of stlpips-pytorch 0.0.2."""
        assert perceived(a, b) == pytest.approx(expected, rel=1e-4)

    def test_of_pictures_is_what_the_authors_program_says(self) -> None:
        cat = picture("content", "chelsea", 96)
        half = 0.5 * cat + 0.5 * noise(4, *cat.shape[-2:])
        assert perceived(cat, cat.flip(-1)) == pytest.approx(0.2847202, rel=1e-3)
        assert perceived(cat, half) == pytest.approx(0.7790545, rel=1e-3)

    def test_a_shift_of_a_pixel_counts_for_little(self) -> None:
        cat = picture("content", "chelsea", 192)
        moved = cat.roll((1, 2), (2, 3))
        assert perceived(cat, moved) == pytest.approx(0.01590124, rel=1e-3)
        noisy = (cat + 0.05 * (noise(0, *cat.shape[-2:]) - 0.5)).clamp(0, 1)
        assert (moved - cat).square().mean() > 5 * (noisy - cat).square().mean()
        assert perceived(cat, moved) < perceived(cat, noisy)

    def test_of_the_same_is_0_and_does_not_care_which_is_which(self) -> None:
        a, b = noise(0, 40, 40), picture("content", "chelsea", 96)[..., :40, :40]
        assert perceived(a, a) == 0
        assert perceived(a, b) > 0
        assert perceived(a, b) == pytest.approx(perceived(b, a))

    def test_small_pictures_have_none(self) -> None:
        for side, has in ((st_lpips.SMALLEST_SIDE - 1, False), (st_lpips.SMALLEST_SIDE, True)):
            content, made = (noise(seed, side, 64) for seed in (0, 1))
            found = metrics.distances(made, to_png(decode(content)), [], "normalised")
            assert (found.st_lpips is not None) == has
            assert found.cfsd is not None


class TestCFSD:
    """Content feature structural distance of Chung, Hyun & Heo (2024)."""

    def test_by_its_definition(self) -> None:
        """In doubles, as the authors' program computes it."""
        x, c = picture("content", "chelsea", 48), noise(0, *picture("content", "chelsea", 48).shape[-2:])
        rows = []
        for each in (x, c):
            features = metrics.activations(each, ["conv3_1"], "normalised")["conv3_1"].double()
            places = features[0].flatten(1).T / 256  # channels
            rows.append(places @ places.T)
        divergence = F.kl_div(rows[0].log_softmax(1), rows[1].softmax(1), reduction="sum") / len(rows[0])
        assert len(rows[0]) < cfsd.ANCHORS
        assert structural(x, c) == pytest.approx(128**2 * divergence.item(), rel=1e-3)

    def test_of_the_same_is_0(self) -> None:
        c = picture("content", "chelsea")
        assert structural(c, c) == 0

    def test_some_positions_stand_for_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        c = picture("content", "chelsea", 192)
        x = F.avg_pool2d(c, 5, 1, 2)
        found = structural(x, c)
        monkeypatch.setattr(cfsd, "ANCHORS", 10**6)
        assert found == pytest.approx(structural(x, c), rel=0.03)

    def test_other_colours_count_for_less_than_another_structure(self) -> None:
        c = picture("content", "chelsea", 192)
        grey, mirrored = c.mean(1, keepdim=True).expand_as(c), c.flip(-1)
        assert 0 < structural(grey, c) < 0.1 * structural(mirrored, c)
        # A negative keeps what is like what.  The distance of features from place to place makes more of it.
        negative, other = (metrics.content_distance(x, c, "normalised") for x in (1 - c, mirrored))
        assert structural(1 - c, c) / structural(mirrored, c) < 0.5 * negative / other


def test_both_are_measured_with_the_others_in_one_pass() -> None:
    made, content = decode(noise(0, 48, 64)), decode(noise(1, 48, 64))
    x, c = map(metrics.as_tensor, (made, content))
    for _ in range(2):  # the second time from what was kept
        found = metrics.distances(x, to_png(content), [], "normalised")
        assert found.cfsd == structural(x, c)
        assert found.st_lpips == perceived(x, c)
    none = {name for name, value in dataclasses.asdict(found).items() if value is None}
    assert none == {"style", "gram_errors", "sliced_wasserstein", "colour", "arrangement"}
