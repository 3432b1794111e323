"""Which jobs can run as one batch, as one forward pass a step can serve them all; and in which order jobs run."""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from nst.engine import images
from nst.engine.jobs import Job
from nst.engine.layers import LAYERS, multiplications

T = TypeVar("T")


def deepest_layer(job: Job) -> str:
    """The last layer that the job needs."""
    return max((*job.content_layers, *job.style_layers), key=LAYERS.index)


def kind(job: Job, picture: bytes) -> Hashable:
    """What jobs of a batch have in common: the size, the network up to its deepest layer, the optimizer's
    settings, and whether luminance alone is painted.

    Args:
        picture: the PNG file that the job's result has the size of.
    """
    return (
        images.png_size(picture), deepest_layer(job), job.pooling, job.weights, job.precision, job.parametrization,
        job.optimizer, job.learning_rate, job.iterations, job.tolerance, job.stop_loss, job.timed,
        job.recoloured == "luminance",
    )  # fmt: skip


def by_kind(items: Iterable[T], kind: Callable[[T], Hashable]) -> list[T]:
    """The items grouped by kind; the kinds, and the items of each, in the order they came."""
    kinds: dict[Hashable, list[T]] = {}
    for item in items:
        kinds.setdefault(kind(item), []).append(item)
    return [item for members in kinds.values() for item in members]


def cost(job: Job, picture: bytes) -> float:
    """Multiplications of a job's forward passes, at most: a measure of how long it takes beside other jobs.

    A rough one: the first layers are limited by memory, and L-BFGS takes more than one pass an iteration.

    Args:
        picture: as for `kind`.  Jobs of a kind cost the same.
    """
    width, height = images.png_size(picture)
    return multiplications(deepest_layer(job)) * width * height * job.iterations


def longest_first(items: Iterable[T], of: Callable[[T], tuple[Job, bytes]]) -> list[T]:
    """The items grouped by kind, the kinds that take longest first: so no worker begins something long at the end.

    Otherwise the order stays.

    Args:
        of: an item's job, and the picture as for `kind`.
    """
    together = by_kind(items, lambda item: kind(*of(item)))
    return sorted(together, key=lambda item: cost(*of(item)), reverse=True)
