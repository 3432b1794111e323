"""Pictures made of the same originals from several noises: a sheet of them, and how alike they are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from nst.engine import images
from nst.engine.jobs import Noise
from nst.engine.results import Result
from nst.studies import figures
from nst.studies.originals import Original


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


def likeness(first: Result, second: Result) -> dict[str, float]:
    """How alike two pictures of the same size are: their PSNR in dB, and the share of variation they have in common."""
    from nst.engine import metrics

    one, other = (metrics.as_tensor(images.from_png(result.png)) for result in (first, second))
    return {"psnr_between": metrics.psnr(one, other), "shared": metrics.shared_variation(one, other)}
