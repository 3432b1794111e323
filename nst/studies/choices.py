"""The rules by which the studies choose a layer, a window and a cell: functions of the numbers alone.

Each rule also says which candidates cannot be told apart from the winner, by 95 % confidence intervals.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nst.engine.layers import CLASSIC_NAME, LAYERS
from nst.studies import intervals
from nst.studies.intervals import Interval

CLASSIC_CONTENT_LAYER = "conv4_2"
"""Of Gatys et al. (2016)."""


@dataclass(frozen=True)
class Choice:
    """What a rule chose, and what it could not tell apart."""

    rule: str
    winner: str
    alike: tuple[str, ...]
    """Other candidates that could be as good: their interval does not exclude it."""
    compared: str
    """What the intervals are of."""
    numbers: Mapping[str, Interval]
    """By candidate."""

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        return {
            "best": self.winner,
            "alike": list(self.alike),
            "rule": self.rule,
            "compared": self.compared,
            "numbers": {name: vars(interval) for name, interval in self.numbers.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Choice":
        """Inverse of `as_dict`, of metrics.json with whatever else is in it."""
        return cls(
            rule=values["rule"],
            winner=values["best"],
            alike=tuple(values["alike"]),
            compared=values["compared"],
            numbers={name: Interval(**found) for name, found in values["numbers"].items()},
        )


def shortlist(ssim: Mapping[str, Sequence[float]], min_ssim: float) -> list[str]:
    """The layer that `best_layer` chooses and its two neighbours: those that are worth runs from more noises."""
    layers = sorted(ssim, key=LAYERS.index)
    place = layers.index(best_layer(ssim, min_ssim).winner)
    return layers[max(place - 1, 0) : place + 2]


def best_layer(ssim: Mapping[str, Sequence[float]], min_ssim: float) -> Choice:
    """The deepest layer whose reconstructions reach `min_ssim` on average; if none does, the one with the highest SSIM.

    The shallowest layer always wins by PSNR, as it has lost nothing yet.  The question is how deep one may go before
    the picture is lost.

    Args:
        ssim: by layer, of each content and noise.
    """
    layers = sorted(ssim, key=LAYERS.index)  # max keeps this order among equals: ties go to the shallower
    numbers = {layer: intervals.mean(ssim[layer]) for layer in layers}
    enough = [layer for layer in layers if numbers[layer].mean >= min_ssim]
    if not enough:
        return _clearest(ssim, layers, min_ssim)
    winner = enough[-1]
    return Choice(
        rule=f"the deepest layer whose reconstructions have an SSIM of {min_ssim:g} or more on average",
        winner=winner,
        alike=tuple(layer for layer in layers if layer != winner and numbers[layer].side_of(min_ssim) == 0),
        compared="mean SSIM",
        numbers=numbers,
    )


def _clearest(ssim: Mapping[str, Sequence[float]], layers: Sequence[str], min_ssim: float) -> Choice:
    winner = max(layers, key=lambda layer: sum(ssim[layer]) / len(ssim[layer]))
    numbers = {layer: intervals.difference(ssim[winner], ssim[layer]) for layer in layers}
    return Choice(
        rule=f"the highest SSIM on average, as no layer reaches {min_ssim:g}",
        winner=winner,
        alike=_not_above(numbers, winner, 0.0),
        compared="SSIM behind the winner's",
        numbers=numbers,
    )


def best_window(style_distance: Mapping[str, Sequence[float]]) -> Choice:
    """The window whose textures have the smallest style distance on (geometric) average; the first of equal ones.

    Args:
        style_distance: by window, of each style and noise, in the same order.
    """
    return _smallest(style_distance, "style distance", "over styles and noises")


def _smallest(values: Mapping[str, Sequence[float]], what: str, over: str) -> Choice:
    """The candidate with the smallest geometric mean, each value of the same pictures and noise in the same order."""
    winner = min(values, key=lambda name: float(np.log(values[name]).mean()))
    numbers = {name: intervals.ratio(found, values[winner]) for name, found in values.items()}
    return Choice(
        rule=f"the smallest {what}, on geometric average {over}",
        winner=winner,
        alike=_not_above(numbers, winner, 1.0),
        compared=f"{what} as a multiple of the winner's",
        numbers=numbers,
    )


def cell_name(content_layer: str, window: str) -> str:
    """How tables and pages name a cell of the transfer grid: ``conv4_2 | 1-5``."""
    return f"{content_layer} | {window}"


@dataclass(frozen=True)
class Cell:
    """One cell of the transfer grid."""

    content_layer: str
    window: str
    content_distance: float
    style_distance: float

    @property
    def name(self) -> str:
        """See `cell_name`."""
        return cell_name(self.content_layer, self.window)


CLASSIC_CELL = cell_name(CLASSIC_CONTENT_LAYER, CLASSIC_NAME)
"""The layers of Gatys et al. (2016)."""


def proposals(cells: Sequence[Cell], count: int) -> list[Cell]:
    """The cells whose worse rank is best, `CLASSIC_CELL` left out, which is a finalist anyway.

    Cells are ranked by content distance and by style distance; a cell counts by the worse of its two ranks.  Ties go
    to the smaller sum of ranks, then to the cell that comes first.

    Ranks, because the two distances have no common unit.  The worse of the two, because a compromise is not excellent
    at one and poor at the other.
    """
    ranks = _ranks(np.array([(cell.content_distance, cell.style_distance) for cell in cells]))
    order = sorted(range(len(cells)), key=lambda i: (max(ranks[i]), sum(ranks[i]), i))
    return [cells[i] for i in order if cells[i].name != CLASSIC_CELL][:count]


def best_finalist(
    points: Mapping[str, Sequence[Sequence[tuple[float, float]]]], of: tuple[str, str] = ("content", "style")
) -> Choice:
    """The finalist that is closest to the style at equal distance from the content, over all pairs and noises.

    At one style weight each set of layers has a balance of its own, and ranks would choose the balance: a set that is
    best by mean rank at one weight can be beaten in both distances by another set at another weight.  So each runs at
    several weights, and its style distance is read off its curve, a straight line through its points in logarithms,
    where the content distance is the geometric mean of all points of that pair and noise.

    Args:
        points: by finalist, for each pair and noise in the same order, both distances at each style weight.
        of: what is near to which of the originals, for the words of the rule.
    """
    logs = {name: [np.log(curve) for curve in curves] for name, curves in points.items()}
    blocks = zip(*logs.values(), strict=True)
    middles = [float(np.concatenate(block)[:, 0].mean()) for block in blocks]
    read_off = {
        name: [math.exp(_on_line(curve, middle)) for curve, middle in zip(curves, middles, strict=True)]
        for name, curves in logs.items()
    }
    content, style = of
    return _smallest(read_off, f"{style} distance at equal {content} distance", "over pairs and noises")


def _on_line(curve: NDArray[np.float64], x: float) -> float:
    """The least-squares line through points (x, y), at `x`; their mean where all have one x."""
    if np.ptp(curve[:, 0]) < 1e-9:
        return float(curve[:, 1].mean())
    slope, offset = np.polyfit(curve[:, 0], curve[:, 1], 1)
    return float(slope * x + offset)


def pareto_front(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that no other one beats in both distances, by content distance."""
    front: list[Cell] = []
    for cell in sorted(cells, key=lambda c: (c.content_distance, c.style_distance)):
        if not front or cell.style_distance < front[-1].style_distance:
            front.append(cell)
    return front


def _not_above(numbers: Mapping[str, Interval], winner: str, value: float) -> tuple[str, ...]:
    return tuple(name for name, interval in numbers.items() if name != winner and interval.side_of(value) < 1)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Along the first axis: 1 for the smallest; equal values share the mean of their ranks."""
    from scipy.stats import rankdata

    ranks: NDArray[np.float64] = rankdata(values, axis=0)
    return ranks
