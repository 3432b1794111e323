"""VGG-19 as a feature extractor: 16 named layers, cut off at the deepest one needed, weights frozen.

On CPUs with oneDNN, convolution and ReLU run as one kernel with weights laid out once, forward and backward: the same
bits as `conv2d` + `relu` with autograd, about a quarter less time.  Elsewhere the plain operations are used.
"""

import functools
from collections.abc import Collection
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from nst.layers import BLOCK_ENDS, LAYERS
from nst.weights import VGGWeights

Padding = Literal["zeros", "reflect"]


class Encoder:
    """Activations of VGG-19 after the ReLU.

    Args:
        weights: from `nst.weights.vgg19`.
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
        self._fused = padding == "zeros" and torch.device(device).type == "cpu" and _has_fused_convolution(dtype)
        convolutions = weights.convolutions[: len(self.layers)]
        self._biases = [c.bias.to(device, dtype) for c in convolutions]
        self._source = [c.weight for c in convolutions]
        self._source[0] = torch.einsum("oihw,ij->ojhw", self._source[0], weights.scale)
        kernels = [kernel.to(device, dtype).contiguous(memory_format=torch.channels_last) for kernel in self._source]
        self._kernels = [_pack(kernel) for kernel in kernels] if self._fused else kernels
        self._backward_kernels: dict[int, Tensor] = {}

    def __call__(self, pictures: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """The activations (B, C, H', W') of `layers`, by name, for pictures (B, 3, H, W), RGB in [0, 1].

        H' and W' are halved (rounded down) after conv1_2, conv2_2, conv3_4 and conv4_4.
        """
        missing = set(layers) - set(self.layers)
        if missing:
            raise ValueError(f"this encoder ends at {self.layers[-1]}: it has no {', '.join(sorted(missing))}")
        x = (pictures - self._mean).to(self._dtype).contiguous(memory_format=torch.channels_last)
        deepest = max(LAYERS.index(name) for name in layers)
        features: dict[str, Tensor] = {}
        for index, name in enumerate(self.layers[: deepest + 1]):
            x = self._convolve(x, index)
            if name in layers:
                features[name] = x
            if name in BLOCK_ENDS and index < deepest:
                x = self._pool(x, 2)
        return features

    def _convolve(self, x: Tensor, index: int) -> Tensor:
        kernel, bias = self._kernels[index], self._biases[index]
        if self._fused and x.requires_grad:
            return _FusedConvReLU.apply(x, kernel, bias, self._backward_kernel(index))  # type: ignore[no-any-return]
        if self._fused:
            return _fused_convolution(x, kernel, bias, "relu")
        if self._padding == "reflect":
            x = F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), kernel, bias)
        else:
            x = F.conv2d(x, kernel, bias, padding=1)
        return F.relu_(x)

    def _backward_kernel(self, index: int) -> Tensor:
        """The gradient of a 3×3 convolution is the convolution with the kernel turned by 180° and its channels swapped.

        Made at the first use: metrics and targets need no gradient.
        """
        if index not in self._backward_kernels:
            turned = self._source[index].to(self._dtype).flip(2, 3).transpose(0, 1)
            self._backward_kernels[index] = _pack(turned.contiguous(memory_format=torch.channels_last))
        return self._backward_kernels[index]


class _FusedConvReLU(torch.autograd.Function):
    """ReLU(conv3×3(x) + bias) and its gradient with respect to x, each as one oneDNN call with packed weights."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, backward_weight: Tensor) -> Tensor:
        y = _fused_convolution(x, weight, bias, "relu")
        ctx.save_for_backward(y)
        ctx.backward_weight = backward_weight
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (y,) = ctx.saved_tensors
        through = torch.ops.aten.threshold_backward(gradients[0], y, 0)
        return _fused_convolution(through, ctx.backward_weight, None, "none"), None, None, None


def _pack(kernel: Tensor) -> Tensor:
    """The kernel laid out as oneDNN wants it, for pictures of any size."""
    return torch.ops.mkldnn._reorder_convolution_weight(kernel, [1, 1], [1, 1], [1, 1], 1)  # type: ignore[no-any-return]


def _fused_convolution(x: Tensor, weight: Tensor, bias: Tensor | None, after: str) -> Tensor:
    return torch.ops.mkldnn._convolution_pointwise(  # type: ignore[no-any-return]
        x, weight, bias, [1, 1], [1, 1], [1, 1], 1, after, [], ""
    )


@functools.lru_cache
def _has_fused_convolution(dtype: torch.dtype) -> bool:
    """Whether this build of torch has the fused kernel (the one torch.compile uses) and it gives what conv2d gives
    here."""
    if dtype not in (torch.float32, torch.bfloat16) or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 16, 8, 8, generator=generator).to(dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(16, 16, 3, 3, generator=generator).to(dtype).contiguous(memory_format=torch.channels_last)
    bias = torch.zeros(16, dtype=dtype)
    try:
        fused = _fused_convolution(x, _pack(weight), bias, "relu")
    except (RuntimeError, AttributeError):
        return False
    return torch.allclose(fused.float(), F.conv2d(x, weight, bias, padding=1).relu().float(), rtol=0.02, atol=0.02)
