"""The deployment (see prefect.yaml): fetches the pictures, runs every study that is out of date, keeps the results."""

import os
import subprocess
import sys
from collections import deque
from typing import Any

import yaml
from prefect import flow, get_run_logger, runtime, task

from flows import processes, settings
from flows.processes import JobsFailedError


def _name() -> str:
    """Of a run: what it runs, and since when."""
    given = runtime.flow_run.parameters
    changes = [f"{name}={value}" for name, value in (given.get("params") or {}).items()]
    what = ", ".join([*(given.get("stages") or ["all"]), *changes])
    return f"{what} · {runtime.flow_run.scheduled_start_time:%d %b %H:%M:%S}"


@flow(flow_run_name=_name, persist_result=False)
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
    _step("fetch the pictures", "dvc", "pull", "data")
    if params:
        changes = [f"--set-param={name}={value}" for name, value in params.items()]
        # A name that begins with a dash is no option.
        _step("experiment", "dvc", "exp", "run", "--temp", *changes, "--", *(stages or []))
    else:
        for stage in stages or yaml.safe_load((settings.ROOT / "dvc.yaml").read_text("utf-8"))["stages"]:
            _step(stage, "dvc", "repro", "--", stage)
    if push:
        _step("push", "dvc", "push")


@task(name="step", task_run_name="{name}", persist_result=False)
def _step(name: str, *command: str) -> None:
    """Runs a command when no other run has the checkout, and hands what it says to Prefect's log."""
    del name  # Prefect's, for the page
    log = get_run_logger()
    log.info("%s", " ".join(command))
    last: deque[str] = deque(maxlen=5)
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.up", "--", *command],
        cwd=settings.ROOT,
        env={**os.environ, processes.OWNER: str(os.getpid())},
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
