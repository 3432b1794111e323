"""Pictures as the page carries them: inside itself, small, beside a link to the full one."""

import base64
import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from nst.engine import images, styles
from nst.report.numbers import number
from nst.report.run import Run, existing
from nst.report.texts import label
from nst.studies.figures import webp

LONGEST = 192
"""Longest side of most pictures, px: that of a study's default size, so that they are shown as they are."""

MOST_FRAMES = 60
"""Of a film that has more, every so many are shown."""

Row = Mapping[Any, Any]
"""A run, by column."""

_MIME = {".webp": "image/webp", ".png": "image/png", ".gif": "image/gif"}


@dataclass(frozen=True)
class Picture:
    """A picture that needs no file."""

    uri: str
    """A data: URI."""
    width: int
    height: int


@dataclass(frozen=True)
class Shown:
    """A picture with what is said of it."""

    picture: Picture
    alt: str
    title: str
    numbers: tuple[tuple[str, str], ...] = ()
    """Name and value, to stand under it."""
    href: str | None = None
    """The full picture, relative to the folder of reports."""
    page: str | None = None
    """What its job was and what it took, likewise."""
    key: str = ""
    """What links it to other places that show the same run; "" if none does."""
    marked: bool = False


def embed(path: Path) -> Picture:
    """A picture file as it is."""
    content = path.read_bytes()
    with Image.open(io.BytesIO(content)) as picture:
        size = picture.size
    return Picture(_uri(content, _MIME[path.suffix]), *size)


def thumbnail(picture: Image.Image, longest: int = LONGEST, quality: int = 80) -> Picture:
    """A picture as WebP, scaled down to `longest` px at most."""
    small = picture.convert("RGB")
    small.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return Picture(_uri(webp(small, quality), "image/webp"), *small.size)


def frames(path: Path) -> dict[int, Picture]:
    """The pictures of a GIF by their number, from 0; first and last included."""
    shown = {}
    with Image.open(path) as film:
        last = getattr(film, "n_frames", 1) - 1
        for index in sorted({round(i * last / (MOST_FRAMES - 1)) for i in range(MOST_FRAMES)}):
            film.seek(index)
            shown[index] = thumbnail(film.convert("RGB"), max(film.size))
    return shown


def result(run: Run, href: str) -> Picture:
    """A job's picture, small; `href` as in a study's table of runs.

    Raises:
        ReportError: it is missing.
    """
    return thumbnail(images.read(existing(run.reports / href, Path(href).parts[0])))


def shown(
    run: Run,
    row: Row,
    title: str,
    alt: str,
    *metrics: str,
    key: str = "",
    marked: bool = False,
    picture: Picture | None = None,
) -> Shown:
    """A job's picture with these of its numbers; `picture` instead of its own."""
    numbers = tuple((label(name).title, number(row[name])) for name in metrics)
    return Shown(picture or result(run, row["href"]), alt, title, numbers, row["href"], row["page"], key, marked)


def original(data: Path, kind: Literal["content", "style"], name: str, title: str = "") -> Shown:
    """One of the pictures that were studied, under a title."""
    names = [each for each, _ in styles.parse(name)] if kind == "style" else [name]
    paths = tuple(images.find(data / kind, each) for each in names)
    modified = tuple(path.stat().st_mtime_ns for path in paths)
    return Shown(_small(paths, modified), f"The {kind} picture, {name}.", title or f"{kind}: {name}")


def pair(data: Path, content: str, style: str) -> list[Shown]:
    """The two pictures that a transfer was made of."""
    return [original(data, "content", content), original(data, "style", style)]


@functools.lru_cache(maxsize=32)
def _small(paths: tuple[Path, ...], _modified: tuple[int, ...]) -> Picture:
    """An original's picture: it is shown in several places, and is large to read."""
    return thumbnail(images.beside([images.read(path) for path in paths]))


def _uri(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
