"""The flow: every job of a study is one Prefect task, run by a Dask worker."""

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from prefect import flow, task
from prefect.context import TaskRunContext
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.tasks import Task
from prefect_dask import DaskTaskRunner

from flows import cache
from flows.cluster import ClusterError, Services, api_answers
from flows.settings import Settings
from nst.errors import NSTError
from nst.jobs import Job
from nst.results import Result
from nst.run import Inputs

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun

PATIENCE = 10.0
"""Seconds after which we look again whether Prefect's API is still there."""

_AGAIN = "run the command again; finished jobs are kept"


@dataclass(frozen=True)
class Order:
    """A job that has to be run, with all that a worker needs for it."""

    job: Job
    inputs: Inputs
    key: str
    """Of its stored result."""


@dataclass(frozen=True)
class Failure:
    """A job that failed although it was tried again."""

    job: Job
    reason: str


Outcome = Result | Failure
Submit = Callable[[Sequence[Order]], Iterator[tuple[Order, Outcome]]]
"""Runs jobs and yields each as it ends."""


def run_one(title: str, order: Order, threads: int, alone: bool) -> dict[str, Any]:
    """One job, in a worker.  `title` is the name under which Prefect shows it."""
    from nst.run import run_job

    return run_job(order.job, order.inputs, threads=threads, warm_up=alone).to_dict()


def _file(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
    return cache.file_name(parameters["order"].key)


def _may_help(_task: "Task[..., Any]", _run: "TaskRun", state: "State[Any]") -> bool:
    """Whether trying again makes sense: what the library raises on purpose would only come again."""
    return not isinstance(state.result(raise_on_failure=False), NSTError)


# Tasks and flows are not written as decorators: they travel to workers by reference to the plain function.
# A decorator would hide that, and whole modules would travel.
job_task = task(
    name="job",
    task_run_name="{title}",
    persist_result=True,
    result_serializer=cache.SERIALIZER,
    cache_key_fn=_file,
    cache_result_in_memory=False,
    retry_condition_fn=_may_help,
)(run_one)

# A flow's parameters go to Prefect's API and, with each task, to the workers; the name of the study may.
# The work itself, which holds pictures and results, stays in this process.
_work: ContextVar[Callable[[], None]] = ContextVar("work")


def run_study(study: str) -> None:
    """One study; called by `run`."""
    _work.get()()


study_flow = flow(name="study", flow_run_name="{study}", persist_result=False, validate_parameters=False)(run_study)


@dataclass(frozen=True)
class Crew:
    """Where jobs run, and how many at a time."""

    services: Services
    settings: Settings
    alone: bool
    """Jobs are timed, so they run one at a time."""

    def run(self, study: str, work: Callable[[Submit], None]) -> None:
        """Runs `work` as a Prefect flow, handing it the means to run jobs."""
        _work.set(lambda: work(self.submit))
        runner = DaskTaskRunner(address=self.services.dask)
        try:
            with temporary_settings({PREFECT_API_URL: self.services.api}):  # the workers are told with each task
                study_flow.with_options(task_runner=runner)(study)
        except httpx.HTTPError as error:
            raise ClusterError(f"Prefect's API at {self.services.api} is gone ({error}): {_AGAIN}") from None

    def submit(self, orders: Sequence[Order]) -> Iterator[tuple[Order, Outcome]]:
        """Hands jobs to the cluster, so that only some are there at any time, and yields each as it ends."""
        finished: queue.SimpleQueue[PrefectFuture[Any]] = queue.SimpleQueue()
        waiting = iter(orders)
        running: dict[Any, Order] = {}
        job_task = self._job_task()

        def submit_next() -> None:
            order = next(waiting, None)
            if order is not None:
                future = job_task.submit(order.job.title, order, self.settings.threads, self.alone)
                running[future.task_run_id] = order
                future.add_done_callback(finished.put)

        for _ in range(self._in_flight()):
            submit_next()
        looked = time.monotonic()
        while running:
            if time.monotonic() - looked > PATIENCE:
                _check(self.services.api)
                looked = time.monotonic()
            try:
                future = finished.get(timeout=PATIENCE)
            except queue.Empty:
                continue
            order = running.pop(future.task_run_id)
            submit_next()
            yield order, _outcome(order, future, self.settings.cache)

    def _job_task(self) -> "Task[..., Any]":
        options = job_task.with_options(retries=self.settings.retries, retry_delay_seconds=self.settings.retry_delay)
        # `with_options` takes only storage saved as a block on the server, which would tie the cache to it.
        options.result_storage = cache.ResultFolder(basepath=str(self.settings.cache))
        return options

    def _in_flight(self) -> int:
        if self.alone:
            return 1
        if self.settings.in_flight:
            return self.settings.in_flight
        from distributed import Client

        with Client(self.services.dask, set_as_default=False) as client:
            threads: dict[str, int] = client.nthreads()
        return 4 * max(1, sum(threads.values()))


def _check(url: str) -> None:
    if not any(api_answers(url) for _ in range(3)):
        raise ClusterError(f"Prefect's API at {url} is gone: {_AGAIN}")


def _outcome(order: Order, future: PrefectFuture[Any], folder: Path) -> Outcome:
    from distributed.client import FutureCancelledError

    try:
        value = future.result()
    except FutureCancelledError as error:
        raise ClusterError(f"the Dask cluster is gone ({error.reason}): {_AGAIN}") from None
    except Exception as error:
        return Failure(order.job, _reason(error))
    result = Result.from_dict(value)
    if not (folder / cache.file_name(order.key)).exists():  # the worker's disk is not ours
        cache.store(folder, order.key, value)
    return result


def _reason(error: Exception) -> str:
    """One line."""
    name = type(error).__name__
    if name == "KilledWorker":
        return "its worker died each time it was tried (out of memory?)"
    text = " ".join(str(error).split())
    return text if isinstance(error, NSTError) else f"{name}: {text}"
