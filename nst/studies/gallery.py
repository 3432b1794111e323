"""Pictures to look at: contents × styles, Gram matrices, favourites at a larger size, one optimisation as a film."""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from nst.engine import images
from nst.engine.jobs import Job
from nst.engine.layers import window
from nst.engine.results import Result, known
from nst.errors import ParamsError
from nst.params import RECOMMENDED, Pair, Params
from nst.studies import figures, tables
from nst.studies.originals import Original, of_pair, of_pairs, pair_name

ALONE = False


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
        ParamsError: it uses the layers that the transfer study recommends, and that one has not run.
    """
    del results
    return list(dict.fromkeys([*_grid(params).values(), *_favourites(params).values(), _film(params)]))


def write(params: Params, results: Mapping[Job, Result], data: Path, folder: Path) -> None:
    """Tables, the 3×3 picture with its originals, the favourites, Gram matrices and the GIF."""
    from nst.engine import metrics

    section = params.gallery
    tables.write((results[job] for job in jobs(params, results)), folder)
    contents = {name: Original("content", name, section.size).read(data) for name in section.contents}
    styles = {name: Original("style", name, section.size).read(data) for name in section.styles}
    grid = _grid(params)
    target = folder / figures.FOLDER
    head = [None, *styles.values()]
    body = [
        [
            picture,
            *(images.from_png(results[grid[content, style]].png) for style in section.styles),
        ]
        for content, picture in contents.items()
    ]
    figures.save(
        figures.contact_sheet([head, *body], row_labels=["", *section.contents], column_labels=["", *section.styles]),
        target / "grid.webp",
    )

    favourites = _favourites(params)
    for pair, job in favourites.items():
        figures.save(images.from_png(results[job].png), target / f"favourite_{'_'.join(pair)}.webp", quality=88)
    figures.save(
        figures.contact_sheet(
            [[images.from_png(results[job].png) for job in favourites.values()]],
            captions=[[pair_name(*pair) for pair in favourites]],
            cell=section.favourite_size,
        ),
        target / "favourites.webp",
        quality=88,
    )

    content, style = section.contents[0], section.styles[0]
    named = {
        f"style: {style}": styles[style],
        f"content: {content}": contents[content],
        "result": images.from_png(results[grid[content, style]].png),
    }
    grams = {
        name: metrics.gram_matrices(picture, section.gram_layers, section.weights) for name, picture in named.items()
    }
    figures.gram_matrices(
        {layer: {name: each[layer] for name, each in grams.items()} for layer in section.gram_layers},
        target / "gram_matrices.png",
    )

    film = results[_film(params)]
    figures.save_gif([images.from_png(frame) for frame in (*film.frames, film.png)], target / "process.gif")
    painted = [tables.distances(results[job]) for job in grid.values()]
    tables.write_headline({name: fmean(each[name] for each in painted) for name in painted[0]}, folder)
    tables.write_metrics(
        {
            "content_layer": section.content_layer,
            "style_layers": window(section.style_layers),
            "pairs": _distances(grid, results),
            "favourites": _distances(favourites, results),
            "gram_distance_to_style": {
                layer: {
                    name: metrics.relative_distance(each[layer], grams[f"style: {style}"][layer])
                    for name, each in grams.items()
                    if not name.startswith("style")
                }
                for layer in section.gram_layers
            },
        },
        folder,
    )


def _distances(jobs: Mapping[Pair, Job], results: Mapping[Job, Result]) -> dict[str, dict[str, float]]:
    return {
        pair_name(*pair): {
            "content_distance": known(results[job].quality.content_distance),
            "style_distance": known(results[job].quality.style_distance),
        }
        for pair, job in jobs.items()
    }


def _job(params: Params, pair: Pair, **changes: object) -> Job:
    section = params.gallery
    if RECOMMENDED in (section.content_layer, section.style_layers):
        raise ParamsError(
            "gallery: its layers are those that the transfer study recommends, which has not run yet: "
            "run that first (`dvc repro transfer`), or name layers in params.yaml"
        )
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
