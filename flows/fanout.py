"""The flow: the jobs of a study as Prefect tasks in threads of this process, each waiting for a batch on Dask.

Prefect is not needed on the workers, nor is the store: results come back here and are stored here.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from distributed import Client, Future, wait
from distributed.scheduler import KilledWorker
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.context import TagsContext
from prefect.futures import PrefectFuture
from prefect.logging.handlers import APILogWorker
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import Task
from prefect.utilities.annotations import quote

from flows import services, worker
from flows.processes import RUN_AGAIN, ClusterError
from flows.settings import Settings
from flows.store import Store
from flows.worker import Order
from nst.engine import batches
from nst.engine.jobs import Job
from nst.engine.machine import Machine, precision_of
from nst.engine.results import Result

_LOOK = 10.0
"""Seconds between two looks at the API and the workers."""

Outcome = tuple[Order, Result | worker.Failed]


@dataclass(eq=False)
class Batch:
    """Jobs that run together, as one task."""

    orders: tuple[Order, ...]
    last_try: bool = False
    """Its worker died before; now it is tried with no other beside it."""
    failed_on: set[str] = field(default_factory=set)
    """Addresses of workers."""

    @property
    def is_lone(self) -> bool:
        """Whether nothing runs beside it."""
        return self.last_try or self.orders[0].job.timed

    @property
    def title(self) -> str:
        """The name of its task."""
        titles = [order.job.title for order in self.orders]
        return titles[0] if len(titles) == 1 else f"{len(titles)} jobs: {'; '.join(titles)}"


class BatchFailedError(Exception):
    """A worker could not run a batch; the message is one line."""

    def __init__(self, failed: worker.Failed) -> None:
        super().__init__(failed.reason)
        self.failed = failed


def run_flow(study: str, body: Callable[[], None], most: int) -> None:
    """Runs `body` as a Prefect flow with so many threads for tasks.

    Raises:
        ClusterError: Prefect's API is busy or has ended.
    """
    runner: Any = ThreadPoolTaskRunner(max_workers=most)

    @flow(name="study", flow_run_name=study, persist_result=False, task_runner=runner)
    def run() -> None:
        with TagsContext(current_tags=set()):  # for each tag of a task, Prefect would ask its server for a slot
            body()

    try:
        run()
        APILogWorker.drain_all(timeout=10.0)  # the server may be ours, and about to end
    except httpx.HTTPError as error:
        what = "is busy" if isinstance(error, httpx.HTTPStatusError | httpx.TimeoutException) else "has ended"
        raise ClusterError(f"Prefect's API {what} ({' '.join(str(error).split())}): {RUN_AGAIN}") from None


class FanOut:
    """Runs batches on the workers, and stores what comes back.

    Timed jobs run one at a time, with nothing beside them, on the same worker while it lives.
    """

    def __init__(self, client: Client, workers: services.Workers, store: Store, settings: Settings) -> None:
        self._client = client
        self._workers = workers
        self._store = store
        self._settings = settings
        self._running: set[Batch] = set()
        self._ended: queue.SimpleQueue[tuple[Batch, PrefectFuture[Any]]] = queue.SimpleQueue()
        self._lone: deque[Batch] = deque()  # wait until nothing else runs: timed jobs first, then what killed a worker
        self._stopped = threading.Event()
        self._task: Task[..., list[Result]] = task(
            name="batch",
            task_run_name="{title}",
            retries=settings.retries,
            retry_delay_seconds=settings.retry_delay,
            retry_condition_fn=_may_help,
            persist_result=False,
            cache_policy=NO_CACHE,
        )(self._compute)

    def run(
        self, orders: Sequence[Order], missing: Callable[[], Sequence[Order]], threads: int
    ) -> Generator[Outcome, None, None]:
        """Runs jobs, and those that are wanted as results come, and yields each as it ends.

        Call it inside the flow, and close the generator before the flow ends, which waits for its threads.

        Args:
            missing: returns the jobs that are wanted by now, and that neither are in `orders` nor were returned before.
            threads: of the flow.  More jobs are asked for when one of them has nothing left to do.
        """
        answered = looked = time.monotonic()
        self._submit_all(orders)
        try:
            while True:
                if len(self._running) <= threads and not any(batch.is_lone for batch in self._running):
                    self._submit_all(missing())
                if not self._running and self._lone:
                    self._submit(self._lone.popleft())
                if not self._running:
                    return
                if time.monotonic() - looked > _LOOK:
                    answered = services.last_answer(answered, self._settings.server_timeout)
                    self._workers.look()
                    looked = time.monotonic()
                with suppress(queue.Empty):
                    batch, future = self._ended.get(timeout=1.0)
                    self._running.remove(batch)
                    yield from self._outcomes(batch, future)
        finally:
            self._stopped.set()

    def _submit_all(self, orders: Sequence[Order]) -> None:
        if not orders:
            return
        most = most_together(self._settings, self._workers.machine, self._workers.gpu_memory())
        self._lone += [Batch((order,)) for order in orders if order.job.timed]
        for batch in in_batches([order for order in orders if not order.job.timed], most):
            self._submit(batch)

    def _submit(self, batch: Batch) -> None:
        self._running.add(batch)
        future = self._task.submit(batch.title, quote(batch))  # quoted: Prefect need not look into it
        future.add_done_callback(lambda future: self._ended.put((batch, future)))

    def _outcomes(self, batch: Batch, future: "PrefectFuture[Any]") -> Generator[Outcome, None, None]:
        """The jobs of a batch that has ended, but those that are tried again.

        Where others may be at fault they are: jobs of a batch that failed one by one, and those whose worker died when
        nothing else runs.
        """
        log = get_run_logger()
        try:
            results = future.result()
        except BatchFailedError as error:
            log.error("%s: %s", batch.title, error)
            if len(batch.orders) == 1:
                yield batch.orders[0], error.failed
            else:
                for order in batch.orders:
                    self._submit(Batch((order,)))
        except KilledWorker:
            if batch.is_lone:
                yield batch.orders[0], worker.Failed("its worker died each time it was tried (out of memory?)")
            else:
                self._lone += [Batch((order,), last_try=True) for order in batch.orders]
        else:
            for order, result in zip(batch.orders, results, strict=True):
                seconds, where = result.timing.seconds, result.environment
                place = f"{where.device} in {where.precision}, worker {where.worker}"
                log.info("%s: %.1f s on %s", order.job.title, seconds, place)
                yield order, result

    def _compute(self, title: str, batch: Batch) -> list[Result]:
        """One batch, in a thread of the flow."""
        del title  # Prefect's name for it
        preferred = self._preferred(batch)
        future = self._client.submit(
            worker.run_batch,
            [order.job for order in batch.orders],
            [order.inputs for order in batch.orders],
            self._settings.threads,
            pure=False,
            resources={worker.resource(self._workers.machine): 1},
            workers=preferred or None,
            # Others than those a batch failed on, and no other: an idle one would take it from them.
            allow_other_workers=bool(preferred) and not batch.failed_on,
        )
        results = self._result(future, preferred if batch.failed_on else ())
        if isinstance(results, worker.Failed):
            batch.failed_on.add(results.worker)
            raise BatchFailedError(results)
        for order, result in zip(batch.orders, results, strict=True):
            self._store.save(order.key, result)
        return results

    def _preferred(self, batch: Batch) -> list[str]:
        """Workers to try first: always the same one for timed jobs, others than before for what failed."""
        if batch.orders[0].job.timed:
            return self._workers.names[:1]
        return [name for name in self._workers.names if name not in batch.failed_on] if batch.failed_on else []

    def _result(self, future: Future, only: Sequence[str]) -> "list[Result] | worker.Failed":
        """What the batch returned.  No wait is without a limit: a worker may die when it is done, with the result.

        Args:
            only: the workers that may run it; () for all.
        """
        with suppress(CancelledError):
            while not self._stopped.is_set():
                if only and not set(only) & set(self._workers.names):
                    future.cancel()
                    return worker.Failed("the workers that could try it again have gone", may_pass=True)
                with suppress(TimeoutError):  # if it cannot be fetched, it is computed again
                    wait(future, timeout=1.0)
                    return future.result(timeout=60.0)  # type: ignore[no-any-return]
        raise ClusterError(f"the Dask cluster has ended: {RUN_AGAIN}")


def most_together(settings: Settings, machine: Machine, memory: float) -> Callable[[Job, bytes], int]:
    """How many jobs like a given one may share a batch, on a worker with so many bytes of GPU memory."""

    def most(job: Job, picture: bytes) -> int:
        if settings.batch or machine.device == "cpu":
            return settings.batch or 1
        return batches.room(job, picture, precision_of(job, machine), memory)

    return most


def in_batches(orders: Sequence[Order], most: Callable[[Job, bytes], int]) -> list[Batch]:
    """Batches of jobs that can share passes, those that take longest first; the same for the same jobs."""
    found = batches.in_batches(orders, lambda order: (order.job, order.inputs.shape), most)
    return [Batch(tuple(members)) for members in found]


def _may_help(_task: Any, _run: Any, state: Any) -> bool:
    """Whether trying again makes sense.  Dask has tried what killed its worker again already."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, BatchFailedError) and error.failed.may_pass
