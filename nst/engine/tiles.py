"""Large pictures in parts: tiles that overlap, so that no activation of a tile sees where it was cut.

A tile is cut with a margin as wide as what an activation sees beyond its own place, and of the tile's activations only
those of its own square are used.  They are what the whole picture has there, so sums over all tiles are sums over the
picture, without a seam.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nst.engine import memory
from nst.engine.layers import LAYERS, deepest, receptive_field, stride
from nst.engine.vgg import Encoder

_GRID = stride(LAYERS[-1])
"""Px between activations of the deepest layers.  Tiles are cut between them, as poolings take squares of this grid."""


@dataclass(frozen=True)
class Tile:
    """A part of a picture: its own square, and what is cut out for it.  All in px from the picture's corner."""

    own: tuple[range, range]
    """Rows and columns."""
    cut: tuple[range, range]
    """With the margin."""
    size: tuple[int, int]
    """Height and width of the picture."""

    def of(self, picture: Tensor) -> Tensor:
        """What is cut out of a picture (…, H, W): a view."""
        rows, columns = self.cut
        return picture[..., rows.start : rows.stop, columns.start : columns.stop]

    def own_part(self, layer: str, activations: Tensor) -> Tensor:
        """Of the activations (…, H', W') of what was cut out, those of its own square: a view."""
        rows, columns = (
            slice(
                (own.start - cut.start) // stride(layer),
                # Poolings round down, so that the last part ends where it ends.
                None if own.stop == cut.stop else (own.stop - cut.start) // stride(layer),
            )
            for own, cut in zip(self.own, self.cut, strict=True)
        )
        return activations[..., rows, columns]

    def place_in(self, whole: Tensor, layer: str, part: Tensor) -> Tensor:
        """Where its own activations `part` lie among those of the whole picture: a view of these."""
        top, left = self.corner(layer)
        height, width = part.shape[-2:]
        return whole[..., top : top + height, left : left + width]

    def corner(self, layer: str) -> tuple[int, int]:
        """Row and column of its own first activation in the whole picture."""
        rows, columns = self.own
        return rows.start // stride(layer), columns.start // stride(layer)

    def add_to(self, whole: dict[str, Tensor], layer: str, part: Tensor) -> None:
        """Its own activations (1, C, H', W') to those of the whole picture, by layer."""
        height, width = (side // stride(layer) for side in self.size)
        if part.shape[-2:] == (height, width):
            whole[layer] = part
            return
        if layer not in whole:
            whole[layer] = torch.empty(
                (1, part.shape[1], height, width),
                dtype=part.dtype,
                device=part.device,
                memory_format=torch.channels_last,
            )
        self.place_in(whole[layer], layer, part).copy_(part)


def are_needed(picture: Tensor) -> bool:
    """Whether a picture (…, H, W) is too large to be seen at once."""
    return picture.shape[-2] * picture.shape[-1] > memory.WHOLE


def split(height: int, width: int, last: str) -> list[Tile]:
    """The tiles of a picture of that size, for activations up to the layer `last`; one where it is not large."""
    if height * width <= memory.WHOLE:
        whole = range(height), range(width)
        return [Tile(whole, whole, (height, width))]
    margin = _up((receptive_field(last) - stride(last)) / 2)
    rows, columns = ([(own, _widened(own, margin, size)) for own in _parts(size)] for size in (height, width))
    return [Tile((row, column), (tall, wide), (height, width)) for row, tall in rows for column, wide in columns]


def stream(encoder: Encoder, picture: Tensor, layers: Collection[str]) -> Iterator[tuple[Tile, str, Tensor]]:
    """For each tile of a picture (1, 3, H, W) and each of `layers`, shallow to deep: the activations (1, C, H', W') of
    its own square, without gradients.  One layer's are in memory after the other."""
    if not layers:
        return
    height, width = picture.shape[-2:]
    for tile in split(height, width, deepest(layers)):
        for name, activations in encoder.stream(tile.of(picture), layers):
            yield tile, name, tile.own_part(name, activations)


def _parts(size: int) -> list[range]:
    """A side in parts of about the same length, no longer than `TILE_SIDE`."""
    count = -(-size // memory.TILE_SIDE)
    starts = [min(_up(size * number / count), size) for number in range(count)]
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], size], strict=True)]


def _widened(own: range, margin: int, size: int) -> range:
    return range(max(own.start - margin, 0), min(own.stop + margin, size))


def _up(length: float) -> int:
    return int(-(-length // _GRID)) * _GRID
