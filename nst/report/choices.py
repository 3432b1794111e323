"""What the studies choose, each in one line: the winner, its number with an interval, and what it is not told from."""

from dataclasses import dataclass

import pandas as pd

from nst.engine.layers import layer_number
from nst.report.numbers import interval
from nst.report.run import Run, Study
from nst.studies.choices import Choice


@dataclass(frozen=True)
class ShownChoice(Choice):
    """A choice that a study made, as it is shown."""

    what: str
    number: str
    """What the winner has, with its interval or what it is over."""

    def told_apart(self, candidate: str) -> str:
        """Of a candidate, for tables."""
        return "winner" if candidate == self.winner else "no" if candidate in self.alike else "yes"


def choices(run: Run) -> dict[str, ShownChoice]:
    """By study."""
    return {
        "reconstruction": _shown("Best layer", run.studies["reconstruction"]),
        "synthesis": _shown("Best window", run.studies["synthesis"]),
        "transfer": _shown("Recommended layers", run.studies["transfer"]),
    }


def _shown(what: str, study: Study) -> ShownChoice:
    choice = Choice.from_dict(study.metrics)
    best = choice.numbers[choice.winner]
    own = f"{choice.compared} {interval(best)}, " if best.high > best.low else ""
    return ShownChoice(**vars(choice), what=what, number=f"{own}{best.n} runs")


def layer_title(layer: str) -> str:
    """``10 · conv4_2``."""
    return f"{layer_number(layer)} · {layer}"


def is_recommended(run: Run) -> "pd.Series[bool]":
    """Of each cell of the transfer grid."""
    names = run.cells["content_layer"] + " | " + run.cells["style_layers"]
    chosen: pd.Series[bool] = names == run.studies["transfer"].metrics["best"]
    return chosen
