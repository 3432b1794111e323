"""What a Dask worker knows of itself, and what it loads before it takes jobs."""

import gc
import importlib
import platform
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from flows.joining import Joiner
from flows.settings import GPU_BATCH
from nst.engine import malloc

if TYPE_CHECKING:
    from nst.engine.jobs import Job, Precision
    from nst.engine.results import Result
    from nst.engine.run import Inputs, Platform


@dataclass(frozen=True)
class Place:
    """What a result depends on beside the job, its pictures and the weights."""

    platform: "Platform"
    torch: str
    engine: str
    """Digest of the code."""

    def __str__(self) -> str:
        return (
            f"{self.platform.device} ({self.platform.processor}), {self.platform.precision}, "
            f"torch {self.torch}, code {self.engine[:8]}"
        )


def place(precision: "Precision") -> Place:
    """This process's."""
    import torch

    from nst.engine import run

    # Plain text, as Dask's scheduler unpacks it and torch's own class would have it import torch.
    return Place(run.platform(precision), str(torch.__version__), run.engine_digest())


class Given(NamedTuple):
    """A job and how to run it."""

    job: "Job"
    inputs: "Inputs"
    threads: int
    warm_up: bool


def run(given: Given, batch: int | None) -> "Result":
    """The job's result, together with jobs of its kind that other threads of this process hold.

    Args:
        batch: the most jobs to run together, if that was set.
    """
    from nst.engine import batches

    kind = batches.kind(given.job, given.inputs.shape)
    return _together(given, (kind, given.threads, given.warm_up), lambda: batch or _fitting(given))


def _fitting(given: Given) -> int:
    """Jobs like this one that run together: on a GPU as many as its free memory is good for, on a CPU one."""
    import torch

    from nst.engine import images, memory
    from nst.engine.run import platform

    where = platform(given.job.precision)
    if where.device != "cuda":
        return 1
    free = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    width, height = images.png_size(given.inputs.shape)
    return memory.fitting(given.job, height, width, where.precision, free, most=GPU_BATCH)


def _run_batch(batch: Sequence[Given]) -> "Sequence[Result]":
    from nst.engine.run import run_jobs

    jobs, inputs, (threads, *_), (warm_up, *_) = zip(*batch, strict=True)
    return run_jobs(jobs, inputs, threads=threads, warm_up=warm_up)


_together = Joiner(_run_batch)


def name() -> str:
    """This worker's, for people: machine and Dask address."""
    from distributed import get_worker

    node = platform.node()
    with suppress(ValueError):  # not in a worker
        return f"{node} {get_worker().address}"
    return node


MODULES = (
    "flows.fanout", "prefect.task_engine", "nst.engine.run", "nst.engine.init", "nst.engine.objective",
    "nst.engine.optimize", "nst.engine.metrics", "torchmetrics.functional.image",
)  # fmt: skip
"""What every job needs."""


def load(modules: Sequence[str]) -> None:
    """Imports modules that stay."""
    gc.disable()  # looking for garbage in them, now and later, is for nothing
    for module in modules:
        importlib.import_module(module)
    gc.freeze()
    gc.enable()


def dask_setup(_worker: Any) -> None:
    """Loads what every job needs, for some seconds in which the others start as well, so that no job waits for it.

    Dask has workers give memory back at once (MALLOC_TRIM_THRESHOLD_ = 64 KiB), which made an iteration half as long
    again (192 px: 118 ms, not 77); that is undone.  Ctrl-C, which a terminal sends to every process, is left to the one
    that runs the study.
    """
    malloc.keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    load(MODULES)
    threading.Thread(target=_warm_up, name="warm up", daemon=True).start()


def _warm_up() -> None:
    """Has the weights read and the networks laid out, or a GPU woken, while the study is finding its first job."""
    with suppress(Exception):  # what is wrong here will be wrong for the first real job too, which can tell
        run(small_job(), batch=1)


def small_job() -> Given:
    """A job that nobody wants the result of: a few pixels, one iteration, the networks of optimising and of metrics."""
    from PIL import Image

    from nst.engine import images
    from nst.engine.run import Inputs
    from nst.params import Settings

    png = images.to_png(Image.radial_gradient("L").resize((32, 32)).convert("RGB"))
    job = Settings.model_validate({"size": 32, "iterations": 1}).job(
        "transfer", content="none", style="none", content_layers=("conv4_2",), style_layers=("conv5_1",)
    )
    return Given(job, Inputs(png, png), threads=1, warm_up=False)
