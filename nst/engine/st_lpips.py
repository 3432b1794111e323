"""ST-LPIPS: shift-tolerant learned perceptual image patch similarity (Ghildyal & Liu 2022), from AlexNet.

A convolutional network that is none of the study's compares two pictures at the same places; its weights were trained
to agree with people's judgements, and its poolings are blurred so that a shift by a pixel or two counts for little.
Written anew from the paper and the shapes of its weights (see `nst.engine.weights.st_lpips`).
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from nst.engine import weights

SMALLEST_SIDE = 32
"""Px: below, the last layers have next to no positions.  The weights were trained on 64 px."""
LARGEST = 2**21
"""Pixels: larger pictures are measured at half their size, or a quarter, as the first layer takes 500 bytes of each."""


def activations(picture: Tensor) -> list[Tensor]:
    """Of a picture (1, 3, H, W) in [0, 1], no side shorter than `SMALLEST_SIDE`: those of the five layers, (1, C, H',
    W'), after the ReLU and scaled to length 1 at each position."""
    while picture.shape[-2] * picture.shape[-1] > LARGEST:
        picture = F.avg_pool2d(picture, 2)
    with torch.no_grad():
        return [F.normalize(each, eps=1e-10) for each in _activations(picture)]


def distance(found: list[Tensor], target: list[Tensor]) -> float:
    """Of two pictures of the same size, from their `activations`: the sum over the layers of the mean over positions of
    Σ w (f − t)² over channels, with trained w ≥ 0.  0 = same; lower is closer."""
    channels = weights.st_lpips().channels
    parts = [
        torch.einsum("bchw,c->", (f - t).square(), w.to(f.device)) / f[0, 0].numel()
        for f, t, w in zip(found, target, channels, strict=True)
    ]
    return sum(part.item() for part in parts)


def _activations(picture: Tensor) -> list[Tensor]:
    """AlexNet's, but that its first convolution takes every position, and that positions are left out behind a blur.

    Paper, section 3.3.
    """
    shift, scale, convolutions = _network(picture.device)
    x = ((2 * picture - 1 - shift) / scale).contiguous(memory_format=torch.channels_last)
    found = [F.relu_(_blurred(F.conv2d(x, *convolutions[0], padding=2)))]
    for index, padding in ((1, 2), (2, 1), (3, 1), (4, 1)):
        x = found[-1] if index > 2 else _blurred(F.max_pool2d(found[-1], 3, stride=1))
        found.append(F.relu_(F.conv2d(x, *convolutions[index], padding=padding)))
    return found


def _blurred(x: Tensor) -> Tensor:
    """Every second position of x, mirrored at its edges by two, after a binomial filter of 3×3 (Zhang 2019)."""
    line = x.new_tensor([0.25, 0.5, 0.25])
    filters = torch.outer(line, line).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), "reflect"), filters, stride=2, groups=x.shape[1])


@functools.lru_cache(maxsize=1)
def _network(device: torch.device) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
    """What is subtracted from RGB in [-1, 1], what that is divided by, and weight and bias of the convolutions."""
    found = weights.st_lpips()
    convolutions = [
        (each.weight.to(device).contiguous(memory_format=torch.channels_last), each.bias.to(device))
        for each in found.convolutions
    ]
    return found.shift.to(device), found.scale.to(device), convolutions
