"""The pictures that studies start from."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from nst.engine import images
from nst.params import Pair


@dataclass(frozen=True)
class Original:
    """A content or style picture, and the size at which a study uses it."""

    kind: Literal["content", "style"]
    name: str
    size: int
    """Longest side, px."""

    def read(self, data: Path) -> Image.Image:
        """The picture from `data`, the folder of original pictures, at this size.

        Raises:
            ImageError: it is missing, unreadable, or too small or too narrow.
        """
        path = images.find(data / self.kind, self.name)
        return images.fit(images.read(path), self.size, str(path))


def pair_name(content: str, style: str) -> str:
    """How tables and pages name a pair of pictures: ``chelsea × great_wave``."""
    return f"{content} × {style}"


def of_pairs(names: Iterable[Pair], size: int) -> list[Original]:
    """The pictures of several pairs."""
    return [original for content, style in names for original in of_pair((content, style), size)]


def of_pair(names: Pair, size: int) -> list[Original]:
    """The pictures of a pair (content, style)."""
    return [Original("content", names[0], size), Original("style", names[1], size)]
