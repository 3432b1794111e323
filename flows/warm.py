"""Processes that have nothing to import: forked from one that has imported everything (multiprocessing's fork server).

Importing torch, Prefect, Dask and what draws figures takes seconds, in every worker and for every study.  The fork
server does it once and then only forks; it runs nothing of its own, so that no thread is lost in a fork, and does not
touch a GPU.
"""

import importlib
import json
import multiprocessing
import os
import socket
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, Final

import psutil

from flows.settings import ROOT

METHOD: Final = "forkserver"

_IMPORTS = "flows.imports"
_READ_ON_IMPORT = ("PREFECT_", "DASK_", "PYTHON", "MPL", "OMP_", "MKL_", "OPENBLAS_", "CUDA_", "TORCH_", "LD_")
"""Environment variables with these names may be read only once."""


def start() -> None:
    """Starts the fork server, unless it runs; returns at once, while it imports."""
    multiprocessing.get_context(METHOD).set_forkserver_preload([_IMPORTS])
    forkserver.ensure_running()


def stop() -> None:
    """Ends the fork server even if it is still importing; by itself it would do that to the end."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if any(METHOD in word for word in child.cmdline()):
                child.kill()


def lend(borrower: socket.socket) -> None:
    """Has a forked process do what is asked for on this connection (see `flows.__main__`).

    Raises:
        OSError, EOFError: there is no fork server.
    """
    multiprocessing.get_context(METHOD).Process(target=_work, args=(borrower,)).start()


def _work(borrower: socket.socket) -> None:
    """In the forked process: runs the command, if this is a process like the borrower's own."""
    os.setsid()  # Ctrl-C is for the borrower, which passes it on
    borrower.settimeout(None)
    _, outputs, _, _ = socket.recv_fds(borrower, 1, 2)
    with borrower, borrower.makefile("r") as words:
        request = json.loads(words.readline())
        if not _is_like(request):
            return
        borrower.sendall(b"%d\n" % os.getpid())
        for number, output in enumerate(outputs, start=1):
            os.dup2(output, number)
            os.close(output)
        code = _run(request)
        with suppress(OSError):  # the borrower may have been killed
            borrower.sendall(b"%d\n" % code)


def _is_like(request: Mapping[str, Any]) -> bool:
    """Whether code and environment are those that the borrower would import and read by itself."""
    from flows.imports import BEGAN

    mine = Path(__file__).with_name("__main__.py")
    if (request["python"], request["checkout"]) != (sys.prefix, str(mine)):
        return False
    if any(path.stat().st_mtime > BEGAN for package in ("nst", "flows") for path in (ROOT / package).rglob("*.py")):
        return False
    return _fixed(request["environment"]) == _fixed(os.environ)


def _fixed(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_ON_IMPORT)}


def _run(request: Mapping[str, Any]) -> int:
    """The command's exit code."""
    from flows import command

    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["arguments"]
    try:
        command.run(importlib.import_module(request["module"]).main, request["parent"], request["process"])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    return 1
