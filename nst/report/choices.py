"""What the studies choose, and whether the margin is more than what another noise changes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from nst.engine.layers import layer_number
from nst.report.numbers import NOTHING, number
from nst.report.run import Run, Study
from nst.report.texts import label
from nst.studies.choices import cell_name

DISTANCES = ("content_distance", "style_distance")


@dataclass(frozen=True)
class Choice:
    """A choice that a study made."""

    what: str
    winner: str
    numbers: str
    """The winner's."""
    rule: str
    runner_up: str
    """With its numbers."""
    margin: str
    """How much one number would have to change for the runner-up to win."""
    spread: str
    """How much another noise changes this number."""
    beyond_noise: Literal["yes", "no", "not known"]
    """Whether the margin is larger than the spread."""


def choices(run: Run) -> dict[str, Choice]:
    """By study."""
    reconstruction, synthesis = run.studies["reconstruction"], run.studies["synthesis"]
    layer, window = reconstruction.metrics["best_layer"], synthesis.metrics["best_window"]
    return {
        "reconstruction": of_place("Best layer", reconstruction, layer, place="content_layer", metric="ssim"),
        "synthesis": of_place("Best window", synthesis, window, place="style_layers", metric="style_distance"),
        "transfer": recommended_cell(run),
    }


def of_place(what: str, study: Study, winner: str, *, place: str, metric: str) -> Choice:
    """A layer or window that was chosen by one metric of the first original; others were repeated from other noises."""
    original = "content" if place == "content_layer" else "style"
    runs = study.runs[study.runs[original] == study.runs[original].iloc[0]]
    values = {str(key): each for key, each in runs.groupby(place)[metric]}
    unit = label(metric).title
    runner_up = study.metrics["runner_up"]
    return _choice(
        what,
        f"{layer_number(winner)} · {winner}" if place == "content_layer" else winner,
        f"{unit} {number(values[winner].iloc[0])}",
        f"{runner_up}: {unit} {number(values[runner_up].iloc[0])}" if runner_up else NOTHING,
        study.metrics,
        spread=float(values[winner].max() - values[winner].min()) if len(values[winner]) > 1 else float("nan"),
        unit=unit,
    )


def recommended_cell(run: Run) -> Choice:
    """The transfer study's.

    Its cells are run once each.  What another noise changes is taken from the runs of the same pair and start in the
    initialization study: by how many ranks the winner would fall, were both distances a standard deviation larger.
    """
    study = run.studies["transfer"]
    runs, metrics = study.runs, study.metrics
    names = [cell_name(*both) for both in zip(runs["content_layer"], runs["style_layers"], strict=True)]
    by_name = runs.set_index(pd.Index(names))
    chosen = by_name[is_recommended(run).to_numpy()].iloc[0]
    repeated = run.starts[(run.starts["pair"] == chosen["pair"]) & (run.starts["init"] == chosen["init"])]
    more = repeated[list(DISTANCES)].std() / repeated[list(DISTANCES)].mean()
    others = by_name.drop(index=chosen.name)
    now = {key: 1 + int((others[key] < chosen[key]).sum()) for key in DISTANCES}
    then = {key: 1 + int((others[key] < chosen[key] * (1 + more[key])).sum()) for key in DISTANCES}

    def shown(cell: "pd.Series[Any]") -> str:
        return ", ".join(f"{label(key).title} {number(cell[key])}" for key in DISTANCES)

    runner_up = metrics["runner_up"]
    return _choice(
        "Recommended cell",
        f"{chosen['content_layer']} with {chosen['style_layers']}",
        f"{shown(chosen)} (ranks {now['content_distance']} and {now['style_distance']} of {len(runs)})",
        f"{runner_up}: {shown(by_name.loc[runner_up])}" if runner_up else NOTHING,
        metrics,
        spread=float(max(then.values()) - max(now.values())) if more.notna().all() else float("nan"),
        unit="ranks",
    )


def _choice(
    what: str, winner: str, numbers: str, runner_up: str, metrics: Mapping[str, Any], *, spread: float, unit: str
) -> Choice:
    margin = float("nan") if metrics["margin"] is None else float(metrics["margin"])
    beyond: Literal["yes", "no", "not known"] = "yes" if spread < margin else "no"
    return Choice(
        what,
        winner,
        numbers,
        metrics["rule"],
        runner_up,
        _with_unit(margin, unit),
        _with_unit(spread, unit),
        "not known" if math.isnan(margin) or math.isnan(spread) else beyond,
    )


def _with_unit(value: float, unit: str) -> str:
    if math.isnan(value):
        return NOTHING
    return f"{number(int(value) if value.is_integer() else value, 2)} ({unit})"


def is_recommended(run: Run) -> "pd.Series[bool]":
    """Of each run of the transfer study."""
    runs, chosen = run.studies["transfer"].runs, run.studies["transfer"].metrics["recommended"]
    layer, window = (runs[key] == chosen[key] for key in ("content_layer", "style_layers"))
    both: pd.Series[bool] = layer & window
    return both
