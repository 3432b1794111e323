"""Which jobs can run as one batch: those that one forward pass serves, step for step."""

from collections.abc import Hashable, Iterable, Sequence
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


def grouped(items: Iterable[tuple[Hashable, T]], size: int) -> list[list[T]]:
    """Batches of at most `size`, each of items of one kind, the kinds and their items in the order they first come."""
    kinds: dict[Hashable, list[T]] = {}
    for of_kind, item in items:
        kinds.setdefault(of_kind, []).append(item)
    return [list(batch) for members in kinds.values() for batch in _cut(members, size)]


def _cut(members: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (members[first : first + size] for first in range(0, len(members), size))
