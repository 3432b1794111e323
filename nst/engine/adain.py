"""AdaIN: feed-forward stylisation by one pass through two networks (Huang & Belongie 2017), for starting pictures."""

import functools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nst.engine import malloc, onednn, styles, weights
from nst.engine.layers import BLOCK_ENDS, LAYERS
from nst.engine.weights import Convolution

ENCODED = "conv4_1"
"""The layer whose statistics are exchanged."""
_UPSAMPLED_AFTER = (0, 4, 6)
"""Convolutions of the decoder: as the encoder pools before conv4_1, in reverse order."""


class AdaIN:
    """Decode AdaIN(f(content), f(style)): the paper's eq. 9, with weight 1 for the style; of several, eq. 15.

    Args:
        dtype: of both networks, as of the optimisation that follows, with its kernels where they are available; the
            statistics are float32.
        fused: whether oneDNN's fused kernels compute it; None where they are available.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device, *, fused: bool | None = None) -> None:
        vgg = weights.vgg19(weights.NORMALISED)
        self._dtype, self._scale, self._shift = dtype, vgg.scale.to(device), vgg.shift.to(device)
        self._fused = device.type == "cpu" and onednn.available(dtype) if fused is None else fused
        encoder = vgg.convolutions[: LAYERS.index(ENCODED) + 1]
        self._encoder = [self._prepared(each, device) for each in encoder]
        self._decoder = [self._prepared(each, device) for each in weights.adain_decoder()]

    def __call__(self, content: Tensor, given: Sequence[tuple[Tensor, float]]) -> Tensor:
        """The stylisation (1, 3, H, W) in [0, 1] of a picture (1, 3, H, W) by styles (1, 3, H', W'), each with its
        share, RGB in [0, 1].

        The decoder's picture has sides that are multiples of 8, rounded up; what is beyond the content's is cut off.
        """
        with torch.no_grad():
            features = self.encode(content)
            matched = ((_match_statistics(features, self.encode(style)), share) for style, share in given)
            decoded = self.decode(styles.mean(matched))
        height, width = content.shape[-2:]
        return decoded[..., :height, :width].clamp(0, 1)

    def encode(self, picture: Tensor) -> Tensor:
        """VGG-19's activations (1, 512, ⌈H/8⌉, ⌈W/8⌉) at conv4_1, float32; unlike `nst.engine.vgg`'s with mirrored
        edges, and poolings that round sizes up, as the decoder was trained with."""
        rgb = picture.permute(0, 2, 3, 1)
        x = (rgb @ self._scale.T + self._shift).permute(0, 3, 1, 2).to(self._dtype)
        for name, convolution in zip(LAYERS, self._encoder, strict=False):
            x = self._convolve(x, convolution, relu=True)
            if name in BLOCK_ENDS:
                x = F.max_pool2d(x, 2, ceil_mode=True)
        return x.float()

    def decode(self, features: Tensor) -> Tensor:
        """A picture (1, 3, 8H, 8W) of features (1, 512, H, W), not cut to [0, 1], float32."""
        x = features.to(self._dtype).contiguous(memory_format=torch.channels_last)
        for index, convolution in enumerate(self._decoder):
            x = self._convolve(x, convolution, relu=index < len(self._decoder) - 1)
            if index in _UPSAMPLED_AFTER:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
        return x.float()

    def _prepared(self, convolution: Convolution, device: torch.device) -> tuple[Tensor, Tensor]:
        weight, bias = convolution.weight.to(device, self._dtype), convolution.bias.to(device, self._dtype)
        if self._fused:
            return onednn.reordered(weight, padding=0), bias
        return weight.contiguous(memory_format=torch.channels_last), bias

    def _convolve(self, x: Tensor, convolution: tuple[Tensor, Tensor], *, relu: bool) -> Tensor:
        """Of x with its edges mirrored by one."""
        x = F.pad(x, (1, 1, 1, 1), "reflect").contiguous(memory_format=torch.channels_last)
        if self._fused:
            return onednn.convolve(x, *convolution, padding=0, relu=relu)
        x = F.conv2d(x, *convolution)
        return F.relu_(x) if relu else x


@functools.lru_cache(maxsize=1)
def load(dtype: torch.dtype, device: torch.device) -> AdaIN:
    """Cached, as the next job mostly has the same.

    Raises:
        WeightsError: weights are missing or altered.
    """
    network = AdaIN(dtype, device)
    malloc.trim()
    return network


def _match_statistics(features: Tensor, target: Tensor) -> Tensor:
    """Huang & Belongie (2017), eq. 8: the target's mean and deviation of each channel on the features' pattern."""
    over: dict[str, Any] = {"dim": (2, 3), "keepdim": True}
    normalised = (features - features.mean(**over)) / (features.var(**over) + 1e-5).sqrt()
    return normalised * (target.var(**over) + 1e-5).sqrt() + target.mean(**over)
