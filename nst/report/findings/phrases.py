"""Phrases and cells that more than one section needs."""

from collections.abc import Sequence

from nst.engine.layers import layer_number
from nst.report import wording
from nst.report.findings.records import Cell, Run, StudyResults
from nst.report.wording import NOTHING, count, listing, number, percent, rank_correlation, trend
from nst.studies.figures import FOLDER

NO_OTHER = "There was no other to choose."
SPREAD_EXCEEDS = "The spread exceeds the margin: another noise could have chosen otherwise."


def start_name(init: str) -> str:
    """As people write it."""
    return "AdaIN" if init == "adain" else init


def over_depth(label: str, unit: str, values: Sequence[float], names: Sequence[str], noun: str) -> str:
    if len(values) == 1:
        return f"{label} is {number(values[0])}{unit} at {noun} {names[0]}."
    correlation = rank_correlation(range(len(values)), values)
    return (
        f"{label} {trend(values)} from {number(values[0])}{unit} at {noun} {names[0]} to {number(values[-1])}{unit} at "
        f"{names[-1]} ({wording.strength(correlation, 'with depth')})."
    )


def certainty(margin: float | None, repeated: Sequence[float], label: str) -> str:
    """What the spread between noises says about a choice that hangs on `margin`."""
    if margin is None:
        return NO_OTHER
    if len(repeated) < 2:
        return "There are no repeated runs to set the margin against."
    spread = max(repeated) - min(repeated)
    head = f"Between {count(len(repeated), 'noise')} at the winner the {label} varies by {number(spread, 2)}"
    if spread >= margin:
        return f"{head}. {SPREAD_EXCEEDS}"
    return f"{head}, less than the margin."


def in_common(shared: float) -> str:
    """What the results of two noises share, see `nst.engine.metrics.shared_variation`."""
    return f"share {percent(shared)} of their variation (100 % would be the same picture, 0 % unrelated ones)"


def settings(runs: Sequence[Run]) -> str:
    """Size, iterations and optimiser that runs have in common."""
    sizes = listing([str(value) for value in sorted({run.size for run in runs})])
    iterations = listing([str(value) for value in sorted({run.iterations for run in runs})])
    optimizers = {"adam": "Adam", "lbfgs": "L-BFGS"}
    used = listing([optimizers.get(name, name) for name in sorted({run.optimizer for run in runs})])
    return f"{sizes} px, {iterations} iterations of {used}"


def the_start(init: str) -> str:
    return {"noise": "noise", "content": "the content picture", "adain": "its feed-forward AdaIN stylisation"}.get(
        init, init
    )


def cell(value: float | None, digits: int | None = None) -> Cell:
    return Cell(number(value, digits), value)


def numbered(layer: str) -> str:
    """``10 · conv4_2``."""
    return f"{layer_number(layer)} · {layer}"


def window_cell(layers: str | None) -> Cell:
    if layers is None:
        return Cell(NOTHING)
    return Cell(layers, float(layers.replace(",", "-").split("-")[0]))


def values_of(runs: Sequence[Run], key: str) -> list[float]:
    return [float(getattr(run, key)) for run in runs]


def first_pictures(study: StudyResults, key: str, **which: str) -> dict[str, str]:
    """By value of `key`, the picture of the first run that has it; of the runs with the values in `which`."""
    runs = [run for run in study.runs if all(getattr(run, name) == value for name, value in which.items())]
    return {str(getattr(run, key)): f"{study.name}/{run.image}" for run in reversed(runs)}


def lowest(names: Sequence[str], values: Sequence[float]) -> str:
    return names[values.index(min(values))]


def highest(names: Sequence[str], values: Sequence[float]) -> str:
    return names[values.index(max(values))]


def capital(text: str) -> str:
    return text if text.startswith("`") else text[:1].upper() + text[1:]


def path(study: StudyResults, name: str) -> str:
    return f"{study.name}/{FOLDER}/{name}"
