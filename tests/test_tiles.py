"""Large pictures in tiles: differenced with the same pictures seen at once, down to the pixels at the borders."""

import dataclasses
from collections.abc import Iterator
from typing import get_args

import numpy as np
import pytest
import torch
from engine_support import make_job, picture, pixels, relative_error, run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nst.engine import memory, metrics, style_losses, style_metrics, targets, tiles
from nst.engine.batches import kind
from nst.engine.images import from_png, to_png
from nst.engine.jobs import Colour, Job, StyleLoss
from nst.engine.layers import CLASSIC, LAYERS
from nst.engine.losses import gram_matrix
from nst.engine.objective import Objective
from nst.engine.run import decode
from nst.engine.tiled import TiledObjective
from nst.engine.vgg import Encoder
from nst.engine.weights import VGGWeights


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tiles of 48 px, of whichever picture: one of 160 px has up to twelve."""
    forget_originals()
    cut_small(monkeypatch)
    yield
    forget_originals()


def cut_small(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(memory, "WHOLE", 0)
    patch.setattr(memory, "TILE_SIDE", 48)


def forget_originals() -> None:
    """What is cached of them was seen at once, or in tiles."""
    for cache in (targets.content, targets.statistics, metrics._content_target, metrics._style_target):
        cache.cache_clear()


class TestSplit:
    """Where a picture is cut."""

    @given(height=st.integers(1, 400), width=st.integers(1, 400), layer=st.sampled_from(LAYERS))
    @settings(max_examples=50, deadline=None)
    def test_own_squares_cover_the_picture_once(self, height: int, width: int, layer: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            cut_small(patch)
            times = torch.zeros(height, width)
            for tile in tiles.split(height, width, layer):
                rows, columns = tile.own
                times[rows.start : rows.stop, columns.start : columns.stop] += 1
                assert max(len(rows), len(columns)) <= 48
                for own, cut in zip(tile.own, tile.cut, strict=True):
                    assert cut.start <= own.start < own.stop <= cut.stop
            assert torch.equal(times, torch.ones(height, width))

    def test_a_picture_that_is_not_large_is_one_tile_without_a_margin(self) -> None:
        (tile,) = tiles.split(1365, 2048, "conv5_4")
        assert tile.own == tile.cut == (range(1365), range(2048))
        assert len(tiles.split(2048, 2048, "conv5_1")) == 4


class TestActivations:
    """Each as in the whole picture."""

    @pytest.mark.parametrize(("height", "width"), [(160, 160), (97, 145), (112, 31)])
    @pytest.mark.parametrize("pooling", ["max", "average"])
    def test_of_tiles_are_those_of_the_picture(
        self, weights: VGGWeights, small_tiles: None, height: int, width: int, pooling: str
    ) -> None:
        encoder = Encoder(weights, pooling=pooling)  # type: ignore[arg-type]
        shown = picture("content", "egeskov", 160)
        shown = torch.nn.functional.interpolate(shown, (height, width))
        with torch.no_grad():
            expected = encoder(shown, LAYERS)
        found: dict[str, torch.Tensor] = {}
        for tile, name, part in tiles.stream(encoder, shown, LAYERS):
            tile.add_to(found, name, part)
        for name in LAYERS:
            assert found[name].shape == expected[name].shape
            torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-4 * expected[name].abs().max())


class TestObjective:
    """The same losses and the same gradients, without a seam."""

    @pytest.mark.parametrize("loss", ["gram", "moments"])
    @pytest.mark.parametrize("colour", ["style", "luminance"])
    def test_of_tiles_is_that_of_the_picture(
        self, weights: VGGWeights, small_tiles: None, loss: StyleLoss, colour: Colour
    ) -> None:
        job = make_job(
            content_layers=("conv1_1", "conv4_2"), style_layers=CLASSIC, style_loss=loss, colour=colour, tv_weight=0.1
        )
        encoder = Encoder(weights)
        shown = {name: picture(kind, name, 150) for kind, name in (("content", "egeskov"), ("style", "great_wave"))}
        with torch.no_grad():
            content = encoder(shown["egeskov"], job.content_layers)
            statistics = style_losses.load(loss)
            style = {name: statistics.target(each, 1) for name, each in encoder(shown["great_wave"], CLASSIC).items()}
        start = (0.7 * shown["egeskov"] + 0.3 * torch.rand(shown["egeskov"].shape)).clamp(0, 1)
        found = []
        for objective in (Objective, TiledObjective):
            pixels = start.clone().requires_grad_()
            value = objective([job], encoder, [content], [style])(pixels, [0])
            (gradient,) = torch.autograd.grad(value.sum(), pixels)
            found.append((value.detach(), gradient))
        (whole, expected), (tiled, gradient) = found
        torch.testing.assert_close(tiled, whole, rtol=1e-4, atol=0)
        assert relative_error(gradient, expected) < 1e-4
        # At no pixel, so at no border of a tile, is the difference more than a trifle of what gradients are.
        assert (gradient - expected).abs().max() < 1e-3 * expected.abs().max()

    def test_in_bfloat16_within_its_rounding(self, weights: VGGWeights, small_tiles: None) -> None:
        job = make_job(content_layers=("conv4_2",), style_layers=CLASSIC)
        encoder = Encoder(weights, dtype=torch.bfloat16)
        start, shown = picture("content", "egeskov", 150), picture("style", "great_wave", 150)
        with torch.no_grad():
            content = encoder(start, job.content_layers)
            style = {name: gram_matrix(each) for name, each in encoder(shown, CLASSIC).items()}
        found = []
        for objective in (Objective, TiledObjective):
            pixels = (0.8 * start).requires_grad_()
            value = objective([job], encoder, [content], [style])(pixels, [0])
            found.append((value.detach(), torch.autograd.grad(value.sum(), pixels)[0]))
        (whole, expected), (tiled, gradient) = found
        torch.testing.assert_close(tiled, whole, rtol=0.02, atol=0)
        assert relative_error(gradient, expected) < 0.05

    def test_where_it_is_needed(self) -> None:
        assert not memory.in_tiles(make_job(), 1365, 2048)
        assert memory.in_tiles(make_job("reconstruct"), 2048, 2048)
        for loss in get_args(StyleLoss):
            assert memory.in_tiles(make_job(style_loss=loss), 2048, 2048) == style_losses.is_additive(loss)

    def test_a_job_that_is_seen_at_once_is_in_no_batch_with_one_in_tiles(self) -> None:
        png = to_png(Image.new("RGB", (2000, 2000)))
        one, other = make_job(style_loss="gram"), make_job(style_loss="sliced_wasserstein")
        assert kind(one, png) != kind(other, png) != kind(make_job(style_loss="moments"), png)
        assert kind(one, to_png(Image.new("RGB", (64, 64)))) == kind(other, to_png(Image.new("RGB", (64, 64))))


@pytest.mark.parametrize(
    "job",
    [
        make_job(size=144, iterations=8, style_layers=CLASSIC, precision="float32"),
        make_job(
            size=144, iterations=8, style_loss="moments", colour="content", pooling="average", precision="float32"
        ),
        make_job("reconstruct", size=144, iterations=8, precision="float32"),
        make_job(size=160, ladder=80, iterations=8, style="great_wave:2,cafe_terrace", precision="float32"),
    ],
    ids=lambda job: f"{job.task} {job.style_loss} {job.ladder}",
)
def test_a_job_in_tiles_ends_as_the_job_at_once(job: Job, request: pytest.FixtureRequest) -> None:
    """Its losses and what is measured of it, and no seam: the rounding that steps amplify is no larger at borders."""
    whole = run(job)
    request.getfixturevalue("small_tiles")
    in_tiles = run(job)
    assert in_tiles.losses == pytest.approx(whole.losses, rel=0.01)
    for field in dataclasses.fields(whole.quality):
        one, other = getattr(whole.quality, field.name), getattr(in_tiles.quality, field.name)
        if field.name != "gram_errors":  # of which some are next to nothing
            assert other == (one if one is None else pytest.approx(one, rel=0.05)), field.name
    difference = np.abs(pixels(in_tiles.png).astype(float) - pixels(whole.png))
    borders = np.zeros(difference.shape[:2], dtype=bool)
    for tile in tiles.split(*borders.shape, "conv5_1"):
        rows, columns = tile.own
        borders[max(rows.start - 1, 0) : rows.start + 1] = True
        borders[:, max(columns.start - 1, 0) : columns.start + 1] = True
    assert difference[borders].mean() < 1.5 * difference[~borders].mean() + 0.1
    assert difference.mean() < 5


def test_metrics_of_the_same_picture_in_tiles(small_tiles: None) -> None:
    """Of equal pictures, all that can be told."""
    png = to_png(decode(picture("style", "great_wave", 144)))
    found = metrics.distances(metrics.as_tensor(from_png(png)), png, [(png, 1.0)], "normalised")
    assert found.content == 0
    assert found.style == pytest.approx(metrics.SMALLEST_ERROR)
    assert found.sliced_wasserstein == 0


def test_quantiles_of_a_sample_are_near_those_of_all(monkeypatch: pytest.MonkeyPatch, small_tiles: None) -> None:
    shown, style = picture("content", "egeskov", 144), to_png(decode(picture("style", "great_wave", 144)))
    found = []
    for sampled in (style_metrics.SAMPLED, 1000):
        metrics._style_target.cache_clear()
        monkeypatch.setattr(style_metrics, "SAMPLED", sampled)
        found.append(metrics.distances(shown, None, [(style, 1.0)], "normalised").sliced_wasserstein)
    assert found[1] == pytest.approx(found[0], rel=0.05)
    assert found[1] != found[0]
