"""What a flow needs around it: Prefect's API and a Dask cluster.  What is started here is always stopped."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows import processes
from flows.settings import ROOT, Settings
from nst.errors import NSTError

if TYPE_CHECKING:
    from distributed import LocalCluster

API = "PREFECT_API_URL"

QUIET_AND_OFFLINE = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",  # a failed job is told in one line by `flows.study`
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_CLIENT_MAX_RETRIES": "2",  # of 5: a server that is gone is noticed in seconds, not minutes
    "DASK_LOGGING__DISTRIBUTED": "critical",
    "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "false",
}
"""Defaults for this process and all it starts; a variable that is already set is left alone."""


class ClusterError(NSTError):
    """Prefect's API or the Dask cluster cannot be reached or started."""


@dataclass(frozen=True)
class Services:
    """Where the two are."""

    api: str
    dask: str


def prepare_environment() -> None:
    """Sets what Prefect and Dask read when they are imported; call it first."""
    home = ROOT / ".prefect"
    for name, value in {**QUIET_AND_OFFLINE, "PREFECT_HOME": str(home)}.items():
        os.environ.setdefault(name, value)


@contextmanager
def services(settings: Settings, workers: int) -> Iterator[Services]:
    """Prefect's API and a Dask cluster: those given by address, and temporary ones for what was not given.

    The two start side by side, each taking some seconds.

    Raises:
        ClusterError: one of them does not answer.
    """
    for name in ("client", "worker", "scheduler", "nanny", "core"):  # Dask's defaults name these one by one
        logging.getLogger(f"distributed.{name}").setLevel(logging.CRITICAL)
    check_given(settings)
    with ExitStack() as stack:
        api, dask = os.environ.get(API), settings.dask_address
        server = None if api else stack.enter_context(_server())
        if dask is None:
            dask = stack.enter_context(local_cluster(settings, workers))
        if server:
            _wait_for_server(server, settings.server_timeout)
            api = server.url
        yield Services(str(api), dask)


def check_given(settings: Settings) -> None:
    """Looks whether what was given by address is there.

    Raises:
        ClusterError: it is not.
    """
    url = os.environ.get(API)
    if url and not any(api_answers(url) for _ in range(2)):
        raise ClusterError(f"Prefect's API at {url} does not answer; unset {API} to have a temporary one started")
    if settings.dask_address:
        from distributed import Client

        try:
            Client(settings.dask_address, timeout=settings.cluster_timeout, set_as_default=False).close()
        except (OSError, ValueError) as error:
            raise ClusterError(f"no Dask scheduler answers at {settings.dask_address}: {error}") from None


@dataclass(frozen=True)
class _Server:
    process: "subprocess.Popen[bytes]"
    url: str
    log: Path


@contextmanager
def _server() -> Iterator[_Server]:
    """A temporary API on a free loopback port, which may not answer yet."""
    port = _free_port()
    log = Path(os.environ["PREFECT_HOME"]) / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",  # to the file
        "PREFECT_LOGGING_LEVEL": "ERROR",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.server", str(port), str(os.getpid())],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for us; we stop the server when the flow has ended
        )
    try:
        yield _Server(process, f"http://127.0.0.1:{port}/api", log)
    finally:
        processes.stop(process)


def _wait_for_server(server: _Server, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not api_answers(server.url):
        if server.process.poll() is not None:
            raise ClusterError(f"Prefect's API ended while starting: see {server.log}")
        if time.monotonic() > deadline:
            raise ClusterError(
                f"Prefect's API did not answer within {timeout:.0f} s: see {server.log}, "
                "or give it longer with NST_SERVER_TIMEOUT"
            )
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def api_answers(url: str) -> bool:
    """Whether a healthy Prefect API is there."""
    import httpx

    with suppress(httpx.HTTPError, httpx.InvalidURL):
        return httpx.get(f"{url.rstrip('/')}/health", timeout=5.0).status_code == 200
    return False


@contextmanager
def local_cluster(settings: Settings, workers: int) -> Iterator[str]:
    """Worker processes on this machine, each running one job at a time; yields the scheduler's address."""
    import dask
    from distributed import LocalCluster

    with dask.config.set(_worker_config(settings.threads)):
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=settings.memory_limit if settings.memory_limit != "0" else None,
            dashboard_address="127.0.0.1:0",
            preload=["flows.worker"],
            silence_logs=logging.CRITICAL,
        )
    try:
        yield cluster.scheduler_address
    except (KeyboardInterrupt, ClusterError):  # a job in the middle would be waited for
        _kill_workers(cluster)
        raise
    finally:
        cluster.close()


def _worker_config(threads: int) -> dict[str, object]:
    """Dask's options for workers whose memory torch manages.

    Dask has workers give memory back at once (MALLOC_TRIM_THRESHOLD_ = 64 KiB).  For jobs that want the same large
    blocks again and again, that made an iteration half as long again (192 px: 118 ms, not 77).  It would also pause
    a worker that holds much memory until it holds less, which may be never; ending it at the limit is enough.
    """
    environment = {
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads),
        "MALLOC_TRIM_THRESHOLD_": 256 << 20,
        "MALLOC_MMAP_THRESHOLD_": 64 << 20,
    }
    return {
        **{f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in environment.items()},
        **{f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause")},
    }


def _kill_workers(cluster: "LocalCluster") -> None:
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        if nanny.pid:
            with suppress(OSError):
                os.kill(nanny.pid, signal.SIGKILL)
