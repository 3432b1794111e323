"""What jobs aim at: activations of their content pictures and statistics of their style pictures, made of features in
the precision of those that are compared with them."""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nst.engine import images, style_losses, styles, tiles, vgg
from nst.engine.jobs import Pooling, StyleLoss
from nst.engine.layers import positions
from nst.engine.metrics import as_tensor
from nst.engine.vgg import Encoder

Layers = Mapping[str, Tensor]
"""By layer: activations (1, C, H, W) or what a style loss takes of them (1, …)."""


class Network(NamedTuple):
    """The network that a job is optimised with, by name: what is cached under it keeps no encoder in memory."""

    weights: str
    pooling: Pooling
    dtype: torch.dtype
    device: torch.device


@functools.lru_cache(maxsize=1)
def encoder(network: Network) -> Encoder:
    """Cached, as the next job mostly has the same."""
    source, pooling, dtype, device = network
    return vgg.load(source, pooling=pooling, dtype=dtype, device=device)


@functools.lru_cache(maxsize=4)
def content(png: bytes, layers: tuple[str, ...], network: Network) -> Layers:
    """Activations of a content picture, a PNG file.  Cached, as the jobs of a study share a few pictures."""
    picture = as_tensor(images.from_png(png)).to(network.device)
    whole: dict[str, Tensor] = {}
    for tile, name, part in tiles.stream(encoder(network), picture, layers):
        tile.add_to(whole, name, part)
    return whole


def style(
    pngs: Sequence[tuple[bytes, float]],
    layers: tuple[str, ...],
    network: Network,
    loss: StyleLoss,
    size: tuple[int, int],
) -> Layers:
    """Statistics of style pictures, each with its share, likewise, for a picture of that width and height."""
    found = [(statistics(png, layers, network, loss, size), share) for png, share in pngs]
    return {name: styles.mean((each[name], share) for each, share in found) for name in layers if found}


@functools.lru_cache(maxsize=16)
def statistics(png: bytes, layers: tuple[str, ...], network: Network, loss: StyleLoss, size: tuple[int, int]) -> Layers:
    width, height = size
    picture = as_tensor(images.from_png(png)).to(network.device)
    if tiles.are_needed(picture) and style_losses.is_additive(loss):
        return _summed(picture, layers, network, style_losses.load_additive(loss))
    target = style_losses.load(loss).target
    features = encoder(network).stream(picture, layers)
    return {name: target(each, positions(name, height, width)) for name, each in features}


def _summed(picture: Tensor, layers: tuple[str, ...], network: Network, loss: style_losses.Additive) -> Layers:
    """The same of a large picture, tile by tile."""
    sums: dict[str, Tensor] = {}
    for _, name, features in tiles.stream(encoder(network), picture, layers):
        sums[name] = sums.get(name, 0.0) + loss.sums(features)
    return {name: loss.of_sums(each, positions(name, *picture.shape[-2:])) for name, each in sums.items()}
