"""Starting pictures: noise, the content picture, or its AdaIN stylisation."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nst.engine.jobs import Noise
from nst.engine.parametrize import Fourier
from nst.engine.vgg import Encoder
from nst.engine.weights import Convolution

ADAIN_LAYER = "conv4_1"


def noise(form: Noise, height: int, width: int, seed: int) -> Tensor:
    """A noise picture (1, 3, H, W) in [0, 1], drawn on the CPU so that every device gets the same.

    "uniform": independent pixels in [0, 1].  "normal": 0.5 + 0.1 × standard normal.  "pink": amplitudes that fall with
    frequency, in the colours of natural images, standard deviation 0.05 (like the start of Olah et al. 2017).
    """
    generator = torch.Generator().manual_seed(seed)
    if form == "uniform":
        return torch.rand((1, 3, height, width), generator=generator)
    if form == "normal":
        return (0.5 + 0.1 * torch.randn((1, 3, height, width), generator=generator)).clamp(0, 1)
    coefficients = torch.randn((1, 3, height, width // 2 + 1, 2), generator=generator)
    logits = Fourier(height, width).values(coefficients)
    # A standard deviation of 0.2 in the logits is one of 0.05 in pixels about mid-grey.
    return torch.sigmoid(logits * (0.2 / logits.std()))


def adain(content: Tensor, style: Tensor, encoder: Encoder, decoder: tuple[Convolution, ...]) -> Tensor:
    """Feed-forward stylisation (1, 3, H, W) in [0, 1] of Huang & Belongie (2017): decode AdaIN(f(content), f(style)).

    Args:
        content, style: (1, 3, H, W) and (1, 3, H', W'), RGB in [0, 1].
        encoder: reflection-padded and max-pooled, as the decoder was trained with.
        decoder: from `nst.engine.weights.adain_decoder`.
    """
    with torch.no_grad():
        features, target = (encoder(picture, [ADAIN_LAYER])[ADAIN_LAYER].float() for picture in (content, style))
        decoded = _decode(_match_statistics(features, target), decoder)
        # conv4_1 has 1/8 of the picture's size, rounded down: odd sizes are scaled back to the content's.
        if decoded.shape != content.shape:
            decoded = F.interpolate(decoded, size=content.shape[-2:], mode="bilinear", align_corners=False)
        return decoded.clamp(0, 1)


def _match_statistics(features: Tensor, target: Tensor) -> Tensor:
    """AdaIN, Huang & Belongie (2017), eq. 8: the target's mean and deviation of each channel on the features'
    pattern."""
    over: dict[str, Any] = {"dim": (2, 3), "keepdim": True}
    normalised = (features - features.mean(**over)) / (features.var(**over) + 1e-5).sqrt()
    return normalised * (target.var(**over) + 1e-5).sqrt() + target.mean(**over)


def _decode(x: Tensor, decoder: tuple[Convolution, ...]) -> Tensor:
    upsampled_after = (0, 4, 6)  # as the encoder pools before conv4_1, in reverse order
    for index, convolution in enumerate(decoder):
        weight, bias = convolution.weight.to(x.device), convolution.bias.to(x.device)
        x = F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), weight, bias)
        if index < len(decoder) - 1:
            x = F.relu_(x)
        if index in upsampled_after:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
    return x
