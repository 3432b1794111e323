"""A Prefect server, work pool, deployment and worker on this machine: ``python -m flows.serve start | stop``.

One process holds the server and the worker, both of which end with it, however it ends.  It also holds a lock: who has
that lock is the holder, whatever the clock or the process numbers say, and a second one cannot start.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from flows import processes, services
from flows.processes import ClusterError
from flows.settings import HOME, ROOT, load

POOL = "nst"
_PORT = 4200
"""Prefect's usual one; another is taken if it is in use."""
_ENDING = 40.0
"""Seconds that everything may take to end by itself."""
_LOCK = f"the server of {HOME}"


def parse(argv: Sequence[str] | None = None) -> str:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m flows.serve", description=__doc__)
    parser.add_argument("what", choices=("start", "stop", "hold"), help="hold: start, and stay until stopped")
    what: str = parser.parse_args(argv).what
    return what


def start() -> None:
    """Starts everything in the background, and returns when it runs.

    Raises:
        ClusterError: it could not be started.
    """
    log = HOME / ".prefect" / "serve.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    if _holder() is None:
        with log.open("wb") as output:
            holder = subprocess.Popen(
                [sys.executable, "-m", "flows.serve", "hold"],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        while "page" not in _said():
            if holder.poll() is not None and _holder() is None:
                words = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
                raise ClusterError(f"the server did not start: {words[-1]} (see {log})")
            time.sleep(0.2)
    said = _said()
    print(f"{said['page']}   (`make serve-stop` ends it; the page asks for the password {said['password']})")
    variables = f"PREFECT_API_URL={said['page']}/api PREFECT_API_AUTH_STRING={said['password']}"
    print(f"run it now: {variables} prefect deployment run regenerate/regenerate")


def stop() -> None:
    """Ends what `start` started."""
    holder = _holder()
    if holder is None:
        print("nothing to stop")
        return
    family = [holder, *holder.children(recursive=True)]
    holder.terminate()
    _, left = psutil.wait_procs(family, timeout=_ENDING)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    print("stopped")


def hold() -> None:
    """Runs server and worker until this process is told to stop.

    Raises:
        ClusterError: another process does so already, or one of the two did not start or has ended.
    """
    os.umask(0o077)  # the password is for this user
    with processes.lock_file(_LOCK).open("a+", encoding="utf-8") as file:
        if not processes.try_lock(file):
            raise ClusterError("another `make serve` has this checkout")
        password = f"nst:{secrets.token_urlsafe(16)}"
        _say(pid=os.getpid())
        port = _PORT if _is_free(_PORT) else services.free_port()
        # Without both, any user of this machine, and any web page that one of them opens, could deploy code.
        with services.prefect_server(port, {"PREFECT_SERVER_API_AUTH_STRING": password}) as server:
            server.wait(load().server_timeout)
            os.environ[services.API] = server.url
            os.environ["PREFECT_API_AUTH_STRING"] = password
            os.environ["NST_ROOT"] = str(ROOT)  # for prefect.yaml
            _prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
            _prefect("deploy", "--all")
            _work(server, password)


def _work(server: services.Server, password: str) -> None:
    options = ["--pool", POOL, "--type", "process", "--limit", "1"]
    environment = {**os.environ, processes.OWNER: str(os.getpid())}
    worker = processes.start([sys.executable, "-m", "prefect", "worker", "start", *options], env=environment)
    try:
        _say(pid=os.getpid(), page=server.url.removesuffix("/api"), password=password)
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
    """What the holder says of itself; true only while it has the lock."""
    return processes.lock_file(_LOCK).with_suffix(".json")


def _say(**values: object) -> None:
    """Written beside and renamed: others read it as soon as it is there."""
    beside = _file().with_suffix(".new")
    beside.write_text(json.dumps(values))
    beside.replace(_file())


def _said() -> dict[str, str]:
    if _holder() is None:
        return {}
    found: dict[str, str] = json.loads(_file().read_text())
    return found


def _holder() -> psutil.Process | None:
    """The process that holds server and worker, if there is one."""
    with processes.lock_file(_LOCK).open("a+", encoding="utf-8") as file:
        if processes.try_lock(file):
            return None
    with suppress(OSError, ValueError, KeyError, psutil.Error):
        return psutil.Process(json.loads(_file().read_text())["pid"])
    return None


def main() -> int:
    """The command."""
    {"start": start, "stop": stop, "hold": hold}[parse()]()
    return 0


if __name__ == "__main__":
    processes.run_command(main)
