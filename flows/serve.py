"""A Prefect server, work pool, deployment and worker on this machine: ``python -m flows.serve start | stop``.

One process holds the server and the worker, both of which end with it, however it ends.  `stop` ends that process,
and no other: its number alone does not say that it is ours, so its time of birth is kept as well.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from flows import api, command, processes
from flows.errors import ClusterError
from flows.settings import ROOT, load

POOL = "nst"
_PORT = 4200
"""Prefect's usual one; another is taken if it is in use."""
_ENDING = 40.0
"""Seconds that everything may take to end by itself."""


def parse(argv: Sequence[str] | None = None) -> str:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m flows.serve", description=__doc__)
    parser.add_argument("what", choices=("start", "stop", "hold"), help="hold: start, and stay until stopped")
    what: str = parser.parse_args(argv).what
    return what


def start() -> None:
    """Starts everything in the background, and returns when it is there.

    Raises:
        ClusterError: it could not be started.
    """
    if _running() is None:
        _file().unlink(missing_ok=True)
        log = _file().with_suffix(".log")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            holder = subprocess.Popen(
                [sys.executable, "-m", "flows.serve", "hold"],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        while not _file().exists():
            if holder.poll() is not None:
                words = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
                raise ClusterError(f"the server did not start: {words[-1]} (see {log})")
            time.sleep(0.2)
    page = json.loads(_file().read_text())["page"]
    print(f"{page}   (`make serve-stop` ends it)")
    print(f"run it now: PREFECT_API_URL={page}/api prefect deployment run regenerate/regenerate")


def stop() -> None:
    """Ends what `start` started."""
    holder = _running()
    if holder is None:
        print("nothing to stop")
    else:
        family = [holder, *holder.children(recursive=True)]
        holder.terminate()
        _, left = psutil.wait_procs(family, timeout=_ENDING)
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        print("stopped")
    _file().unlink(missing_ok=True)


def hold() -> None:
    """Runs server and worker until this process is told to stop.

    Raises:
        ClusterError: one of them did not start, or has ended.
    """
    os.environ["NST_ROOT"] = str(ROOT)  # for prefect.yaml
    port = _PORT if _is_free(_PORT) else api.free_port()
    with api.server(port, {}) as server:
        server.wait(load().server_timeout)
        os.environ[api.API] = server.url
        _prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
        _prefect("deploy", "--all")
        options = ["--pool", POOL, "--type", "process", "--limit", "1"]
        environment = {**os.environ, processes.OWNER: str(os.getpid())}
        worker = processes.start([sys.executable, "-m", "prefect", "worker", "start", *options], env=environment)
        try:
            _say_where(server.url.removesuffix("/api"))
            while worker.poll() is None and server.process.poll() is None:
                time.sleep(0.5)
            raise ClusterError("the worker has ended" if worker.poll() is not None else "the server has ended")
        finally:
            processes.stop(worker)


def _prefect(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ClusterError(f"prefect {' '.join(words)}: {' '.join((done.stderr or done.stdout).split())}")


def _is_free(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _file() -> Path:
    return Path(os.environ["PREFECT_HOME"]) / "serve.json"


def _say_where(page: str) -> None:
    """Written beside and renamed: `start` reads it as soon as it is there."""
    me = psutil.Process()
    beside = _file().with_suffix(".new")
    beside.write_text(json.dumps({"pid": me.pid, "born": me.create_time(), "page": page}))
    beside.replace(_file())


def _running() -> psutil.Process | None:
    """The process that holds server and worker, if it is alive."""
    with suppress(OSError, ValueError, psutil.Error):
        said = json.loads(_file().read_text())
        process = psutil.Process(said["pid"])
        if process.create_time() == said["born"] and processes.is_alive(process):
            return process
    return None


def main() -> int:
    """The command."""
    {"start": start, "stop": stop, "hold": hold}[parse()]()
    return 0


if __name__ == "__main__":
    command.run(main)
