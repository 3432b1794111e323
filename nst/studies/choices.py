"""The rules by which the studies choose a layer, a window and a cell: functions of the numbers alone."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from nst.engine.layers import LAYERS


@dataclass(frozen=True)
class Choice:
    """What a rule chose, and by how much."""

    rule: str
    winner: str
    runner_up: str | None
    margin: float | None
    """How much one number would have to change for the runner-up to win, in SSIM, in style distance or in ranks; never
    negative."""


def best_layer(ssim: Mapping[str, float], min_ssim: float) -> Choice:
    """The deepest layer whose reconstruction still reaches `min_ssim`; if none does, the one with the highest SSIM.

    The shallowest layer always wins by PSNR: it has lost nothing yet.  What a study wants to know is how deep one may
    go, that is how much of the pixels one may forget, before the picture is lost.
    """
    enough = sorted((layer for layer in ssim if ssim[layer] >= min_ssim), key=LAYERS.index, reverse=True)
    if not enough:
        ranked = sorted(ssim, key=lambda layer: ssim[layer], reverse=True)
        runner_up = ranked[1] if len(ranked) > 1 else None
        margin = ssim[ranked[0]] - ssim[runner_up] if runner_up else None
        return Choice(f"the highest SSIM, as no layer reaches {min_ssim:g}", ranked[0], runner_up, margin)
    # Another one wins when the winner falls below the threshold, or when a deeper one rises to it.
    rivals = [(ssim[enough[0]] - min_ssim, enough[1])] if len(enough) > 1 else []
    rivals += [(min_ssim - ssim[layer], layer) for layer in ssim if LAYERS.index(layer) > LAYERS.index(enough[0])]
    margin, runner_up = min(rivals, default=(None, None))
    rule = f"the deepest layer whose reconstruction has an SSIM of {min_ssim:g} or more"
    return Choice(rule, enough[0], runner_up, margin)


def certain_layer(ssim: Mapping[str, float], layers: Collection[str], min_ssim: float) -> str | None:
    """The layer that `best_layer` will choose of all `layers`, once no result still to come can change that; else None.

    Args:
        ssim: of those of the layers that have a result.
    """
    for layer in sorted(layers, key=LAYERS.index, reverse=True):
        if layer not in ssim:
            return None
        if ssim[layer] >= min_ssim:
            return layer
    return best_layer(ssim, min_ssim).winner


def best_window(style_distance: Mapping[str, float]) -> Choice:
    """The window whose texture has the smallest style distance (which is measured at the same five layers for all)."""
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
    """The cell whose worse rank is best: cells are ranked by content distance and by style distance, and each one
    counts by the worse of its two ranks (the sum decides between equals).

    Ranks, because the two distances have no common unit; the worse of two, because a cell that is excellent at one
    and poor at the other is what a compromise is not.
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
    """What `recommended_cell` counts a cell with these distances by: the worse of its ranks among `cells`, 1 for the
    smallest distance."""
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
