"""Where the page's pictures come from: files of the studies, and the originals."""

import functools
from pathlib import Path
from typing import Literal

from nst.engine import images
from nst.errors import NSTError
from nst.report.findings.records import Run
from nst.report.page.pictures import Picture, Shown, thumbnail


class ReportError(NSTError):
    """A table or picture that the report needs is missing or cannot be read."""


def existing(path: Path, study: str) -> Path:
    """`path`, which `study` wrote.

    Raises:
        ReportError: it is not there.
    """
    if not path.is_file():
        raise ReportError(f"{path}: missing; run `dvc repro {study}` first")
    return path


def href(study: str, run: Run) -> str:
    """Where a run's full picture lies, relative to the folder of reports."""
    return f"{study}/{run.image}"


def result(reports: Path, study: str, run: Run) -> Picture:
    """A run's picture, small.

    Raises:
        ReportError: it is not there.
    """
    path = reports / href(study, run)
    if not path.is_file():
        raise ReportError(f"{path}: missing; run `dvc repro {study}` first (or `dvc checkout {study}`)")
    return thumbnail(images.read(path))


def original(data: Path, kind: Literal["content", "style"], name: str, title: str) -> Shown:
    """One of the pictures that were studied, under a title."""
    path = images.find(data / kind, name)
    return Shown(_small(path, path.stat().st_mtime_ns), f"The {kind} picture, {name}.", title)


@functools.lru_cache(maxsize=32)
def _small(path: Path, _modified: int) -> Picture:
    """An original's picture: it is shown in several places, and is large to read."""
    return thumbnail(images.read(path))


def pair(data: Path, content: str, style: str) -> tuple[Shown, Shown]:
    """The two pictures that a transfer was made of."""
    return (
        original(data, "content", content, f"content: {content}"),
        original(data, "style", style, f"style: {style}"),
    )
