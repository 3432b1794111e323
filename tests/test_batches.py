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
    make_job(style_loss="sliced_wasserstein", style="cafe_terrace"),
    make_job(style_loss="moments", style_scale=1.5, style_layer_weights=(1.0, 0.5)),
    make_job(colour="content"),
    make_job(colour="matched", init="adain"),
    make_job("transfer", content_layers=("conv1_2", "conv3_1"), content_weight=3.0, tv_weight=0.5, init="adain"),
)
"""One batch: the same picture size and deepest layer, and else whatever may differ."""


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
        {"content_layers": ("conv3_2",)}, {"size": 64}, {"content": "chelsea"}, {"iterations": 5}, {"tolerance": 0.1},
        {"stop_loss": 0.1},
        {"learning_rate": 0.5}, {"optimizer": "lbfgs"}, {"parametrization": "pixels"}, {"pooling": "average"},
        {"precision": "float32"}, {"colour": "luminance"},
    ],
    ids=str,
)  # fmt: skip
def test_jobs_of_two_kinds_are_no_batch(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="of one kind"):
        together((make_job(), make_job(**change)))


def test_jobs_of_a_kind_come_one_after_the_other() -> None:
    assert batches.by_kind(["b1", "a1", "b2", "c1", "a2"], lambda item: item[0]) == ["b1", "b2", "a1", "a2", "c1"]


def test_the_longest_come_first_and_what_is_equal_as_it_came() -> None:
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

    def of(job: Job) -> tuple[Job, bytes]:
        return job, inputs(job, DATA).shape

    assert batches.cost(*of(jobs[0])) == 1728 * 48 * 33 * 4
    assert batches.cost(*of(jobs[1])) == 57024 * 48 * 33 * 4
    # 65 times the first; then three kinds of 33 times, as they came and each together; then those like the first.
    assert batches.longest_first(jobs, of) == [jobs[number] for number in (5, 1, 4, 3, 6, 0, 2)]


def test_the_size_is_that_of_the_result() -> None:
    job = make_job()
    given = inputs(job, DATA)
    assert png_size(given.shape) == png_size(run(job, given).png)
    alone = inputs(make_job("synthesize"), DATA)
    assert alone.shape == alone.style
