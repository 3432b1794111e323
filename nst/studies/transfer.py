"""Both losses: every content layer (rows) with every style window (columns); then the best cells on more pictures.

Gatys, Ecker & Bethge (2016), "Image Style Transfer Using Convolutional Neural Networks", extended from one choice of
layers to all of them.  The grid, of one pair and few iterations, proposes cells; these and the authors' own layers are
the finalists, which run on all pairs and noises, at several style weights.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nst.engine import images
from nst.engine.jobs import Job
from nst.engine.layers import CLASSIC, CLASSIC_NAME, layer_number, parse_layers, window
from nst.engine.results import Result, known
from nst.params import Pair, Params
from nst.studies import figures, tables
from nst.studies.choices import (
    CLASSIC_CONTENT_LAYER,
    Cell,
    Choice,
    best_finalist,
    cell_name,
    pareto_front,
    proposals,
)
from nst.studies.originals import Original, of_pair, of_pairs, pair_name

GROUP = 3
"""Rows of the grid in each figure that shows some of them larger."""
Layers = tuple[str, str]
"""Content layer and name of the style layers: of a cell, of a finalist."""
Run = tuple[Layers, Pair, int, float]
"""Layers, pair, seed and style weight of a finalist's run."""
INDEPENDENT = ("st_lpips", "colour_distance")
"""From the content and from the style: metrics that share no layer with any candidate, to confirm the choice by."""
SHOWN = ("content_distance", "style_distance", "sliced_wasserstein", "cfsd", *INDEPENDENT)
"""Of finalists."""


def originals(params: Params) -> list[Original]:
    """All pictures it starts from."""
    section = params.transfer
    return [*of_pair((section.content, section.style), section.size), *of_pairs(section.finalists.pairs, section.size)]


def jobs(params: Params, results: Mapping[Job, Result]) -> list[Job]:
    """One job a cell, row by row; then the finalists on all pairs and noises."""
    grid = _grid(params)
    if not all(job in results for job in grid.values()):
        return list(grid.values())
    return list(dict.fromkeys([*grid.values(), *_finalists(params, results).values()]))


def cells(params: Params, results: Mapping[Job, Result]) -> list[Cell]:
    """All cells of the grid, row by row; the classic layers are its last column."""
    return [
        Cell(
            content_layer=layer,
            window=name,
            content_distance=known(results[job].quality.content_distance),
            style_distance=known(results[job].quality.style_distance),
        )
        for (layer, name), job in _grid(params).items()
    ]


def write(params: Params, results: Mapping[Job, Result], data: Path, folder: Path) -> None:
    """Tables, the grid as an overview and in groups of three rows, heat maps of both distances, their front, and the
    finalists."""
    grid = {key: results[job] for key, job in _grid(params).items()}
    runs = _finalists(params, results)
    finalists = {run: results[job] for run, job in runs.items()}
    every = cells(params, results)
    choice, confirmed = _choose(runs, results), _confirm(runs, results)
    best = next(layers for layers, *_ in finalists if cell_name(*layers) == choice.winner)
    shown = {key: result for key, result in finalists.items() if key[3] == _shown_weight(params)}
    at_best = [result for key, result in shown.items() if key[0] == best]
    target = folder / figures.FOLDER

    tables.write((results[job] for job in jobs(params, results)), folder)
    tables.write_csv(_cell_rows(grid), folder, "cells.csv", digits=6)
    tables.write_csv(_finalist_rows(finalists), folder, "finalists.csv", digits=6)
    tables.write_headline(at_best, folder, choice)
    compared = tuple(dict.fromkeys(layers for layers, *_ in finalists))
    tables.Recommended(*best, finalists=compared).write(folder)
    tables.write_metrics(
        {
            **choice.as_dict(),
            "confirmed": confirmed and confirmed.as_dict(),
            "front": [one.name for one in pareto_front(every)],
        },
        folder,
    )
    _draw_grid(params, grid, best, target)
    _draw_heat_maps(params, every, best, target)
    _draw_front(params, every, list(compared), target / "front.png")
    _draw_finalists(params, shown, data, target / "finalists.webp")


def _cell_rows(grid: Mapping[Layers, Result]) -> Iterator[dict[str, Any]]:
    for (layer, name), result in grid.items():
        shown = {metric: getattr(result.quality, metric) for metric in ("content_distance", "style_distance")}
        yield {"content_layer": layer, "style_layers": name, "job": result.job.name, **shown}


def _finalist_rows(finalists: Mapping[Run, Result]) -> Iterator[dict[str, Any]]:
    for (layers, pair, seed, weight), result in finalists.items():
        run = {"finalist": cell_name(*layers), "style_weight": weight, "pair": pair_name(*pair), "seed": seed}
        yield {**run, "job": result.job.name, **{name: getattr(result.quality, name) for name in SHOWN}}


def _draw_grid(params: Params, grid: Mapping[Layers, Result], best: Layers, target: Path) -> None:
    """grid.webp has all rows, small; rows_01-03.webp and so on have `GROUP` of them each."""
    windows, labels = _windows(params), _row_labels(params)
    pictures = [
        [images.from_png(grid[layer, name].png) for name in windows] for layer in params.transfer.content_layers
    ]
    mark = _position(params, best)
    sheet = figures.contact_sheet(pictures, row_labels=labels, column_labels=windows, cell=104, mark=mark)
    figures.save(sheet, target / "grid.webp")
    for first in range(0, len(labels), GROUP):
        rows = slice(first, first + GROUP)
        sheet = figures.contact_sheet(
            pictures[rows],
            row_labels=labels[rows],
            column_labels=windows,
            cell=160,
            mark=(mark[0] - first, mark[1]) if mark and first <= mark[0] < first + GROUP else None,
        )
        last = min(first + GROUP, len(labels))
        figures.save(sheet, target / f"rows_{first + 1:02d}-{last:02d}.webp", quality=75)


