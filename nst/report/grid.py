"""The transfer study as a matrix of pictures, with heat maps and a trade-off that show the same cells."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nst.engine.layers import layer_number
from nst.params import Params
from nst.report import charts, pictures
from nst.report.choices import is_recommended
from nst.report.numbers import number
from nst.report.pictures import Picture
from nst.report.run import Run
from nst.report.texts import label
from nst.studies.choices import cell_name

MAPPED = ("content_distance", "style_distance")
"""Shown as heat maps, and against each other."""
VIEWED = (*MAPPED, "sliced_wasserstein", "colour_distance", "ssim", "psnr", "seconds")
"""Shown of the cell that is looked at."""


@dataclass(frozen=True)
class Tile:
    """A cell as a heat map shows it."""

    text: str
    paper: str
    """The colour that stands for the value."""
    ink: str


@dataclass(frozen=True)
class Cell:
    """One cell of the grid."""

    key: str
    title: str
    picture: Picture
    alt: str
    href: str
    """The full picture."""
    page: str
    """What its job was and what it took."""
    numbers: tuple[str, ...]
    """Those of `VIEWED`, in their order."""
    tiles: Mapping[str, Tile]
    """Those of `MAPPED`."""
    front: bool
    """No other cell is closer in both distances."""
    recommended: bool


def grid(params: Params, run: Run, data: Path) -> dict[str, Any]:
    """The transfer study's pictures and numbers: rows are content layers, columns style windows."""
    cells = _cells(run)
    runs, section = run.cells, params.transfer
    layers, windows = (list(runs[name].unique()) for name in ("content_layer", "style_layers"))
    return {
        "windows": windows,
        "rows": [
            (f"{layer_number(layer)} · {layer}", [cells.get((layer, window)) for window in windows]) for layer in layers
        ],
        "originals": pictures.pair(data, section.content, section.style),
        "labels": [(label(name).title, label(name).note + (" (rank)" if name in MAPPED else "")) for name in VIEWED],
        "maps": [(name, label(name).title, number(runs[name].min()), number(runs[name].max())) for name in MAPPED],
        "scale": charts.scale(),
        "front": _front(run, cells),
        # What is shown large before another is chosen.
        "first": next((cell for cell in cells.values() if cell.recommended), next(iter(cells.values()))),
    }


def _cells(run: Run) -> dict[tuple[str, str], Cell]:
    study = run.studies["transfer"]
    runs = study.runs.set_index("job").loc[run.cells["job"]].reset_index()
    runs["recommended"] = is_recommended(run).to_numpy()
    ends = {name: (runs[name].min(), runs[name].max()) for name in MAPPED}
    for name in MAPPED:
        runs[f"{name}_rank"] = runs[name].rank(method="min").astype(int)
    with ThreadPoolExecutor() as threads:  # reading and encoding take place outside Python
        shown = list(threads.map(lambda href: pictures.result(run, href), runs["href"]))
    cells = {}
    for row, picture in zip(runs.to_dict("records"), shown, strict=True):
        layer, window = row["content_layer"], row["style_layers"]
        cells[layer, window] = Cell(
            row["job"],
            f"{layer} with {window}",
            picture,
            f"{row['content']} as {row['style']}: content from {layer}, style from layers {window}",
            row["href"],
            row["page"],
            tuple(_viewed(row, name, len(runs)) for name in VIEWED),
            {name: _tile(row[name], *ends[name]) for name in MAPPED},
            cell_name(layer, window) in study.metrics["front"],
            row["recommended"],
        )
    return cells


def _viewed(row: Mapping[Any, Any], name: str, of: int) -> str:
    rank = f" ({row[f'{name}_rank']} of {of})" if name in MAPPED else ""
    return number(row[name]) + rank


def _tile(value: float, low: float, high: float) -> Tile:
    # Two decimals without the 0 before them: small enough for a cell.
    return Tile(f"{value:.2f}".removeprefix("0"), *charts.colour(value, low, high))


def _front(run: Run, cells: Mapping[tuple[str, str], Cell]) -> str:
    points = []
    for row in run.cells.sort_values(list(MAPPED)).to_dict("records"):
        cell = cells[row["content_layer"], row["style_layers"]]
        x, y = (row[name] for name in MAPPED)
        text = f"{cell.title}: content distance {number(x)}, style distance {number(y)}"
        text += ", on the front" if cell.front else ""
        points.append(charts.Point(x, y, text, cell.href, cell.key, marked=cell.recommended, front=cell.front))
    return charts.trade_off(points, x_label="content distance", y_label="style distance")
