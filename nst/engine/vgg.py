"""VGG-19 as a feature extractor: 16 named layers, cut off at the deepest one needed, weights frozen."""

from collections.abc import Collection, Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from nst.engine import malloc, onednn
from nst.engine.jobs import Pooling
from nst.engine.layers import BLOCK_ENDS, LAYERS
from nst.engine.weights import VGGWeights, vgg19

Kernels = Literal["onednn", "plain"]


class Encoder:
    """Activations of VGG-19 after the ReLU.

    Args:
        weights: from `nst.engine.weights.vgg19`.
        deepest: the last layer that is wanted; those behind it are not computed, nor kept in memory.
        pooling: "max" as trained, or "average" as Gatys et al. 2016 suggest for synthesis.
        dtype: of the activations; weights are converted once, here.
        kernels: "onednn" are the fused ones of `nst.engine.onednn`, for CPUs; "plain" are torch's own operations, which
            run everywhere.  None takes the first where it is available.
    """

    layers: tuple[str, ...]
    """Those that it has, shallow to deep."""
    kernels: Kernels
    """Which compute it."""
    device: torch.device

    def __init__(
        self,
        weights: VGGWeights,
        deepest: str = LAYERS[-1],
        *,
        pooling: Pooling = "max",
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        kernels: Kernels | None = None,
    ) -> None:
        self.layers = LAYERS[: LAYERS.index(deepest) + 1]
        self._pool = F.max_pool2d if pooling == "max" else F.avg_pool2d
        self._dtype = dtype
        self.device = torch.device(device)
        # What conv1_1 was trained on is scale @ RGB + shift.  The shift is subtracted as a mean colour, so that zero
        # padding means the same; the scale goes into conv1_1's kernel.
        self._mean = -torch.linalg.solve(weights.scale, weights.shift).to(device)[:, None, None]
        convolutions = weights.convolutions[: len(self.layers)]
        weight, bias = [c.weight for c in convolutions], [c.bias for c in convolutions]
        weight[0] = torch.einsum("oihw,ij->ojhw", weight[0], weights.scale)
        if kernels is None:
            fusible = self.device.type == "cpu" and onednn.available(dtype)
            kernels = "onednn" if fusible else "plain"
        self.kernels = kernels
        if kernels == "onednn":
            pooled = [LAYERS.index(name) for name in BLOCK_ENDS]
            self._fused = onednn.FusedVGG(weight, bias, pooled, max_pooling=pooling == "max", dtype=dtype)
        else:
            self._weight = [w.to(device, dtype).contiguous(memory_format=torch.channels_last) for w in weight]
            self._bias = [b.to(device, dtype) for b in bias]

    def __call__(self, pictures: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """The activations (B, C, H', W') of `layers`, by name, shallow to deep, for pictures (B, 3, H, W) in [0, 1].

        H' and W' are halved (rounded down) after conv1_2, conv2_2, conv3_4 and conv4_4.

        Raises:
            ValueError: one of the layers is deeper than the encoder.
        """
        taps = self._taps(layers)
        x = self._input(pictures)
        if self.kernels == "onednn" and x.requires_grad and torch.is_grad_enabled():
            return dict(zip((LAYERS[tap] for tap in taps), self._fused.differentiable(x, taps), strict=True))
        return {LAYERS[tap]: each for tap, each in self._pass(x, taps)}

    @torch.no_grad()
    def stream(self, pictures: Tensor, layers: Collection[str]) -> Iterator[tuple[str, Tensor]]:
        """The same one by one, without gradients: of large pictures, all together would fill the memory."""
        for tap, activations in self._pass(self._input(pictures), self._taps(layers)):
            yield LAYERS[tap], activations

    def _taps(self, layers: Collection[str]) -> list[int]:
        missing = set(layers) - set(self.layers)
        if missing:
            raise ValueError(f"this encoder ends at {self.layers[-1]}: it has no {', '.join(sorted(missing))}")
        return sorted({LAYERS.index(name) for name in layers})

    def _input(self, pictures: Tensor) -> Tensor:
        x: Tensor = (pictures - self._mean).to(self._dtype)
        return x.contiguous(memory_format=torch.channels_last)

    def _pass(self, x: Tensor, taps: list[int]) -> Iterator[tuple[int, Tensor]]:
        for layer in range(taps[-1] + 1):
            x = self._convolve(x, layer)
            if layer in taps:
                yield layer, x
            if LAYERS[layer] in BLOCK_ENDS and layer < taps[-1]:
                x = self._pool(x, 2)

    def _convolve(self, x: Tensor, layer: int) -> Tensor:
        if self.kernels == "onednn":
            return self._fused.convolve(layer, x)
        return F.relu_(F.conv2d(x, self._weight[layer], self._bias[layer], padding=1))


def load(source: str, deepest: str = LAYERS[-1], **options: Any) -> Encoder:
    """An `Encoder` with the weights that `source` names (see `nst.engine.weights.vgg19`), of which it keeps a copy."""
    encoder = Encoder(vgg19(source), deepest, **options)
    malloc.trim()
    return encoder
