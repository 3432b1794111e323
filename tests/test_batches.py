"""Several jobs at once: each gets the picture that it gets alone."""

import dataclasses
from typing import Any

import pytest
import torch
from engine_support import DATA, make_job, run

from nst.engine import batches
from nst.engine.images import png_size
from nst.engine.inputs import inputs
from nst.engine.jobs import Job
from nst.engine.optimize import State
from nst.engine.run import run_jobs

UNLIKE = (
    make_job(style_layers=("conv1_1", "conv2_1")),
    make_job(style_layers=("conv2_1", "conv2_2"), style="cafe_terrace", init="noise", seed=1),
    make_job("reconstruct"),
    make_job("reconstruct", content_layers=("conv1_2",)),
    make_job(content_layers=("conv4_2",)),
    make_job(style_loss="sliced_wasserstein", style="cafe_terrace"),
    make_job(style_loss="moments", style_scale=1.5, style_layer_weights=(1.0, 0.5)),
    make_job(colour="content"),
    make_job(colour="matched", init="adain"),
    make_job("transfer", content_layers=("conv1_2", "conv3_1"), content_weight=3.0, tv_weight=0.5, init="adain"),
)
"""One batch: the same picture size and optimizer, and else whatever may differ."""


def together(jobs: tuple[Job, ...], threads: int = 1, **options: Any) -> Any:
    return run_jobs(jobs, [inputs(job, DATA) for job in jobs], threads=threads, pixel_metrics=False, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what holds on CPUs")
class TestSameBytes:
    """On a CPU a job's picture does not depend on what it shares a batch with."""

    @pytest.mark.parametrize(
        ("precision", "parametrization", "optimizer", "threads"),
        [
            ("bfloat16", "fourier", "adam", 1),
            ("bfloat16", "fourier", "adam", 2),
            ("bfloat16", "pixels", "adam", 1),
            ("bfloat16", "fourier", "lbfgs", 1),
            ("float32", "fourier", "adam", 1),
            ("float32", "pixels", "lbfgs", 2),
        ],
    )
    def test_as_alone(self, precision: str, parametrization: str, optimizer: str, threads: int) -> None:
        changes = {"precision": precision, "parametrization": parametrization, "optimizer": optimizer}
        jobs = tuple(dataclasses.replace(job, **changes) for job in UNLIKE)  # type: ignore[arg-type]
        for job, found in zip(jobs, together(jobs, threads), strict=True):
            (alone,) = together((job,), threads)
            assert found.job == job
            assert found.losses == alone.losses
            assert found.png == alone.png
            assert found.quality == alone.quality
            assert found.timing.evaluations == alone.timing.evaluations
            assert (found.timing.batch, alone.timing.batch) == (len(UNLIKE), 1)

    @pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
    def test_where_each_ends_by_itself(self, optimizer: Any) -> None:
        jobs = tuple(
            make_job(style_weight=weight, iterations=60, tolerance=0.1, optimizer=optimizer)
            for weight in (0.1, 10, 500)
        )
        found = together(jobs)
        alone = [together((job,))[0] for job in jobs]
        assert [result.png for result in found] == [result.png for result in alone]
        lengths = [len(result.losses) for result in found]
        assert lengths == [len(result.losses) for result in alone]
        assert len(set(lengths)) > 1
        assert min(lengths) < 60

    def test_as_alone_where_luminance_is_painted(self) -> None:
        jobs = (make_job(colour="luminance"), make_job(colour="luminance", init="noise", style="cafe_terrace"))
        assert [result.png for result in together(jobs)] == [together((job,))[0].png for job in jobs]

    def test_films(self) -> None:
        jobs = (make_job(frames=2), make_job(frames=3, style="cafe_terrace"), make_job(seed=1))
        assert [result.frames for result in together(jobs)] == [together((job,))[0].frames for job in jobs]


def test_each_has_its_share_of_the_time() -> None:
    """With 1, 2 and 4 pictures the shares add up to the time that the whole took."""
    jobs = tuple(make_job(init="noise", seed=seed, iterations=20) for seed in range(4))
    ends: list[State] = []
    found = together(jobs, on_iteration=ends.append)
    shares = [result.timing.seconds for result in found]
    assert max(shares) < 1.5 * min(shares)
    assert [(state.iteration, state.number) for state in ends[:5]] == [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0)]
    for result in found:
        assert list(result.timing.elapsed) == sorted(result.timing.elapsed)
        assert result.timing.elapsed[-1] < result.timing.seconds


