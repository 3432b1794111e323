"""The objective of a picture too large for the memory of a step: the same sums and gradients, tile by tile.

A loss is a function of sums over all positions: products of channels for Gram matrices, squared differences for the
content.  A first pass over the tiles adds up the sums.  The loss's slope at these sums is then known, and a second pass
takes it back to the pixels of each tile.  Only one tile's activations are in memory; the network runs forward twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nst.engine import style_losses, tiles
from nst.engine.layers import deepest, positions
from nst.engine.losses import energy, relative_error, wide
from nst.engine.objective import Objective, Part
from nst.engine.recolour import grey
from nst.engine.tiles import Tile
from nst.engine.vgg import Encoder


class TiledObjective(Objective):
    """An `Objective` of jobs that a CPU sees in tiles: see `nst.engine.memory.in_tiles`."""

    def __call__(self, pictures: Tensor, numbers: Sequence[int]) -> Tensor:
        """The losses (A,) of pictures (A, 3, H, W), which are those of the batch that `numbers` names."""
        if self.is_grey:
            pictures = grey(pictures)
        losses = [
            _Loss.apply(pictures[index : index + 1], self.encoder, self.parts(number))
            for index, number in enumerate(numbers)
        ]
        return self.smoothness(pictures, numbers) + torch.cat(losses)


class _Loss(torch.autograd.Function):
    """The content and the style loss (1,) of one picture (1, 3, H, W)."""

    @staticmethod
    def forward(ctx: Any, picture: Tensor, encoder: Encoder, parts: Sequence[Part]) -> Tensor:
        height, width = picture.shape[-2:]
        terms = [_TiledTerm(part, positions(part.layer, height, width)) for part in parts]
        layers = {part.layer for part in parts}
        split = tiles.split(height, width, deepest(layers))
        sums = [torch.zeros(()) for _ in terms]
        for tile in split:
            found = _sums(terms, tile, encoder(tile.of(picture), layers))
            sums = [total + each for total, each in zip(sums, found, strict=True)]
        with torch.enable_grad():
            sums = [each.requires_grad_() for each in sums]
            loss = torch.cat([term.loss(each) for term, each in zip(terms, sums, strict=True)]).sum(0, keepdim=True)
        if ctx.needs_input_grad[0]:
            slopes = torch.autograd.grad(loss, sums)
            gradient = torch.zeros_like(picture)
            for tile in split:
                pixels = tile.of(picture).clone().requires_grad_()
                with torch.enable_grad():
                    found = _sums(terms, tile, encoder(pixels, layers))
                tile.of(gradient).add_(torch.autograd.grad(found, pixels, slopes)[0])
            ctx.save_for_backward(gradient)
        return loss.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0], None, None


def _sums(terms: "Sequence[_TiledTerm]", tile: Tile, activations: Mapping[str, Tensor]) -> list[Tensor]:
    return [term.sums(tile, activations) for term in terms]


@dataclass(frozen=True)
class _TiledTerm:
    """A part of a loss, as a function of sums."""

    part: Part
    count: int
    """Positions of the whole picture at its layer."""

    @property
    def style_loss(self) -> style_losses.Additive | None:
        """None for the content loss."""
        return None if self.part.name == "content" else style_losses.load_additive(self.part.name)

    def sums(self, tile: Tile, activations: Mapping[str, Tensor]) -> Tensor:
        """What a tile adds to the sums, by the activations of what was cut out for it."""
        own = tile.own_part(self.part.layer, activations[self.part.layer])
        if self.style_loss:
            return self.style_loss.sums(own)
        target = tile.place_in(self.part.target, self.part.layer, own)
        return (own - target).to(wide(own)).square().sum().view(1)

    def loss(self, sums: Tensor) -> Tensor:
        """(1,), weighted."""
        if self.style_loss:
            return self.part.weight * relative_error(self.style_loss.of_sums(sums, self.count), self.part.target)
        return self.part.weight * sums / energy(self.part.target)
