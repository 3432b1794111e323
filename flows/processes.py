"""Commands as processes: exit codes, signals, locks, and nothing left behind, even by ``kill -9``.

Two means end a process when the one that it works for ends.  Linux sends a signal to a child when its parent dies
(``PR_SET_PDEATHSIG``), whatever program the child is.  Where a shell or DVC stands between, a thread looks twice a
second whether the process that was named as the owner still runs.
"""

import ctypes
import errno
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import psutil

from nst.errors import NSTError

OWNER = "NST_OWNER"
"""Environment variable: the process id for which everything below it works."""

RUN_AGAIN = "run the command again; finished jobs are kept"
"""What to do after an error of what jobs run on."""

_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "fish"})
_PR_SET_PDEATHSIG = 1
_GRACE = 10.0
"""Seconds between asking a process to end and ending it."""


class ClusterError(NSTError):
    """What jobs run on (Prefect's API, the Dask cluster, the store) cannot be used, or has ended."""


class JobsFailedError(NSTError):
    """Some jobs failed although they were tried again; the others are stored."""


class Stopped(KeyboardInterrupt):
    """SIGTERM arrived.  Like Ctrl-C: unwinds, closes what was opened, and is no failure of a job."""


def run_command(main: Callable[[], int]) -> None:
    """Runs a command's `main` and ends the process: expected errors are one line and an exit code."""
    from flows.settings import prepare_environment

    prepare_environment()
    stop_on_sigterm()
    end_with_owners()
    try:
        code = main()
    except NSTError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1 if isinstance(error, ClusterError | JobsFailedError) else 2  # 2: wrong input
    except Stopped:
        code = 128 + signal.SIGTERM
    except KeyboardInterrupt:
        print("interrupted: finished jobs are kept", file=sys.stderr)
        code = 128 + signal.SIGINT
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO):
            raise
        print(f"error: {error.strerror}: {error.filename or 'while writing'}", file=sys.stderr)
        code = 1
    sys.exit(code)


def stop_on_sigterm() -> None:
    """Turns SIGTERM into `Stopped`, so that ``with`` and ``finally`` clean up."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once: cleaning up must not be cut short by a second one
        raise Stopped

    signal.signal(signal.SIGTERM, stop)


# ── Ending together ───────────────────────────────────────────────────────────────────────────────────────────────────


def end_with_parent(parent: int) -> None:
    """Sends SIGTERM to this process when `parent`, its direct parent, ends."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before the request
        raise SystemExit(1)


def end_with_owners() -> None:
    """Sends SIGTERM to this process when one that it works for ends.

    That is the process named by ``NST_OWNER`` and, in a stage of DVC, the ``dvc`` that runs it.
    """
    owners = []
    if os.environ.get(OWNER, "").isdigit():
        owners.append(int(os.environ[OWNER]))
    if "DVC_STAGE" in os.environ:
        owners.append(os.getppid())
        with suppress(psutil.Error):
            parent = psutil.Process(os.getppid())
            if parent.name() in _SHELLS:  # dvc is behind it
                owners.append(parent.ppid())
    if owners:
        threading.Thread(target=_watch, args=(owners,), name="owners", daemon=True).start()


def _watch(owners: Sequence[int]) -> None:
    with suppress(psutil.Error):
        watched = [psutil.Process(pid) for pid in owners]
        while all(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in watched):
            time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


def start(command: Sequence[str], **options: object) -> "subprocess.Popen[bytes]":
    """Starts `command` as a child that ends with this process; call it from the main thread.

    The kernel ties the death signal to the thread that started the child, hence the main thread.  The request has to
    be made in the child, hence the small step through this module (safer than ``preexec_fn``).
    """
    step = [sys.executable, "-m", "flows.processes", str(os.getpid()), *command]
    return subprocess.Popen(step, **options)  # type: ignore[call-overload, no-any-return]


def stop(process: "subprocess.Popen[Any] | psutil.Process", grace: float = _GRACE) -> None:
    """Ends a process, then all that were below it and are left: SIGTERM first, SIGKILL after `grace` seconds."""
    family: list[psutil.Process] = []
    with suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
    for end in (process.terminate, process.kill):
        with suppress(psutil.Error, subprocess.TimeoutExpired):
            end()
            process.wait(grace)  # it may end those below it itself
    for send in (psutil.Process.terminate, psutil.Process.kill):
        for member in family:
            with suppress(psutil.Error):
                send(member)
        _, family = psutil.wait_procs(family, timeout=grace)


# ── Locks: the system releases them when their holder ends, however it ends; the file means nothing by itself ─────────


@contextmanager
def lock(what: str) -> Iterator[None]:
    """Reserves `what` for this process; where another has it, says so and waits."""
    with _lock_file(what).open("a+", encoding="utf-8") as file:
        if not _taken(file):
            file.seek(0)
            holder = file.read() or "just started"
            print(f"waiting for another run of {what} ({holder})", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        say(file, f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}")
        yield


@contextmanager
def lock_if_free(what: str) -> Iterator[TextIO | None]:
    """Reserves `what`, and gives the file that `say` writes to; None where another process has it."""
    with _lock_file(what).open("a+", encoding="utf-8") as file:
        yield file if _taken(file) else None


def say(file: TextIO, words: str) -> None:
    """Leaves words, which may be a password, for this user's other processes."""
    os.fchmod(file.fileno(), 0o600)
    file.truncate(0)
    file.write(words)
    file.flush()


def said_by_holder(what: str) -> str | None:
    """What the process says that has reserved `what`; None where there is none."""
    with lock_if_free(what) as file:
        if file:
            return None
    return _lock_file(what).read_text("utf-8")


def _lock_file(what: str) -> Path:
    from flows.settings import HOME  # here, as the small step below must start in no time

    path = HOME / ".cache" / "locks" / hashlib.sha256(what.encode()).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _taken(file: TextIO) -> bool:
    """Whether this process got the lock; it has it until the file is closed."""
    for _ in range(3):  # who only asks whether it is free has it for a moment
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.02)
    return False


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    except OSError as error:
        print(f"error: {sys.argv[2]}: {error.strerror}", file=sys.stderr)
        raise SystemExit(127) from None
