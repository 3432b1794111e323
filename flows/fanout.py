"""The flow: the jobs of a study as Prefect tasks in threads of this process, each waiting for a batch on Dask.

Prefect is not needed on the workers, nor is the store: results come back here and are stored here.
"""

import itertools
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from distributed import Client
from distributed.scheduler import KilledWorker
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.context import TagsContext
from prefect.futures import PrefectFuture
from prefect.logging.handlers import APILogWorker
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import Task

from flows import worker
from flows.health import PATIENCE, Watch
from flows.processes import RUN_AGAIN, ClusterError
from flows.settings import GPU_BATCH, Settings
from flows.store import Store
from nst.engine import batches
from nst.engine.inputs import Inputs
from nst.engine.jobs import Job
from nst.engine.machine import Machine
from nst.engine.results import Result

_KILLED = "its worker died each time it was tried (out of memory?)"


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

    reason: str


Batch = tuple[Order, ...]
Outcome = Result | Failure


class BatchFailedError(Exception):
    """A worker could not run a batch; the message is one line."""

    def __init__(self, failed: worker.Failed) -> None:
        super().__init__(failed.reason)
        self.may_pass = failed.may_pass


def run_flow(study: str, body: Callable[[], None], most: int) -> None:
    """Runs `body` as a Prefect flow with so many threads for tasks.

    Raises:
        ClusterError: Prefect's API is busy or has ended.
    """

    def run() -> None:
        with TagsContext(current_tags=set()):  # for each tag of a task, Prefect would ask its server for a slot
            body()

    runner: Any = ThreadPoolTaskRunner(max_workers=most)
    study_flow = flow(name="study", flow_run_name=study, persist_result=False, task_runner=runner)(run)
    try:
        study_flow()
        APILogWorker.drain_all(timeout=PATIENCE)  # the server may be ours, and about to end
    except httpx.HTTPError as error:
        what = "is busy" if isinstance(error, httpx.HTTPStatusError | httpx.TimeoutException) else "has ended"
        raise ClusterError(f"Prefect's API {what} ({' '.join(str(error).split())}): {RUN_AGAIN}") from None