def _draw_heat_maps(params: Params, every: Sequence[Cell], best: Layers, target: Path) -> None:
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
            x_label="style layers",
            y_label="content layer",
            path=target / f"{name}.png",
            mark=_position(params, best),
        )


def _draw_front(params: Params, every: Sequence[Cell], finalists: Sequence[Layers], path: Path) -> None:
    chosen = {cell_name(*layers) for layers in finalists}
    groups = {
        "all cells": every,
        "front": pareto_front(every),
        "finalists": [cell for cell in every if cell.name in chosen],
    }
    figures.scatter(
        {name: ([c.content_distance for c in some], [c.style_distance for c in some]) for name, some in groups.items()},
        x_label="content distance (lower is closer)",
        y_label="style distance (lower is closer)",
        title=pair_name(params.transfer.content, params.transfer.style),
        path=path,
    )


def _draw_finalists(params: Params, finalists: Mapping[Run, Result], data: Path, path: Path) -> None:
    """One row a pair: its originals, and what each finalist makes of it from the first noise."""
    section = params.transfer
    names = list(dict.fromkeys(layers for layers, *_ in finalists))
    seed, weight = section.finalists.seeds[0], _shown_weight(params)
    rows = [
        [
            *(original.read(data) for original in of_pair(pair, section.size)),
            *(images.from_png(finalists[layers, pair, seed, weight].png) for layers in names),
        ]
        for pair in section.finalists.pairs
    ]
    columns = ["content", "style", *(cell_name(*layers) for layers in names)]
    figures.save(figures.contact_sheet(rows, column_labels=columns, cell=160), path)


def _windows(params: Params) -> list[str]:
    """Columns of the grid: the windows, then the classic layers, if they are none of these."""
    return list(dict.fromkeys([*map(window, params.transfer.style_windows), CLASSIC_NAME]))


def _row_labels(params: Params) -> list[str]:
    return [f"{layer_number(layer)} {layer}" for layer in params.transfer.content_layers]


def _position(params: Params, cell: Layers) -> tuple[int, int] | None:
    """Row and column of a cell in the grid; None for the classic one where the grid has not its row."""
    layer, name = cell
    rows = params.transfer.content_layers
    return (rows.index(layer), _windows(params).index(name)) if layer in rows else None


def _grid(params: Params) -> dict[Layers, Job]:
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
        for layers in dict.fromkeys([*section.style_windows, CLASSIC])
    }


def _finalists(params: Params, results: Mapping[Job, Result]) -> dict[Run, Job]:
    section = params.transfer
    proposed = proposals(cells(params, results), section.finalists.count)
    chosen = [*((cell.content_layer, cell.window) for cell in proposed), (CLASSIC_CONTENT_LAYER, CLASSIC_NAME)]
    # Other starts than noise have no seed, and would repeat exactly.
    seeds = section.finalists.seeds if section.init == "noise" else section.finalists.seeds[:1]
    return {
        ((layer, name), pair, seed, weight): section.job(
            "transfer",
            content=pair[0],
            style=pair[1],
            content_layers=(layer,),
            style_layers=parse_layers(name.split(",")),
            init=section.init,
            seed=seed,
            iterations=section.finalists.iterations,
            style_weight=weight,
        )
        for layer, name in chosen
        for pair in section.finalists.pairs
        for seed in seeds
        for weight in section.finalists.style_weights
    }


def _shown_weight(params: Params) -> float:
    """Of the finalists' weights, the one whose pictures are shown: that of the study, or the last."""
    weights = params.transfer.finalists.style_weights
    return params.transfer.style_weight if params.transfer.style_weight in weights else weights[-1]


def _choose(finalists: Mapping[Run, Job], results: Mapping[Job, Result]) -> Choice:
    """The recommended cell, by `nst.studies.choices.best_finalist`."""
    points = _points(finalists, results, ("content_distance", "style_distance"))
    assert points is not None, "every transfer has both"
    return best_finalist(points)


def _confirm(finalists: Mapping[Run, Job], results: Mapping[Job, Result]) -> Choice | None:
    """The choice by metrics that share no layer with any candidate; None where pictures are too small for them."""
    points = _points(finalists, results, INDEPENDENT)
    return best_finalist(points, ("ST-LPIPS", "colour")) if points else None


def _points(
    finalists: Mapping[Run, Job], results: Mapping[Job, Result], metrics: tuple[str, str]
) -> dict[str, list[list[tuple[float, float]]]] | None:
    """Two metrics of each finalist's runs, by pair and noise and then by style weight; None where a run lacks one."""
    found: dict[str, dict[tuple[Pair, int], list[tuple[float, float]]]] = {}
    for (layers, pair, seed, _), job in finalists.items():
        first, second = (getattr(results[job].quality, name) for name in metrics)
        if first is None or second is None:
            return None
        found.setdefault(cell_name(*layers), {}).setdefault((pair, seed), []).append((first, second))
    return {name: list(curves.values()) for name, curves in found.items()}
