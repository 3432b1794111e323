"""What a Dask worker says of itself, and runs.

A worker is started with ``--preload flows.worker``, and needs neither Prefect nor its API nor the store.
"""

import dataclasses
import importlib
import json
import os
import pkgutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nst import engine
from nst.engine import malloc
from nst.engine.machine import Machine, machine
from nst.errors import NSTError

if TYPE_CHECKING:
    from nst.engine.inputs import Inputs
    from nst.engine.jobs import Job
    from nst.engine.results import Result

_PREFIX = "nst "
"""Starts the name of the Dask resource that says what a worker is."""
_BROKEN = "nst cannot run here: "
"""Starts it where the worker lacks something."""
GPU_MEMORY = "bytes of GPU memory"
"""The Dask resource that says how much of a GPU a worker may fill; no batch takes any of it."""
SHARERS = "NST_SHARERS"
"""Environment variable: how many workers share each GPU."""


@dataclass(frozen=True)
class Order:
    """A job that has to be run, with all that a worker needs for it."""

    job: "Job"
    inputs: "Inputs"
    key: str
    """Of its stored result."""


@dataclass(frozen=True)
class Failed:
    """A batch, or one job, that could not be run."""

    reason: str
    """One line."""
    worker: str = ""
    """Address of the worker that tried."""
    may_pass: bool = False
    """Whether trying again makes sense: what the engine raises on purpose would only come again."""


def resource(kind: Machine) -> str:
    """The Dask resource that workers of this kind offer, one each, and that each batch takes.

    So Dask's scheduler gives a batch to workers of one kind alone, and one batch to a worker at a time.
    """
    return _PREFIX + json.dumps(dataclasses.asdict(kind), sort_keys=True)


def machine_of(resources: Mapping[str, float]) -> Machine | str:
    """What a worker with these resources is, or why it cannot run jobs."""
    for name in resources:
        if name.startswith(_BROKEN):
            return name.removeprefix("nst ")
        if name.startswith(_PREFIX):
            with suppress(TypeError):  # a worker of another version, which has other fields
                return Machine(**json.loads(name.removeprefix(_PREFIX)))
    return "it was started without --preload flows.worker, or with another version of it"


def dask_setup(worker: Any) -> None:
    """Called by Dask when the worker starts, before the scheduler hears of it.

    All code is imported now, so that the worker stays what it says it is, whatever happens to the checkout.  Ctrl-C,
    which a terminal sends to every process, is left to the process that runs the study.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        malloc.keep_freed_memory()
        for module in pkgutil.iter_modules(engine.__path__, "nst.engine."):
            importlib.import_module(module.name)
        importlib.import_module("torchmetrics.functional.image")
        offer = {resource(machine()): 1.0, **gpu_memory()}
    except Exception as error:  # Dask would log it and start the worker all the same
        offer = {_BROKEN + " ".join(f"{type(error).__name__}: {error}".split()): 1.0}
    worker.state.total_resources.update(offer)
    worker.state.available_resources.update(offer)


def gpu_memory() -> dict[str, float]:
    """This worker's part of its GPU's memory, as a Dask resource; none where there is no GPU.

    It is all that the GPU has, not what is free now: the same jobs shall give the same batches.
    """
    import torch

    if machine().device == "cpu":
        return {}
    return {GPU_MEMORY: torch.cuda.get_device_properties(0).total_memory / int(os.environ.get(SHARERS, "1"))}


def run_batch(jobs: "Sequence[Job]", inputs: "Sequence[Inputs]", threads: int) -> "list[Result] | Failed":
    """Runs the jobs as one batch.  Errors are returned, as not every exception survives the way back."""
    from distributed import get_worker

    address = str(get_worker().address)
    try:
        results = _run(jobs, inputs, threads)
    except Exception as error:
        text = " ".join(str(error).split())
        expected = isinstance(error, NSTError)
        return Failed(text if expected else f"{type(error).__name__}: {text}", address, may_pass=not expected)
    places = [dataclasses.replace(each.environment, worker=f"{each.environment.worker} {address}") for each in results]
    return [dataclasses.replace(each, environment=place) for each, place in zip(results, places, strict=True)]


def _run(jobs: "Sequence[Job]", inputs: "Sequence[Inputs]", threads: int) -> "list[Result]":
    """Where a batch does not fit into the GPU's memory, its halves are run one after the other."""
    import torch

    from nst.engine.run import run_jobs

    try:
        return run_jobs(jobs, inputs, threads=threads)
    except RuntimeError as error:
        if len(jobs) == 1 or not is_out_of_memory(error):
            raise
    # Behind the `except` nothing refers to the failed batch's tensors any more, so their memory can be freed.
    torch.cuda.empty_cache()
    half = len(jobs) // 2
    return _run(jobs[:half], inputs[:half], threads) + _run(jobs[half:], inputs[half:], threads)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Not only torch's own: cuBLAS and the driver have words of theirs, and where memory ends while a CUDA graph is
    captured, ending the capture fails too, and it is that error which arrives."""
    import torch

    if error is None:
        return False
    said = any(words in str(error) for words in ("out of memory", "ALLOC_FAILED"))
    return said or isinstance(error, torch.OutOfMemoryError) or is_out_of_memory(error.__context__)
