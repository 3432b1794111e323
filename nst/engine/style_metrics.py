"""Three style metrics that no job optimises: two that can confirm what the Gram matrices say, and one that tells a
texture from a copy.

The first two compare distributions over all positions, as the Gram matrices do.  0 = same; lower is closer.
The style loss of the name sliced_wasserstein has other directions.
"""

import math
from collections.abc import Mapping
from statistics import fmean

import torch
from torch import Tensor

from nst.engine.style_losses.sliced_wasserstein import directions

QUANTILES = 1024
"""Values by which a distribution is compared with one of another size."""
SAMPLED = 2**18
"""Positions from which the quantiles of a layer are taken, at most."""
LEVELS = 256
"""Values of a channel of an 8-bit picture."""
SMOOTHING = 1.5
"""Standard deviation, in positions, of the blur under which `arrangement` compares."""
_TINY = torch.finfo(torch.float32).tiny


def sliced_wasserstein(found: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> float:
    """Mean over the layers of W² / |P|², for what `projected` gives of a picture and of its style, whose sizes may
    differ.

    In a direction the activations of all positions are a distribution of numbers, and W² is the squared difference of
    the quantiles of both, over as many directions as there are channels (Bonneel et al. 2015; for style: Heitz et al.
    2021).  That deviates from Heitz et al. in two things.  It is divided by |P|², the square of the style's own
    quantiles, which makes layers comparable: 1 is what blank features would give.  And the directions, random but
    always the same, are at right angles to each other, so that no chance favours a channel: other directions change the
    distance by 0.3 %, independent ones by 7 %.
    """
    return fmean(
        ((found[name] - target).square().mean() / target.square().mean().clamp_min(_TINY)).item()
        for name, target in targets.items()
    )


def sample(features: Tensor, corner: tuple[int, int], count: int) -> Tensor:
    """Activations (1, C, M) for `projected`, of part of a picture (1, C, H, W), whose first has that row and column in
    the whole, which has `count` positions.  Of more than `SAMPLED`, every n-th row and column of the whole is taken."""
    step = math.ceil(math.sqrt(count / SAMPLED))
    top, left = (-each % step for each in corner)
    return features[..., top::step, left::step].flatten(2)


def projected(features: Tensor) -> Tensor:
    """Quantiles of activations (1, C, …) in fixed directions: (C, `QUANTILES`).

    Quantile i of n is the value of rank (i + ½) / n of the sorted ones, without interpolation.
    """
    channels = features.shape[1]
    values = directions(channels, channels, features.device).to(features.dtype) @ features[0].flatten(1)
    if values.device.type == "cpu":
        values.numpy().sort(axis=-1)  # in place; 20 times as fast as torch, which sorts indices too
    else:
        values = values.sort(dim=-1).values
    steps = torch.arange(QUANTILES, device=values.device)
    return values[:, (2 * steps + 1) * values.shape[-1] // (2 * QUANTILES)]


def colour_distance(picture: Tensor, target: Tensor) -> float:
    """Mean over red, green and blue of the Wasserstein distance of their histograms, for an 8-bit picture (1, 3, H, W)
    in [0, 1] and what `cumulative` gives of the style's, whose sizes may differ.

    0 = the same histograms, 1 = black against white: how far, as a share of the range, a channel's values would have
    to move on average.  Which values of the channels go together it does not see.
    """
    # Between two neighbouring levels, that share of the pixels has to move by one level.
    return ((cumulative(picture) - target).abs().sum(-1) / (LEVELS - 1)).mean().item()


def arrangement(features: Tensor, target: Tensor) -> float:
    """How far a texture repeats the arrangement of its style picture: the highest cosine of their activations (1, C, H,
    W), blurred by `SMOOTHING` and each channel's mean removed, over all circular shifts of one against the other.

    1 = the same picture, about 0 = nothing in common.  At conv4_2 and 192 px: 0.8 for the style moved by a part of its
    size, less than 1 as edges move too; 0.1 for two paintings; 0.1 to 0.2 for textures of conv1_1 … conv3_1, and 0.4
    to 0.5 for those of conv4_3 … conv5_3, where one sees the motifs of the original in their places.  Pixels do not
    show it: the luminance of all these textures correlates as with a mirrored original.
    """
    height, width = features.shape[-2:]
    blur = _blur(height, width).to(features.device)
    one, other = (torch.fft.rfft2(each[0]) * blur for each in (features, target))

    def correlation(a: Tensor, b: Tensor) -> Tensor:
        """Σ over channels and positions of a times b shifted, for every shift (H, W)."""
        return torch.fft.irfft2((a * b.conj()).sum(0), s=(height, width))  # type: ignore[no-any-return]

    energies = correlation(one, one)[0, 0] * correlation(other, other)[0, 0]
    return (correlation(one, other).max() / energies.sqrt().clamp_min(_TINY)).item()


def _blur(height: int, width: int) -> Tensor:
    """What a Gaussian blur multiplies the half spectrum of (H, W) by; 0 for the mean."""
    frequencies = torch.fft.fftfreq(height)[:, None].square() + torch.fft.rfftfreq(width)[None].square()
    blur = torch.exp(-2 * (torch.pi * SMOOTHING) ** 2 * frequencies)
    blur[0, 0] = 0
    return blur


def cumulative(picture: Tensor) -> Tensor:
    """Share of the pixels (1, 3, H, W) that has each level or a lower one, by channel: (3, `LEVELS`)."""
    levels = (picture[0].flatten(1).cpu() * (LEVELS - 1)).round().long()
    counts = torch.stack([torch.bincount(channel, minlength=LEVELS) for channel in levels])
    return (counts.double() / levels.shape[1]).cumsum(-1)
