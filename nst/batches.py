"""Which jobs can run as one batch: those that one forward pass serves, step for step."""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from nst import images
from nst.jobs import Job
from nst.layers import LAYERS

T = TypeVar("T")


def deepest_layer(job: Job) -> str:
    """The last layer that the job needs."""
    return max((*job.content_layers, *job.style_layers), key=LAYERS.index)


def kind(job: Job, picture: bytes) -> Hashable:
    """What jobs of a batch have in common: the network up to its deepest layer, and how and how long it is used.

    Args:
        picture: the PNG file that the job's result has the size of.
    """
    return (
        images.png_size(picture), deepest_layer(job), job.pooling, job.weights, job.precision, job.parametrization,
        job.optimizer, job.learning_rate, job.iterations, job.tolerance,
    )  # fmt: skip


def by_kind(items: Iterable[T], kind: Callable[[T], Hashable]) -> list[T]:
    """The items, those of a kind one after the other; the kinds, and the items of each, in the order they came."""
    kinds: dict[Hashable, list[T]] = {}
    for item in items:
        kinds.setdefault(kind(item), []).append(item)
    return [item for members in kinds.values() for item in members]
