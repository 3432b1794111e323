"""Runs a command with one Prefect API and one Dask cluster for all its studies: ``python -m flows.up -- dvc repro``.

Both start when the first study needs them, and always stop.  The command's exit code is passed on.  A study asks by
making the file `_WANTED` in the supervisor's folder, and waits for the file `_READY`, which holds the addresses.
"""

import argparse
import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

from flows import processes, services, settings
from flows.processes import ClusterError
from nst.errors import NSTError

_SUPERVISOR = "NST_SUPERVISOR"
"""Environment variable: the supervisor's folder."""
_FOLDER = settings.HOME / ".cache" / "up"
_WANTED, _READY = "wanted", "ready"
_LAST_WORDS = 15.0
"""Seconds that the command gets to end by itself after Ctrl-C."""


def join() -> None:
    """Asks the supervisor, where there is one, for its services, and takes their addresses into the environment.

    Raises:
        ClusterError: it could not start them, or has ended.
    """
    if _SUPERVISOR not in os.environ:
        return
    folder = Path(os.environ[_SUPERVISOR])
    with suppress(OSError):
        (folder / _WANTED).touch()
    while not (folder / _READY).exists():
        if not folder.exists():
            raise ClusterError(f"the supervisor of this run (flows.up) has ended: {processes.RUN_AGAIN}")
        time.sleep(0.05)
    answer: dict[str, str] = json.loads((folder / _READY).read_text())
    if "error" in answer:
        raise ClusterError(answer["error"])
    os.environ.update(answer)


def run(words: Sequence[str], where: settings.Settings) -> int:
    """Runs the command and returns its exit code."""
    with ExitStack() as stack:
        shutil.rmtree(_FOLDER, ignore_errors=True)  # of one that was killed
        _FOLDER.mkdir(parents=True)
        stack.callback(shutil.rmtree, _FOLDER, ignore_errors=True)
        wanted, ready = _FOLDER / _WANTED, _FOLDER / _READY
        child = processes.start(words, env={**os.environ, _SUPERVISOR: str(_FOLDER), processes.OWNER: str(os.getpid())})
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
        stack.enter_context(services.api(where))
        address = where.dask_address or stack.enter_context(services.cluster(where, where.own_workers))
    except NSTError as error:
        return {"error": str(error)}
    return {services.API: os.environ[services.API], "NST_DASK_ADDRESS": address}


def sweep(root: Path) -> None:
    """Removes what a `dvc` that was killed has left, unless another one runs there now.

    That is copies of the checkout for experiments; and its locks, which DVC removes itself, but it tells whether their
    owner lives by its number alone, and numbers come back, above all in containers.
    """
    if any(_is_dvc_in(root, process) for process in psutil.process_iter()):
        return
    (root / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)
    for copy in [*(root / ".dvc/tmp/exps").glob("tmp*"), *(root / ".dvc/tmp/exps/standalone").glob("tmp*")]:
        shutil.rmtree(copy, ignore_errors=True)


def _is_dvc_in(root: Path, process: psutil.Process) -> bool:
    is_dvc = False
    try:
        is_dvc = any(Path(word).name == "dvc" for word in process.cmdline())
        return is_dvc and Path(process.cwd()).is_relative_to(root)
    except psutil.Error as error:  # it has ended; or it is another user's, and may be in there
        return isinstance(error, psutil.AccessDenied) and is_dvc


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m flows.up", description=__doc__)
    parser.add_argument("command", nargs="+", metavar="CMD", help="the command and its arguments, after --")
    words = parser.parse_args().command
    where = settings.load()
    with processes.lock("this checkout"):
        sweep(settings.HOME)
        return run(words, where)


if __name__ == "__main__":
    processes.run_command(main)
