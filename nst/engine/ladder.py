"""Large pictures from coarse to fine: painted small first, then larger by √2, each started from the one before.

A network sees a fixed number of pixels around each position.  At 2048 px these are a small part of the picture: strokes
come out a few pixels wide, and the content's large shapes are not painted at all.  The first, small picture has large
strokes and shapes, and the larger ones add detail to them, in fewer steps, which also takes less time.

Gatys et al. (2017), "Controlling Perceptual Factors in Neural Style Transfer", section 6, have two sizes; steps of √2
are as in K. Crowson's style-transfer-pytorch.
"""

import math
from dataclasses import dataclass

from PIL import Image

from nst.engine import images
from nst.engine.inputs import Inputs
from nst.engine.jobs import Job

STEP = 2**0.5
ITERATIONS, LEARNING_RATE = 0.4, 0.5
"""Of all rungs but the first, as shares of the job's."""


@dataclass(frozen=True)
class Rung:
    """One size at which a picture is painted."""

    scale: float
    """Of the picture's size; 1 on the last."""
    iterations: int
    learning_rate: float


def rungs(job: Job, shape: tuple[int, int]) -> list[Rung]:
    """Of a job with a picture of that width and height, from small to large."""
    width, height = shape
    over = max(width, height) / job.ladder if job.ladder else 1.0
    count = math.ceil(math.log(max(over, 1.0), STEP) - 1e-9)
    scales = [STEP**-number for number in range(count, -1, -1)]
    scales = [scale for scale in scales if round(min(width, height) * scale) >= images.SHORTEST_SIDE]
    steps, rate = math.ceil(job.iterations * ITERATIONS), job.learning_rate * LEARNING_RATE
    return [Rung(scales[0], job.iterations, job.learning_rate), *(Rung(scale, steps, rate) for scale in scales[1:])]


def scaled(inputs: Inputs, scale: float) -> Inputs:
    """A job's pictures on a rung."""
    if scale == 1:
        return inputs
    return inputs.changed(lambda png: _scaled(png, scale))


def _scaled(png: bytes, scale: float) -> bytes:
    picture = images.from_png(png)
    width, height = (max(images.SHORTEST_SIDE, round(side * scale)) for side in picture.size)
    return images.to_png(picture.resize((width, height), Image.Resampling.LANCZOS))
