"""Large pictures from coarse to fine: the rungs, what a callback sees of them, and that the small shapes are kept."""

import io

import pytest
import torch
from engine_support import make_job, pixels, run
from PIL import Image
from study_support import DATA

from nst.engine import ladder
from nst.engine.batches import cost, kind
from nst.engine.images import png_size
from nst.engine.inputs import inputs
from nst.engine.ladder import rungs
from nst.engine.optimize import State


class TestRungs:
    def test_steps_of_the_square_root_of_two_up_to_the_picture(self) -> None:
        found = rungs(make_job(size=2048), (2048, 1365))
        assert [round(2048 * rung.scale) for rung in found] == [512, 724, 1024, 1448, 2048]

    def test_the_first_is_no_larger_than_the_ladder_says(self) -> None:
        for size in range(33, 3000, 31):
            found = rungs(make_job(size=size, ladder=300), (size, size))
            assert max(32, 300 / 2**0.5 - 1) < round(size * found[0].scale) <= 300 or size <= 300
            assert found[-1].scale == 1

    @pytest.mark.parametrize(("size", "first"), [(512, 512), (513, 512), (4096, 0)])
    def test_a_picture_that_is_no_larger_has_one_and_so_has_any_with_0(self, size: int, first: int) -> None:
        assert (len(rungs(make_job(size=size, ladder=first), (size, 400))) == 1) == (size <= first or first == 0)

    def test_no_rung_is_narrower_than_the_network_needs(self) -> None:
        found = rungs(make_job(size=2048), (2048, 64))
        assert [round(64 * rung.scale) for rung in found] == [32, 45, 64]

    def test_the_first_has_the_jobs_iterations_and_the_others_fewer(self) -> None:
        first, *later = rungs(make_job(size=96, ladder=48, iterations=10, learning_rate=0.2), (96, 64))
        assert (first.iterations, first.learning_rate) == (10, 0.2)
        assert {(rung.iterations, rung.learning_rate) for rung in later} == {(4, 0.1)}


LARGE = make_job(size=96, ladder=48, iterations=5)


class TestRun:
    def test_the_callback_counts_on_over_the_rungs(self) -> None:
        seen: list[tuple[int, int, tuple[int, ...]]] = []

        def watch(state: State) -> None:
            seen.append((state.iteration, state.of, tuple(state.picture().shape)))

        result = run(LARGE, on_iteration=watch)
        shape = (1, 3, *reversed(png_size(result.png)))
        assert seen == [(number, 9, shape) for number in range(1, 10)]  # 5, 2 and 2 at 48, 68 and 96 px
        assert len(result.losses) == len(result.timing.elapsed) == 9
        assert list(result.timing.elapsed) == sorted(result.timing.elapsed)

    def test_frames_are_of_all_rungs_and_of_one_size(self) -> None:
        result = run(make_job(size=96, ladder=48, iterations=5, frames=4))
        assert {Image.open(io.BytesIO(frame)).size for frame in result.frames} == {png_size(result.png)}
        assert len(result.frames) == 4

    @pytest.mark.parametrize("when", [2, 6, 9])
    def test_where_it_is_stopped_it_ends_at_its_full_size(self, when: int) -> None:
        result = run(LARGE, on_iteration=lambda state: state.iteration == when)
        assert len(result.losses) == when
        assert max(png_size(result.png)) == 96

    def test_twice_gives_the_same_bytes(self) -> None:
        assert run(LARGE).png == run(LARGE).png != run(make_job(size=96, ladder=0, iterations=5)).png

    @pytest.mark.parametrize("colour", ["content", "luminance", "matched"])
    def test_with_each_way_of_colouring(self, colour: str) -> None:
        result = run(make_job(size=64, ladder=48, iterations=2, colour=colour))
        assert max(png_size(result.png)) == 64


def test_jobs_with_other_ladders_share_no_batch_and_cost_what_they_take() -> None:
    with_one, without = make_job(size=96, ladder=48, iterations=5), make_job(size=96, ladder=0, iterations=5)
    shape = inputs(without, DATA).shape
    assert kind(with_one, shape) != kind(without, shape)
    assert cost(with_one, shape) / cost(without, shape) == pytest.approx((5 / 4 + 2 / 2 + 2) / 5)


def test_pictures_of_a_rung_are_the_originals_scaled_down() -> None:
    given = inputs(make_job(size=96, style_scale=0.5), DATA)
    small = ladder.scaled(given, 0.5)
    assert ladder.scaled(given, 1.0) is given
    assert small.content and small.styles
    assert [max(png_size(png)) for png in (small.content, small.styles[0][0])] == [48, 32]  # and none under 32 px
    assert abs(pixels(small.content).mean() - pixels(given.content or b"").mean()) < 1


def test_the_outcome_is_finite_with_lbfgs() -> None:
    result = run(make_job(size=64, ladder=48, iterations=2, optimizer="lbfgs"))
    assert torch.tensor(result.losses).isfinite().all()
