"""Runs a command with one Prefect API and one Dask cluster for all its studies.

``python -m flows.up -- dvc repro``

Both start when the first study needs them, and always stop.  The command's exit code is passed on.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path

import psutil

from flows import command, lock, processes, settings, sharing
from flows.sharing import LENDER
from nst.errors import NSTError

_LAST_WORDS = 15.0
"""Seconds that a command gets to end by itself after Ctrl-C."""


def parse(argv: Sequence[str] | None = None) -> list[str]:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m flows.up", description=__doc__)
    parser.add_argument("command", nargs="+", metavar="CMD", help="the command and its arguments, after --")
    words: list[str] = parser.parse_args(argv).command
    return words


def run(words: Sequence[str], where: settings.Settings) -> int:
    """Runs the command, lending it the services, and returns its exit code."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="nst-"))
        line = stack.enter_context(socket.socket(socket.AF_UNIX))
        path = Path(folder) / "lender"
        line.bind(str(path))
        line.listen()
        line.settimeout(0.2)
        environment = {**os.environ, LENDER: str(path), processes.OWNER: str(os.getpid())}
        child = processes.start(words, env=environment)
        try:
            _lend_until_it_ends(child, line, stack, where)
        except processes.Stopped:
            raise
        except KeyboardInterrupt:  # the terminal sends Ctrl-C to the command as well
            with suppress(subprocess.TimeoutExpired):
                child.wait(_LAST_WORDS)
            raise
        finally:
            processes.stop(child)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


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


def _lend_until_it_ends(
    child: "subprocess.Popen[bytes]", line: socket.socket, stack: ExitStack, where: settings.Settings
) -> None:
    lent: dict[str, str] = {}
    while child.poll() is None:
        try:
            borrower, _ = line.accept()
        except TimeoutError:
            continue
        with borrower:
            if not lent:
                try:
                    services = stack.enter_context(sharing.own(where, where.local_workers))
                    lent = asdict(services)
                except NSTError as error:
                    _say(borrower, {"error": str(error)})
                    continue
            _say(borrower, lent)


def _say(borrower: socket.socket, words: dict[str, str]) -> None:
    with suppress(OSError):  # it may have gone meanwhile
        borrower.sendall(json.dumps(words).encode() + b"\n")


def main() -> int:
    """The command."""
    words = parse()
    where = settings.load()
    with lock.held("this checkout"):
        forget_dead_locks(settings.ROOT)
        return run(words, where)


if __name__ == "__main__":
    command.run(main)
