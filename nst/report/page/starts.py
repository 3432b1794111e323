"""The initialization study: its pictures by pair and start, and its losses over iterations and seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nst.params import Params
from nst.report.findings.phrases import start_name
from nst.report.findings.records import Results, Run
from nst.report.page import charts, sources
from nst.report.page.pictures import Shown
from nst.report.wording import number
from nst.studies.originals import pair_name

Trace = tuple[Sequence[float], Sequence[float]]
"""Of one run: seconds, and the loss that was known after them; the first entry is the start picture's."""


@dataclass(frozen=True)
class PairOfStarts:
    """What came of a pair of pictures from each start."""

    name: str
    originals: tuple[Shown, ...]
    results: tuple[Shown, ...]
    """One a start, in their order."""
    over_iterations: str
    """SVG."""
    over_seconds: str
    """SVG."""


def pairs(
    params: Params, results: Results, traces: Mapping[str, Trace], reports: Path, data: Path
) -> tuple[PairOfStarts, ...]:
    """One a pair.

    Args:
        traces: by name of the job.
    """
    study = results.studies["initialization"]
    told = []
    for content, style in params.initialization.pairs:
        name = pair_name(content, style)
        runs = {
            init: [run for run in study.runs if (run.content, run.style, run.init) == (content, style, init)]
            for init in results.inits
        }
        target = study.metrics["target_loss"][name]
        told.append(
            PairOfStarts(
                name,
                sources.pair(data, content, style),
                tuple(_measured(reports, each[0]) for each in runs.values()),
                charts.loss_curves(
                    name,
                    {
                        start_name(init): [
                            charts.Curve(range(len(traces[run.job][1])), traces[run.job][1]) for run in each
                        ]
                        for init, each in runs.items()
                    },
                    x_label="iterations",
                    target=target,
                ),
                charts.loss_curves(
                    name,
                    {start_name(init): [charts.Curve(*traces[run.job]) for run in each] for init, each in runs.items()},
                    x_label="seconds",
                    target=target,
                ),
            )
        )
    return tuple(told)


def painted(reports: Path, run: Run) -> Shown:
    """What came of a start."""
    name = start_name(run.init)
    return Shown(
        sources.result(reports, "initialization", run),
        f"{run.content} painted as {run.style}, from {name}.",
        f"from {name}",
        href=sources.href("initialization", run),
    )


def _measured(reports: Path, run: Run) -> Shown:
    return replace(
        painted(reports, run),
        numbers=(
            ("content distance", number(run.content_distance)),
            ("style distance", number(run.style_distance)),
            ("SSIM", number(run.ssim)),
        ),
        key=run.init,
    )
