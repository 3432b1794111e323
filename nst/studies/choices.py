"""The rules by which the studies choose a layer, a window and a cell: functions of the numbers alone.

Each rule also says which candidates cannot be told apart from the winner, by 95 % confidence intervals.
"""

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
    winner = min(style_distance, key=lambda window: float(np.log(style_distance[window]).mean()))
    best = style_distance[winner]
    numbers = {window: intervals.ratio(values, best) for window, values in style_distance.items()}
    return Choice(
        rule="the smallest style distance, on geometric average over styles and noises",
        winner=winner,
        alike=_not_above(numbers, winner, 1.0),
        compared="style distance as a multiple of the winner's",
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
    distances: Mapping[str, Sequence[tuple[float, float]]], of: str = "content and style distance"
) -> Choice:
    """The finalist with the best mean rank, over all pairs of pictures and noises.

    For each of these the finalists are ranked by one distance and by the other; the mean of both ranks counts.

    Args:
        distances: by finalist, both distances of each pair and noise, in the same order.
        of: what the two distances are called.
    """
    names = list(distances)
    values = np.array([distances[name] for name in names])  # (finalists, pairs and noises, 2)
    ranks = dict(zip(names, _ranks(values).mean(axis=-1), strict=True))
    winner = min(names, key=lambda name: float(ranks[name].mean()))
    numbers = {name: intervals.difference(ranks[name], ranks[winner]) for name in names}
    return Choice(
        rule=f"the best mean rank by {of}, over all pairs and noises",
        winner=winner,
        alike=_not_above(numbers, winner, 0.0),
        compared="mean rank behind the winner's",
        numbers=numbers,
    )


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
