"""The flow: every job of a study is one Prefect task, run by a Dask worker."""

import dataclasses
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask
import httpx
from distributed import Client
from prefect import flow, get_run_logger, tags, task
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext, TagsContext, TaskRunContext
from prefect.exceptions import ObjectNotFound
from prefect.futures import PrefectFuture
from prefect.logging.handlers import APILogWorker
from prefect.states import Crashed
from prefect.tasks import Task
from prefect_dask import DaskTaskRunner

from flows import api, cache, stale, told, worker
from flows.errors import ClusterError
from flows.settings import Settings
from flows.sharing import Services
from nst.engine import batches
from nst.engine.jobs import Job, Precision
from nst.engine.results import Result
from nst.engine.run import Inputs
from nst.errors import NSTError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun

PATIENCE = 10.0
"""Seconds after which we look again whether Prefect's API and the workers are still there."""

_AGAIN = "run the command again; finished jobs are kept"


class WorkerError(NSTError):
    """A worker is of another kind than the one that the results are filed under."""


@dataclass(frozen=True)
class Order:
    """A job that has to be run, with all that a worker needs for it."""

    job: Job
    inputs: Inputs
    place: worker.Place
    """What the worker has to be."""
    key: str
    """Of its stored result."""


@dataclass(frozen=True)
class Failure:
    """A job that failed although it was tried again."""

    job: Job
    reason: str
    killed: bool = False
    """Its worker died each time; that may be the fault of another job."""


Outcome = Result | Failure
More = Callable[[int], Sequence[Order]]
"""Jobs that are wanted by now and were not told before; where there are none, guesses for so many idle workers."""
Submit = Callable[[Sequence[Order], More], Iterator[tuple[Order, Outcome]]]
"""Runs jobs, and those that are wanted as results come, and yields each as it ends."""


def no_more(_idle: int) -> Sequence[Order]:
    """For jobs that are all known from the start."""
    return ()


def run_one(title: str, order: Order, threads: int, alone: bool, batch: int | None) -> dict[str, Any]:
    """One job, in a worker.  `title` is the name under which Prefect shows it."""
    here = worker.place(order.job.precision)
    if here != order.place:
        raise WorkerError(
            f"worker {worker.name()} is {here}; results are kept for {order.place}: let all workers be of one kind"
        )
    result = worker.run(worker.Given(order.job, order.inputs, threads, alone), batch)
    environment = dataclasses.replace(result.environment, worker=worker.name())
    return dataclasses.replace(result, environment=environment).to_dict()


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
    result_serializer=cache.SERIALIZER,
    cache_key_fn=_file,
    retry_condition_fn=_may_help,
)(run_one)

# A flow's parameters go to Prefect's API and, with each task, to the workers; the name of the study may.
# The work itself, which holds pictures and results, stays in this process.
_work: ContextVar[Callable[[], None]] = ContextVar("work")


def run_study(study: str) -> None:
    """One study; called by `run`."""
    with TagsContext(current_tags=set()):  # the run's tag is not for its tasks: for each, Prefect would ask for a slot
        _work.get()()


study_flow = flow(name="study", flow_run_name="{study}", persist_result=False, validate_parameters=False)(run_study)


