"""What the studies of a params.yaml take on this machine, before anything runs."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from nst import params, studies
from nst.api import speed
from nst.engine import batches, images, memory, weights
from nst.engine.inputs import Inputs, inputs
from nst.engine.jobs import Job
from nst.engine.machine import machine, precision_of


@dataclass(frozen=True)
class Plan:
    """A study's first jobs."""

    study: str
    alone: bool
    """Its jobs run one at a time."""
    assumed: bool
    """Its layers will be found by the transfer study, and are others here, which take about as long."""
    jobs: tuple[tuple[Job, Inputs], ...]


@dataclass(frozen=True)
class Estimate:
    """What a study takes."""

    plan: Plan
    size: int
    """Longest side of its largest picture, px."""
    seconds: float
    memory: float
    """Bytes of its largest job, of one worker."""


def plans(path: Path, data: Path, reports: Path) -> list[Plan]:
    """All studies of a params.yaml, when all that can be wrong with it and its pictures has been looked for.

    Raises:
        NSTError: it cannot be used.
    """
    resolved = studies.resolve(params.load(path), reports)
    wanted = studies.assume(resolved)
    weights.check(wanted.weights)
    found = []
    for name in studies.STUDIES:
        for original in studies.load(name).originals(wanted):
            original.read(data)
        jobs = studies.first_jobs(name, wanted)
        assumed = getattr(wanted, name) != getattr(resolved, name)
        alone = any(job.timed for job in jobs)
        found.append(Plan(name, alone, assumed, tuple((job, inputs(job, data)) for job in jobs)))
    return found


def estimates(found: Sequence[Plan], workers: int) -> list[Estimate]:
    """What each study takes with so many workers of one thread each, from one job that is run now for a few iterations.

    A rough guess: jobs side by side slow each other down, some studies want a few more jobs when they have results, and
    jobs that are finished already cost nothing.

    Raises:
        CapacityError: a worker's share of this machine's memory is too little for a job.
    """
    share = psutil.virtual_memory().total / workers
    every = sorted((each for plan in found for each in plan.jobs), key=lambda each: _cost(*each) / each[0].iterations)
    for job, given in every if machine().device == "cpu" else ():
        width, height = images.png_size(given.shape)
        memory.check(job, height, width, precision_of(job, machine()), share)
    rate, measuring = _measure(*every[len(every) // 2])  # a job of middling cost
    told = []
    for plan in found:
        seconds = sum(rate * _cost(*each) + measuring * _pixels(each[1]) for each in plan.jobs)
        told.append(
            Estimate(
                plan,
                max(job.size for job, _ in plan.jobs),
                seconds / (1 if plan.alone else workers),
                max(_memory(*each) for each in plan.jobs),
            )
        )
    return told


def _measure(job: Job, given: Inputs) -> tuple[float, float]:
    """Seconds of an iteration for each unit of cost, and of measuring for each pixel, with nothing else to do.

    On a CPU it is processor time that is read, of one thread, so that what else runs now does not count.
    """
    clock = time.process_time if machine().device == "cpu" else time.perf_counter
    return speed(job, given, threads=1, clock=clock)


def cores() -> int:
    """As many workers as studies start by default."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cost(job: Job, given: Inputs) -> float:
    return batches.cost(job, given.shape)


def _pixels(given: Inputs) -> int:
    width, height = images.png_size(given.shape)
    return width * height


def _memory(job: Job, given: Inputs) -> float:
    width, height = images.png_size(given.shape)
    return memory.estimate(job, height, width, precision_of(job, machine()))
