"""Pictures to look at: contents × styles, Gram matrices, favourites at a larger size, one optimisation as a film."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nst.engine import images
from nst.engine.jobs import Job
from nst.engine.layers import window
from nst.engine.results import Result, known
from nst.params import Pair, Params
from nst.studies import figures, refuse_unknown_layers, tables
from nst.studies.originals import Original, file_name, of_pair, of_pairs, pair_name

Grams = dict[str, dict[str, NDArray[np.float32]]]
"""Gram matrices by layer and picture."""


def originals(params: Params) -> list[Original]:
    """All pictures it starts from."""
    section = params.gallery
    return [
        *(Original("content", name, section.size) for name in section.contents),
        *(Original("style", name, section.size) for name in section.styles),
        *of_pairs(section.favourites, section.favourite_size),
        *of_pair(section.film.pair, section.size),
    ]


def jobs(params: Params, results: Mapping[Job, Result]) -> list[Job]:
    """The pairs of the grid, the favourites, the film.

    Raises:
        ParamsError: it uses the layers that the transfer study recommends, and that study has not run.
    """
    del results
    return list(dict.fromkeys([*_grid(params).values(), *_favourites(params).values(), _film(params)]))


def write(params: Params, results: Mapping[Job, Result], data: Path, folder: Path) -> None:
    """Tables, the contents × styles with their originals, the favourites, Gram matrices and the GIF."""
    grid = {pair: results[job] for pair, job in _grid(params).items()}
    favourites = {pair: results[job] for pair, job in _favourites(params).items()}
    grams = _gram_matrices(params, grid, data)
    target = folder / figures.FOLDER

    tables.write((results[job] for job in jobs(params, results)), folder)
    tables.write_headline(list(grid.values()), folder)
    tables.write_metrics(_metrics(params, grid, favourites, grams), folder)
    _draw_grid(params, grid, data, target / "grid.webp")
    _draw_favourites(params, favourites, target)
    figures.gram_matrices(grams, target / "gram_matrices.png")
    film = results[_film(params)]
    figures.save_gif([images.from_png(frame) for frame in (*film.frames, film.png)], target / "process.gif")


def _metrics(
    params: Params, grid: Mapping[Pair, Result], favourites: Mapping[Pair, Result], grams: Grams
) -> dict[str, Any]:
    return {
        "content_layer": params.gallery.content_layer,
        "style_layers": window(params.gallery.style_layers),
        "pairs": _distances(grid),
        "favourites": _distances(favourites),
        "gram_distance_to_style": _gram_distances(grams),
    }


def _distances(results: Mapping[Pair, Result]) -> dict[str, dict[str, float]]:
    return {
        pair_name(*pair): {
            "content_distance": known(result.quality.content_distance),
            "style_distance": known(result.quality.style_distance),
        }
        for pair, result in results.items()
    }


def _gram_matrices(params: Params, grid: Mapping[Pair, Result], data: Path) -> Grams:
    """Of the first style, the first content and their picture."""
    from nst.engine import metrics

    section = params.gallery
    content, style = section.contents[0], section.styles[0]
    pictures = {
        f"style: {style}": Original("style", style, section.size).parts(data),
        f"content: {content}": Original("content", content, section.size).parts(data),
        "result": [(images.from_png(grid[content, style].png), 1.0)],
    }
    found = {
        name: metrics.gram_matrices(parts, section.gram_layers, section.weights) for name, parts in pictures.items()
    }
    return {layer: {name: each[layer] for name, each in found.items()} for layer in section.gram_layers}


def _gram_distances(grams: Grams) -> dict[str, dict[str, float]]:
    """At each layer, how far the content and the result are from the style.  `grams` has the style first."""
    from nst.engine import metrics

    found = {}
    for layer, matrices in grams.items():
        (_, style), *others = matrices.items()
        found[layer] = {name: metrics.relative_distance(matrix, style) for name, matrix in others}
    return found


def _draw_grid(params: Params, grid: Mapping[Pair, Result], data: Path, path: Path) -> None:
    """Contents at the left, styles above."""
    section = params.gallery
    rows: list[list[Image.Image | None]] = [
        [None, *(Original("style", name, section.size).read(data) for name in section.styles)]
    ]
    for content in section.contents:
        made = [images.from_png(grid[content, style].png) for style in section.styles]
        rows.append([Original("content", content, section.size).read(data), *made])
    sheet = figures.contact_sheet(rows, row_labels=["", *section.contents], column_labels=["", *section.styles])
    figures.save(sheet, path)


def _draw_favourites(params: Params, favourites: Mapping[Pair, Result], target: Path) -> None:
    """Each in a file of its own, and all in favourites.webp."""
    pictures = {pair: images.from_png(result.png) for pair, result in favourites.items()}
    for pair, picture in pictures.items():
        figures.save(picture, target / f"favourite_{file_name(*pair)}.webp", quality=88)
    captions = [pair_name(*pair) for pair in pictures]
    sheet = figures.contact_sheet([[*pictures.values()]], captions=[captions], cell=params.gallery.favourite_size)
    figures.save(sheet, target / "favourites.webp", quality=88)


def _job(params: Params, pair: Pair, **changes: object) -> Job:
    section = params.gallery
    refuse_unknown_layers(section, "gallery")
    return section.job(
        "transfer",
        content=pair[0],
        style=pair[1],
        content_layers=(section.content_layer,),
        style_layers=tuple(section.style_layers),
        **{"init": section.init, "seed": section.seed, **changes},  # type: ignore[arg-type]
    )


def _grid(params: Params) -> dict[Pair, Job]:
    section = params.gallery
    return {(c, s): _job(params, (c, s)) for c in section.contents for s in section.styles}


def _favourites(params: Params) -> dict[Pair, Job]:
    section = params.gallery
    return {pair: _job(params, pair, size=section.favourite_size) for pair in section.favourites}


def _film(params: Params) -> Job:
    film = params.gallery.film
    return _job(params, film.pair, init=film.init, frames=film.frames)
