"""What studies run on: Prefect's API and a Dask cluster, each given by address or started here and always stopped.

Below `flows.up` the supervisor starts them for all studies: the first study that needs them makes the file `WANTED` in
the supervisor's folder and waits for the file `READY`, which holds the addresses.
"""

import json
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import health, processes
from flows.health import Health
from flows.processes import ClusterError
from flows.settings import HOME, ROOT, SUPERVISOR, Settings, gpus

if TYPE_CHECKING:
    from distributed import Client, SpecCluster

API, DASK = "PREFECT_API_URL", "NST_DASK_ADDRESS"
"""Environment variables, and keys of the file `READY`."""
WANTED, READY = "wanted", "ready"

_FORKED_WITH = ["flows.worker", "distributed.nanny", "torch", "torchmetrics.functional.image"]
"""What the process that local workers are forked from has imported, so that each of them need not."""

_SERVER = {
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


@dataclass(frozen=True)
class Services:
    """Where the two are.  ``PREFECT_API_URL`` names the API, which may not answer yet."""

    client: "Client"
    """Of the Dask cluster."""
    server: "Server | None"
    """A Prefect server of our own; None where one was given by address."""

    def wait_for_api(self, settings: Settings) -> None:
        """Returns when Prefect's API answers.

        Raises:
            ClusterError: it does not.
        """
        if self.server:
            self.server.wait(settings.server_timeout)
        elif not any(health.of_api() is Health.GOOD for _ in range(2)):
            raise ClusterError(f"Prefect's API at {os.environ[API]} does not answer; unset {API} to have one started")


@contextmanager
def services(settings: Settings, workers: int) -> Iterator[Services]:
    """What was given by address, and temporary ones for what was not.

    Args:
        workers: of a cluster of our own.

    Raises:
        ClusterError: one of them cannot be started or does not answer.
    """
    shared = _from_supervisor(settings)
    with ExitStack() as stack:
        server = start_prefect(stack, shared)
        address = shared.get(DASK) or settings.dask_address or stack.enter_context(dask_cluster(settings, workers))
        yield Services(stack.enter_context(_client(address, settings)), server)


def start_prefect(stack: ExitStack, shared: Mapping[str, str]) -> "Server | None":
    """Starts a temporary server where no API was given, and lets ``PREFECT_API_URL`` name the API there is."""
    os.environ.update({API: shared[API]} if API in shared else {})
    if os.environ.get(API):
        return None
    server = stack.enter_context(prefect_server(free_port(), _TEMPORARY))
    os.environ[API] = server.url  # before Prefect is imported, which is when it reads it
    return server


def _from_supervisor(settings: Settings) -> dict[str, str]:
    """The addresses that `flows.up` has for us, by variable; none where this does not run below it."""
    if SUPERVISOR not in os.environ:
        return {}
    folder = Path(os.environ[SUPERVISOR])
    deadline = time.monotonic() + settings.server_timeout + settings.cluster_timeout
    with suppress(OSError):
        (folder / WANTED).touch()
    while not (folder / READY).exists():
        if time.monotonic() > deadline or not folder.exists():
            raise ClusterError("the supervisor of this run (flows.up) has ended, or started nothing in time")
        time.sleep(0.05)
    answer: dict[str, str] = json.loads((folder / READY).read_text())
    if "error" in answer:
        raise ClusterError(answer["error"])
    return answer


# ── Prefect ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Server:
    """A Prefect server that was started, and may not answer yet."""

    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    def wait(self, timeout: float) -> None:
        """Returns when it answers.

        Raises:
            ClusterError: it ended, or did not answer within `timeout` seconds.
        """
        import httpx

        deadline = time.monotonic() + timeout
        while True:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/health", timeout=5.0, verify=False).is_success:  # plain http on loopback
                    return
            if self.process.poll() is not None:
                raise ClusterError(f"Prefect's API ended while starting: see {self.log}")
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"Prefect's API did not answer within {timeout:.0f} s (NST_SERVER_TIMEOUT): see {self.log}"
                )
            time.sleep(0.1)


@contextmanager
def prefect_server(port: int, options: dict[str, str]) -> Iterator[Server]:
    """A server on this port of the loopback device, with more environment variables; it ends with this process."""
    page = f"http://127.0.0.1:{port}"
    environment = {**os.environ, **_SERVER, "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": page, **options}
    environment.pop(API, None)
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--timeout-graceful-shutdown", "2"]
    with _database(Path(os.environ["PREFECT_HOME"])) as database:
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
        print(f"Prefect's page: {page}", file=sys.stderr)
        try:
            yield Server(process, f"{page}/api", log)
        finally:
            processes.stop(process)


