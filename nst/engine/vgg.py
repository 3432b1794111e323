"""VGG-19 as a feature extractor: 16 named layers, cut off at the deepest one needed, weights frozen.

On CPUs with oneDNN the work is done by `nst.engine.fused`; elsewhere by the plain operations.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from nst.engine import fused
from nst.engine.layers import BLOCK_ENDS, LAYERS
from nst.engine.weights import VGGWeights

Padding = Literal["zeros", "reflect"]


class Encoder:
    """Activations of VGG-19 after the ReLU.

    Args:
        weights: from `nst.engine.weights.vgg19`.
        deepest: the last layer that is wanted; what lies behind it is not computed, nor kept in memory.
        pooling: "max" as trained, or "average" as Gatys et al. 2016 suggest for synthesis.
        dtype: of the activations; weights are converted once, here.
        padding: "zeros" as trained, or "reflect" as the AdaIN decoder's encoder has it.
    """

    def __init__(
        self,
        weights: VGGWeights,
        deepest: str = LAYERS[-1],
        *,
        pooling: Literal["max", "average"] = "max",
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        padding: Padding = "zeros",
    ) -> None:
        self.layers = LAYERS[: LAYERS.index(deepest) + 1]
        self._pool = F.max_pool2d if pooling == "max" else F.avg_pool2d
        self._dtype = dtype
        self._padding = padding
        # What conv1_1 was trained on is scale @ RGB + shift.  The shift is taken off as a mean colour, so that the zero
        # padding means the same; the scale goes into conv1_1's kernel.
        self._mean = -torch.linalg.solve(weights.scale, weights.shift).to(device)[:, None, None]
        convolutions = weights.convolutions[: len(self.layers)]
        kernels, biases = [c.weight for c in convolutions], [c.bias for c in convolutions]
        kernels[0] = torch.einsum("oihw,ij->ojhw", kernels[0], weights.scale)
        self._fused: fused.FusedVGG | None = None
        if padding == "zeros" and torch.device(device).type == "cpu" and fused.available(dtype):
            ends = [LAYERS.index(name) for name in BLOCK_ENDS]
            self._fused = fused.FusedVGG(kernels, biases, ends, maximum=pooling == "max", dtype=dtype)
        else:
            self._biases = [bias.to(device, dtype) for bias in biases]
            self._kernels = [k.to(device, dtype).contiguous(memory_format=torch.channels_last) for k in kernels]

    def __call__(self, pictures: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """The activations (B, C, H', W') of `layers`, by name, for pictures (B, 3, H, W), RGB in [0, 1].

        H' and W' are halved (rounded down) after conv1_2, conv2_2, conv3_4 and conv4_4.
        """
        x, wanted = self._prepared(pictures, layers)
        if self._fused is None:
            return dict(self._plain(x, wanted))
        return dict(zip(wanted, self._fused(x, [LAYERS.index(name) for name in wanted]), strict=True))

    def walk(self, pictures: Tensor, layers: Collection[str]) -> Iterator[tuple[str, Tensor]]:
        """The same, shallow to deep, one after another: no more is in memory than the caller keeps.

        For use without a gradient.
        """
        x, wanted = self._prepared(pictures, layers)
        if self._fused is None:
            return self._plain(x, wanted)
        return map(_named, self._fused.walk(x, [LAYERS.index(name) for name in wanted]))

    def _plain(self, x: Tensor, wanted: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        for index, name in enumerate(self.layers[: LAYERS.index(wanted[-1]) + 1]):
            x = self._convolve(x, index)
            if name in wanted:
                yield name, x
            if name in BLOCK_ENDS and name != wanted[-1]:
                x = self._pool(x, 2)

    def _prepared(self, pictures: Tensor, layers: Collection[str]) -> tuple[Tensor, list[str]]:
        """What conv1_1 takes, and the layers in the order of depth."""
        missing = set(layers) - set(self.layers)
        if missing:
            raise ValueError(f"this encoder ends at {self.layers[-1]}: it has no {', '.join(sorted(missing))}")
        x = (pictures - self._mean).to(self._dtype).contiguous(memory_format=torch.channels_last)
        return x, sorted(set(layers), key=LAYERS.index)

    def _convolve(self, x: Tensor, index: int) -> Tensor:
        kernel, bias = self._kernels[index], self._biases[index]
        if self._padding == "reflect":
            return F.relu_(F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), kernel, bias))
        return F.relu_(F.conv2d(x, kernel, bias, padding=1))


def _named(numbered: tuple[int, Tensor]) -> tuple[str, Tensor]:
    return LAYERS[numbered[0]], numbered[1]
