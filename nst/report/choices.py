"""What the studies choose, each in one line: the winner, its number with an interval, and what it is not told from."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from nst.engine.layers import layer_number
from nst.report.numbers import interval
from nst.report.run import Run, Study
from nst.studies.intervals import Interval


@dataclass(frozen=True)
class Choice:
    """A choice that a study made."""

    what: str
    winner: str
    number: str
    """What the winner has, with its interval or what it is over."""
    alike: tuple[str, ...]
    """Candidates that the runs cannot tell from it."""
    rule: str
    compared: str
    """What `numbers` are."""
    numbers: Mapping[str, Interval]
    """By candidate."""

    def told_apart(self, candidate: str) -> str:
        """Of a candidate, for tables."""
        return "winner" if candidate == self.winner else "no" if candidate in self.alike else "yes"


def choices(run: Run) -> dict[str, Choice]:
    """By study."""
    return {
        "reconstruction": _choice("Best layer", run.studies["reconstruction"]),
        "synthesis": _choice("Best window", run.studies["synthesis"]),
        "transfer": _choice("Recommended layers", run.studies["transfer"]),
    }


def _choice(what: str, study: Study) -> Choice:
    metrics = study.metrics
    numbers = {name: Interval(**values) for name, values in metrics["numbers"].items()}
    best = numbers[metrics["best"]]
    own = f"{metrics['compared']} {interval(best)}, " if best.high > best.low else ""
    return Choice(
        what,
        metrics["best"],
        f"{own}{best.n} runs",
        tuple(metrics["alike"]),
        metrics["rule"],
        metrics["compared"],
        numbers,
    )


def layer_title(layer: str) -> str:
    """``10 · conv4_2``."""
    return f"{layer_number(layer)} · {layer}"


def is_recommended(run: Run) -> "pd.Series[bool]":
    """Of each cell of the transfer grid."""
    names = run.cells["content_layer"] + " | " + run.cells["style_layers"]
    chosen: pd.Series[bool] = names == run.studies["transfer"].metrics["best"]
    return chosen
