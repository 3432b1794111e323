"""Both losses: every content layer (rows) with every style window (columns).

Gatys, Ecker & Bethge (2016), "Image Style Transfer Using Convolutional Neural Networks", extended from one choice of
layers to all of them.
"""

from collections.abc import Mapping
from pathlib import Path

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
"""Rows in one of the pictures that show the grid at full size."""


def originals(params: Params) -> list[Original]:
    """All pictures it starts from."""
    return of_pair((params.transfer.content, params.transfer.style), params.transfer.size)


def jobs(params: Params, results: Mapping[Job, Result]) -> list[Job]:
    """One job a cell, row by row."""
    del results
    return list(_grid(params).values())


def cells(params: Params, results: Mapping[Job, Result]) -> list[Cell]:
    """The distances of every cell, row by row."""
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
    """Tables, the grid as an overview and in groups of three rows, heat maps of both distances, and the front of the
    best."""
    section = params.transfer
    grid = _grid(params)
    tables.write((results[job] for job in grid.values()), folder)
    cell, choice = choose(params, results)

    windows = [window(layers) for layers in section.style_windows]
    layers = list(section.content_layers)
    labels = [f"{layer_number(layer)} {layer}" for layer in layers]
    mark = (layers.index(cell.content_layer), windows.index(cell.window))
    pictures = [[images.from_png(results[grid[layer, name]].png) for name in windows] for layer in layers]
    target = folder / figures.FOLDER
    figures.save(
        figures.contact_sheet(pictures, row_labels=labels, column_labels=windows, cell=104, mark=mark),
        target / "grid.webp",
    )
    for first in range(0, len(layers), GROUP):
        rows = slice(first, first + GROUP)
        figures.save(
            figures.contact_sheet(
                pictures[rows],
                row_labels=labels[rows],
                column_labels=windows,
                cell=160,
                mark=(mark[0] - first, mark[1]) if first <= mark[0] < first + GROUP else None,
            ),
            target / f"rows_{first + 1:02d}-{min(first + GROUP, len(layers)):02d}.webp",
            quality=75,
        )

    every = cells(params, results)
    for attribute in ("content_distance", "style_distance"):
        values = np.array([getattr(one, attribute) for one in every]).reshape(len(layers), len(windows))
        figures.heat_map(
            values,
            labels,
            windows,
            title=f"{attribute.replace('_', ' ')} (lower is closer)",
            x_label="style window",
            y_label="content layer",
            path=target / f"{attribute}.png",
            mark=mark,
        )
    front = pareto_front(every)
    figures.scatter(
        {
            "cells": ([c.content_distance for c in every], [c.style_distance for c in every]),
            "no cell is better in both": (
                [c.content_distance for c in front],
                [c.style_distance for c in front],
            ),
            f"recommended: {choice.winner}": ([cell.content_distance], [cell.style_distance]),
        },
        x_label="content distance",
        y_label="style distance",
        title=pair_name(section.content, section.style),
        path=target / "front.png",
    )
    inputs = [original.read(data) for original in originals(params)]
    figures.save(
        figures.contact_sheet(
            [[*inputs, pictures[mark[0]][mark[1]]]],
            column_labels=[section.content, section.style, choice.winner],
        ),
        target / "recommended.webp",
    )
    tables.write_headline(
        {
            "best": choice.winner,
            "margin": choice.margin,
            **tables.distances(results[grid[cell.content_layer, cell.window]]),
        },
        folder,
    )
    tables.write_recommended(cell.content_layer, cell.window, folder)
    tables.write_metrics(
        {
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
            "front": [c.name for c in front],
            "content_distance": _extremes([c.content_distance for c in every]),
            "style_distance": _extremes([c.style_distance for c in every]),
        },
        folder,
    )


def _extremes(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": float(np.median(values)), "max": max(values)}


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
