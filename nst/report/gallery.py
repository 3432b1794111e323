"""The gallery: a grid of contents and styles, favourites, and a film that one can wind by hand."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nst.params import Params
from nst.report import pictures
from nst.report.pictures import Picture, Row, Shown
from nst.report.run import Run, existing
from nst.report.texts import start_name
from nst.studies import figures
from nst.studies.originals import file_name

DISTANCES = ("content_distance", "style_distance")


def painted(params: Params, run: Run, data: Path) -> dict[str, Any]:
    """Contents down, styles across, originals at the edges."""
    section, runs = params.gallery, run.studies["gallery"].runs
    runs = runs[(runs["size"] == section.size) & (runs["init"] == section.init)]
    by_pair = {(row["content"], row["style"]): row for row in runs.to_dict("records")}
    return {
        "styles": [pictures.original(data, "style", name, name) for name in section.styles],
        "rows": [
            (
                pictures.original(data, "content", name, name),
                [_shown(run, by_pair[name, style]) for style in section.styles],
            )
            for name in section.contents
        ],
    }


def favourites(run: Run) -> list[Shown]:
    """The gallery's larger pictures."""
    study = run.studies["gallery"]
    largest = study.runs.sort_values("size", ascending=False, kind="stable").drop_duplicates("pair").set_index("pair")
    shown = []
    for pair in study.metrics["favourites"]:
        row = {**largest.loc[pair].to_dict(), "pair": pair}
        file = f"gallery/{figures.FOLDER}/favourite_{file_name(row['content'], row['style'])}.webp"
        embedded = pictures.embed(existing(run.reports / file, "gallery"))
        shown.append(_shown(run, row, embedded))
    return shown


def _shown(run: Run, row: Row, picture: Picture | None = None) -> Shown:
    alt = f"{row['content']} painted as {row['style']}."
    return pictures.shown(run, row, row["pair"], alt, *DISTANCES, picture=picture)


@dataclass(frozen=True)
class Film:
    """One optimisation."""

    moving: Picture
    """GIF."""
    href: str
    still: Picture
    """For those who want nothing to move."""
    frames: str
    """JSON: of each frame, when it was taken and its data: URI."""
    moments: tuple[str, ...]
    """When each frame was taken."""
    alt: str
    start: str


def film(params: Params, run: Run) -> Film:
    section, iterations = params.gallery.film, params.gallery.iterations
    href = f"gallery/{figures.FOLDER}/process.gif"
    path = existing(run.reports / href, "gallery")
    frames = pictures.frames(path)
    # As `nst.engine.run` takes them, and the result at last.
    taken = sorted({iterations, *(round(index * iterations / section.frames) for index in range(section.frames))})
    count = max(frames) + 1
    # A GIF does not keep pictures that are equal, and a run may stop early: then it is not known when.
    moments = tuple(
        f"after {taken[index]} iterations" if count == len(taken) else f"picture {index + 1} of {count}"
        for index in frames
    )
    start = start_name(section.init)
    return Film(
        pictures.embed(path),
        href,
        frames[count - 1],
        json.dumps([(moment, frame.uri) for moment, frame in zip(moments, frames.values(), strict=True)]),
        moments,
        f"{section.pair[0]} painted as {section.pair[1]}, from {start} to the result.",
        start,
    )