@dataclass
class FanOut:
    """Runs batches on the workers of one kind of machine, and stores what comes back."""

    client: Client
    machine: Machine
    store: Store
    settings: Settings
    alone: bool
    """Jobs are timed: one at a time, on the same worker while it lives, after a warm-up."""
    watch: Watch
    _running: dict[int, Batch] = field(default_factory=dict)
    """The batches in flight, by number."""
    _ended: "queue.SimpleQueue[tuple[int, PrefectFuture[Any]]]" = field(default_factory=queue.SimpleQueue)
    _suspects: deque[Batch] = field(default_factory=deque)
    """Jobs that were with a worker when it died: each is tried once more, with no other beside it."""
    _tried_alone: set[Batch] = field(default_factory=set)
    _failed_on: dict[int, set[str]] = field(default_factory=dict)
    """Workers that a batch has failed on, by its number."""
    _stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, missing: Callable[[], Sequence[Order]], threads: int) -> Generator[tuple[Order, Outcome], None, None]:
        """Runs jobs, and those that are wanted as results come, and yields each as it ends.

        Call it inside the flow, and close the generator before the flow ends, which waits for its threads.

        Args:
            missing: returns the jobs that are wanted by now and that it has not returned before.
            threads: of the flow.  More jobs are asked for when one of them has nothing left to do.
        """
        compute = self._task()
        numbers = itertools.count()

        def submit(batch: Batch) -> None:
            number = next(numbers)
            self._running[number] = batch
            future = compute.submit(_title(batch), number)
            future.add_done_callback(lambda future: self._ended.put((number, future)))

        try:
            while True:
                if len(self._running) <= threads:
                    for batch in self._group(missing()):
                        submit(batch)
                if not self._running and self._suspects:
                    self._tried_alone.add(self._suspects[0])
                    submit(self._suspects.popleft())
                if not self._running:
                    return
                self.watch.look()
                with suppress(queue.Empty):
                    number, future = self._ended.get(timeout=1.0)
                    outcomes = self._outcomes(future)  # before it is no longer running: it may be an error
                    batch = self._running.pop(number)
                    for again in self._to_try_again(batch, outcomes):
                        submit(again)
                    yield from self._final(batch, outcomes)
        finally:
            self._stopped.set()

    def _to_try_again(self, batch: Batch, outcomes: list[Result] | Failure) -> list[Batch]:
        """The jobs of a batch that failed, one by one, where that may tell which of them is at fault."""
        if not isinstance(outcomes, Failure) or outcomes.reason == _KILLED or len(batch) == 1:
            return []
        get_run_logger().warning("%s: %s; its jobs are tried one by one", _title(batch), outcomes.reason)
        return [(order,) for order in batch]

    def _final(self, batch: Batch, outcomes: list[Result] | Failure) -> Generator[tuple[Order, Outcome], None, None]:
        """The jobs of a batch that will not be tried again."""
        log = get_run_logger()
        if not isinstance(outcomes, Failure):
            for order, result in zip(batch, outcomes, strict=True):
                log.info("%s: %s", order.job.title, _describe(result))
                yield order, result
        elif outcomes.reason == _KILLED and not self.alone and batch not in self._tried_alone:
            self._suspects += [(order,) for order in batch]
        elif len(batch) == 1:
            log.error("%s: %s", _title(batch), outcomes.reason)
            yield batch[0], outcomes

    def _group(self, orders: Sequence[Order]) -> list[Batch]:
        """Batches of jobs that can share passes, those that take longest first; the same for the same jobs."""

        def of(order: Order) -> tuple[Job, bytes]:
            return order.job, order.inputs.shape

        size = 1 if self.alone else self.settings.batch or (1 if self.machine.device == "cpu" else GPU_BATCH)
        kinds = itertools.groupby(batches.longest_first(orders, of), key=lambda order: batches.kind(*of(order)))
        return [batch for _, members in kinds for batch in _chunks(tuple(members), size)]

    def _task(self) -> "Task[..., list[Result]]":
        return task(
            name="batch",
            task_run_name="{title}",
            retries=self.settings.retries,
            retry_delay_seconds=self.settings.retry_delay,
            retry_condition_fn=_may_help,
            persist_result=False,
            cache_policy=NO_CACHE,
        )(self._compute)

    def _compute(self, title: str, number: int) -> list[Result]:
        """One batch, in a thread of the flow."""
        del title  # Prefect's name for it
        batch = self._running[number]
        preferred = self._preferred(number)
        future = self.client.submit(
            worker.run_batch,
            [order.job for order in batch],
            [order.inputs for order in batch],
            self.settings.threads,
            self.alone,
            pure=False,
            resources={worker.resource(self.machine): 1},
            workers=preferred or None,
            allow_other_workers=bool(preferred),
        )
        results = self._result(future)
        if isinstance(results, worker.Failed):
            self._failed_on.setdefault(number, set()).add(results.worker)
            raise BatchFailedError(results)
        for order, result in zip(batch, results, strict=True):
            self.store.save(order.key, result)
        return results

    def _preferred(self, number: int) -> list[str]:
        """Workers to try first: always the same one for timed jobs, others than before for what failed."""
        if self.alone:
            return self.watch.workers[:1]
        failed_on = self._failed_on.get(number, set())
        return [name for name in self.watch.workers if name not in failed_on] if failed_on else []

    def _result(self, future: Any) -> "list[Result] | worker.Failed":
        """What the batch returned.  No wait is without a limit: a worker may die when it is done, with the result."""
        ended = threading.Event()
        future.add_done_callback(lambda _: ended.set())
        while not self._stopped.is_set():
            if ended.wait(1.0):
                try:
                    return future.result(timeout=60.0)  # type: ignore[no-any-return]
                except TimeoutError:  # it is computed again
                    continue
                except CancelledError:
                    break
        raise ClusterError(f"the Dask cluster has ended: {RUN_AGAIN}")

    def _outcomes(self, future: "PrefectFuture[Any]") -> "list[Result] | Failure":
        try:
            return future.result()  # type: ignore[no-any-return]
        except KilledWorker:
            return Failure(_KILLED)
        except BatchFailedError as error:
            return Failure(str(error))


def _may_help(_task: Any, _run: Any, state: Any) -> bool:
    """Whether trying again makes sense.  Dask has tried what killed its worker again already."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, BatchFailedError) and error.may_pass


def _chunks(orders: Batch, size: int) -> list[Batch]:
    return [orders[first : first + size] for first in range(0, len(orders), size)]


def _title(batch: Batch) -> str:
    """The name of a batch's task: that of its job, or of its jobs."""
    titles = [order.job.title for order in batch]
    return titles[0] if len(batch) == 1 else f"{len(batch)} jobs: {'; '.join(titles)}"


def _describe(result: Result) -> str:
    """One line for the log."""
    where = result.environment
    return f"{result.timing.seconds:.1f} s on {where.device} in {where.precision}, worker {where.worker}"
