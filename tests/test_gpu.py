"""What only a GPU shows: ``pytest -m gpu``.  All of it is skipped where torch sees none."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import yaml
from engine_support import DATA, make_job
from flows_support import TINY, hand_made_cluster, killed_at_the_end, wait_for, written
from study_support import PARAMS, ROOT

from benchmarks import gpu, gpu_steps
from flows import settings, worker
from nst.engine import batches, run
from nst.engine.images import from_png, png_size
from nst.engine.inputs import inputs
from nst.engine.jobs import Job
from nst.engine.machine import machine, precision_of
from nst.engine.metrics import as_tensor
from nst.engine.optimize import minimize
from nst.engine.parametrize import Fourier
from nst.engine.results import Result

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: torch sees none"),
    pytest.mark.timeout(200),
]

MIXED = (
    make_job("reconstruct", size=128, content_layers=("conv1_2",)),
    make_job(size=128, content_layers=("conv4_2",), style_layers=("conv1_1", "conv2_1", "conv5_1")),
    make_job(size=128, style="cafe_terrace", init="noise", seed=1),
    make_job(size=128, style_loss="sliced_wasserstein"),
    make_job(size=128, style_loss="moments", init="adain"),
    make_job(size=128, content_layers=("conv5_4",), style_layers=("conv5_3", "conv5_4"), tv_weight=0.5),
)
"""One batch: layers, losses and starts of all kinds."""


def run_jobs(jobs: tuple[Job, ...]) -> list[Result]:
    return run.run_jobs(jobs, [inputs(job, DATA) for job in jobs], threads=1, pixel_metrics=False)


@contextmanager
def limited(memory: float) -> Iterator[None]:
    """As on a GPU with so many bytes."""
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(memory / torch.cuda.get_device_properties(0).total_memory)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def many(count: int) -> tuple[Job, ...]:
    """At 256 px, of four depths."""
    layers = ("conv2_1", "conv3_1", "conv4_2", "conv5_4")
    return tuple(
        make_job(size=256, init="noise", seed=seed, content_layers=(layers[seed % 4],)) for seed in range(count)
    )


def test_distances_are_those_of_the_cpu_and_of_float32() -> None:
    section = gpu.parity(gpu.parse(["--parity", "128"]), lambda _: None)
    assert [(target.what, str(target.measured)) for target in section.targets if not target.met] == []


def test_jobs_are_for_the_gpu_with_its_name() -> None:
    assert machine().device.startswith(torch.cuda.get_device_name())
    assert run_jobs(MIXED[:1])[0].environment.device == torch.cuda.get_device_name()


def test_the_same_batch_gives_the_same_bytes() -> None:
    first, second = run_jobs(MIXED), run_jobs(MIXED)
    assert [result.png for result in first] == [result.png for result in second]
    assert [result.losses for result in first] == [result.losses for result in second]
    assert [result.quality for result in first] == [result.quality for result in second]


def test_in_a_batch_as_alone() -> None:
    for job, together in zip(MIXED, run_jobs(MIXED), strict=True):
        (alone,) = run_jobs((job,))
        assert (together.timing.batch, alone.timing.batch) == (len(MIXED), 1)
        assert together.losses == pytest.approx(alone.losses, rel=0.03), job.title
        for name in ("content_distance", "style_distance", "final_loss"):
            expected = getattr(alone.quality, name)
            assert expected is None or getattr(together.quality, name) == pytest.approx(expected, rel=0.03), job.title


def test_a_cuda_graph_lowers_the_loss_as_eager_steps_do() -> None:
    job = make_job(size=128, iterations=20)
    given = inputs(job, DATA)
    device = run.torch_device()
    objective, _ = run._objective([job], [given], device)
    assert given.content is not None
    start = as_tensor(from_png(given.content)).to(device)
    width, height = png_size(given.shape)
    found = {
        way: minimize(objective, start, Fourier(height, width, device), iterations=20, **options)[0]
        for way, options in gpu_steps.ways("cuda").items()
    }
    assert found["graph"].losses == pytest.approx(found["eager"].losses, rel=0.01)
    assert found["graph"].losses[-1] < found["graph"].losses[0] / 2


class TestMemory:
    """A batch has the room that the driver thinks it has, or is halved."""

    def test_a_worker_says_what_its_gpu_has(self, monkeypatch: pytest.MonkeyPatch) -> None:
        total = torch.cuda.get_device_properties(0).total_memory
        assert worker.gpu_memory() == {worker.GPU_MEMORY: total}
        monkeypatch.setenv(worker.SHARERS, "2")
        assert worker.gpu_memory() == {worker.GPU_MEMORY: total / 2}

    def test_the_driver_sees_the_gpus_that_torch_sees(self) -> None:
        assert len(settings.gpus()) == torch.cuda.device_count()

    def test_a_batch_of_the_size_that_is_chosen_fits(self) -> None:
        (job,) = many(1)
        shape = inputs(job, DATA).shape
        count = batches.room(job, shape, precision_of(job, machine()), 8e9)
        assert count > 1
        with limited(8e9):
            assert len(run_jobs(many(count))) == count

    def test_one_that_does_not_fit_is_halved(self) -> None:
        jobs = many(32)
        with limited(1.5e9):
            found = worker._run(jobs, [inputs(job, DATA) for job in jobs], threads=1)
        assert [result.job for result in found] == list(jobs)
        assert max(result.timing.batch for result in found) < len(jobs)
        assert len(run_jobs(many(2))) == 2  # nothing of what failed is left


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four jobs of the transfer study, each of some seconds."""
    values = yaml.safe_load(PARAMS.read_text("utf-8"))
    values |= {"size": 256}
    values["transfer"] |= {**TINY["transfer"], "iterations": 1000}
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    path.write_text(yaml.safe_dump(values), "utf-8")
    return path


