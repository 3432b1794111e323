"""The deployment (see prefect.yaml): fetches the pictures, runs every study that is out of date, keeps the results."""

import os
import subprocess
import sys
from collections import deque
from typing import Any

from prefect import flow, get_run_logger

from flows import processes, settings
from flows.processes import JobsFailedError


@flow(flow_run_name="regenerate", persist_result=False)
def regenerate(stages: list[str] | None = None, params: dict[str, Any] | None = None, push: bool = False) -> None:
    """Brings the reports up to date; the run ends Completed only if every step, and so every job, succeeded.

    Args:
        stages: of dvc.yaml; none means all.
        params: changes like ``{"transfer.style_weight": 30}``.  They are tried in a copy of the checkout, so that
            params.yaml and the reports stay; ``dvc exp show`` compares and ``dvc exp apply`` takes them over.
        push: send what was computed to DVC's remote.

    Raises:
        JobsFailedError: a step failed; its last lines say why.
    """
    _step("dvc", "pull", "data")
    wanted = ["--", *(stages or [])]  # a name that begins with a dash is no option
    if params:
        changes = [f"--set-param={name}={value}" for name, value in params.items()]
        _step("dvc", "exp", "run", "--temp", *changes, *wanted)
    else:
        _step("dvc", "repro", *wanted)
    if push:
        _step("dvc", "push")


def _step(*command: str) -> None:
    """Runs a command when no other run has the checkout, and hands what it says to Prefect's log."""
    log = get_run_logger()
    log.info("%s", " ".join(command))
    last: deque[str] = deque(maxlen=5)
    environment = {**os.environ, processes.OWNER: str(os.getpid())}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.up", "--", *command],
        cwd=settings.ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if text := line.rstrip().rpartition("\r")[2].strip():
                last.append(text)
                log.info("%s", text)
        code = process.wait()
    finally:
        processes.stop(process)
    if code:
        raise JobsFailedError(f"{' '.join(command)} ended with {code}: {' / '.join(last)}")
