"""Prefect's API: a server of our own, and whether the one in use answers."""

import itertools
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flows import processes
from flows.processes import RUN_AGAIN, ClusterError
from flows.settings import ROOT, Settings

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
    """Prefect's API, at ``PREFECT_API_URL``: the one that this names, or a temporary one of our own.

    Raises:
        ClusterError: it cannot be started or does not answer.
    """
    if given := os.environ.get(API):
        if ask() and ask():  # a connection may break once
            raise ClusterError(f"Prefect's API at {given} does not answer; unset {API} to have one started")
        yield
        return
    with started(free_port(), settings, _TEMPORARY) as own:
        os.environ[API] = own.url  # before Prefect is imported, which is when it reads it
        yield


@dataclass(frozen=True)
class Server:
    """A Prefect server that was started here."""

    process: "subprocess.Popen[bytes]"
    page: str

    @property
    def url(self) -> str:
        """Of its API."""
        return f"{self.page}/api"


@contextmanager
def started(port: int, settings: Settings, options: dict[str, str]) -> Iterator[Server]:
    """A server on this port of the loopback device; it answers now, and ends with this process.

    Args:
        options: more environment variables.

    Raises:
        ClusterError: it ended, or did not answer in time.
    """
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
            own = Server(process, page)
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


class Watch:
    """Jobs do not wait for the API, so one that is busy is borne for a while; one that has ended is an error at once.

    Args:
        patience: seconds that it may be busy.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._answered = time.monotonic()

    def look(self) -> None:
        """Asks the API how it is.

        Raises:
            ClusterError: it has ended, or has been busy for too long.
        """
        import httpx

        error = ask()
        if error is None:
            self._answered = time.monotonic()
        elif isinstance(error, httpx.ConnectError):
            raise ClusterError(f"Prefect's API has ended: {RUN_AGAIN}")
        elif (silent := time.monotonic() - self._answered) > self._patience:
            raise ClusterError(f"Prefect's API has been busy for {silent:.0f} s (NST_SERVER_TIMEOUT): {RUN_AGAIN}")