@dataclass(frozen=True)
class Crew:
    """Where jobs run, and how many at a time."""

    services: Services
    settings: Settings
    storage: cache.Storage
    alone: bool
    """Jobs are timed, so they run one at a time."""

    def place(self, precision: Precision) -> worker.Place:
        """What the cluster's workers are, as the first to answer says.

        Raises:
            ClusterError: none takes a job.
        """
        limit, needs = self.settings.cluster_timeout, self.settings.job_resources
        with Client(self.services.dask, timeout=limit, set_as_default=False) as client:
            answer = client.submit(worker.place, precision, resources=needs or None, pure=False)
            try:
                found: worker.Place = answer.result(timeout=limit)
            except TimeoutError:
                offering = f" that offers {needs}" if needs else ""
                raise ClusterError(
                    f"no worker{offering} at {self.services.dask} took a job within {limit:.0f} s (NST_CLUSTER_TIMEOUT)"
                ) from None
            except (ImportError, RuntimeError) as error:
                text = " ".join(str(error.__cause__ or error).split())
                raise ClusterError(f"the workers at {self.services.dask} lack this package: {text}") from None
        return found

    def run(self, study: str, work: Callable[[Submit], None]) -> None:
        """Runs `work` as a Prefect flow, handing it the means to run jobs."""
        _work.set(lambda: work(self.submit))
        runner = DaskTaskRunner(address=self.services.dask)
        try:
            with told.settings(self.services.api, ours=not self.settings.elsewhere):
                stale.close(study_flow.name)
                with tags(stale.tag()):
                    study_flow.with_options(task_runner=runner)(study)
                APILogWorker.drain_all(timeout=PATIENCE)  # the server may be ours, and about to end
        except httpx.HTTPError as error:
            what = "is busy" if isinstance(error, httpx.HTTPStatusError | httpx.TimeoutException) else "is gone"
            text = " ".join(str(error).split())
            raise ClusterError(f"Prefect's API at {self.services.api} {what} ({text}): {_AGAIN}") from None

    def submit(self, orders: Sequence[Order], more: More) -> Iterator[tuple[Order, Outcome]]:
        """Runs jobs, and those that are wanted as results come, and yields each as it ends.

        A worker that dies takes with it what else it was about to run.  So a job that was there each time is tried
        once more, with no other beside it; if that ends likewise, it was this job.
        """
        while orders:
            doubtful = []
            for order, outcome in self._submit(orders, more, alone=self.alone):
                if isinstance(outcome, Failure) and outcome.killed and not self.alone:
                    doubtful.append(order)
                else:
                    yield order, outcome
            yield from self._submit(doubtful, no_more, alone=True)
            orders = more(0)

    def _submit(self, orders: Sequence[Order], more: More, alone: bool) -> Iterator[tuple[Order, Outcome]]:
        """Hands jobs to the cluster, so that only some are there at any time, and yields each as it ends.

        When the last that waited here has been handed out, before workers run out of jobs, it asks for more; not after
        each result, as it takes a study with many jobs a while to list them.  Guesses are for workers that would do
        nothing while others work, so no job that is wanted by then waits for one.
        """
        log = get_run_logger()
        finished: queue.SimpleQueue[PrefectFuture[Any]] = queue.SimpleQueue()
        waiting = _longest_first(orders)
        running: dict[Any, Order] = {}
        job_task = self._job_task()
        watch = _Watch(self.services.api, self.settings)
        while True:
            limit = 1 if alone else watch.in_flight
            while waiting and len(running) < limit:
                order = waiting.pop(0)
                with dask.annotate(**self._annotations(watch.workers[:1] if alone else ())):
                    future = job_task.submit(
                        order.job.title, order, self.settings.threads, self.alone, self.settings.batch
                    )
                running[future.task_run_id] = order
                future.add_done_callback(finished.put)
            idle = min(limit, len(watch.workers)) - len(running) if running else 0
            if not waiting and (waiting := _longest_first(more(max(0, idle)))):
                continue
            if not running:
                return
            watch.look()
            try:
                future = finished.get(timeout=PATIENCE)
            except queue.Empty:
                continue
            order = running.pop(future.task_run_id)
            outcome = self._outcome(order, future)
            log.info("%s: %s", order.job.title, _told(outcome))
            yield order, outcome

    def _annotations(self, workers: Sequence[str]) -> dict[str, Any]:
        """Of a job, which those workers run if they are there: jobs that are timed, all on the same one."""
        resources = {"resources": self.settings.job_resources} if self.settings.job_resources else {}
        return {**resources, **({"workers": workers, "allow_other_workers": True} if workers else {})}

    def _job_task(self) -> "Task[..., Any]":
        store = self.settings.workers_store
        options = job_task.with_options(
            retries=self.settings.retries,
            retry_delay_seconds=self.settings.retry_delay,
            persist_result=store,
            cache_result_in_memory=not store,
        )
        # `with_options` takes only storage saved as a block on the server, which would tie the cache to it.
        options.result_storage = self.storage
        return options

    def _outcome(self, order: Order, future: PrefectFuture[Any]) -> Outcome:
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        try:
            value = future.result()
        except FutureCancelledError as error:
            raise ClusterError(f"the Dask cluster is gone ({error.reason}): {_AGAIN}") from None
        except KilledWorker:
            reason = "its worker died each time it was tried (out of memory?)"
            # Nobody else is left to say so; and if it died at once, Prefect has not even heard of the run.
            with get_client(sync_client=True) as client, suppress(httpx.HTTPStatusError, ObjectNotFound):
                client.set_task_run_state(future.task_run_id, Crashed(message=reason), force=True)
            return Failure(order.job, reason, killed=True)
        except Exception as error:
            return Failure(order.job, _reason(error))
        result = Result.from_dict(value)
        # Prefect says nothing when a worker could not write; trying it here does, when the disk is full, say.
        if not cache.holds(self.storage, order.key):
            cache.store(self.storage, order.key, value)
        return result


