"""The whole study: `make repro` in a fresh clone with nothing computed, taken apart; then a change; then no change.

From the outside: DVC says when each stage begins, a finished job's file says when it was written and how long it
optimised, a study's folder says when its tables and figures were done.
"""

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import environment
from benchmarks.process import check
from benchmarks.table import Cell, Section, Spread, Target
from flows import processes, settings
from nst.params import STUDIES

TOTAL_MINUTES = 10.0
ORCHESTRATION = 10.0
"""% of the wall time that is not optimisation; or, counted less strictly, not the jobs' own work."""
CHANGE_SECONDS = 15.0
"""What a changed style window may cost beyond its own jobs."""
UP_TO_DATE_SECONDS = 3.0
UP_TO_DATE_RUNS = 3

# The environment this runs in stands for the one that `make` would build.
MAKE = ("make", "--old-file=.venv/.installed", "repro")


@dataclass(frozen=True)
class FinishedJob:
    """A file of a finished job."""

    written: float
    """Unix time."""
    seconds: float
    """Of its steps."""
    all_seconds: float
    """Of its own work: with what it aims at, and its metrics."""
    measuring_seconds: float
    """Of these, its metrics."""
    batch: int = 1
    """Jobs that ran together; each has its share of their time."""

    @property
    def began(self) -> float:
        """When its batch did, about."""
        return self.written - self.batch * self.all_seconds


@dataclass(frozen=True)
class Stage:
    """One stage of DVC as it went; all times are Unix times."""

    name: str
    began: float
    """When DVC said that it runs."""
    ended: float
    """When its last file was written."""
    jobs: tuple[FinishedJob, ...]
    workers: int
    """Jobs side by side."""

    @property
    def stepping(self) -> float:
        """Seconds of wall time of the jobs' steps, were the workers always busy."""
        return sum(job.seconds for job in self.jobs) / self.workers

    @property
    def aiming(self) -> float:
        """The same of what else is done until a picture is there: what it aims at, a warm-up, the 8-bit picture."""
        return sum(job.all_seconds - job.measuring_seconds - job.seconds for job in self.jobs) / self.workers

    @property
    def measuring(self) -> float:
        """The same of the metrics."""
        return sum(job.measuring_seconds for job in self.jobs) / self.workers

    @property
    def starting(self) -> float:
        """Until the first job: Python, Prefect, Dask."""
        return min(job.began for job in self.jobs) - self.began if self.jobs else 0.0

    @property
    def between(self) -> float:
        """While jobs ran, beside their own work: handing out, storing, a worker with nothing left to do."""
        if not self.jobs:
            return 0.0
        first = min(job.began for job in self.jobs)
        return max(job.written for job in self.jobs) - first - self.stepping - self.aiming - self.measuring

    @property
    def writing(self) -> float:
        """Tables, figures, the report: after the last job."""
        return self.ended - max([job.written for job in self.jobs], default=self.began)


@dataclass(frozen=True)
class Run:
    """One `make repro`."""

    seconds: float
    stages: tuple[Stage, ...]

    def total(self, part: str) -> float:
        """Seconds of a part (a property of `Stage`) over all stages."""
        return float(sum(getattr(stage, part) for stage in self.stages))

    @property
    def rest(self) -> float:
        """What no stage accounts for: make, DVC's checks and its storing, stopping the services."""
        return self.seconds - sum(map(self.total, PARTS))

    @property
    def not_optimising(self) -> float:
        """Seconds that were not between a job's originals and its picture."""
        return self.seconds - self.total("stepping") - self.total("aiming")

    @property
    def orchestration(self) -> float:
        """Seconds that were not the jobs' own work."""
        return self.not_optimising - self.total("measuring")


PARTS = ("stepping", "aiming", "measuring", "starting", "between", "writing")
COLUMNS = (
    "run",
    "stage",
    "jobs",
    "steps, s",
    "targets, s",
    "metrics, s",
    "starting Python, Prefect, Dask, s",
    "between the jobs, s",
    "tables, figures, s",
    "all, s",
)


def measure(say: Callable[[str], None], params: Path | None = None) -> Section:
    """All of it.

    Args:
        params: used in place of the repository's params.yaml.

    Raises:
        FailedError: a command failed.
    """
    with tempfile.TemporaryDirectory(prefix="nst-bench-") as folder:
        clone = Path(folder) / "clone"
        make_clone(clone, params)
        say("make repro from nothing, at most a quarter of an hour")
        whole = repro(clone)
        say("make repro with nothing to do")
        idle = [repro(clone).seconds for _ in range(1 + UP_TO_DATE_RUNS)][1:]
        say("make repro with one style window changed")
        own_jobs = change_window(clone / "params.yaml")
        changed = repro(clone)
    return _section(whole, changed, own_jobs, Spread.of(idle), params)


def make_clone(clone: Path, params: Path | None = None) -> None:
    """The last commit, with this environment."""
    subprocess.run(["git", "clone", "--quiet", "--no-local", settings.ROOT, clone], check=True, env=environment())
    (clone / ".venv").symlink_to(sys.prefix)
    if params:
        (clone / "params.yaml").write_bytes(params.read_bytes())


