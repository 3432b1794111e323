"""Style losses, a module each, with the same two functions.

* ``target(features, positions)``: the statistics (1, …) of a style's activations (1, C, H, W) at one layer, for a
  picture that has `positions` of them there, H'·W'.
* ``distance(features, targets)``: how far activations (B, C, H', W') of pictures are from statistics (B, …): (B,),
  differentiable.  0 is a match, and 1 is what activations of zero would give.

Both are float32 or wider, whatever the activations are; and on CPUs the distance of a picture does not depend on the
rest of the batch.  Adding a loss: a module, its name in `nst.engine.jobs.StyleLoss`, and a test.
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


def load(name: StyleLoss) -> Loss:
    """The style loss called `name`."""
    return cast(Loss, importlib.import_module(f"nst.engine.style_losses.{name}"))
