"""The rules by which the studies choose a layer, a window and a cell: functions of the numbers alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nst.engine.layers import LAYERS


@dataclass(frozen=True)
class Choice:
    """What a rule chose, and by how much."""

    rule: str
    winner: str
    runner_up: str | None
    margin: float | None
    """How much one number would have to change for the runner-up to win, in SSIM, style distance or ranks; ≥ 0."""


def best_layer(ssim: Mapping[str, float], min_ssim: float) -> Choice:
    """The deepest layer whose reconstruction reaches `min_ssim`; if none does, the one with the highest SSIM.

    The shallowest layer always wins by PSNR, as it has lost nothing yet.  The question is how deep one may go before
    the picture is lost.  Ties go to the shallower layer, whatever the order of `ssim`.
    """
    layers = sorted(ssim, key=LAYERS.index)  # min, max and sorted keep this order among equals
    enough = [layer for layer in layers if ssim[layer] >= min_ssim]
    if not enough:
        ranked = sorted(layers, key=lambda layer: ssim[layer], reverse=True)
        runner_up = ranked[1] if len(ranked) > 1 else None
        margin = ssim[ranked[0]] - ssim[runner_up] if runner_up else None
        return Choice(f"the highest SSIM, as no layer reaches {min_ssim:g}", ranked[0], runner_up, margin)
    winner = enough[-1]
    # Another layer wins when the winner falls below the threshold, or when a deeper layer rises to it.
    rivals = {layer: min_ssim - ssim[layer] for layer in layers[layers.index(winner) + 1 :]}
    if len(enough) > 1:
        rivals = {enough[-2]: ssim[winner] - min_ssim, **rivals}
    runner_up = min(rivals, key=lambda layer: rivals[layer], default=None)
    margin = rivals[runner_up] if runner_up else None
    rule = f"the deepest layer whose reconstruction has an SSIM of {min_ssim:g} or more"
    return Choice(rule, winner, runner_up, margin)


def best_window(style_distance: Mapping[str, float]) -> Choice:
    """The window whose texture has the smallest style distance; the first of equal ones.

    The distance is measured at the same five layers for all windows.
    """
    ranked = sorted(style_distance, key=lambda window: style_distance[window])
    runner_up = ranked[1] if len(ranked) > 1 else None
    margin = style_distance[runner_up] - style_distance[ranked[0]] if runner_up else None
    return Choice("the smallest style distance", ranked[0], runner_up, margin)


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


def recommended_cell(cells: Sequence[Cell]) -> tuple[Cell, Choice]:
    """The cell whose worse rank is best.

    Cells are ranked by content distance and by style distance; a cell counts by the worse of its two ranks.  Ties go
    to the smaller sum of ranks, then to the cell that comes first.

    Ranks, because the two distances have no common unit.  The worse of the two, because a compromise is not excellent
    at one and poor at the other.
    """
    by_content = _ranks([cell.content_distance for cell in cells])
    by_style = _ranks([cell.style_distance for cell in cells])
    order = sorted(
        range(len(cells)),
        key=lambda i: (max(by_content[i], by_style[i]), by_content[i] + by_style[i], i),
    )
    first = order[0]
    second = order[1] if len(order) > 1 else None
    choice = Choice(
        rule="the smallest worse rank of two: of all cells by content distance, and by style distance",
        winner=cells[first].name,
        runner_up=cells[second].name if second is not None else None,
        margin=(
            max(by_content[second], by_style[second]) - max(by_content[first], by_style[first])
            if second is not None
            else None
        ),
    )
    return cells[first], choice


def worse_rank(cells: Sequence[Cell], content_distance: float, style_distance: float) -> int:
    """The worse of the two ranks that these distances have among `cells`, by which `recommended_cell` chooses.

    The smallest distance has rank 1.
    """
    return 1 + max(
        sum(cell.content_distance < content_distance for cell in cells),
        sum(cell.style_distance < style_distance for cell in cells),
    )


def pareto_front(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that no other one beats in both distances, by content distance."""
    front: list[Cell] = []
    for cell in sorted(cells, key=lambda c: (c.content_distance, c.style_distance)):
        if not front or cell.style_distance < front[-1].style_distance:
            front.append(cell)
    return front


def _ranks(values: Sequence[float]) -> list[float]:
    """1 for the smallest; equal values share the smaller rank."""
    order = sorted(values)
    return [1.0 + order.index(value) for value in values]
