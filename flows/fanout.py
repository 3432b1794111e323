"""The flow: the jobs of a study as Prefect tasks in threads of this process, each waiting for a batch on Dask.

Prefect is not needed on the workers, nor is the store: results come back here and are stored here.
"""

import itertools
import queue
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
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
from tqdm import tqdm

from flows import worker
from flows.processes import ClusterError
from flows.services import Health, health
from flows.settings import GPU_BATCH, Settings
from flows.store import Store
from nst.engine import batches
from nst.engine.inputs import Inputs
from nst.engine.jobs import Job
from nst.engine.machine import Machine, engine_digest
from nst.engine.results import Result

PATIENCE = 10.0
"""Seconds between two looks at Prefect's API and at the workers."""

_AGAIN = "run the command again; finished jobs are kept"
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
        raise ClusterError(f"Prefect's API {what} ({' '.join(str(error).split())}): {_AGAIN}") from None


def find_workers(client: Client, settings: Settings) -> tuple[Machine, list[str]]:
    """The kind of machine that results are stored under, and the workers that are of it.

    Workers with other code or another torch than ours are refused.  Of several kinds of machine it is the one that most
    of the others are of; those of another kind are refused too.

    Raises:
        ClusterError: no worker that can be used comes in time.
    """
    deadline = time.monotonic() + settings.cluster_timeout
    while True:
        found = _machines(client)
        usable = Counter(kind for kind in found.values() if isinstance(kind, Machine) and not _refusal(kind, None))
        if usable:
            kind = max(usable, key=lambda kind: (usable[kind], str(kind)))
            return kind, sorted(address for address, other in found.items() if other == kind)
        if time.monotonic() > deadline:
            refused = "; ".join(f"{address} is refused: {_refusal(kind, None)}" for address, kind in found.items())
            raise ClusterError(
                f"no worker that can be used came within {settings.cluster_timeout:.0f} s (NST_CLUSTER_TIMEOUT)"
                + (f": {refused}" if refused else "")
            )
        time.sleep(0.1)


def _machines(client: Client) -> dict[str, Machine | str]:
    """What each worker of the cluster is."""
    try:
        workers = client.scheduler_info(n_workers=-1)["workers"]
    except (OSError, TimeoutError) as error:
        raise ClusterError(f"the Dask cluster has ended ({error}): {_AGAIN}") from None
    return {address: worker.machine_of(about.get("resources", {})) for address, about in workers.items()}


def _refusal(kind: Machine | str, wanted: Machine | None) -> str:
    """Why a worker gets no jobs, or "" if it gets some.

    Args:
        wanted: the kind of machine that results are stored under, once that is known.
    """
    if isinstance(kind, str):
        return kind
    if kind.engine != engine_digest():
        return (
            f"its code is not this checkout's ({kind.engine[:8]}, not {engine_digest()[:8]}): restart it with the same"
        )
    ours = metadata.version("torch")  # without the "+cu130" that says what it was built for
    if kind.torch.partition("+")[0] != ours.partition("+")[0]:
        return f"its torch is {kind.torch}, not {ours}: install the same"
    if wanted is not None and kind != wanted:
        return f"it is {kind}, and results are stored for {wanted}"
    return ""


@dataclass
class FanOut:
    """Runs batches on the workers of one kind of machine, and stores what comes back."""

    client: Client
    machine: Machine
    store: Store
    settings: Settings
    alone: bool
    """Jobs are timed: one at a time, on the same worker while it lives, after a warm-up."""
    _running: dict[int, Batch] = field(default_factory=dict)
    """The batches in flight, by number."""
    _ended: "queue.SimpleQueue[tuple[int, PrefectFuture[Any]]]" = field(default_factory=queue.SimpleQueue)
    _suspects: deque[Batch] = field(default_factory=deque)
    """Jobs that were with a worker when it died: each is tried once more, with no other beside it."""
    _tried_alone: set[Batch] = field(default_factory=set)
    _failed_on: dict[int, set[str]] = field(default_factory=dict)
    """Workers that a batch has failed on, by its number."""
    _workers: list[str] = field(default_factory=list)
    """Those of our kind, at the last look."""
    _stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, missing: Callable[[], Sequence[Order]], threads: int) -> Generator[tuple[Order, Outcome], None, None]:
        """Runs jobs, and those that are wanted as results come, and yields each as it ends.

        Call it inside the flow, and close the generator before the flow ends, which waits for its threads.

        Args:
            missing: returns the jobs that are wanted by now and that it has not returned before.
            threads: of the flow.  More jobs are asked for when one of them has nothing left to do.
        """
        watch = _Watch(self)
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
                watch.look()
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
        failed_on = self._failed_on.get(number, set())
        preferred = self._workers[:1] if self.alone else [name for name in self._workers if name not in failed_on]
        future = self.client.submit(
            worker.run_batch,
            [order.job for order in batch],
            [order.inputs for order in batch],
            self.settings.threads,
            self.alone,
            pure=False,
            resources={worker.resource(self.machine): 1},
            workers=preferred if preferred and (self.alone or failed_on) else None,
            allow_other_workers=bool(preferred and (self.alone or failed_on)),
        )
        results = self._result(future)
        if isinstance(results, worker.Failed):
            self._failed_on.setdefault(number, set()).add(results.worker)
            raise BatchFailedError(results)
        for order, result in zip(batch, results, strict=True):
            self.store.save(order.key, result)
        return results

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
        raise ClusterError(f"the Dask cluster has ended: {_AGAIN}")

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


class _Watch:
    """Looks from time to time whether all that jobs need still runs."""

    def __init__(self, fan_out: FanOut) -> None:
        self._fan_out = fan_out
        self._settings = fan_out.settings
        self._looked = self._answered = self._manned = time.monotonic()
        self._refused: set[str] = set()
        self._look_at_workers()

    def look(self) -> None:
        """Looks, unless that was a moment ago.

        Raises:
            ClusterError: Prefect's API has ended, or has been busy for long, or all workers have been gone for long.
        """
        if time.monotonic() - self._looked < PATIENCE:
            return
        self._look_at_api()
        self._look_at_workers()
        self._looked = time.monotonic()

    def _look_at_api(self) -> None:
        """Jobs do not wait for the API, so one that is busy is borne; one that has ended is an error at once."""
        found = health()
        if found is Health.GONE:
            found = health()  # a connection may break
        if found is Health.GONE:
            raise ClusterError(f"Prefect's API has ended: {_AGAIN}")
        if found is Health.GOOD:
            self._answered = time.monotonic()
        elif (silent := time.monotonic() - self._answered) > self._settings.server_timeout:
            raise ClusterError(f"Prefect's API has been busy for {silent:.0f} s (NST_SERVER_TIMEOUT): {_AGAIN}")

    def _look_at_workers(self) -> None:
        """Refuses those of another kind, by name, once."""
        found = _machines(self._fan_out.client)
        self._fan_out._workers = sorted(name for name, kind in found.items() if kind == self._fan_out.machine)
        for name in sorted(found.keys() - self._refused):
            if why := _refusal(found[name], self._fan_out.machine):
                self._refused.add(name)
                tqdm.write(f"worker {name} is refused: {why}", file=sys.stderr)  # a line of its own beside the bar
        if self._fan_out._workers:
            self._manned = time.monotonic()
        elif (lonely := time.monotonic() - self._manned) > self._settings.cluster_timeout:
            raise ClusterError(f"no worker has been left for {lonely:.0f} s: {_AGAIN}")
