"""How much memory an optimisation will need on a CPU, estimated before it starts."""

import itertools
import math

import psutil

from nst.engine.jobs import LARGE, LBFGS_HISTORY, Job
from nst.engine.layers import values
from nst.errors import CapacityError

WHOLE = 2_800_000
"""Pixels up to which a picture is seen at once, 2048 × 1365.  Larger ones are measured, and on CPUs painted, in tiles:
see `nst.engine.tiles`."""
TILE_SIDE = 1024
"""Of a tile's own square, at most, px.  With its margin it has about `LARGE` pixels."""
TILED_TIME = 1.4
"""What a step in tiles takes, of one at once: 1.46 at 2048 × 1425 px, 1.31 at 2896 × 2014, as tiles overlap."""

# Fitted to the peaks of processes of 64 to 4096 px (Linux, glibc, torch 2.14): within 12 %, but that in tiles float32
# takes up to a fifth less.
_BASE = {"bfloat16": 0.75e9, "float32": 0.85e9}
"""Bytes of torch and of the networks."""
_STEP = {"bfloat16": 1450, "float32": 2500}
"""Bytes for each pixel, whatever the layers: the first two are the largest."""
_LARGE_STEP = {"bfloat16": 1150, "float32": 2000}
"""The same where activations are computed again, see `nst.engine.onednn`."""
_TILED_STEP = 145
"""Bytes for each pixel of a picture in tiles, of its gradient, and of Adam's state, beside the step of one tile."""
_VALUE = {"bfloat16": 2, "float32": 4}
"""Bytes of an activation."""
_METRICS = 0.92e9, 1050
"""Bytes while the picture is measured, in float32, a layer at a time: of networks, and for each pixel."""
_TILED_METRICS = 340
"""Bytes for each pixel of a picture that is measured in tiles."""
_ADAIN = 0.05e9, 3 * 64
"""Of the networks that make an AdaIN start, which is seen at once: bytes, and activations for each pixel."""
_SORTING = 1600
"""Bytes for each pixel of a layer's sorted activations, and of where they came from: conv1_1 has the most."""
_HISTORY = 2 * LBFGS_HISTORY * 3 * 4
"""Bytes for each pixel of what L-BFGS remembers: steps and changes of the gradient, of three float32 numbers."""


def estimate(job: Job, height: int, width: int, precision: str) -> float:
    """Most bytes that will be resident at once in a process that runs this job.

    Args:
        height, width: of the picture, px.
        precision: "bfloat16" or "float32".
    """
    pixels, value = height * width, _VALUE[precision]
    style_pixels = job.style_size**2 if job.style_size > job.size else 0  # at most; smaller ones take less than a step
    if in_tiles(job, height, width):
        targets = 2 * sum(map(values, job.content_layers))  # twice, as those of smaller rungs are cached
        step = _STEP[precision] * LARGE + (_TILED_STEP + targets * value) * pixels
    else:
        step = max(_STEP[precision] * min(pixels, LARGE), _LARGE_STEP[precision] * pixels)
    if job.optimizer == "lbfgs":
        step += _HISTORY * pixels
    if job.style and job.style_loss == "sliced_wasserstein":
        step = max(step + _SORTING * pixels, _SORTING * style_pixels)
    shown = max(pixels, style_pixels)
    metrics = _METRICS[1] * shown if shown <= WHOLE else _METRICS[1] * LARGE + _TILED_METRICS * shown
    most = max(_BASE[precision] + step, _METRICS[0] + metrics)
    if job.init != "adain":
        return most
    first = min(pixels, job.ladder**2 or pixels)
    return max(most, _BASE[precision] + _ADAIN[1] * value * first) + _ADAIN[0]


def in_tiles(job: Job, height: int, width: int) -> bool:
    """Whether a CPU sees the job's picture, of that size, in tiles.  What one of the style losses sorts cannot be."""
    return height * width > WHOLE and not (job.style and job.style_loss == "sliced_wasserstein")


def available() -> float:
    """Bytes that processes of this machine can still have."""
    return float(psutil.virtual_memory().available)


def check(job: Job, height: int, width: int, precision: str, free: float) -> None:
    """Whether a job fits into `free` bytes.  It is refused only where the estimate is beyond them.

    Raises:
        CapacityError: it does not; the message says what size would.
    """
    needed = estimate(job, height, width, precision)
    if needed <= free:
        return
    longest = max(height, width)

    def fits(size: int) -> bool:
        scale = size / longest
        return estimate(job, math.ceil(height * scale), math.ceil(width * scale), precision) <= free

    *_, smaller = 0, *itertools.takewhile(fits, range(32, job.size, 32))
    remedy = f"a size of {smaller} or less fits" if smaller else "close other programs"
    raise CapacityError(
        f"a {job.task} at {job.size} px needs about {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free: "
        f"{remedy}"
    )
