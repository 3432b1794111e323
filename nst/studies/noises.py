"""Pictures made of the same originals from several noises: a sheet of them, and how alike they are."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from PIL import Image

from nst.engine import images
from nst.engine.jobs import Noise
from nst.engine.results import Result
from nst.studies import figures
from nst.studies.originals import Original


def originals(kind: Literal["content", "style"], names: Sequence[str], size: int) -> list[Original]:
    """The pictures of one kind."""
    return [Original(kind, name, size) for name in names]


def sheet(
    originals: Sequence[Original],
    results: Mapping[tuple[str, int], Result],
    *,
    seeds: Sequence[int],
    noise: Noise,
    data: Path,
) -> Image.Image:
    """One row an original: the original, then each noise beside what was made from it.

    Args:
        results: by name of the original and seed of the noise.
        data: the folder of original pictures.
    """
    from nst.engine import init
    from nst.engine.run import decode

    rows = []
    for one in originals:
        original = one.read(data)
        row = [original]
        for seed in seeds:
            row.append(decode(init.noise(noise, original.height, original.width, seed)))
            row.append(images.from_png(results[one.name, seed].png))
        rows.append(row)
    columns = ["original", *(text for seed in seeds for text in (f"noise {seed}", f"from noise {seed}"))]
    return figures.contact_sheet(rows, row_labels=[one.name for one in originals], column_labels=columns)


def alike(runs: Mapping[tuple[str, str, int], Result]) -> Iterator[dict[str, str | float]]:
    """Rows of noises.csv: how alike what was made from two noises is, of each original at each layer or window that
    was run from both; PSNR in dB, and shared variation.

    Args:
        runs: by layer or window, name of the original, and seed of the noise.
    """
    from nst.engine import metrics

    groups: dict[tuple[str, str], list[Result]] = {}
    for (place, name, _), result in runs.items():
        groups.setdefault((place, name), []).append(result)
    for (place, name), (one, other, *_) in groups.items():
        first, second = (metrics.as_tensor(images.from_png(result.png)) for result in (one, other))
        both = {"psnr": metrics.psnr(first, second), "shared": metrics.shared_variation(first, second)}
        yield {"layers": place, "original": name, **both}
