"""The 16 convolution layers of VGG-19, their names and their numbers.

A layer means its activations after the ReLU (as in the Caffe model, where the ReLU works in place).
Simonyan & Zisserman 2014, table 1, column E.
"""

import difflib
import re
from collections.abc import Iterable, Mapping

from nst.errors import ParamsError

LAYERS: tuple[str, ...] = tuple(
    f"conv{block}_{index}" for block, depth in ((1, 2), (2, 2), (3, 4), (4, 4), (5, 4)) for index in range(1, depth + 1)
)
"""conv1_1 … conv5_4, shallow to deep; the study also counts them 1 … 16."""

CLASSIC: tuple[str, ...] = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
"""The style layers of Gatys et al. (2016)."""
CLASSIC_NAME = "classic"
"""What `CLASSIC` is written as."""

BLOCK_ENDS: frozenset[str] = frozenset({"conv1_2", "conv2_2", "conv3_4", "conv4_4"})
"""Layers that a 2×2 pooling follows (the pooling after conv5_4 feeds no layer)."""


_KERNEL, _POOL = 3, 2
"""Positions on a side that a convolution takes together, and a pooling."""
_WIDTHS = (64, 128, 256, 512, 512)
"""Channels of the layers of each block."""


def deepest(layers: Iterable[str]) -> str:
    """The last of at least one layer."""
    return max(layers, key=LAYERS.index)


def stride(name: str) -> int:
    """Px between neighbouring activations of the layer: each block has twice that of the one before, by its pooling."""
    return 1 << (int(name[4]) - 1)


def multiplications(last: str) -> float:
    """Of all layers up to `last`, for each pixel of the picture.

    A 3×3 convolution takes 9 × channels before × channels after, at a quarter of the positions of the block before.
    """
    total, before = 0.0, 3
    for name in LAYERS[: LAYERS.index(last) + 1]:
        width = _channels(name)
        total += _KERNEL**2 * before * width / stride(name) ** 2
        before = width
    return total


def receptive_field(name: str) -> int:
    """Pixels on a side of the square that an activation of the layer depends on, inside a picture; where the square
    reaches beyond the picture's edge, it sees the zero padding.

    A convolution adds (3 − 1) × its stride, a 2×2 pooling (2 − 1) × that of the layer before it.
    """
    field = 1
    for layer in LAYERS[: LAYERS.index(name) + 1]:
        field += (_KERNEL - 1) * stride(layer)
        if layer in BLOCK_ENDS and layer != name:
            field += (_POOL - 1) * stride(layer)
    return field


def positions(name: str, height: int, width: int) -> int:
    """Of a layer's activations, for a picture of that size."""
    return (height // stride(name)) * (width // stride(name))


def values(name: str) -> float:
    """Of a layer's activations, for each pixel of the picture."""
    return _channels(name) / stride(name) ** 2


def _channels(name: str) -> int:
    return _WIDTHS[int(name[4]) - 1]


def layer_number(name: str) -> int:
    """1 for conv1_1 … 16 for conv5_4."""
    return LAYERS.index(layer_name(name)) + 1


def layer_name(layer: str | int) -> str:
    """The layer's name, from its name or its number 1 … 16.

    Raises:
        ParamsError: there is no such layer; the message names the nearest one.
    """
    if isinstance(layer, bool) or not isinstance(layer, str | int):
        raise ParamsError(f"{layer!r} is no layer: give a name (conv1_1 … conv5_4) or a number 1 … 16")
    if isinstance(layer, int) or layer.strip().isdecimal():
        number = int(layer)
        if 1 <= number <= len(LAYERS):
            return LAYERS[number - 1]
        nearest = LAYERS[0 if number < 1 else -1]
        raise ParamsError(f"no layer {number}: layers are 1 … 16; the nearest is {layer_number(nearest)} ({nearest})")
    name = layer.strip().lower()
    if name in LAYERS:
        return name
    close = difflib.get_close_matches(name, LAYERS, n=1, cutoff=0)
    raise ParamsError(f"no layer {layer!r}: layers are conv1_1 … conv5_4 (or 1 … 16); the nearest is {close[0]}")


def parse_layers(value: str | int | Iterable[str | int]) -> tuple[str, ...]:
    """Layer names from one layer, a range (``"1-5"``, ``"conv1_1-conv3_1"``), ``"classic"`` or a list of these; in the
    order of depth.

    Raises:
        ParamsError: an unknown layer, a range that runs backwards, a layer given twice, or none at all.
    """
    if isinstance(value, Mapping):
        raise ParamsError(f"{value!r:.60} is no layer: give names (conv1_1 … conv5_4) or numbers 1 … 16")
    names: list[str] = []
    for item in value if isinstance(value, Iterable) and not isinstance(value, str) else [value]:
        if isinstance(item, str) and item.strip().lower() == CLASSIC_NAME:
            names += CLASSIC
            continue
        parts = re.split(r"\s*[-–]\s*", item.strip()) if isinstance(item, str) else [item]
        if len(parts) > 2:
            raise ParamsError(f"{item!r} is no range of layers: write it like 1-5 or conv1_1-conv3_1")
        first, last = layer_number(layer_name(parts[0])), layer_number(layer_name(parts[-1]))
        if first > last:
            raise ParamsError(f"the range {item!r} runs backwards: write {parts[-1]}-{parts[0]}")
        names += LAYERS[first - 1 : last]
    if not names:
        raise ParamsError("at least one layer is needed")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ParamsError(f"layer {twice[0]} is given twice")
    return tuple(sorted(names, key=LAYERS.index))


def window(layers: Iterable[str]) -> str:
    """A short label for layers: ``"1-5"`` for neighbours, ``"classic"`` for `CLASSIC`, ``"1,3,5"`` otherwise."""
    layers = tuple(layers)
    if layers == CLASSIC:
        return CLASSIC_NAME
    numbers = [layer_number(name) for name in layers]
    if len(numbers) > 1 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(map(str, numbers))
