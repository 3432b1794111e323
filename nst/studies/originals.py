"""The pictures that studies start from, and the sheet that compares two noises."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from nst.engine import images
from nst.engine.jobs import Job, Noise
from nst.engine.results import Result
from nst.params import Pair
from nst.studies import figures


@dataclass(frozen=True)
class Original:
    """An input picture at the size at which a study uses it."""

    kind: Literal["content", "style"]
    name: str
    size: int

    def read(self, data: Path) -> Image.Image:
        """The picture from the folder of inputs.

        Raises:
            ImageError: it is missing, unreadable, or too small or too narrow.
        """
        path = images.find(data / self.kind, self.name)
        return images.fit(images.read(path), self.size, str(path))


def pair_name(content: str, style: str) -> str:
    """How tables and pages name a pair of pictures: ``chelsea × great_wave``."""
    return f"{content} × {style}"


def of_pairs(names: Iterable[Pair], size: int) -> list[Original]:
    """The pictures of pairs (content, style)."""
    return [original for content, style in names for original in of_pair((content, style), size)]


def of_pair(names: Pair, size: int) -> list[Original]:
    """Content and style."""
    return [Original("content", names[0], size), Original("style", names[1], size)]


def compare_noises(
    originals: Sequence[Original],
    *,
    seeds: Sequence[int],
    noise: Noise,
    results: Mapping[Job, Result],
    jobs: Mapping[tuple[str, int], Job],
    data: Path,
    path: Path,
) -> dict[str, dict[str, float]]:
    """Draw each original beside the noises and what was made from them.

    Returns how alike the first two noises end, by name of the original: the PSNR between the results ("psnr_between")
    and the share of their variation that they have in common ("shared").
    """
    from nst.engine import init, metrics
    from nst.engine.run import decode

    sheet = []
    between = {}
    for one in originals:
        original = one.read(data)
        made = [images.from_png(results[jobs[one.name, seed]].png) for seed in seeds]
        noises = [decode(init.noise(noise, original.height, original.width, seed)) for seed in seeds]
        sheet.append([original, *(picture for both in zip(noises, made, strict=True) for picture in both)])
        first, second = (metrics.as_tensor(picture) for picture in made[:2])
        between[one.name] = {
            "psnr_between": metrics.psnr(first, second),
            "shared": metrics.shared_variation(first, second),
        }
    columns = ["original", *(text for seed in seeds for text in (f"noise {seed}", f"from noise {seed}"))]
    figures.save(figures.contact_sheet(sheet, row_labels=[one.name for one in originals], column_labels=columns), path)
    return between
