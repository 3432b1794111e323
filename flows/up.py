"""Runs a command with one Prefect API and one Dask cluster for all its studies.

``python -m flows.up -- dvc repro``

Both start when the first study needs them, and always stop.  Studies run in processes that have nothing to import.  The
command's exit code is passed on.
"""

import argparse
import importlib
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from flows import api, command, lending, lock, processes, settings, sharing, warm
from nst.errors import NSTError

_LAST_WORDS = 15.0
"""Seconds that a command gets to end by itself after Ctrl-C."""


@dataclass(frozen=True)
class Arguments:
    """What the command line asks for."""

    command: list[str]
    early: bool


def parse(argv: Sequence[str] | None = None) -> Arguments:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m flows.up", description=__doc__)
    parser.add_argument(
        "--early", action="store_true", help="import what studies use at once, for a command that may well run some"
    )
    parser.add_argument("command", nargs="+", metavar="CMD", help="the command and its arguments, after --")
    return Arguments(**vars(parser.parse_args(argv)))


def run(words: Sequence[str], where: settings.Settings, early: bool = False) -> int:
    """Runs the command, lending it what it asks for, and returns its exit code."""
    with ExitStack() as stack:
        stack.callback(warm.stop)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="nst-"))
        line = stack.enter_context(socket.socket(socket.AF_UNIX))
        path = Path(folder) / "lender"
        line.bind(str(path))
        line.listen()
        line.settimeout(0.2)
        lender = _Lender(stack, where)
        environment = {**os.environ, lending.LENDER: str(path), processes.OWNER: str(os.getpid())}
        child = processes.start(words, env=environment)
        try:
            if early:
                warm.start()
            while child.poll() is None:
                with suppress(TimeoutError):
                    lender.lend(line.accept()[0])
        except processes.Stopped:
            raise
        except KeyboardInterrupt:  # the terminal sends Ctrl-C to the command as well
            with suppress(subprocess.TimeoutExpired):
                child.wait(_LAST_WORDS)
            raise
        finally:
            processes.stop(child)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


class _Lender:
    """What the commands below borrow, started when the first asks."""

    def __init__(self, stack: ExitStack, where: settings.Settings) -> None:
        self._stack = stack
        self._where = where
        self._server: api.Server | None = None
        self._services: sharing.Services | None = None
        self._preparing: threading.Thread | None = None

    def lend(self, borrower: socket.socket) -> None:
        """Gives a borrower what it asks for."""
        with borrower, suppress(OSError):  # it may have gone meanwhile
            borrower.settimeout(_LAST_WORDS)
            want = borrower.recv(1)
            if want:
                self._begin()
            if want == lending.PROCESS:
                with suppress(EOFError):
                    warm.lend(borrower)
            elif want == lending.SERVICES:
                borrower.sendall(json.dumps(self._lent()).encode() + b"\n")

    def _begin(self) -> None:
        """Starts what takes seconds; waits for none of it."""
        if self._preparing is not None:
            return
        warm.start()
        if not os.environ.get(api.API):
            self._server = self._stack.enter_context(api.temporary_server())
        # What jobs are made of: Dask's scheduler will unpack them here.
        self._preparing = threading.Thread(target=importlib.import_module, args=("flows.fanout",), daemon=True)
        self._preparing.start()

    def _lent(self) -> dict[str, str]:
        assert self._preparing is not None, "somebody asked"
        self._preparing.join()
        try:
            if self._services is None:
                own = sharing.own(self._where, self._where.local_workers, self._server)
                self._services = self._stack.enter_context(own)
        except NSTError as error:
            return {"error": str(error)}
        return asdict(self._services)


def forget_dead_locks(root: Path) -> None:
    """Removes the locks of a `dvc` that was killed.

    DVC removes them itself, but tells whether their owner lives by its number alone; and numbers come back,
    above all in containers.
    """
    path = root / ".dvc" / "tmp" / "rwlock"
    try:
        text = path.read_text()
    except OSError:
        return
    owners = {int(number) for number in re.findall(r'"pid": (\d+)', text)}
    if not any(_is_dvc(owner) for owner in owners):
        path.unlink(missing_ok=True)


def _is_dvc(pid: int) -> bool:
    try:
        return any("dvc" in word for word in psutil.Process(pid).cmdline())
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False


def main() -> int:
    """The command."""
    arguments = parse()
    where = settings.load()
    with lock.held("this checkout"):
        forget_dead_locks(settings.ROOT)
        return run(arguments.command, where, arguments.early)


if __name__ == "__main__":
    command.run(main)
