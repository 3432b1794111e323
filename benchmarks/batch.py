"""Batching: iterations of one, two and four jobs at once, at the size of the study."""

from collections.abc import Callable
from statistics import mean

from benchmarks import steps
from benchmarks.table import Cell, Section, Spread
from flows.settings import cores

COUNTS = (1, 2, 4)
SIZE = 192
ITERATIONS = 5
ROUNDS = 8
"""Turns that count, after one that warms up."""


def measure(say: Callable[[str], None]) -> Section:
    """All batch sizes, taking turns, with one thread and with all cores."""
    from nst.engine.machine import machine
    from nst.engine.run import run_jobs

    job, inputs = steps.prepare(SIZE, "auto", ITERATIONS)
    rows: list[tuple[Cell, ...]] = []
    for threads in sorted({1, cores()}):
        say(f"{threads} thread{'s' * (threads > 1)}")
        times: dict[int, list[float]] = {count: [] for count in COUNTS}
        for _ in range(1 + ROUNDS):
            for count in COUNTS:
                results = run_jobs([job] * count, [inputs] * count, threads=threads, pixel_metrics=False)
                times[count].append(mean(result.timing.seconds_per_iteration for result in results))
        for count, found in times.items():
            milliseconds = Spread.of(1000 * seconds for seconds in found[1:])
            rows.append((count, threads, milliseconds, Spread.of(1 / seconds for seconds in found[1:])))
    columns = ("jobs at once", "threads", "ms an iteration of one", "iterations a second")
    notes = (f"{SIZE}×{SIZE} px, {machine().precision}, to {steps.DEEPEST}: a job's share of a batch's iteration.",)
    return Section("Batching", columns, tuple(rows), notes=notes)
