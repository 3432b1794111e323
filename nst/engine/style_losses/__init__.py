"""Style losses, a module each, with the same two functions.

* ``target(features, positions)``: the statistics (1, …) of a style's activations (1, C, H, W) at one layer, for a
  picture that has `positions` of them there, H'·W'.
* ``distance(features, targets)``: how far activations (B, C, H', W') of pictures are from statistics (B, …): (B,),
  differentiable.  0 is a match, and 1 is what activations of zero would give.

Both are float32 or wider, whatever the activations are; and on CPUs the distance of a picture does not depend on the
rest of the batch.  Adding a loss: a module, its name in `nst.engine.jobs.StyleLoss`, and a test.

A loss whose statistics follow from sums over positions has two more functions, and can then be had of a large picture
tile by tile (see `nst.engine.tiled`):

* ``sums(features)``: the sums (1, …) over the positions of activations (1, C, H, W), differentiable.
* ``of_sums(sums, count)``: the statistics that ``target`` gives, from the sums over that many positions.
"""

import importlib
from typing import Protocol, cast

from torch import Tensor

from nst.engine.jobs import StyleLoss


class Loss(Protocol):
    """What each module of this package offers."""

    def target(self, features: Tensor, positions: int) -> Tensor:
        """(1, …) of activations (1, C, H, W)."""

    def distance(self, features: Tensor, targets: Tensor) -> Tensor:
        """(B,) of activations (B, C, H', W') and statistics (B, …)."""


class Additive(Loss, Protocol):
    """What modules offer whose statistics follow from sums."""

    def sums(self, features: Tensor) -> Tensor:
        """(1, …) of activations (1, C, H, W)."""

    def of_sums(self, sums: Tensor, count: int) -> Tensor:
        """Statistics (1, …) of the sums over so many positions."""


def load(name: StyleLoss) -> Loss:
    """The style loss called `name`."""
    return cast(Loss, importlib.import_module(f"nst.engine.style_losses.{name}"))


def is_additive(name: StyleLoss) -> bool:
    """Whether its statistics follow from sums over positions."""
    return hasattr(load(name), "of_sums")


def load_additive(name: StyleLoss) -> Additive:
    """The style loss called `name`, which `is_additive`."""
    return cast(Additive, load(name))
