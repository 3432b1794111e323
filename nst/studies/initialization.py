"""Noise, content or AdaIN as the starting picture: quality at equal iterations, at equal loss and in the end; and time.

The runs that are timed have nothing beside them, after a warm-up, the starts in turn, so that their times compare.
Then each start runs to the same loss, and for long.
"""

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nst.engine import images
from nst.engine.jobs import Init, Job
from nst.engine.results import Result
from nst.params import Pair, Params
from nst.studies import figures, intervals, tables
from nst.studies.originals import Original, of_pair, of_pairs, pair_name

Run = tuple[Pair, int, Init]
"""Pair, seed and start of a run."""
Group = tuple[Pair, Init]
"""Pair and start of several runs, which differ in their seed."""

TARGET_MARGIN = 1.05
"""The target loss is this multiple of the worst run's last loss, so that every run reaches it."""
QUALITY = ("content_distance", "style_distance", "ssim", "st_lpips")
"""What pictures are compared by."""
REFERENCE: Init = "noise"
"""The start that others are compared with, where it is one of those that are run; else the first one."""


def originals(params: Params) -> list[Original]:
    """All pictures it starts from."""
    return of_pairs(params.initialization.pairs, params.initialization.size)


def jobs(params: Params, results: Mapping[Job, Result]) -> list[Job]:
    """Every pair, seed and start, timed; the starts in turn, so that a slow minute of the machine affects all of them.

    Then the runs to an equal loss, and the long ones.
    """
    runs = _runs(params)
    if not all(job in results for job in runs.values()):
        return list(runs.values())
    targets = _targets(params, {key: results[job] for key, job in runs.items()})
    return list(dict.fromkeys([*runs.values(), *_to_target(params, targets).values(), *_long(params).values()]))


def target_loss(runs: Sequence[Result]) -> float:
    """The loss that all runs of a pair reach: `TARGET_MARGIN` times the highest of their last losses; four digits."""
    return float(f"{TARGET_MARGIN * max(run.losses[-1] for run in runs):.4g}")


def iterations_to(result: Result, target: float) -> int:
    """Iterations after which the loss was first at or below `target`."""
    return next(index for index, loss in enumerate(result.losses) if loss <= target)


def write(params: Params, results: Mapping[Job, Result], data: Path, folder: Path) -> None:
    """Tables, loss against iterations and against time, and the starts' pictures side by side."""
    runs = {key: results[job] for key, job in _runs(params).items()}
    targets = _targets(params, runs)
    to_target = {key: results[job] for key, job in _to_target(params, targets).items()}
    long = {key: results[job] for key, job in _long(params).items()}
    groups = _groups(params, runs)
    quality, speed = _compare(params, runs, to_target, long, targets), _compare_times(params, runs, targets)

    tables.write((results[job] for job in jobs(params, results)), folder)
    losses = _by_iteration("loss", (run for group in groups.values() for run in group), lambda run: run.losses)
    tables.write_csv(losses, folder, "losses.csv")
    elapsed = _by_iteration("seconds", runs.values(), lambda run: run.timing.elapsed)
    tables.write_csv(elapsed, folder, "elapsed.csv", digits=4)
    tables.write_csv(_relative_losses(groups, targets), folder, "curves.csv")
    tables.write_csv(quality, folder, "starts.csv")
    tables.write_csv(speed, folder, "speed.csv", digits=4)
    tables.write_headline(list(runs.values()), folder)
    tables.write_metrics({"target_loss": {pair_name(*pair): loss for pair, loss in targets.items()}}, folder)
    _draw_losses(groups, targets, folder / figures.FOLDER)
    _draw_starts(params, groups, data, folder / figures.FOLDER / "starts.webp")


def reference(inits: Sequence[str]) -> str:
    """The start that the others are compared with."""
    return REFERENCE if REFERENCE in inits else inits[0]


def _compare(
    params: Params,
    runs: Mapping[Run, Result],
    to_target: Mapping[Run, Result],
    long: Mapping[Run, Result],
    targets: Mapping[Pair, float],
) -> list[dict[str, Any]]:
    """Rows of starts.csv: what repeats exactly."""
    section = params.initialization
    at = {
        f"after {section.iterations} iterations": runs,
        "at equal loss": to_target,
        f"after {section.long_iterations} iterations": long,
    }
    rows = []
    for when, some in at.items():
        for name in QUALITY:
            values = {key: getattr(run.quality, name) for key, run in some.items()}
            if None not in values.values():  # as for pictures that are too small for a metric
                rows += _rows(section.inits, when, name, values)
    needed = {key: float(iterations_to(run, targets[key[0]])) for key, run in runs.items()}
    return rows + _rows(section.inits, "to equal loss", "iterations", needed)


def _compare_times(params: Params, runs: Mapping[Run, Result], targets: Mapping[Pair, float]) -> list[dict[str, Any]]:
    """Rows of speed.csv: what was timed."""
    inits = params.initialization.inits
    seconds = {key: run.timing.elapsed[iterations_to(run, targets[key[0]])] for key, run in runs.items()}
    whole = {key: run.timing.seconds for key, run in runs.items()}
    made = {key: run.timing.start_seconds for key, run in runs.items()}
    when = f"for {params.initialization.iterations} iterations"
    return [
        *_rows(inits, "to equal loss", "seconds", seconds),
        *_rows(inits, when, "seconds", whole),
        *_rows(inits, "for the start", "seconds", made),
    ]


