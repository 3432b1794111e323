"""What jobs run on: Prefect's API and a Dask cluster, each one of our own or one that was given; and its workers.

`api` and `client` choose; `server` and `cluster` start.  Where one cannot be started, or does not answer in time, all
four raise `ClusterError`.
"""

import itertools
import logging
import math
import multiprocessing
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import processes, worker
from flows.processes import RUN_AGAIN, ClusterError
from flows.settings import HOME, ROOT, Settings, gpus
from nst.engine.machine import Machine, engine_digest

if TYPE_CHECKING:
    from distributed import Client, SpecCluster

# ── Prefect's API ─────────────────────────────────────────────────────────────────────────────────────────────────────

API = "PREFECT_API_URL"

_OPTIONS = {
    # What a server writes at a time: by default each change of a task's state by itself, in four statements.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",  # to its file
    "PREFECT_LOGGING_LEVEL": "ERROR",
}
_TEMPORARY = {
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_SERVER_EVENTS_STREAM_OUT_ENABLED": "false",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",  # a quarter of its start
}
"""For a server that lives as long as some studies: it keeps runs and logs, and has neither automations nor blocks."""


@contextmanager
def api(settings: Settings) -> Iterator[None]:
    """Prefect's API, at ``PREFECT_API_URL``: the one that this names, or a temporary one of our own."""
    if given := os.environ.get(API):
        if ask() and ask():  # a connection may break once
            raise ClusterError(f"Prefect's API at {given} does not answer; unset {API} to have one started")
        yield
        return
    with server(free_port(), settings, _TEMPORARY) as own:
        os.environ[API] = own.url  # before Prefect is imported, which is when it reads it
        yield


@dataclass(frozen=True)
class Server:
    """A Prefect server that was started here."""

    process: "subprocess.Popen[bytes]"
    page: str
    url: str
    """Of its API."""


