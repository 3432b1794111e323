"""Noise against content against AdaIN as the starting picture: quality after equal iterations, and time to equal
quality.

The runs are timed one at a time, after a warm-up, the starts in turn, so that their times can be compared.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nst.engine import images
from nst.engine.jobs import Init, Job
from nst.engine.results import Result, known
from nst.params import Pair, Params
from nst.studies import figures, tables
from nst.studies.originals import Original, of_pair, of_pairs, pair_name

ALONE = True
TARGET_MARGIN = 1.05
"""The target is this much above the worst run's last loss, so that every run reaches it."""
ALL_PAIRS = "all"
"""Stands for the pair in rows over the runs of all pairs."""


def originals(params: Params) -> list[Original]:
    """All pictures it starts from."""
    return of_pairs(params.initialization.pairs, params.initialization.size)


def jobs(params: Params, results: Mapping[Job, Result]) -> list[Job]:
    """Every pair, seed and start; the starts in turn, so that a slow minute of the machine meets all of them."""
    del results
    return list(_runs(params).values())


def target_loss(runs: Sequence[Result]) -> float:
    """The loss that all runs of a pair reach: 5 % above the highest of their last losses."""
    return TARGET_MARGIN * max(run.losses[-1] for run in runs)


def iterations_to(result: Result, target: float) -> int:
    """Iterations after which the loss was first at or below `target`."""
    return next(index for index, loss in enumerate(result.losses) if loss <= target)


def write(params: Params, results: Mapping[Job, Result], data: Path, folder: Path) -> None:
    """Tables, loss against iterations and against time, and the starts' pictures side by side."""
    section = params.initialization
    runs = _runs(params)
    tables.write((results[job] for job in runs.values()), folder)
    by_pair = {
        pair: {start: [results[runs[pair, seed, start]] for seed in section.seeds] for start in section.inits}
        for pair in section.pairs
    }
    targets = {pair: target_loss([run for each in starts.values() for run in each]) for pair, starts in by_pair.items()}

    target = folder / figures.FOLDER
    titles = {pair: pair_name(*pair) for pair in section.pairs}
    for axis in ("iterations", "seconds"):
        figures.loss_curves(
            {
                titles[pair]: {
                    start: [
                        (run.timing.elapsed if axis == "seconds" else range(len(run.losses)), run.losses)
                        for run in each
                    ]
                    for start, each in starts.items()
                }
                for pair, starts in by_pair.items()
            },
            x_label=axis,
            path=target / f"loss_{axis}.png",
            targets={titles[pair]: value for pair, value in targets.items()},
        )
    sheet = []
    for names, starts in by_pair.items():
        inputs = [original.read(data) for original in of_pair(names, section.size)]
        sheet.append([*inputs, *(images.from_png(each[0].png) for each in starts.values())])
    figures.save(
        figures.contact_sheet(sheet, column_labels=["content", "style", *(f"from {start}" for start in section.inits)]),
        target / "starts.webp",
    )

    losses = [
        {"job": run.job.name, "iteration": index, "loss": loss}
        for starts in by_pair.values()
        for each in starts.values()
        for run in each
        for index, loss in enumerate(run.losses)
    ]
    tables.write_csv(losses, folder / "losses.csv")
    elapsed = [
        {"job": results[job].job.name, "iteration": index, "seconds": seconds}
        for job in runs.values()
        for index, seconds in enumerate(results[job].timing.elapsed)
    ]
    tables.write_csv(elapsed, folder / "elapsed.csv", digits=4)
    tables.write_csv(_relative_losses(by_pair, targets), folder / "curves.csv")
    quality, timing = _summaries(section.inits, by_pair, targets)
    tables.write_csv(timing, folder / "speed.csv", digits=4)
    tables.write_csv(quality, folder / "starts.csv")
    tables.write_headline(
        {
            f"{row['init']}.{name}": row[name]
            for row in quality
            if row["pair"] == ALL_PAIRS
            for name in ("iterations_to_target", "content_distance", "style_distance")
        },
        folder,
    )
    tables.write_metrics(
        {
            "target_loss": {titles[pair]: value for pair, value in targets.items()},
            "starts": {
                row["init"]: {key: value for key, value in row.items() if key not in ("pair", "init")}
                for row in quality
                if row["pair"] == ALL_PAIRS
            },
        },
        folder,
    )


def _relative_losses(
    by_pair: Mapping[Pair, Mapping[Init, Sequence[Result]]], targets: Mapping[Pair, float]
) -> Iterator[dict[str, float]]:
    """By iteration, the mean loss of each start's runs, each loss as a multiple of its pair's target."""
    runs = {
        start: [(run, targets[pair]) for pair, starts in by_pair.items() for run in starts[start]]
        for start in next(iter(by_pair.values()))
    }
    for index in range(min(len(run.losses) for each in runs.values() for run, _ in each)):
        means: dict[str, float] = {
            start: statistics.fmean(run.losses[index] / loss for run, loss in each) for start, each in runs.items()
        }
        yield {"iteration": index, **means}


def _summaries(
    inits: Sequence[Init],
    by_pair: Mapping[Pair, Mapping[Init, Sequence[Result]]],
    targets: Mapping[Pair, float],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Mean and standard deviation of each start, by pair and over all runs: (what repeats exactly, what is timed)."""
    quality: list[dict[str, Any]] = []
    timing: list[dict[str, Any]] = []
    for pair in (*by_pair, None):
        name = pair_name(*pair) if pair else ALL_PAIRS
        for start in inits:
            runs = [
                (run, targets[one]) for one, starts in by_pair.items() if pair in (one, None) for run in starts[start]
            ]
            needed = [iterations_to(run, loss) for run, loss in runs]
            quality.append(
                {
                    "pair": name,
                    "init": start,
                    "runs": len(runs),
                    **_spread("content_distance", [known(run.quality.content_distance) for run, _ in runs]),
                    **_spread("style_distance", [known(run.quality.style_distance) for run, _ in runs]),
                    **_spread("ssim", [known(run.quality.ssim) for run, _ in runs]),
                    **_spread("final_loss", [run.quality.final_loss for run, _ in runs]),
                    **_spread("iterations_to_target", needed),
                }
            )
            timing.append(
                {
                    "pair": name,
                    "init": start,
                    "runs": len(runs),
                    **_spread("seconds", [run.timing.seconds for run, _ in runs]),
                    **_spread("start_seconds", [run.timing.start_seconds for run, _ in runs]),
                    **_spread("ms_per_iteration", [1000 * run.timing.seconds_per_iteration for run, _ in runs]),
                    **_spread(
                        "seconds_to_target",
                        [run.timing.elapsed[count] for (run, _), count in zip(runs, needed, strict=True)],
                    ),
                }
            )
    return quality, timing


def _spread(name: str, values: Sequence[float]) -> dict[str, float]:
    return {
        name: statistics.fmean(values),
        f"{name}_sd": statistics.stdev(values) if len(values) > 1 else 0.0,
    }


def _runs(params: Params) -> dict[tuple[Pair, int, Init], Job]:
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
            # Starts without noise give the same picture every time; they are run as often, for their times.
            run=0 if start == "noise" else index,
        )
        for pair in section.pairs
        for index, seed in enumerate(section.seeds)
        for start in section.inits
    }
