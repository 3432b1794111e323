"""The truncated VGG-19 on CPUs, made of oneDNN's fused convolution + ReLU: the kernels that `torch.compile` uses.

Against `conv2d`, `relu` and `max_pool2d` with autograd, kernels are brought into oneDNN's layout once and not in every
call, the gradients of tapped layers are added inside a convolution, and the ReLU before a max pooling is differentiated
behind it, on a quarter of the values.  A step is 15–23 % faster on a Xeon with AMX, 4–9 % on an EPYC.  Of large
pictures it keeps the input of each block of layers alone, and computes the rest again for the gradient.  The same
network in plain operations is in `nst.engine.vgg`, and tests compare the two.
"""

import functools
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nst.engine.jobs import LARGE


class FusedVGG:
    """Zero-padded 3×3 convolutions with ReLU and 2×2 poolings, forward and backward.

    Args:
        kernels, biases: float32 (O, I, 3, 3) and (O,), shallow to deep.
        pooled: the layers, counted from 0, that a pooling follows.
        max_pooling: the poolings take the maximum; otherwise the mean.
    """

    def __init__(
        self,
        kernels: Sequence[Tensor],
        biases: Sequence[Tensor],
        pooled: Collection[int],
        *,
        max_pooling: bool,
        dtype: torch.dtype,
    ) -> None:
        self.pooled = pooled
        self._max_pooling = max_pooling
        self._kernels = [reordered(kernel.to(dtype), padding=1) for kernel in kernels]
        self._biases = [bias.to(dtype) for bias in biases]
        self._flipped_kernels: dict[int, Tensor] = {}

    def differentiable(self, x: Tensor, taps: Sequence[int]) -> tuple[Tensor, ...]:
        """The activations of the layers `taps`, in ascending order, for x (B, 3, H, W) in channels_last, which needs a
        gradient."""
        return _Differentiable.apply(x, self, tuple(taps))  # type: ignore[no-any-return]

    def blocks(self, last: int) -> list[range]:
        """The layers up to `last` in groups that end where a pooling follows."""
        ends = sorted({layer for layer in self.pooled if layer < last} | {last})
        return [range(first, end + 1) for first, end in zip([0, *(end + 1 for end in ends)], ends, strict=False)]

    def convolve(self, layer: int, x: Tensor) -> Tensor:
        """ReLU(x ∗ kernel + bias)."""
        return convolve(x, self._kernels[layer], self._biases[layer], padding=1, relu=True)

    def convolve_transposed(self, layer: int, gradient: Tensor, other: Tensor | None) -> Tensor:
        """The gradient of a convolution's input, from that of its output, plus `other`.

        It is the convolution with the kernel rotated by 180° and its channels transposed.
        """
        if layer not in self._flipped_kernels:  # made at the first use: metrics and targets need no gradient
            kernel = self._kernels[layer]
            kernel = kernel.to_dense() if kernel.is_mkldnn else kernel
            self._flipped_kernels[layer] = reordered(kernel.flip(2, 3).transpose(0, 1), padding=1)
        kernel = self._flipped_kernels[layer]
        if other is None:
            return convolve(gradient, kernel, None, padding=1, relu=False)
        other = other.contiguous(memory_format=torch.channels_last)
        return torch.ops.mkldnn._convolution_pointwise.binary(  # type: ignore[no-any-return]
            gradient, other, kernel, None, [1, 1], [1, 1], [1, 1], 1, "add", 1.0, None, [], None
        )

    def pool(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """x at half the size, and for max pooling the indices of the maxima."""
        if self._max_pooling:
            return torch.ops.aten.max_pool2d_with_indices(x, [2, 2])  # type: ignore[no-any-return]
        return F.avg_pool2d(x, 2), None


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None, *, padding: int, relu: bool) -> Tensor:
    """x ∗ kernel + bias, and its ReLU in the same pass; the kernel is from `reordered`, with the same padding."""
    return torch.ops.mkldnn._convolution_pointwise(  # type: ignore[no-any-return]
        x, kernel, bias, [padding, padding], [1, 1], [1, 1], 1, "relu" if relu else "none", [], ""
    )


def reordered(kernel: Tensor, *, padding: int) -> Tensor:
    """A kernel (O, I, 3, 3) in oneDNN's own layout, for pictures of any size, padded with zeros."""
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    return torch.ops.mkldnn._reorder_convolution_weight(  # type: ignore[no-any-return]
        kernel, [padding, padding], [1, 1], [1, 1], 1
    )


@dataclass(frozen=True)
class _Layer:
    """What the gradient of a layer needs, and no more: it is most of the memory of a step."""

    activations: Tensor | None
    """None where they are tapped, as autograd keeps those.  Without storage where a maximum was taken of them."""
    pooled: Tensor | None
    """Its output of the pooling that follows, if one does."""
    indices: Tensor | None
    """Of the maxima, after a max pooling."""


