"""Runs a command with one Prefect API and one Dask cluster for all its studies: ``python -m flows.up -- dvc repro``.

Both start when the first study needs them, and always stop.  The command's exit code is passed on.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

from flows import processes, services, settings
from nst.errors import NSTError

_LAST_WORDS = 15.0
"""Seconds that the command gets to end by itself after Ctrl-C."""


def parse(argv: Sequence[str] | None = None) -> list[str]:
    """Reads the command line: the command to run."""
    parser = argparse.ArgumentParser(prog="python -m flows.up", description=__doc__)
    parser.add_argument("command", nargs="+", metavar="CMD", help="the command and its arguments, after --")
    words: list[str] = parser.parse_args(argv).command
    return words


def run(words: Sequence[str], where: settings.Settings) -> int:
    """Runs the command and returns its exit code."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nst-")))
        wanted, ready = folder / services.WANTED, folder / services.READY
        child = processes.start(
            words, env={**os.environ, settings.SUPERVISOR: str(folder), processes.OWNER: str(os.getpid())}
        )
        try:
            while child.poll() is None:
                if wanted.exists() and not ready.exists():
                    answer = _start(where, stack)
                    ready.with_suffix(".new").write_text(json.dumps(answer))
                    ready.with_suffix(".new").replace(ready)
                time.sleep(0.05)
        except processes.Stopped:
            raise
        except KeyboardInterrupt:  # the terminal sends Ctrl-C to the command as well
            with suppress(subprocess.TimeoutExpired):
                child.wait(_LAST_WORDS)
            raise
        finally:
            processes.stop(child)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _start(where: settings.Settings, stack: ExitStack) -> dict[str, str]:
    """Starts the services; returns their addresses by variable, or what went wrong as "error"."""
    try:
        server = services.start_prefect(stack, {})
        address = where.dask_address or stack.enter_context(services.dask_cluster(where, where.own_workers))
        if server:
            server.wait(where.server_timeout)
    except NSTError as error:
        return {"error": str(error)}
    return {services.API: os.environ[services.API], services.DASK: address}


def forget_dead_locks(root: Path) -> None:
    """Removes the locks of a `dvc` that was killed.

    DVC removes them itself, but tells whether their owner lives by its number alone; and numbers come back, above all
    in containers.
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
    words, where = parse(), settings.load()
    with processes.lock("this checkout"):
        forget_dead_locks(settings.ROOT)
        return run(words, where)


if __name__ == "__main__":
    processes.run_command(main)
