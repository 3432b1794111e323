"""The gallery: a grid of contents and styles, favourites, and a film that one can wind by hand."""

from dataclasses import dataclass
from pathlib import Path

from nst.params import Params
from nst.report.findings.phrases import start_name
from nst.report.findings.records import Results, Run
from nst.report.page import pictures, sources
from nst.report.page.pictures import Picture, Shown
from nst.report.wording import number
from nst.studies import figures


@dataclass(frozen=True)
class Matrix:
    """Contents down, styles across, originals at the edges."""

    styles: tuple[Shown, ...]
    rows: tuple[tuple[Shown, tuple[Shown, ...]], ...]


@dataclass(frozen=True)
class Film:
    """One optimisation."""

    moving: Picture
    """GIF."""
    href: str
    still: Picture
    """For those who want nothing to move."""
    frames: tuple[Picture, ...]
    moments: tuple[str, ...]
    """When each frame was taken."""
    alt: str
    start: str


def matrix(params: Params, results: Results, reports: Path, data: Path) -> Matrix:
    """The pairs of the gallery's grid."""
    study, section = results.studies["gallery"], params.gallery

    def painted(content: str, style: str) -> Shown:
        run = next(
            run
            for run in study.runs
            if (run.content, run.style, run.size, run.init) == (content, style, section.size, section.init)
        )
        return _shown(run, sources.result(reports, study.name, run))

    return Matrix(
        tuple(sources.original(data, "style", name, name) for name in section.styles),
        tuple(
            (sources.original(data, "content", name, name), tuple(painted(name, style) for style in section.styles))
            for name in section.contents
        ),
    )


def favourites(results: Results, reports: Path) -> tuple[Shown, ...]:
    """The gallery's larger pictures."""
    study = results.studies["gallery"]
    shown = []
    for name in study.metrics["favourites"]:
        largest = max((run for run in study.runs if run.pair == name), key=lambda run: run.size)
        file = f"gallery/{figures.FOLDER}/favourite_{largest.content}_{largest.style}.webp"
        shown.append(_shown(largest, pictures.embed(sources.existing(reports / file, "gallery"))))
    return tuple(shown)


def film(params: Params, reports: Path) -> Film:
    """The GIF, and its frames."""
    section = params.gallery.film
    href = f"gallery/{figures.FOLDER}/process.gif"
    path = sources.existing(reports / href, "gallery")
    frames = pictures.frames(path)
    iterations = params.gallery.iterations
    # As `nst.engine.run` takes them, and the result at last.
    taken = sorted({iterations, *(round(index * iterations / section.frames) for index in range(section.frames))})
    count = max(frames) + 1
    return Film(
        moving=pictures.embed(path),
        href=href,
        still=frames[count - 1],
        frames=tuple(frames.values()),
        # A GIF does not keep pictures that are equal, and L-BFGS may stop early: then it is not known when.
        moments=tuple(
            f"after {taken[index]} iterations" if count == len(taken) else f"picture {index + 1} of {count}"
            for index in frames
        ),
        alt=f"{section.pair[0]} painted as {section.pair[1]}, from {start_name(section.init)} to the result.",
        start=start_name(section.init),
    )


def _shown(run: Run, picture: Picture) -> Shown:
    return Shown(
        picture,
        f"{run.content} painted as {run.style}.",
        run.pair,
        (("content distance", number(run.content_distance)), ("style distance", number(run.style_distance))),
        sources.href("gallery", run),
    )