def repro(
    clone: Path, command: Sequence[str] = MAKE, more: Mapping[str, str] | None = None, limit: float | None = None
) -> Run:
    """`make repro` with its stages.

    Args:
        command: another one that runs `dvc repro`.
        more: environment variables.
        limit: seconds after which it is ended.

    Raises:
        FailedError: it failed, or was ended.
    """
    before = set(_files(clone))
    began, clock = time.time(), time.perf_counter()
    unbuffered = {**environment(), "PYTHONUNBUFFERED": "1", **(more or {})}  # DVC's lines come when they are written
    process = processes.start(
        command, cwd=clone, env=unbuffered, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    lines: list[tuple[float, str]] = []
    alarm = threading.Timer(limit or threading.TIMEOUT_MAX, processes.stop, [process])
    alarm.daemon = True
    try:
        alarm.start()
        assert process.stdout is not None
        for line in process.stdout:
            lines.append((time.time(), line.decode(errors="replace").rstrip()))
        process.wait()
    finally:
        alarm.cancel()
        processes.stop(process)
    seconds = time.perf_counter() - clock
    check(command, process.returncode, "\n".join(line for _, line in lines))
    jobs = [finished_job(path) for path in set(_files(clone)) - before]
    return Run(seconds, stages(lines, jobs, clone / "reports", began + seconds))


def stages(
    lines: Sequence[tuple[float, str]], jobs: Sequence[FinishedJob], reports: Path, end: float
) -> tuple[Stage, ...]:
    """What DVC said and when, and the files that were written, as stages."""
    begun = [(at, found[1]) for at, line in lines if (found := re.search(r"Running stage '(\w+)'", line))]
    return tuple(
        Stage(
            name,
            began,
            ended=_last_written(reports / name if name in STUDIES else reports, began, next_began),
            jobs=tuple(job for job in jobs if began <= job.written < next_began),
            workers=settings.load().own_workers,
        )
        for (began, name), (next_began, _) in pairwise([*begun, (end, "")])
    )


def _last_written(folder: Path, began: float, ended: float) -> float:
    times = (path.stat().st_mtime for path in folder.rglob("*") if path.is_file())
    return max((at for at in times if began <= at <= ended), default=began)


def _files(clone: Path) -> list[Path]:
    return list((clone / settings.Settings.model_fields["cache"].default).glob("*.json"))


def finished_job(path: Path) -> FinishedJob:
    """Reads a file of `flows.store`."""
    values: dict[str, Any] = json.loads(path.read_text("utf-8"))
    timing = values["timing"]
    seconds = (timing["seconds"], timing["all_seconds"], timing["measuring_seconds"])
    return FinishedJob(path.stat().st_mtime, *seconds, timing["batch"])


def change_window(params: Path) -> int:
    """Moves the transfer study's last style window to the first that is not studied yet; the jobs that this needs."""
    from nst.engine.layers import LAYERS, parse_layers, window

    values = yaml.safe_load(params.read_text("utf-8"))
    transfer = values["transfer"]
    windows = [parse_layers(w) for w in transfer["style_windows"]]
    width = len(windows[-1])
    new = next(w for i in range(len(LAYERS)) if (w := LAYERS[i : i + width]) not in windows and len(w) == width)
    transfer["style_windows"][-1] = window(new)
    params.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), "utf-8")
    return len(parse_layers(transfer["content_layers"]))


def _section(whole: Run, changed: Run, own_jobs: int, idle: Spread, params: Path | None) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for name, run in (("from nothing", whole), ("one style window changed", changed)):
        for stage in run.stages:
            parts = [float(getattr(stage, part)) for part in PARTS]
            rows.append((name, stage.name, len(stage.jobs), *parts, sum(parts)))
        rows.append((name, "DVC, make, stopping", "", *[""] * len(PARTS), run.rest))
        jobs = sum(len(stage.jobs) for stage in run.stages)
        rows.append((name, "**all**", jobs, *map(run.total, PARTS), run.seconds))
    rows.append(("nothing to do", "**all**", 0, *[""] * len(PARTS), idle))
    done = sum(len(stage.jobs) for stage in changed.stages)
    share, orchestration = (100 * part / whole.seconds for part in (whole.not_optimising, whole.orchestration))
    targets = (
        Target("make repro from nothing", TOTAL_MINUTES, _once(whole.seconds / 60), "min"),
        Target("make repro: all that is not optimisation", ORCHESTRATION, _once(share), "% of it"),
        Target("make repro: all that is not the jobs' own work", ORCHESTRATION, _once(orchestration), "% of it"),
        Target("one style window changed: beyond optimising", CHANGE_SECONDS, _once(changed.not_optimising), "s"),
        Target("one style window changed: jobs that ran", own_jobs, _once(done), ""),
        Target("make repro with nothing to do", UP_TO_DATE_SECONDS, idle, "s"),
    )
    notes: tuple[str, ...] = (
        "*Steps*, *targets* and *metrics* are what the jobs themselves report, divided by the jobs side by side.  "
        "Optimisation is steps and targets: all from a job's originals to its picture.  *Metrics*: how near that "
        "picture is, in float32.  *Between the jobs*: handing out, storing, and workers that wait for the last job.",
    )
    if params:
        notes += (f"With the parameters of {params.name}, so not the study that the targets are about.",)
    return Section("The whole study: `make repro`", COLUMNS, tuple(rows), targets, notes)


def _once(value: float) -> Spread:
    return Spread.of([value])
