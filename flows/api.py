"""Prefect's API: the one given by ``PREFECT_API_URL``, or a temporary server of our own."""

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from flows import database, processes
from flows.errors import ClusterError
from flows.settings import ROOT

API = "PREFECT_API_URL"

QUIET_AND_OFFLINE = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",  # a failed job is told in one line by `flows.study`
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_LOGGERS_PREFECT_FLOW_RUNS_LEVEL": "INFO",  # to the API: what ran where
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_CLIENT_MAX_RETRIES": "2",  # of 5: a server that is gone is noticed in seconds, not minutes
    "DASK_LOGGING__DISTRIBUTED": "critical",
    "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "false",
    "DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "10",  # of 1,000 messages kept for each worker, jobs and all
}
"""Defaults for this process and all it starts; a variable that is already set is left alone."""


IN_BATCHES = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}
"""What a server of ours writes at a time: by default each change of a job's state by itself, in four statements."""

TEMPORARY = {
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_SERVER_EVENTS_STREAM_OUT_ENABLED": "false",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",  # a quarter of its start
}
"""For a server that nobody watches: it keeps runs and logs, and has neither a page, automations nor blocks."""


def prepare_environment() -> None:
    """Sets what Prefect and Dask read when they are imported; call it first."""
    home = ROOT / ".prefect"
    for name, value in {**QUIET_AND_OFFLINE, "PREFECT_HOME": str(home)}.items():
        os.environ.setdefault(name, value)
    logging.raiseExceptions = False  # that the API is gone is for us to say, not for a handler in our output


def check_given() -> str | None:
    """The API that was given by address, if one was.

    Raises:
        ClusterError: it does not answer.
    """
    url = os.environ.get(API)
    if url and not any(answers(url) for _ in range(2)):
        raise ClusterError(f"Prefect's API at {url} does not answer; unset {API} to have a temporary one started")
    return url or None


class Health(Enum):
    """How a Prefect API is."""

    GOOD = "good"
    BUSY = "busy"
    """Somebody is there, but does not answer in time, or says that it cannot (503)."""
    GONE = "gone"


def health(url: str) -> Health:
    """How the Prefect API at this address is."""
    import httpx

    tls = url.startswith("https:")  # without it, no certificates are read: 20 ms
    try:
        answer = httpx.get(f"{url.rstrip('/')}/health", timeout=5.0, verify=tls)
    except httpx.TimeoutException:
        return Health.BUSY
    except (httpx.HTTPError, httpx.InvalidURL):
        return Health.GONE
    return Health.GOOD if answer.status_code == httpx.codes.OK else Health.BUSY


def answers(url: str) -> bool:
    """Whether a healthy Prefect API is there."""
    return health(url) is Health.GOOD


@dataclass(frozen=True)
class Server:
    """A server that was started, and may not answer yet."""

    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    def wait(self, timeout: float) -> None:
        """Returns when it answers.

        Raises:
            ClusterError: it ended, or did not answer within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not answers(self.url):
            if self.process.poll() is not None:
                raise ClusterError(f"Prefect's API ended while starting: see {self.log}")
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"Prefect's API did not answer within {timeout:.0f} s: see {self.log}, "
                    "or give it longer with NST_SERVER_TIMEOUT"
                )
            time.sleep(0.1)


@contextmanager
def temporary_server() -> Iterator[Server]:
    """A server on a free loopback port that ends with this process."""
    with server(free_port(), TEMPORARY) as started:
        yield started


@contextmanager
def server(port: int, options: dict[str, str]) -> Iterator[Server]:
    """A server on this port of the loopback device, with more environment variables."""
    home = Path(os.environ["PREFECT_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    database.lay_out(home)
    log = home / "server.log"
    environment = {
        **os.environ,
        "PREFECT__SERVER_FINAL": "1",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",  # to the file
        "PREFECT_LOGGING_LEVEL": "ERROR",
        **IN_BATCHES,
        **options,
    }
    environment.pop(API, None)
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
        yield Server(process, f"http://127.0.0.1:{port}/api", log)
    finally:
        processes.stop(process)


def free_port() -> int:
    """A port of the loopback device that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
