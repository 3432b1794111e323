"""The pictures that studies start from."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from nst.engine import images, styles
from nst.params import Pair


@dataclass(frozen=True)
class Original:
    """A content or style picture, and the size at which a study uses it."""

    kind: Literal["content", "style"]
    name: str
    size: int
    """Longest side, px."""

    def read(self, data: Path) -> Image.Image:
        """The picture from `data`, the folder of original pictures, at this size; several styles beside each other.

        Raises:
            ImageError: it is missing, unreadable, or too small or too narrow.
        """
        return images.beside([picture for picture, _ in self.parts(data)])

    def parts(self, data: Path) -> list[tuple[Image.Image, float]]:
        """The picture, or each of several styles, with its share.

        Raises:
            ImageError: as `read` does.
        """
        names = styles.parse(self.name) if self.kind == "style" else ((self.name, 1.0),)
        paths = [(images.find(data / self.kind, name), share) for name, share in names]
        return [(images.fit(images.read(path), self.size, str(path)), share) for path, share in paths]


def file_name(content: str, style: str) -> str:
    """Of a pair of pictures, without a suffix: ``chelsea_great_wave``."""
    return f"{content}_{style.replace(':', '-').replace(',', '+')}"


def pair_name(content: str, style: str) -> str:
    """How tables and pages name a pair of pictures: ``chelsea × great_wave``."""
    return f"{content} × {style}"


def of_pairs(names: Iterable[Pair], size: int) -> list[Original]:
    """The pictures of several pairs."""
    return [original for content, style in names for original in of_pair((content, style), size)]


def of_pair(names: Pair, size: int) -> list[Original]:
    """The pictures of a pair (content, style)."""
    return [Original("content", names[0], size), Original("style", names[1], size)]
