"""Which jobs run as one batch, how many fit into a GPU's memory, and in which order batches run.

Neither torch nor a GPU is needed here: the driver of a study decides it from what a worker says of its GPU.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from nst.engine import images, ladder
from nst.engine.jobs import Job
from nst.engine.layers import deepest, multiplications
from nst.engine.memory import TILED_TIME, in_tiles

T = TypeVar("T")

MOST = 64
"""Pictures in a batch on a GPU, however much memory it has: more would keep other workers waiting for the last one."""
_SHARE = 0.7
"""Of a GPU's memory that pictures may take: the rest is for CUDA, the networks, work space of cuDNN and gaps."""

# Bytes on a GPU, estimated from the sizes of tensors; to be fitted on one (`make bench-gpu` shows both).
_KEPT = 326
"""Values for each pixel that VGG-19 keeps for the way back, up to conv5_4 and with what its poolings give."""
_GRADIENTS = 3 * 64
"""Values for each pixel of the gradients that are there at once: before and after conv1_2, and of a loss."""
_TARGET = 2 * 64
"""Values for each pixel of a content target and of what is left to it, at conv1_1 or conv1_2."""
_POOLED = 30 * 8
"""Bytes for each pixel of where the maxima of the poolings came from: numbers of 8 bytes."""
_PICTURE = 12 * 3 * 4
"""Bytes for each pixel of the picture, its coefficients, their gradients and Adam's state, in float32."""
_SORTED = 64 * 2 * (4 + 8)
"""Bytes for each pixel of sorted activations and of where they came from: conv1_1 and conv1_2 have the most."""
_GRAMS = 20e6
"""Bytes for each picture of the Gram matrices of all layers, and of what they are compared with, in float32."""
_VALUE = {"bfloat16": 2, "float32": 4}


def deepest_layer(job: Job) -> str:
    """The last layer that the job needs."""
    return deepest((*job.content_layers, *job.style_layers))


def kind(job: Job, picture: bytes) -> Hashable:
    """What jobs of a batch have in common: the size, the network, the optimizer's settings, and whether luminance alone
    is painted, or in tiles.  Layers, losses, weights and starts may differ: a batch goes as deep as the deepest of it.

    Args:
        picture: the PNG file that the job's result has the size of.
    """
    width, height = images.png_size(picture)
    return (
        (width, height), job.pooling, job.weights, job.precision, job.parametrization, job.optimizer,
        job.learning_rate, job.iterations, job.ladder, job.tolerance, job.stop_loss, job.timed,
        job.recoloured == "luminance", in_tiles(job, height, width),
    )  # fmt: skip


def cost(job: Job, picture: bytes) -> float:
    """Multiplications of a job's forward passes, at most: a measure of how long it takes beside other jobs.

    A rough one: the first layers are limited by memory, and L-BFGS takes more than one pass an iteration.

    Args:
        picture: as for `kind`.
    """
    width, height = shape = images.png_size(picture)
    passes = sum(_step_time(job, rung, shape) * rung.iterations * rung.scale**2 for rung in ladder.rungs(job, shape))
    return multiplications(deepest_layer(job)) * width * height * passes


def _step_time(job: Job, rung: ladder.Rung, shape: tuple[int, int]) -> float:
    """What a pixel of a rung takes on a CPU, of one that is not in tiles."""
    width, height = (round(side * rung.scale) for side in shape)
    return TILED_TIME if in_tiles(job, height, width) else 1.0


def in_batches(
    items: Iterable[T], of: Callable[[T], tuple[Job, bytes]], most: Callable[[Job, bytes], int]
) -> list[list[T]]:
    """The items as batches, those that take longest first: so no worker begins something long at the end.

    The same items in the same order give the same batches.  Those of a batch are of about the same depth, as far as
    there are such; what is equal stays in the order it came.

    Args:
        of: an item's job, and the picture as for `kind`.
        most: of how many a batch may be, for a job of its kind.
    """
    kinds: dict[Hashable, list[T]] = {}
    for item in sorted(items, key=lambda item: -cost(*of(item))):
        kinds.setdefault(kind(*of(item)), []).append(item)
    found = []
    for members in kinds.values():
        size = min(most(*of(item)) for item in members)
        found += [members[first : first + size] for first in range(0, len(members), size)]
    return sorted(found, key=lambda batch: -sum(cost(*of(item)) for item in batch))


def memory(job: Job, picture: bytes, precision: str) -> float:
    """Bytes of a GPU that a picture takes in a batch, at most: as if each went down to conv5_4.

    Args:
        picture: as for `kind`.
        precision: "bfloat16" or "float32".
    """
    width, height = images.png_size(picture)
    each = (_KEPT + _GRADIENTS + _TARGET) * _VALUE[precision] + _POOLED + _PICTURE
    if job.style and job.style_loss == "sliced_wasserstein":
        each += _SORTED
    return each * width * height + _GRAMS


def room(job: Job, picture: bytes, precision: str, total: float) -> int:
    """How many pictures a batch has on a GPU with `total` bytes: a power of two, as two cards of a name may differ by
    some MB, and the same jobs shall give the same batches.

    Args:
        picture, precision: as for `memory`.
    """
    fits = int(_SHARE * total / memory(job, picture, precision))
    return min(MOST, 1 << max(fits.bit_length() - 1, 0))