class TestStudies:
    """Whole studies, through Prefect and Dask."""

    def start(self, params: Path, folder: Path, **more: str) -> "subprocess.Popen[str]":
        own = {"NST_CACHE": str(folder / "jobs"), "PREFECT_HOME": str(folder / "prefect"), **more}
        options = ["--params", str(params), "--data", str(DATA), "--reports", str(folder / "reports")]
        return subprocess.Popen(
            [sys.executable, "-m", "flows.study", "transfer", *options],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, process: "subprocess.Popen[str]", folder: Path) -> dict[str, bytes]:
        output, _ = process.communicate(timeout=180)
        assert process.returncode == 0, output
        return written(folder / "reports" / "transfer")

    def test_run_twice_they_give_equal_tables(self, params: Path, tmp_path: Path) -> None:
        found = []
        for name in ("first", "second"):
            with killed_at_the_end(process := self.start(params, tmp_path / name)):
                found.append(self.finish(process, tmp_path / name))
        assert found[0] == found[1]
        assert "tables/quality.csv" in found[0]

    def test_a_killed_worker_changes_nothing(self, params: Path, tmp_path: Path) -> None:
        """Two on one GPU, one job at a time each; the first dies when the first result is there."""
        found = []
        for name, kill in (("whole", False), ("killed", True)):
            folder = tmp_path / name
            (folder / "dask").mkdir(parents=True)
            path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
            with hand_made_cluster(folder / "dask", 2, "--no-nanny", PYTHONPATH=path) as made:
                there = {"NST_DASK_ADDRESS": made.address, "NST_BATCH": "1"}
                with killed_at_the_end(process := self.start(params, folder, **there)):
                    if kill:
                        assert wait_for(lambda: any((tmp_path / "killed" / "jobs").glob("*.json")), every=0.02)
                        made.workers[0].kill()
                    found.append(self.finish(process, folder))
        assert found[0] == found[1]
