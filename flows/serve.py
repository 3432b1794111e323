"""A Prefect server, work pool, deployment and worker on this machine: ``python -m flows.serve start | stop``.

One process holds the server and the worker, both of which end with it, however it ends.  It also holds a lock: who has
that lock is the holder, whatever the clock or the process numbers say, and a second one cannot start.
"""

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from flows import processes, services
from flows.processes import ClusterError
from flows.settings import HOME, ROOT, load

POOL = "nst"
_PORT = 4200
"""Prefect's usual one; another is taken if it is in use."""
_LOCK = f"the server of {HOME}"


def start() -> None:
    """Starts everything in the background, and returns when it runs.

    Raises:
        ClusterError: it could not be started.
    """
    log = HOME / ".prefect" / "serve.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    holder = None if _said() else _start_holder(log)
    while "page" not in (said := _said()):
        if not said and (holder is None or holder.poll() is not None):
            words = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            raise ClusterError(f"the server did not start: {words[-1]} (see {log})")
        time.sleep(0.2)
    print(f"{said['page']}   (`make serve-stop` ends it; the page asks for the password {said['password']})")
    variables = f"PREFECT_API_URL={said['page']}/api PREFECT_API_AUTH_STRING={said['password']}"
    print(f"run it now: {variables} prefect deployment run regenerate/regenerate")


def _start_holder(log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "flows.serve", "hold"]
    with log.open("wb") as output:
        return subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )


def _said() -> dict[str, str]:
    """What the process says that holds server and worker: its "pid", then also the "page" and its "password"."""
    with suppress(ValueError):  # it is just being written
        found: dict[str, str] = json.loads(processes.said_by_holder(_LOCK) or "{}")
        return found
    return {}


def stop() -> None:
    """Ends what `start` started."""
    try:
        holder = psutil.Process(int(_said()["pid"]))
    except (KeyError, psutil.Error):
        print("nothing to stop")
        return
    processes.stop(holder, grace=40.0)  # it ends the others, which takes a while
    print("stopped")


def hold() -> None:
    """Runs server and worker until this process is told to stop.

    Raises:
        ClusterError: another process does so already, or one of the two did not start or has ended.
    """
    with processes.lock_if_free(_LOCK) as file:
        if not file:
            raise ClusterError("another `make serve` has this checkout")
        password = f"nst:{secrets.token_urlsafe(16)}"
        said = {"pid": str(os.getpid())}
        processes.say(file, json.dumps(said))
        # Without both, any user of this machine, and any web page that one of them opens, could deploy code.
        with services.server(_port(), load(), {"PREFECT_SERVER_API_AUTH_STRING": password}) as own:
            os.environ[services.API] = own.url
            os.environ["PREFECT_API_AUTH_STRING"] = password
            os.environ["NST_ROOT"] = str(ROOT)  # for prefect.yaml
            _prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
            _prefect("deploy", "--all")
            _close_runs()
            words = ["worker", "start", "--pool", POOL, "--type", "process", "--limit", "1"]
            environment = {**os.environ, processes.OWNER: str(os.getpid())}
            worker = processes.start([sys.executable, "-m", "prefect", *words], env=environment)
            try:
                processes.say(file, json.dumps({**said, "page": own.page, "password": password}))
                while worker.poll() is None and own.process.poll() is None:
                    time.sleep(0.5)
                raise ClusterError(f"the {'server' if worker.poll() is None else 'worker'} has ended")
            finally:
                processes.stop(worker)


def _close_runs() -> None:
    """Ends, for Prefect, what the last server still held for running: no one runs that any more.

    Such a run would have the deployment's one slot for good, and every later run would wait for it.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.states import Crashed

    going = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}
    with get_client(sync_client=True) as client:
        while found := client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(going)):
            for run in found:
                client.set_flow_run_state(run.id, Crashed(message="It was killed, or its server stopped."), force=True)


def _port() -> int:
    with socket.socket() as probe:
        return services.free_port() if probe.connect_ex(("127.0.0.1", _PORT)) == 0 else _PORT


def _prefect(*words: str) -> None:
    command = [sys.executable, "-m", "prefect", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"prefect {' '.join(words)}: {' '.join((done.stderr or done.stdout).split())}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m flows.serve", description=__doc__)
    parser.add_argument("what", choices=("start", "stop", "hold"), help="hold: start, and stay until stopped")
    {"start": start, "stop": stop, "hold": hold}[parser.parse_args().what]()
    return 0


if __name__ == "__main__":
    processes.run_command(main)
