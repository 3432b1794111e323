"""Both losses: every content layer (rows) with every style window (columns).

Gatys, Ecker & Bethge (2016), "Image Style Transfer Using Convolutional Neural Networks", extended from one choice of
layers to all of them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nst.engine import images
from nst.engine.jobs import Job
from nst.engine.layers import layer_number, window
from nst.engine.results import Result, known
from nst.params import Params
from nst.studies import figures, tables
from nst.studies.choices import Cell, Choice, pareto_front, recommended_cell
from nst.studies.originals import Original, of_pair, pair_name

ALONE = False
GROUP = 3
"""Rows of the grid in each figure that shows some of them larger."""


def originals(params: Params) -> list[Original]:
    """All pictures it starts from."""
    return of_pair((params.transfer.content, params.transfer.style), params.transfer.size)


def jobs(params: Params, results: Mapping[Job, Result]) -> list[Job]:
    """One job a cell, row by row."""
    del results
    return list(_grid(params).values())


def cells(params: Params, results: Mapping[Job, Result]) -> list[Cell]:
    """All cells of the grid, row by row."""
    return [
        Cell(
            content_layer=layer,
            window=name,
            content_distance=known(results[job].quality.content_distance),
            style_distance=known(results[job].quality.style_distance),
        )
        for (layer, name), job in _grid(params).items()
    ]


def choose(params: Params, results: Mapping[Job, Result]) -> tuple[Cell, Choice]:
    """The recommended cell, by `nst.studies.choices.recommended_cell`."""
    return recommended_cell(cells(params, results))


def write(params: Params, results: Mapping[Job, Result], data: Path, folder: Path) -> None:
    """Tables, the grid as an overview and in groups of three rows, heat maps of both distances, and their front."""
    grid = {key: results[job] for key, job in _grid(params).items()}
    every = cells(params, results)
    cell, choice = choose(params, results)
    best = grid[cell.content_layer, cell.window]
    target = folder / figures.FOLDER

    tables.write(grid.values(), folder)
    tables.write_headline({"best": choice.winner, "margin": choice.margin, **tables.distances(best)}, folder)
    tables.write_recommended(cell.content_layer, cell.window, folder)
    tables.write_metrics(_metrics(every, cell, choice), folder)
    _draw_grid(params, grid, cell, target)
    _draw_heat_maps(params, every, cell, target)
    _draw_front(params, every, cell, target / "front.png")
    _draw_recommended(params, best, choice.winner, data, target / "recommended.webp")


def _metrics(every: Sequence[Cell], cell: Cell, choice: Choice) -> dict[str, Any]:
    return {
        "recommended": {
            "content_layer": cell.content_layer,
            "style_layers": cell.window,
            "content_distance": cell.content_distance,
            "style_distance": cell.style_distance,
        },
        "rule": choice.rule,
        "runner_up": choice.runner_up,
        "margin": choice.margin,
        "cells": len(every),
        "front": [one.name for one in pareto_front(every)],
        "content_distance": _extremes([one.content_distance for one in every]),
        "style_distance": _extremes([one.style_distance for one in every]),
    }


def _extremes(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": float(np.median(values)), "max": max(values)}


def _draw_grid(params: Params, grid: Mapping[tuple[str, str], Result], cell: Cell, target: Path) -> None:
    """grid.webp has all rows, small; rows_01-03.webp and so on have `GROUP` of them each."""
    windows, labels = _windows(params), _row_labels(params)
    pictures = [
        [images.from_png(grid[layer, name].png) for name in windows] for layer in params.transfer.content_layers
    ]
    row, column = _position(params, cell)
    sheet = figures.contact_sheet(pictures, row_labels=labels, column_labels=windows, cell=104, mark=(row, column))
    figures.save(sheet, target / "grid.webp")
    for first in range(0, len(labels), GROUP):
        rows = slice(first, first + GROUP)
        sheet = figures.contact_sheet(
            pictures[rows],
            row_labels=labels[rows],
            column_labels=windows,
            cell=160,
            mark=(row - first, column) if first <= row < first + GROUP else None,
        )
        last = min(first + GROUP, len(labels))
        figures.save(sheet, target / f"rows_{first + 1:02d}-{last:02d}.webp", quality=75)


def _draw_heat_maps(params: Params, every: Sequence[Cell], cell: Cell, target: Path) -> None:
    labels, windows = _row_labels(params), _windows(params)
    distances = {
        "content_distance": [one.content_distance for one in every],
        "style_distance": [one.style_distance for one in every],
    }
    for name, values in distances.items():
        figures.heat_map(
            np.array(values).reshape(len(labels), len(windows)),
            labels,
            windows,
            title=f"{name.replace('_', ' ')} (lower is closer)",
            x_label="style window",
            y_label="content layer",
            path=target / f"{name}.png",
            mark=_position(params, cell),
        )


def _draw_front(params: Params, every: Sequence[Cell], cell: Cell, path: Path) -> None:
    groups = {
        "cells": every,
        "no cell is better in both": pareto_front(every),
        f"recommended: {cell.name}": [cell],
    }
    figures.scatter(
        {
            name: ([one.content_distance for one in group], [one.style_distance for one in group])
            for name, group in groups.items()
        },
        x_label="content distance",
        y_label="style distance",
        title=pair_name(params.transfer.content, params.transfer.style),
        path=path,
    )


def _draw_recommended(params: Params, best: Result, name: str, data: Path, path: Path) -> None:
    """The originals beside the picture of the recommended cell."""
    section = params.transfer
    row = [*(original.read(data) for original in originals(params)), images.from_png(best.png)]
    figures.save(figures.contact_sheet([row], column_labels=[section.content, section.style, name]), path)


def _windows(params: Params) -> list[str]:
    return [window(layers) for layers in params.transfer.style_windows]


def _row_labels(params: Params) -> list[str]:
    return [f"{layer_number(layer)} {layer}" for layer in params.transfer.content_layers]


def _position(params: Params, cell: Cell) -> tuple[int, int]:
    """Row and column of a cell in the grid."""
    return params.transfer.content_layers.index(cell.content_layer), _windows(params).index(cell.window)


def _grid(params: Params) -> dict[tuple[str, str], Job]:
    section = params.transfer
    return {
        (layer, window(layers)): section.job(
            "transfer",
            content=section.content,
            style=section.style,
            content_layers=(layer,),
            style_layers=layers,
            init=section.init,
            seed=section.seed,
        )
        for layer in section.content_layers
        for layers in section.style_windows
    }