def _longest_first(orders: Sequence[Order]) -> list[Order]:
    return batches.longest_first(orders, lambda order: (order.job, order.inputs.shape))


class _Watch:
    """Looks from time to time whether all that jobs need is still there."""

    def __init__(self, url: str, settings: Settings) -> None:
        context = FlowRunContext.get()
        assert context is not None and isinstance(context.task_runner, DaskTaskRunner), "inside the flow"
        self._client = context.task_runner.client
        self._url = url
        self._settings = settings
        self._looked = self._answered = self._manned = time.monotonic()
        self.in_flight, self.workers = self._wanted()

    def look(self) -> None:
        """Looks, unless that was a moment ago.

        Raises:
            ClusterError: Prefect's API is gone, or has been busy for long, or all workers have been gone for long.
        """
        now = time.monotonic()
        if now - self._looked < PATIENCE:
            return
        self._look_at_api()
        self.in_flight, self.workers = self._wanted()
        self._looked = time.monotonic()
        if now - self._manned > self._settings.cluster_timeout:
            raise ClusterError(f"no worker has been left for {now - self._manned:.0f} s: {_AGAIN}")

    def _look_at_api(self) -> None:
        """Jobs do not wait for the API, so one that is busy is borne; one that is gone is told of at once."""
        found = api.health(self._url)
        if found is api.Health.GONE:
            found = api.health(self._url)  # a connection may break
        if found is api.Health.GONE:
            raise ClusterError(f"Prefect's API at {self._url} is gone: {_AGAIN}")
        if found is api.Health.GOOD:
            self._answered = time.monotonic()
        elif (silent := time.monotonic() - self._answered) > self._settings.server_timeout:
            raise ClusterError(
                f"Prefect's API at {self._url} has been busy for {silent:.0f} s (NST_SERVER_TIMEOUT): {_AGAIN}"
            )

    def _wanted(self) -> tuple[int, list[str]]:
        """How many jobs to have there: some for each that can run at once, so that no worker waits for us.

        And the workers: with as many jobs none is idle, as each computes one job, or batch, at a time.
        """
        try:
            workers = self._client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, TimeoutError) as error:
            raise ClusterError(f"the Dask cluster is gone ({error}): {_AGAIN}") from None
        slots = {address: found for address in sorted(workers) if (found := self._slots(workers[address]))}
        if slots:
            self._manned = time.monotonic()
        return self._settings.in_flight or 4 * max(1, sum(slots.values())), list(slots)

    def _slots(self, found: dict[str, Any]) -> int:
        """The jobs that a worker can run at once."""
        needs, offers = self._settings.job_resources, found.get("resources", {})
        threads: int = found["nthreads"]
        return min([threads, *(int(offers.get(name, 0) / amount + 1e-6) for name, amount in needs.items())])


def _told(outcome: Outcome) -> str:
    """One line."""
    if isinstance(outcome, Failure):
        return f"failed: {outcome.reason}"
    where = outcome.environment
    return f"{outcome.timing.seconds:.1f} s on {where.device} in {where.precision}, worker {where.worker}"


def _reason(error: Exception) -> str:
    """One line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, NSTError) else f"{type(error).__name__}: {text}"