@pytest.mark.parametrize(
    "change",
    [
        {"size": 64}, {"content": "chelsea"}, {"iterations": 5}, {"tolerance": 0.1},
        {"stop_loss": 0.1},
        {"learning_rate": 0.5}, {"optimizer": "lbfgs"}, {"parametrization": "pixels"}, {"pooling": "average"},
        {"precision": "float32"}, {"colour": "luminance"},
    ],
    ids=str,
)  # fmt: skip
def test_jobs_of_two_kinds_are_no_batch(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="of one kind"):
        together((make_job(), make_job(**change)))


def of(job: Job) -> tuple[Job, bytes]:
    return job, inputs(job, DATA).shape


def test_the_batches_that_take_longest_come_first_and_what_is_equal_as_it_came() -> None:
    shallow, deep = ("conv1_1",), ("conv2_1",)  # by hand 1728 and 57024 multiplications a pixel
    jobs = [
        make_job("reconstruct", content_layers=shallow),
        make_job("reconstruct", content_layers=deep, seed=1),
        make_job("reconstruct", content_layers=shallow, seed=1),
        make_job("reconstruct", content_layers=deep, learning_rate=0.5),
        make_job("reconstruct", content_layers=deep, seed=2),
        make_job("reconstruct", content_layers=shallow, size=384),
        make_job("reconstruct", content_layers=shallow, iterations=4 * 33),
    ]

    def numbers(most: int) -> list[list[int]]:
        return [[jobs.index(job) for job in batch] for batch in batches.in_batches(jobs, of, lambda *_: most)]

    assert batches.cost(*of(jobs[0])) == 1728 * 48 * 33 * 4
    assert batches.cost(*of(jobs[1])) == 57024 * 48 * 33 * 4
    # One by one: 65 times the first; then four of 33 times, those of a kind together; then those like the first.
    assert numbers(1) == [[5], [1], [4], [3], [6], [0], [2]]
    # In threes: 1, 4, 0 and 2 are of one kind, deep ones first.
    assert numbers(3) == [[1, 4, 0], [5], [3], [6], [2]]
    assert numbers(64) == [[1, 4, 0, 2], [5], [3], [6]]


def test_layers_losses_and_starts_share_a_batch() -> None:
    assert [len(batch) for batch in batches.in_batches(UNLIKE, of, lambda *_: 64)] == [len(UNLIKE)]


def test_a_batch_is_as_small_as_the_job_with_least_room_wants_it() -> None:
    jobs = [make_job(), make_job(style_loss="sliced_wasserstein"), make_job(seed=1)]
    found = batches.in_batches(jobs, of, lambda job, _: 1 if job.style_loss == "sliced_wasserstein" else 3)
    assert [len(batch) for batch in found] == [1, 1, 1]


class TestRoom:
    """How many pictures a batch has on a GPU."""

    def test_is_a_power_of_two_between_one_and_the_most(self) -> None:
        found = [batches.room(*of(make_job(size=384)), "bfloat16", total) for total in (0, 1e9, 2e9, 16e9, 80e9)]
        assert found == [1, 2, 4, 32, 64]
        assert batches.room(*of(make_job(size=384)), "bfloat16", 80e9 + 1e8) == 64

    def test_falls_with_the_picture_and_with_what_is_kept_of_it(self) -> None:
        small, large = (batches.memory(*of(make_job(size=size)), "bfloat16") for size in (192, 384))
        assert large - 20e6 == pytest.approx(4 * (small - 20e6), rel=0.02)  # sides are rounded
        sliced = make_job(style_loss="sliced_wasserstein")
        for one, other in ((make_job(), sliced), (sliced, dataclasses.replace(sliced, precision="float32"))):
            assert batches.memory(*of(one), "bfloat16") < batches.memory(*of(other), "float32")

    def test_values_kept_are_those_of_the_network(self) -> None:
        """What each layer gives, and each pooling, for each pixel."""
        widths, depths = (64, 128, 256, 512, 512), (2, 2, 4, 4, 4)
        layers = sum(depth * width / 4**block for block, (width, depth) in enumerate(zip(widths, depths, strict=True)))
        pools = sum(width / 4 ** (block + 1) for block, width in enumerate(widths[:-1]))
        assert layers + pools == batches._KEPT
        assert pools * 8 == batches._POOLED


def test_the_size_is_that_of_the_result() -> None:
    job = make_job()
    given = inputs(job, DATA)
    assert png_size(given.shape) == png_size(run(job, given).png)
    alone = inputs(make_job("synthesize"), DATA)
    assert alone.shape == alone.styles[0][0]
