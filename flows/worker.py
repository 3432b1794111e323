"""What a Dask worker says of itself and runs, and which workers the driver takes.

A worker is started with ``--preload flows.worker``, and needs neither Prefect nor its API nor the store.
"""

import dataclasses
import importlib
import json
import os
import pkgutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from flows.processes import RUN_AGAIN, ClusterError
from nst import engine
from nst.engine import malloc
from nst.engine.machine import Machine, engine_digest, machine
from nst.errors import NSTError

if TYPE_CHECKING:
    from distributed import Client

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


class Workers:
    """The workers of a cluster that run our jobs: those of one kind of machine, with our code and torch.

    Of several kinds it is the one that most are of.  The others are refused, by name, once: results are stored under
    the kind of machine they were made on.

    Raises:
        ClusterError: no worker that can be used comes in time.
    """

    def __init__(self, client: "Client", timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._refused: set[str] = set()
        self.machine = self._most_common()
        """The kind of machine."""
        self.names: list[str] = []
        """Addresses, as of the last look."""
        self.look()

    def _most_common(self) -> Machine:
        deadline = time.monotonic() + self._timeout
        while True:
            found = self._found()
            usable = Counter(kind for kind in found.values() if isinstance(kind, Machine) and not _refusal(kind, kind))
            if usable:
                return max(usable, key=lambda kind: (usable[kind], str(kind)))
            if time.monotonic() > deadline:
                refused = "; ".join(f"{name} is refused: {_refusal(kind, None)}" for name, kind in found.items())
                raise ClusterError(
                    f"no worker that can be used came within {self._timeout:.0f} s (NST_CLUSTER_TIMEOUT)"
                    + (f": {refused}" if refused else "")
                )
            time.sleep(0.05)

    def _found(self) -> dict[str, Machine | str]:
        """All workers by address, and what each is."""
        try:
            self._about = self._client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, TimeoutError) as error:
            raise ClusterError(f"the Dask cluster has ended ({error}): {RUN_AGAIN}") from None
        return {name: machine_of(about.get("resources", {})) for name, about in self._about.items()}

    def memory(self) -> float:
        """Bytes at which Dask restarts a worker, of the one with the least; infinite where there is no limit."""
        limits = [self._about[name]["memory_limit"] for name in self.names]
        return min(filter(None, limits), default=float("inf"))

    def gpu_memory(self) -> float:
        """Bytes of its GPU that a worker may fill, of the one with the least; 0 where none says it."""
        resources = [self._about[name]["resources"] for name in self.names]
        return min((float(each[GPU_MEMORY]) for each in resources if GPU_MEMORY in each), default=0.0)

    def look(self) -> None:
        """Looks which there are by now.

        Raises:
            ClusterError: there has been none for too long.
        """
        from tqdm import tqdm

        found = self._found()
        self.names = sorted(name for name, kind in found.items() if kind == self.machine)
        for name in sorted(found.keys() - self._refused - set(self.names)):
            self._refused.add(name)
            why = _refusal(found[name], self.machine)
            tqdm.write(f"worker {name} is refused: {why}", file=sys.stderr)  # a line of its own beside the bar
        if self.names:
            self._seen = time.monotonic()
        elif (lonely := time.monotonic() - self._seen) > self._timeout:
            raise ClusterError(f"no worker has been left for {lonely:.0f} s: {RUN_AGAIN}")


def _refusal(kind: Machine | str, wanted: Machine | None) -> str:
    """Why a worker gets no jobs, or "" if it gets some."""
    if isinstance(kind, str):
        return kind
    if kind.engine != engine_digest():
        ours = engine_digest()[:8]
        return f"its code is not this checkout's ({kind.engine[:8]}, not {ours}): restart it with the same"
    ours = metadata.version("torch")  # without the "+cu130" that says what it was built for
    if kind.torch.partition("+")[0] != ours.partition("+")[0]:
        return f"its torch is {kind.torch}, not {ours}: install the same"
    return "" if kind == wanted else f"it is {kind}, and results are stored for {wanted}"