def _rows(inits: Sequence[Init], when: str, name: str, values: Mapping[Run, float]) -> list[dict[str, Any]]:
    """A quantity of each start: its mean, and its difference from the reference, of the same pairs and seeds."""
    by_start: dict[str, list[float]] = {
        init: [value for (_, _, one), value in values.items() if one == init] for init in inits
    }
    base = by_start[reference(inits)]
    rows = []
    for init, found in by_start.items():
        apart = intervals.difference(found, base)
        row: dict[str, Any] = {"when": when, "quantity": name, "init": init, "runs": apart.n}
        rows.append({**row, "mean": statistics.fmean(found), "difference": apart.mean} | _bounds(apart))
    return rows


def _bounds(interval: intervals.Interval) -> dict[str, float]:
    return {"low": interval.low, "high": interval.high}


def _groups(params: Params, runs: Mapping[Run, Result]) -> dict[Group, list[Result]]:
    section = params.initialization
    return {
        (pair, start): [runs[pair, seed, start] for seed in section.seeds]
        for pair in section.pairs
        for start in section.inits
    }


def _targets(params: Params, runs: Mapping[Run, Result]) -> dict[Pair, float]:
    return {
        pair: target_loss([run for (one, _, _), run in runs.items() if one == pair])
        for pair in params.initialization.pairs
    }


def _by_iteration(
    name: str, runs: Iterable[Result], values: Callable[[Result], Sequence[float]]
) -> Iterator[dict[str, Any]]:
    """One row for each iteration of each run, from 0 at the start."""
    for run in runs:
        for iteration, value in enumerate(values(run)):
            yield {"job": run.job.name, "iteration": iteration, name: value}


def _relative_losses(
    groups: Mapping[Group, Sequence[Result]], targets: Mapping[Pair, float]
) -> Iterator[dict[str, float]]:
    """For each iteration, the mean over each start's runs of their loss divided by their pair's target."""
    relative: dict[str, list[list[float]]] = {}
    for (pair, start), runs in groups.items():
        relative.setdefault(start, []).extend([loss / targets[pair] for loss in run.losses] for run in runs)
    for iteration in range(min(len(run.losses) for runs in groups.values() for run in runs)):
        means = {start: statistics.fmean(losses[iteration] for losses in each) for start, each in relative.items()}
        yield {"iteration": iteration, **means}


def _draw_losses(groups: Mapping[Group, Sequence[Result]], targets: Mapping[Pair, float], target: Path) -> None:
    """loss_iterations.png and loss_seconds.png."""
    axes: dict[str, Callable[[Result], Sequence[float]]] = {
        "iterations": lambda run: range(len(run.losses)),
        "seconds": lambda run: run.timing.elapsed,
    }
    for axis, values in axes.items():
        panels: dict[str, dict[str, list[tuple[Sequence[float], Sequence[float]]]]] = {}
        for (pair, start), runs in groups.items():
            panels.setdefault(pair_name(*pair), {})[start] = [(values(run), run.losses) for run in runs]
        figures.loss_curves(
            panels,
            x_label=axis,
            path=target / f"loss_{axis}.png",
            targets={pair_name(*pair): loss for pair, loss in targets.items()},
        )


def _draw_starts(params: Params, groups: Mapping[Group, Sequence[Result]], data: Path, path: Path) -> None:
    """One row a pair: its originals, and the first picture from each start."""
    section = params.initialization
    rows = [
        [
            *(original.read(data) for original in of_pair(pair, section.size)),
            *(images.from_png(groups[pair, start][0].png) for start in section.inits),
        ]
        for pair in section.pairs
    ]
    columns = ["content", "style", *(f"from {start}" for start in section.inits)]
    figures.save(figures.contact_sheet(rows, column_labels=columns), path)


def _runs(params: Params) -> dict[Run, Job]:
    section = params.initialization
    return {
        (pair, seed, start): _job(
            params,
            pair,
            seed,
            start,
            timed=True,
            # Starts without noise give the same picture every time.  They run as often, for their times.
            run=0 if start == "noise" else index,
        )
        for pair in section.pairs
        for index, seed in enumerate(section.seeds)
        for start in section.inits
    }


def _to_target(params: Params, targets: Mapping[Pair, float]) -> dict[Run, Job]:
    return {
        (pair, seed, start): _job(params, pair, seed, start, stop_loss=targets[pair])
        for pair, seed, start in _runs(params)
    }


def _long(params: Params) -> dict[Run, Job]:
    """From the first seed alone: they take the longest."""
    section = params.initialization
    return {
        (pair, section.seeds[0], start): _job(params, pair, section.seeds[0], start, iterations=section.long_iterations)
        for pair in section.pairs
        for start in section.inits
    }


def _job(params: Params, pair: Pair, seed: int, start: Init, **changes: Any) -> Job:
    section = params.initialization
    return section.job(
        "transfer",
        content=pair[0],
        style=pair[1],
        content_layers=(section.content_layer,),
        style_layers=section.style_layers,
        init=start,
        seed=seed if start == "noise" else 0,
        **changes,
    )
