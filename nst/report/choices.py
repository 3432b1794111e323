"""What the studies choose, and whether the margin is more than what another noise changes."""

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from nst.engine.layers import layer_number
from nst.report.numbers import NOTHING, number
from nst.report.run import Run
from nst.studies.choices import cell_name


@dataclass(frozen=True)
class Choice:
    """A choice that a study made."""

    what: str
    winner: str
    numbers: str
    """The winner's."""
    rule: str
    runner_up: str
    margin: str
    """How much one number would have to change for the runner-up to win."""
    spread: str
    """How much another noise changes this number."""
    beyond_noise: Literal["yes", "no", "not known"]
    """Whether the margin is larger than the spread."""


def choices(run: Run) -> dict[str, Choice]:
    """By study."""
    return {"reconstruction": best_layer(run), "synthesis": best_window(run), "transfer": recommended_cell(run)}


def best_layer(run: Run) -> Choice:
    """The reconstruction study's."""
    study = run.studies["reconstruction"]
    metrics, best = study.metrics, study.metrics["best_layer"]
    of_best = study.runs[(study.runs["content_layer"] == best) & (study.runs["content"] == study.runs["content"].iloc[0])]
    return _choice(
        "Best layer",
        f"{layer_number(best)} · {best}",
        f"SSIM {number(of_best['ssim'].iloc[0])}, PSNR {number(of_best['psnr'].iloc[0])} dB",
        metrics,
        _range(of_best["ssim"]),
        "of SSIM",
    )


def best_window(run: Run) -> Choice:
    """The synthesis study's."""
    study = run.studies["synthesis"]
    metrics, best = study.metrics, study.metrics["best_window"]
    of_best = study.runs[(study.runs["style_layers"] == best) & (study.runs["style"] == study.runs["style"].iloc[0])]
    distances = of_best["style_distance"]
    return _choice(
        "Best window", best, f"style distance {number(distances.iloc[0])}", metrics, _range(distances), "of style distance"
    )


def recommended_cell(run: Run) -> Choice:
    """The transfer study's.

    Its cells are run once each.  What another noise changes is taken from the runs of the same pair from noise in the
    initialization study: by how many ranks the winner would fall, were both distances a standard deviation larger.
    """
    runs, metrics = run.studies["transfer"].runs, run.studies["transfer"].metrics
    chosen = metrics["recommended"]
    pair, init = runs[["pair", "init"]].iloc[0]
    repeated = run.starts[(run.starts["pair"] == pair) & (run.starts["init"] == init)]
    now, then = [], []
    for name in ("content_distance", "style_distance"):
        more = 1 + repeated[name].std() / repeated[name].mean()
        now.append(1 + int((runs[name] < chosen[name]).sum()))
        then.append(1 + int((runs[name] < chosen[name] * more).sum()) if pd.notna(more) else float("nan"))
    return _choice(
        "Recommended cell",
        f"{chosen['content_layer']} with {chosen['style_layers']}",
        f"content distance {number(chosen['content_distance'])} (rank {now[0]} of {len(runs)}), "
        f"style distance {number(chosen['style_distance'])} (rank {now[1]})",
        metrics,
        max(then) - max(now),
        "ranks",
    )


def _range(values: "pd.Series[float]") -> float:
    return float(values.max() - values.min()) if len(values) > 1 else float("nan")


def _choice(what: str, winner: str, numbers: str, metrics: Any, spread: float, unit: str) -> Choice:
    margin = metrics["margin"]
    known = margin is not None and pd.notna(spread)
    digits = 2 if unit != "ranks" else None

    def shown(value: float | None) -> str:
        if value is None or pd.isna(value):
            return NOTHING
        return f"{number(round(value) if unit == 'ranks' else value, digits)} {unit}"

    return Choice(
        what,
        winner,
        numbers,
        metrics["rule"],
        metrics["runner_up"] or NOTHING,
        shown(margin),
        shown(spread),
        ("yes" if spread < margin else "no") if known else "not known",
    )


def is_recommended(run: Run) -> "pd.Series[bool]":
    """Of each run of the transfer study."""
    study = run.studies["transfer"]
    chosen = study.metrics["recommended"]
    cells = [cell_name(*both) for both in zip(study.runs["content_layer"], study.runs["style_layers"], strict=True)]
    return pd.Series(cells) == cell_name(chosen["content_layer"], chosen["style_layers"])
