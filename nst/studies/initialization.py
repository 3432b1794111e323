"""Noise, content or AdaIN as the starting picture: quality after equal iterations, and time to equal quality.

The runs are timed one at a time, after a warm-up, the starts in turn, so that their times can be compared.
"""

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nst.engine import images
from nst.engine.jobs import Init, Job
from nst.engine.results import Result
from nst.params import Pair, Params
from nst.studies import figures, tables
from nst.studies.originals import Original, of_pair, of_pairs, pair_name

if TYPE_CHECKING:
    import pandas as pd

Run = tuple[Pair, int, Init]
"""Pair, seed and start of a run."""
Group = tuple[Pair, Init]
"""Pair and start of several runs, which differ in their seed."""

ALONE = True
TARGET_MARGIN = 1.05
"""The target loss is this multiple of the worst run's last loss, so that every run reaches it."""
ALL_PAIRS = "all"
"""The pair in rows over the runs of all pairs."""
QUALITY = ("content_distance", "style_distance", "ssim", "final_loss", "iterations_to_target")
"""Means in starts.csv, which repeat exactly."""
SPEED = ("seconds", "start_seconds", "ms_per_iteration", "seconds_to_target")
"""Means in speed.csv, which are timed."""
HEADLINE = ("iterations_to_target", "content_distance", "style_distance")
"""Means in headline.json."""


def originals(params: Params) -> list[Original]:
    """All pictures it starts from."""
    return of_pairs(params.initialization.pairs, params.initialization.size)


def jobs(params: Params, results: Mapping[Job, Result]) -> list[Job]:
    """Every pair, seed and start; the starts in turn, so that a slow minute of the machine affects all of them."""
    del results
    return list(_runs(params).values())


def target_loss(runs: Sequence[Result]) -> float:
    """The loss that all runs of a pair reach: `TARGET_MARGIN` times the highest of their last losses."""
    return TARGET_MARGIN * max(run.losses[-1] for run in runs)


def iterations_to(result: Result, target: float) -> int:
    """Iterations after which the loss was first at or below `target`."""
    return next(index for index, loss in enumerate(result.losses) if loss <= target)


def write(params: Params, results: Mapping[Job, Result], data: Path, folder: Path) -> None:
    """Tables, loss against iterations and against time, and the starts' pictures side by side."""
    runs = {key: results[job] for key, job in _runs(params).items()}
    groups = _groups(params, runs)
    targets = {
        pair: target_loss([run for (one, _), group in groups.items() if one == pair for run in group])
        for pair in params.initialization.pairs
    }
    each_run = _table_of_runs(runs, targets)
    quality, speed = _means(each_run, QUALITY), _means(each_run, SPEED)
    starts = quality[quality["pair"] == ALL_PAIRS].drop(columns="pair").set_index("init").to_dict("index")

    tables.write(runs.values(), folder)
    losses = _by_iteration("loss", (run for group in groups.values() for run in group), lambda run: run.losses)
    tables.write_csv(losses, folder / "losses.csv")
    elapsed = _by_iteration("seconds", runs.values(), lambda run: run.timing.elapsed)
    tables.write_csv(elapsed, folder / "elapsed.csv", digits=4)
    tables.write_csv(_relative_losses(groups, targets), folder / "curves.csv")
    tables.write_csv(speed, folder / "speed.csv", digits=4)
    tables.write_csv(quality, folder / "starts.csv")
    tables.write_headline({f"{start}.{name}": row[name] for start, row in starts.items() for name in HEADLINE}, folder)
    tables.write_metrics(
        {"target_loss": {pair_name(*pair): loss for pair, loss in targets.items()}, "starts": starts}, folder
    )
    _draw_losses(groups, targets, folder / figures.FOLDER)
    _draw_starts(params, groups, data, folder / figures.FOLDER / "starts.webp")


def _groups(params: Params, runs: Mapping[Run, Result]) -> dict[Group, list[Result]]:
    section = params.initialization
    return {
        (pair, start): [runs[pair, seed, start] for seed in section.seeds]
        for pair in section.pairs
        for start in section.inits
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


def _table_of_runs(runs: Mapping[Run, Result], targets: Mapping[Pair, float]) -> "pd.DataFrame":
    """One row a run: its pair, its start, and all that `_means` averages."""
    import pandas as pd

    rows = []
    for (pair, _, start), run in runs.items():
        needed = iterations_to(run, targets[pair])
        rows.append(
            {
                "pair": pair_name(*pair),
                "init": start,
                **run.quality.numbers(),
                "iterations_to_target": needed,
                "seconds": run.timing.seconds,
                "start_seconds": run.timing.start_seconds,
                "ms_per_iteration": 1000 * run.timing.seconds_per_iteration,
                "seconds_to_target": run.timing.elapsed[needed],
            }
        )
    return pd.DataFrame(rows)


def _means(runs: "pd.DataFrame", columns: Sequence[str]) -> "pd.DataFrame":
    """Mean and standard deviation of each start, by pair and over all runs."""
    import pandas as pd

    every = pd.concat([runs, runs.assign(pair=ALL_PAIRS)])
    groups = every.groupby(["pair", "init"], sort=False)
    means = groups.size().to_frame("runs")
    for name in columns:
        means[name] = groups[name].mean()
        means[f"{name}_sd"] = groups[name].std().fillna(0.0)  # of a single run
    return means.reset_index()


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
        (pair, seed, start): section.job(
            "transfer",
            content=pair[0],
            style=pair[1],
            content_layers=(section.content_layer,),
            style_layers=section.style_layers,
            init=start,
            seed=seed if start == "noise" else 0,
            # Starts without noise give the same picture every time.  They run as often, for their times.
            run=0 if start == "noise" else index,
        )
        for pair in section.pairs
        for index, seed in enumerate(section.seeds)
        for start in section.inits
    }
