"""Mean and standard deviation of each channel (Huang & Belongie 2017, eq. 13; Li, Wang, Liu & Hou 2017)."""

from typing import Any

import torch
from torch import Tensor

from nst.engine.losses import picture_by_picture, wide

_TINY = torch.finfo(torch.float32).tiny


def target(features: Tensor, positions: int) -> Tensor:
    """Means and deviations (1, 2, C), which are the same for any number of positions."""
    del positions
    return _moments(features)


def distance(features: Tensor, targets: Tensor) -> Tensor:
    """(|μ − m|² + |σ − s|²) / (|m|² + |s|²) over all channels, m and s the style's.

    Huang & Belongie sum the roots |μ − m| + |σ − s|; Li et al. divide the squares by the number of channels.  Here they
    are divided by the style's own, so that layers compare and blank activations give 1.
    """
    return picture_by_picture(_Distance.apply, features, targets)


def sums(features: Tensor) -> Tensor:
    """Values and their squares (1, 2, C), summed over positions."""
    values = features.to(wide(features)).flatten(2)
    return torch.stack([values.sum(2), values.square().sum(2)], dim=1)


def of_sums(sums: Tensor, count: int) -> Tensor:
    """Means and deviations."""
    mean, square = (sums / count).unbind(1)
    return torch.stack([mean, (square - mean.square()).clamp_min(_TINY).sqrt()], dim=1)


def _moments(features: Tensor) -> Tensor:
    """Mean and standard deviation (B, 2, C) of activations (B, C, H, W)."""
    deviation, mean = torch.std_mean(features.to(wide(features)), dim=(2, 3), correction=0)
    return torch.stack([mean, deviation], dim=1)


class _Distance(torch.autograd.Function):
    """With the gradient in closed form: where a channel has no deviation, whose root has no slope there, it is that of
    the mean alone."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, targets: Tensor) -> Tensor:
        moments = _moments(features)
        differences = moments - targets
        energy = targets.square().sum((1, 2)).clamp_min(_TINY)
        ctx.save_for_backward(features, moments, differences, energy)
        return differences.square().sum((1, 2)) / energy

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        features, moments, differences, energy = ctx.saved_tensors
        mean, deviation = moments.unbind(1)
        # dμ/dx = 1 / N and dσ/dx = (x − μ) / (N·σ)
        scale = (gradients[0] * 2 / (energy * features[0, 0].numel()))[:, None]
        slope = scale * differences[:, 1] / deviation.clamp_min(_TINY)
        slope = slope.where(deviation > 0, 0)
        offset = scale * differences[:, 0] - slope * mean
        gradient = torch.addcmul(offset[..., None, None], slope[..., None, None], features.to(mean.dtype))
        return gradient.to(features.dtype), None