@contextmanager
def server(port: int, settings: Settings, options: dict[str, str]) -> Iterator[Server]:
    """A Prefect server on this port of the loopback device, with these variables in its environment."""
    page = f"http://127.0.0.1:{port}"
    environment = {**os.environ, **_OPTIONS, "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": page, **options}
    environment.pop(API, None)
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--timeout-graceful-shutdown", "2"]
    with _database() as database:
        log = database.with_name(f"{database.name}.log")
        with log.open("wb") as output:
            process = processes.start(
                command,
                cwd=ROOT,
                env={**environment, "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for us; the server is stopped when the flow has ended
            )
        try:
            own = Server(process, page, f"{page}/api")
            _wait(own, settings.server_timeout, log)
            print(f"Prefect's page: {page}", file=sys.stderr)
            yield own
        finally:
            processes.stop(process)


def _wait(own: Server, timeout: float, log: Path) -> None:
    import httpx

    deadline = time.monotonic() + timeout
    while True:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{own.url}/health", timeout=5.0, verify=False).is_success:  # plain http on loopback
                return
        if own.process.poll() is not None:
            raise ClusterError(f"Prefect's API ended while starting: see {log}")
        if time.monotonic() > deadline:
            raise ClusterError(f"Prefect's API did not answer within {timeout:.0f} s (NST_SERVER_TIMEOUT): see {log}")
        time.sleep(0.1)


@contextmanager
def _database() -> Iterator[Path]:
    """The first database of this checkout that no other server has; two may not share one."""
    home = Path(os.environ["PREFECT_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    common = home / "prefect.db"
    for number in itertools.count(1):
        path = common if number == 1 else home / f"prefect-{number}.db"
        with processes.lock_if_free(str(path)) as free:
            if free:
                if common.exists() and not path.exists():  # a copy, as it takes seconds to lay out a new one
                    with closing(sqlite3.connect(common)) as source, closing(sqlite3.connect(path)) as target:
                        source.backup(target)
                yield path
                return


def free_port() -> int:
    """A port of the loopback device that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask() -> Exception | None:
    """Asks the API that ``PREFECT_API_URL`` names, with the certificates that Prefect is set to use, how it is.

    Returns:
        None where it is well; `httpx.ConnectError` where there is none; other errors of httpx where it is busy.
    """
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    # Once, as this is asked again soon; with tries of its own the client would take half a minute to say so.
    once = {PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: 5.0}
    with temporary_settings(once), get_client(sync_client=True) as client:
        return client.api_healthcheck()


def last_answer(before: float, patience: float) -> float:
    """Asks the API how it is; returns when it last answered: now, or as before where it is only busy.

    Jobs do not wait for it, so one that is busy is borne for so many seconds.

    Raises:
        ClusterError: it has ended, or has been busy for longer.
    """
    import httpx

    error = ask()
    if error is None:
        return time.monotonic()
    if isinstance(error, httpx.ConnectError):
        raise ClusterError(f"Prefect's API has ended: {RUN_AGAIN}")
    if (silent := time.monotonic() - before) > patience:
        raise ClusterError(f"Prefect's API has been busy for {silent:.0f} s (NST_SERVER_TIMEOUT): {RUN_AGAIN}")
    return before


# ── The Dask cluster ──────────────────────────────────────────────────────────────────────────────────────────────────

_FORKED_WITH = ["flows.worker", "distributed.nanny", "torch", "torchmetrics.functional.image"]
"""What the process that local workers are forked from has imported, so that each of them need not."""


@contextmanager
def client(settings: Settings, workers: int) -> "Iterator[Client]":
    """A client of the cluster that was given by address, or of one of our own with so many workers."""
    from distributed import Client

    with ExitStack() as stack:
        address = settings.dask_address or stack.enter_context(cluster(settings, workers))
        try:
            found = Client(address, timeout=settings.cluster_timeout)
        except (OSError, ValueError) as error:
            raise ClusterError(f"no Dask scheduler answers at {address}: {error}") from None
        stack.callback(found.close, timeout=2)
        yield found


@contextmanager
def cluster(settings: Settings, workers: int) -> Iterator[str]:
    """A cluster of the kind that the settings name; yields the scheduler's address."""
    import dask
    import distributed  # noqa: F401  (its defaults must be set before ours)

    for name in ("client", "worker", "scheduler", "nanny", "core"):  # `flows.fanout` reports what happened
        logging.getLogger(f"distributed.{name}").setLevel(logging.CRITICAL)
    with dask.config.set(_dask_config(settings)):
        try:
            made = _slurm(settings, workers) if settings.cluster == "slurm" else _local(settings, workers)
        except ImportError as error:
            raise ClusterError(f"NST_CLUSTER={settings.cluster}: {error.msg}: see docs/cluster.md") from None
        except (TypeError, ValueError, RuntimeError, OSError) as error:
            options = f" with NST_CLUSTER_OPTIONS={settings.cluster_options}" if settings.cluster_options else ""
            text = " ".join(str(error).split())
            raise ClusterError(f"NST_CLUSTER={settings.cluster}{options}: {text}") from None
        print(f"Dask's dashboard: {made.dashboard_link}", file=sys.stderr)
        try:
            yield str(made.scheduler_address)
        finally:
            with suppress(AssertionError):  # Dask's, about a batch job that could not be submitted
                made.close()


def _dask_config(settings: Settings) -> dict[str, object]:
    """Dask's options that are no arguments of a cluster's class.

    Dask would pause a worker that holds much memory until it holds less, which may be never; ending it at the limit is
    enough.  A task that has killed as many workers as it has tries is not given another.  A worker that is started anew
    may take as long to come as the first: after 15 s, Dask's default, a busy machine would lose it for good.
    """
    return {
        **{f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause")},
        "distributed.worker.multiprocessing-method": "forkserver",
        "distributed.scheduler.allowed-failures": settings.retries,
        "distributed.deploy.lost-worker-timeout": settings.cluster_timeout,
        "temporary-directory": str(HOME / ".cache" / "dask"),
    }


def _local(settings: Settings, workers: int) -> "SpecCluster":
    """Processes on this machine, each with one of its GPUs, where there are any."""
    # Before Dask sets its own list of what is imported before forking.
    multiprocessing.get_context("forkserver").set_forkserver_preload(_FORKED_WITH)
    forkserver.ensure_running()
    from distributed import Nanny, Scheduler, SpecCluster

    devices = gpus()
    options = {
        "nthreads": 1,
        "memory_limit": _share_of_memory(settings, workers),
        "preload": ["flows.worker"],
        "silence_logs": logging.CRITICAL,
    }
    spec = {
        number: {"cls": Nanny, "options": {**options, "env": _gpu_of(number, workers, devices)}}
        for number in range(workers)
    }
    scheduler = {"host": "127.0.0.1", "dashboard": True, "dashboard_address": "127.0.0.1:0"}
    return SpecCluster(spec, {"cls": Scheduler, "options": scheduler}, silence_logs=logging.CRITICAL)


def _gpu_of(number: int, workers: int, devices: Sequence[str]) -> dict[str, str]:
    """What a worker is told of its GPU: which it is, and how many workers have it at most."""
    if not devices:
        return {}
    sharers = math.ceil(workers / len(devices))  # the same for all, so that all take batches of one size
    return {"CUDA_VISIBLE_DEVICES": devices[number % len(devices)], worker.SHARERS: str(sharers)}


def _share_of_memory(settings: Settings, workers: int) -> object:
    """Of what the machine, or the control group of this process, has."""
    from distributed.system import MEMORY_LIMIT

    if settings.memory_limit == "auto":
        return MEMORY_LIMIT // workers
    return None if settings.memory_limit == "0" else settings.memory_limit


def _slurm(settings: Settings, workers: int) -> "SpecCluster":
    """As many batch jobs of one worker each as NST_WORKERS says."""
    from dask_jobqueue import SLURMCluster

    if workers and not shutil.which("sbatch"):
        raise FileNotFoundError("there is no sbatch on this machine")
    given = dict(settings.cluster_options)
    options: dict[str, Any] = {
        "n_workers": workers,
        "cores": settings.threads,
        "processes": 1,
        "memory": settings.memory_limit if settings.memory_limit not in ("auto", "0") else "4GB",
        "worker_extra_args": ["--nthreads", "1", "--preload", "flows.worker", *given.pop("worker_extra_args", [])],
        "silence_logs": logging.CRITICAL,
    }
    return SLURMCluster(**{**options, **given})


# ── Its workers ───────────────────────────────────────────────────────────────────────────────────────────────────────


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
        return {name: worker.machine_of(about.get("resources", {})) for name, about in self._about.items()}

    def memory(self) -> float:
        """Bytes at which Dask restarts a worker, of the one with the least; infinite where there is no limit."""
        limits = [self._about[name]["memory_limit"] for name in self.names]
        return min(filter(None, limits), default=float("inf"))

    def gpu_memory(self) -> float:
        """Bytes of its GPU that a worker may fill, of the one with the least; 0 where none says it."""
        resources = [self._about[name]["resources"] for name in self.names]
        return min((float(each[worker.GPU_MEMORY]) for each in resources if worker.GPU_MEMORY in each), default=0.0)

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