def _block(
    network: FusedVGG, x: Tensor, block: range, taps: Sequence[int], tapped: dict[int, Tensor]
) -> tuple[Tensor, list[_Layer]]:
    """What comes out of a block of layers, and what their gradients need.

    Args:
        tapped: the activations of tapped layers, to which those of this block are added; those that are there already
            are not computed again.
    """
    layers: list[_Layer] = []
    for layer in block:
        activations = tapped[layer] if layer in tapped else network.convolve(layer, x)
        x, pooled, indices = activations, None, None
        if layer in network.pooled and layer < taps[-1]:
            pooled, indices = network.pool(activations)
            x = pooled
        if layer in taps:
            tapped[layer] = activations
        elif indices is not None:
            activations.untyped_storage().resize_(0)  # the gradient needs their shape and strides, no values
        layers.append(_Layer(None if layer in taps else activations, pooled, indices))
    return x, layers


class _Differentiable(torch.autograd.Function):
    """`FusedVGG` with its gradient with respect to the pictures, which can be taken once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, network: FusedVGG, taps: tuple[int, ...]) -> tuple[Tensor, ...]:
        again = len(x) * x.shape[-2] * x.shape[-1] >= LARGE
        tapped: dict[int, Tensor] = {}
        blocks: list[tuple[range, Tensor, list[_Layer]]] = []
        for block in network.blocks(taps[-1]):
            after, layers = _block(network, x, block, taps, tapped)
            blocks.append((block, x, [] if again else layers))
            x = after
        ctx.save_for_backward(*(tapped[tap] for tap in taps))  # outputs that were kept elsewhere would never be freed
        ctx.network, ctx.taps, ctx.blocks = network, taps, blocks
        ctx.set_materialize_grads(False)
        return tuple(tapped[tap] for tap in taps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None, None]:
        network, blocks = ctx.network, ctx.blocks
        if not blocks:
            raise RuntimeError("the gradient was taken before: call the network again")
        of_tap = dict(zip(ctx.taps, gradients, strict=True))
        tapped = dict(zip(ctx.taps, ctx.saved_tensors, strict=True))
        gradient: Tensor | None = None  # of the layer's output; a tap's is added to it, unless a pooling follows
        while blocks:
            block, x, layers = blocks.pop()
            layers = layers or _block(network, x, block, ctx.taps, tapped)[1]
            for layer in reversed(block):
                gradient = _before_relu(layers.pop(), gradient, tapped.get(layer), of_tap.get(layer))
                if gradient is not None:
                    tap_below = None if layer - 1 in network.pooled else of_tap.get(layer - 1)
                    gradient = network.convolve_transposed(layer, gradient, tap_below)
        return gradient, None, None


def _before_relu(
    layer: _Layer, gradient: Tensor | None, activations: Tensor | None, of_tap: Tensor | None
) -> Tensor | None:
    """The gradient before the ReLU of a layer.

    Args:
        gradient: of what follows, overwritten here.  Unless that is a pooling, `of_tap` is already in it.
        activations, of_tap: of a tapped layer, its activations and their gradient.
    """
    activations = layer.activations if activations is None else activations
    if gradient is None:
        return None if of_tap is None else _relu_backward(of_tap, activations)
    if layer.pooled is None:
        return _relu_backward_(gradient, activations)
    pooling: list[list[int]] = [[2, 2], [2, 2], [0, 0]]  # kernel, stride, padding
    if layer.indices is None:
        spread = torch.ops.aten.avg_pool2d_backward(gradient, activations, *pooling, False, True, None)
        return _relu_backward_(spread if of_tap is None else spread.add_(of_tap), activations)
    # The maximum of a ReLU is the ReLU of the maximum.
    spread = torch.ops.aten.max_pool2d_with_indices_backward(
        _relu_backward_(gradient, layer.pooled), activations, *pooling, [1, 1], False, layer.indices
    )
    return spread if of_tap is None else spread.add_(_relu_backward(of_tap, activations))  # type: ignore[no-any-return]


def _relu_backward(gradient: Tensor, activations: Tensor | None) -> Tensor:
    return torch.ops.aten.threshold_backward(gradient, activations, 0)  # type: ignore[no-any-return]


def _relu_backward_(gradient: Tensor, activations: Tensor | None) -> Tensor:
    """In place."""
    return torch.ops.aten.threshold_backward.grad_input(  # type: ignore[no-any-return]
        gradient, activations, 0, grad_input=gradient
    )


@functools.cache
def available(dtype: torch.dtype) -> bool:
    """Whether this build of torch has the fused kernels for a dtype, and they run on this CPU.

    It asks what there is, and never how numbers came out, so that the answer is the same in every process.
    """
    if dtype not in (torch.float32, torch.bfloat16):
        return False
    x = torch.zeros(1, 16, 8, 8, dtype=dtype).contiguous(memory_format=torch.channels_last)
    try:
        network = FusedVGG([torch.zeros(16, 16, 3, 3)], [torch.zeros(16)], (), max_pooling=True, dtype=dtype)
        network.convolve_transposed(0, network.convolve(0, x), x)
    except (RuntimeError, AttributeError) as error:  # they do not run here, or torch has no operation of that name
        reason = str(error).splitlines()[0]
        warnings.warn(f"oneDNN's fused kernels cannot be used ({reason}); the plain ones are slower", stacklevel=2)
        return False
    return True