@contextmanager
def _database(home: Path) -> Iterator[Path]:
    """The database of this checkout's runs, or one of its own for a server that starts while another has that one."""
    home.mkdir(parents=True, exist_ok=True)
    common = home / "prefect.db"
    with processes.lock_file(str(common)).open("a+") as file:
        if processes.try_lock(file):
            yield common
            return
    own = home / f"prefect-{os.getpid()}.db"
    if common.exists():  # a copy, as it takes seconds to make a new one
        with closing(sqlite3.connect(common)) as source, closing(sqlite3.connect(own)) as target:
            source.backup(target)
    try:
        yield own
    finally:
        for path in home.glob(f"{own.name}*"):
            path.unlink(missing_ok=True)


def free_port() -> int:
    """A port of the loopback device that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ── Dask ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _client(address: str, settings: Settings) -> "Iterator[Client]":
    from distributed import Client

    try:
        client = Client(address, timeout=settings.cluster_timeout, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(f"no Dask scheduler answers at {address}: {error}") from None
    try:
        yield client
    finally:
        client.close(timeout=2)


@contextmanager
def dask_cluster(settings: Settings, workers: int) -> Iterator[str]:
    """A cluster of the kind that the settings name; yields the scheduler's address.

    Raises:
        ClusterError: its package is not installed, or it does not take its options.
    """
    import dask
    import distributed  # noqa: F401  (its defaults must be set before ours)

    for name in ("client", "worker", "scheduler", "nanny", "core"):  # `flows.fanout` reports what happened
        logging.getLogger(f"distributed.{name}").setLevel(logging.CRITICAL)
    with dask.config.set(_dask_config(settings)):
        try:
            cluster = _slurm(settings, workers) if settings.cluster == "slurm" else _local(settings, workers)
        except ImportError as error:
            raise ClusterError(f"NST_CLUSTER={settings.cluster}: {error.msg}: see docs/cluster.md") from None
        except (TypeError, ValueError, RuntimeError, OSError) as error:
            options = f" with NST_CLUSTER_OPTIONS={settings.cluster_options}" if settings.cluster_options else ""
            text = " ".join(str(error).split())
            raise ClusterError(f"NST_CLUSTER={settings.cluster}{options}: {text}") from None
        print(f"Dask's dashboard: {cluster.dashboard_link}", file=sys.stderr)
        try:
            yield str(cluster.scheduler_address)
        except (KeyboardInterrupt, ClusterError):
            _kill_local_workers(cluster)  # closing would wait for what they are computing
            raise
        finally:
            with suppress(AssertionError):  # Dask's, about a batch job that could not be submitted
                cluster.close()


def _dask_config(settings: Settings) -> dict[str, object]:
    """Dask's options that are no arguments of a cluster's class.

    Dask would pause a worker that holds much memory until it holds less, which may be never; ending it at the limit is
    enough.  A task that has killed as many workers as it has tries is not given another.
    """
    return {
        **{f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause")},
        "distributed.worker.multiprocessing-method": "forkserver",
        "distributed.scheduler.allowed-failures": settings.retries,
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
    spec = {}
    for number in range(workers):
        device = {"CUDA_VISIBLE_DEVICES": devices[number % len(devices)]} if devices else {}
        spec[number] = {"cls": Nanny, "options": {**options, "env": device}}
    scheduler = {"host": "127.0.0.1", "dashboard": True, "dashboard_address": "127.0.0.1:0"}
    return SpecCluster(spec, {"cls": Scheduler, "options": scheduler}, silence_logs=logging.CRITICAL)


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
    options: dict[str, Any] = {
        "n_workers": workers,
        "cores": settings.threads,
        "processes": 1,
        "memory": settings.memory_limit if settings.memory_limit not in ("auto", "0") else "4GB",
        "worker_extra_args": ["--nthreads", "1", "--preload", "flows.worker"],
        "silence_logs": logging.CRITICAL,
    }
    given = settings.cluster_options
    extra = [*options["worker_extra_args"], *given.get("worker_extra_args", [])]  # in addition to ours
    return SLURMCluster(**{**options, **given, "worker_extra_args": extra})


def _kill_local_workers(cluster: "SpecCluster") -> None:
    for nanny in cluster.workers.values():
        if pid := getattr(nanny, "pid", None):  # a batch job has none
            nanny.auto_restart = False
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
