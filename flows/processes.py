"""Leaving nothing behind: processes that end when the one they work for ends, even by ``kill -9``.

Two means, since neither is enough alone.  Linux sends a signal to a child when its parent dies
(``PR_SET_PDEATHSIG``); this needs no thread but knows only the direct parent.  Where a shell or DVC stands
between, a thread looks twice a second whether the process that was named as the owner is still there.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

import psutil

OWNER = "NST_OWNER"
"""Environment variable: the process id for which everything below it works."""

_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "fish"})
_PR_SET_PDEATHSIG = 1
_GRACE = 10.0
"""Seconds between asking this process to end and ending it."""


class Stopped(KeyboardInterrupt):
    """SIGTERM arrived.  Like Ctrl-C: unwinds, closes what was opened, and is no failure of a job."""


def stop_on_sigterm() -> None:
    """Turns SIGTERM into `Stopped`, so that ``with`` and ``finally`` clean up."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once: cleaning up must not be cut short by a second one
        raise Stopped

    signal.signal(signal.SIGTERM, stop)


def end_with_parent(parent: int) -> None:
    """Sends SIGTERM to this process when `parent`, its direct parent, ends."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before we asked
        raise SystemExit(1)


def end_with_owners(started_by: int | None = None, *more: int) -> None:
    """Sends SIGTERM to this process when one that it works for ends.

    That is the process named by ``NST_OWNER``, in a stage of DVC the ``dvc`` that runs it, and those in `more`.

    Args:
        started_by: the process that started the command, where that is not this one's parent.
    """
    owners = [*more]
    if os.environ.get(OWNER, "").isdigit():
        owners.append(int(os.environ[OWNER]))
    if "DVC_STAGE" in os.environ:
        owners += _behind_shell(started_by or os.getppid())
    if owners:
        threading.Thread(target=_watch, args=(owners,), name="owners", daemon=True).start()


def _behind_shell(pid: int) -> list[int]:
    """The parent, and the parent's parent where the parent is only the shell that a command was run with."""
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        if parent.name() in _SHELLS:
            return [pid, parent.ppid()]
    return [pid]


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that has ended may still have its number, above all in containers."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _watch(owners: Sequence[int]) -> None:
    with suppress(psutil.Error):
        watched = [psutil.Process(pid) for pid in owners]
        while all(map(is_alive, watched)):
            time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


def start(command: Sequence[str], **options: object) -> "subprocess.Popen[bytes]":
    """Starts `command` as a child that ends with this process; call it from the main thread.

    The kernel ties the death signal to the thread that started the child, hence the main thread.  The request
    has to be made in the child, hence the small step through this module (safer than ``preexec_fn``).
    """
    step = [sys.executable, "-m", "flows.processes", str(os.getpid()), *command]
    return subprocess.Popen(step, **options)  # type: ignore[call-overload, no-any-return]


def stop(process: "subprocess.Popen[Any]", grace: float = 10.0) -> None:
    """Ends a child and all below it: asks first, then makes it."""
    family = []
    with suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
    for send in (psutil.Process.terminate, psutil.Process.kill):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM if send is psutil.Process.terminate else signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        for member in family:
            with suppress(psutil.Error):
                send(member)
        _, family = psutil.wait_procs(family, timeout=grace)


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    except OSError as error:
        print(f"error: {sys.argv[2]}: {error.strerror}", file=sys.stderr)
        raise SystemExit(127) from None
