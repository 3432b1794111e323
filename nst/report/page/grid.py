"""The transfer study as a matrix of pictures, with heat maps and a trade-off that show the same cells."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from nst.engine.results import known
from nst.params import Params
from nst.report.findings.phrases import numbered
from nst.report.findings.records import Results, Run
from nst.report.page import charts, sources
from nst.report.page.pictures import Picture, Shown
from nst.report.wording import number
from nst.studies.choices import cell_name


@dataclass(frozen=True)
class Number:
    """A cell's number as it is shown large."""

    label: str
    note: str
    """Unit, or which direction is better."""
    text: str


@dataclass(frozen=True)
class Cell:
    """One cell of the grid."""

    key: str
    title: str
    picture: Picture
    alt: str
    href: str
    """The full picture."""
    numbers: tuple[Number, ...]
    front: bool
    """No other cell is closer in both distances."""
    recommended: bool


@dataclass(frozen=True)
class Tile:
    """A cell as a heat map shows it."""

    text: str
    paper: str
    """The colour that stands for the value."""
    ink: str
    cell: Cell


@dataclass(frozen=True)
class HeatMap:
    """One quantity over the grid."""

    title: str
    note: str
    rows: tuple[tuple[str, tuple[Tile | None, ...]], ...]
    lowest: str
    highest: str
    scale: tuple[str, ...]
    """Colours from the lowest to the highest value."""


@dataclass(frozen=True)
class Grid:
    """Rows are content layers, columns style windows."""

    windows: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    originals: tuple[Shown, ...]
    maps: tuple[HeatMap, ...]
    front: str
    """SVG."""
    first: Cell
    """The one that is shown large before another is chosen: the recommended one."""


def grid(params: Params, results: Results, reports: Path, data: Path) -> Grid:
    """The transfer study's pictures and numbers by layer and window."""
    study, section = results.studies["transfer"], params.transfer
    runs = {(str(run.content_layer), str(run.style_layers)): run for run in study.runs}
    with ThreadPoolExecutor() as threads:  # reading and encoding take place outside Python
        pictures = threads.map(lambda run: sources.result(reports, study.name, run), runs.values())
        cells = {
            place: _cell(run, study.runs, picture, study.metrics)
            for (place, run), picture in zip(runs.items(), pictures, strict=True)
        }
    layers, windows = _axes(runs)
    return Grid(
        windows,
        tuple((numbered(layer), tuple(cells.get((layer, window)) for window in windows)) for layer in layers),
        sources.pair(data, section.content, section.style),
        tuple(
            _heat_map(kind, value, runs, cells)
            for kind, value in (("content", _content_distance), ("style", _style_distance))
        ),
        _front(list(runs.values()), [cells[place] for place in runs]),
        next(cell for cell in cells.values() if cell.recommended),
    )


def _axes(runs: Mapping[tuple[str, str], Run]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The layers and the windows that there are cells of."""
    layers, windows = zip(*runs, strict=True)
    return tuple(dict.fromkeys(layers)), tuple(dict.fromkeys(windows))


def _content_distance(run: Run) -> float:
    return known(run.content_distance)


def _style_distance(run: Run) -> float:
    return known(run.style_distance)


def _cell(run: Run, runs: Sequence[Run], picture: Picture, metrics: Mapping[str, object]) -> Cell:
    chosen, front = metrics["recommended"], metrics["front"]
    assert isinstance(chosen, dict)
    assert isinstance(front, list)

    def ranked(value: Callable[[Run], float]) -> str:
        return f"{number(value(run))} ({1 + sum(value(other) < value(run) for other in runs)} of {len(runs)})"

    return Cell(
        key=run.job,
        title=f"{run.content_layer} with {run.style_layers}",
        picture=picture,
        alt=f"{run.content} as {run.style}: content from {run.content_layer}, style from layers {run.style_layers}",
        href=sources.href("transfer", run),
        numbers=(
            Number("content distance", "lower is closer (rank)", ranked(_content_distance)),
            Number("style distance", "lower is closer (rank)", ranked(_style_distance)),
            Number("sliced Wasserstein", "lower is closer", number(run.sliced_wasserstein)),
            Number("colour distance", "lower is closer", number(run.colour_distance)),
            Number("SSIM", "higher is closer", number(run.ssim)),
            Number("PSNR", "dB, higher is closer", number(run.psnr)),
            Number("time", "s", number(run.seconds)),
        ),
        front=run.cell in front,
        recommended=run.cell == cell_name(chosen["content_layer"], chosen["style_layers"]),
    )


def _heat_map(
    kind: str,
    value: Callable[[Run], float],
    runs: Mapping[tuple[str, str], Run],
    cells: Mapping[tuple[str, str], Cell],
) -> HeatMap:
    values = {place: value(run) for place, run in runs.items()}
    layers, windows = _axes(runs)
    low, high = min(values.values()), max(values.values())

    def tile(place: tuple[str, str]) -> Tile | None:
        if place not in values:
            return None
        paper, ink = charts.colour(values[place], low, high)
        # Two decimals without the 0 before them: small enough for a cell.
        return Tile(f"{values[place]:.2f}".removeprefix("0"), paper, ink, cells[place])

    return HeatMap(
        f"{kind} distance",
        f"lower, darker: closer to the {kind}",
        tuple((layer, tuple(tile((layer, window)) for window in windows)) for layer in layers),
        number(low),
        number(high),
        charts.scale(),
    )


def _front(runs: Sequence[Run], cells: Sequence[Cell]) -> str:
    points = [
        charts.Point(
            _content_distance(run),
            _style_distance(run),
            f"{cell.title}: content distance {number(run.content_distance)}, style distance "
            f"{number(run.style_distance)}{', on the front' if cell.front else ''}",
            cell.href,
            cell.key,
            marked=cell.recommended,
            front=cell.front,
        )
        for run, cell in zip(runs, cells, strict=True)
    ]
    return charts.trade_off(
        sorted(points, key=lambda point: (point.x, point.y)), x_label="content distance", y_label="style distance"
    )
