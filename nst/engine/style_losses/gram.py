"""Gram matrices: which channels are active together (Gatys, Ecker & Bethge 2016, eq. 3 to 6)."""

from torch import Tensor

from nst.engine.losses import gram_distance, gram_matrix, gram_sums


def target(features: Tensor, positions: int) -> Tensor:
    """The Gram matrix (1, C, C), which is the same for any number of positions."""
    del positions
    return gram_matrix(features)


def distance(features: Tensor, targets: Tensor) -> Tensor:
    """|G − A|² / |A|², see `gram_distance`."""
    return gram_distance(features, targets)


def sums(features: Tensor) -> Tensor:
    """The products of the channels (1, C, C), summed over positions."""
    return gram_sums(features)


def of_sums(sums: Tensor, count: int) -> Tensor:
    """The Gram matrix."""
    return sums / count
