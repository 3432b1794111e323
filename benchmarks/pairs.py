"""The pictures that are stylised, the command that does it, and how the outcome is judged."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import process
from flows.settings import ROOT

if TYPE_CHECKING:
    from PIL import Image

SIZE = 256
"""Longest side, px, wherever two ways to the same picture are compared."""


@dataclass(frozen=True)
class Pair:
    """A content and a style."""

    content: str
    style: str

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.content} × {self.style}"

    @property
    def name(self) -> str:
        """For files."""
        return f"{self.content}_{self.style}"

    @property
    def paths(self) -> tuple[Path, Path]:
        """The files of content and style."""
        from nst.engine import images

        return images.find(ROOT / "data/content", self.content), images.find(ROOT / "data/style", self.style)


PAIRS = (
    Pair("egeskov", "great_wave"),
    Pair("chelsea", "cafe_terrace"),
    Pair("eilean_donan", "composition_viii"),
)


@dataclass(frozen=True)
class Distances:
    """Of a saved picture to its originals (see `nst.engine.metrics`)."""

    content: float
    style: float
    sliced_wasserstein: float
    """From the style; no program that is compared optimises it."""


def transfer(
    content: Path, style: Path, output: Path, *options: str, more: Mapping[str, str] | None = None
) -> process.Finished:
    """`nst transfer` as a process of its own, with more environment variables."""
    words = ("transfer", str(content), str(style), "-o", str(output), "--quiet", *options)
    return process.run(sys.executable, "-m", "nst", *words, more=more)


def original(path: Path, size: int = SIZE) -> bytes:
    """A picture at a size, as PNG."""
    from nst.engine import images

    return images.to_png(images.fit(images.read(path), size))


def judge(picture: Path, pair: Pair, size: int = SIZE) -> Distances:
    """The distances of a picture of a size to the originals at that size."""
    from nst.engine import images, metrics
    from nst.engine.weights import NORMALISED

    content, style = (original(path, size) for path in pair.paths)
    found = metrics.distances(metrics.as_tensor(images.read(picture)), content, [(style, 1.0)], NORMALISED)
    assert found.content is not None and found.style is not None, "both originals are there"
    assert found.sliced_wasserstein is not None, "there is a style"
    return Distances(found.content, found.style, found.sliced_wasserstein)


def square(picture: "Image.Image", side: int) -> "Image.Image":
    """The middle of a picture, `side` × `side` px."""
    from PIL import Image, ImageOps

    return ImageOps.fit(picture, (side, side), Image.Resampling.LANCZOS)
