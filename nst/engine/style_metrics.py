"""Two style metrics that no job optimises, so that they can confirm what the Gram matrices say.

The style loss of the name sliced_wasserstein has other directions.

Both compare distributions over all positions, as the Gram matrices do.  0 = same; lower is closer.
"""

from collections.abc import Mapping
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from nst.engine.style_losses.sliced_wasserstein import directions

QUANTILES = 1024
"""Values by which a distribution is compared with one of another size."""
LEVELS = 256
"""Values of a channel of an 8-bit picture."""
_TINY = torch.finfo(torch.float32).tiny


def sliced_wasserstein(features: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> float:
    """Mean over the layers of `targets` of W² / |P|², for activations (1, C, H, W) and what `projected` gives of the
    style's, whose sizes may differ.

    In a direction the activations of all positions are a distribution of numbers, and W² is the squared difference of
    the quantiles of both, over as many directions as there are channels (Bonneel et al. 2015; for style: Heitz et al.
    2021).  That deviates from Heitz et al. in two things.  It is divided by |P|², the square of the style's own
    quantiles, which makes layers comparable: 1 is what blank features would give.  And the directions, random but
    always the same, are at right angles to each other, so that no chance favours a channel: other directions change the
    distance by 0.3 %, independent ones by 7 %.
    """
    return fmean(
        ((projected(features[name]) - target).square().mean() / target.square().mean().clamp_min(_TINY)).item()
        for name, target in targets.items()
    )


def projected(features: Tensor) -> Tensor:
    """Quantiles of activations (1, C, H, W) in fixed directions: (C, `QUANTILES`), on the CPU.

    Quantile i of n is the value of rank (i + ½) / n of the sorted ones, without interpolation.
    """
    channels = features.shape[1]
    values = directions(channels, seed=channels).to(features) @ features[0].reshape(channels, -1)
    ordered = values.cpu().numpy()
    ordered.sort(axis=-1)  # on a CPU 20 times as fast as torch, which sorts indices too
    steps = np.arange(QUANTILES)
    return torch.from_numpy(ordered[:, (2 * steps + 1) * ordered.shape[-1] // (2 * QUANTILES)])


def colour_distance(picture: Tensor, style: Tensor) -> float:
    """Mean over red, green and blue of the Wasserstein distance of their histograms, for 8-bit pictures (1, 3, H, W) in
    [0, 1], whose sizes may differ.

    0 = the same histograms, 1 = black against white: how far, as a share of the range, a channel's values would have
    to move on average.  Which values of the channels go together it does not see.
    """
    shares = [_histograms(each).cumsum(-1) for each in (picture, style)]
    # Between two neighbouring levels, that share of the pixels has to move by one level.
    return ((shares[0] - shares[1]).abs().sum(-1) / (LEVELS - 1)).mean().item()


def _histograms(picture: Tensor) -> Tensor:
    """Share of the pixels that has each level, by channel: (3, `LEVELS`)."""
    levels = (picture[0].flatten(1).cpu() * (LEVELS - 1)).round().long()
    return torch.stack([torch.bincount(channel, minlength=LEVELS) for channel in levels]).double() / levels.shape[1]
