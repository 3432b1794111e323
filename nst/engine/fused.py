"""oneDNN's fused convolution + ReLU, and the truncated VGG-19 as one differentiable function made of it.  CPUs alone.

Against `conv2d`, `relu` and `max_pool2d` with autograd: weights are laid out once and not in every call, the gradients
of tapped layers are added inside the convolution that they meet, and a ReLU before a max pooling is undone behind it,
on a quarter of the values.
"""

import functools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class FusedVGG:
    """Zero-padded 3×3 convolutions with ReLU and 2×2 poolings, forward and backward.

    Args:
        kernels, biases: float32 (O, I, 3, 3) and (O,), shallow to deep.
        pooled: numbers, from 0, of the layers that a pooling follows.
        maximum: the poolings take the maximum; otherwise the mean.
    """

    def __init__(
        self,
        kernels: Sequence[Tensor],
        biases: Sequence[Tensor],
        pooled: Collection[int],
        *,
        maximum: bool,
        dtype: torch.dtype,
    ) -> None:
        self._pooled = pooled
        self._maximum = maximum
        self._kernels = [_reordered(kernel.to(dtype)) for kernel in kernels]
        self._biases = [bias.to(dtype) for bias in biases]
        self._backward_kernels: dict[int, Tensor] = {}

    def __call__(self, x: Tensor, taps: Sequence[int]) -> tuple[Tensor, ...]:
        """The activations of the layers `taps`, which ascend, for x (B, 3, H, W) in channels_last."""
        if x.requires_grad and torch.is_grad_enabled():
            return _Differentiable.apply(x, self, tuple(taps))  # type: ignore[no-any-return]
        return tuple(found for _, found in self.walk(x, taps))

    def walk(self, x: Tensor, taps: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """The same one after another, with their numbers and no gradient.

        No more is in memory than the caller keeps.
        """
        for index in range(taps[-1] + 1):
            x = self.convolve(index, x)
            if index in taps:
                yield index, x
            if index in self._pooled and index < taps[-1]:
                x, _ = self.pool(x)

    def convolve(self, index: int, x: Tensor) -> Tensor:
        """ReLU(convolution `index` of x)."""
        return _convolve(x, self._kernels[index], self._biases[index], "relu")

    def convolve_back(self, index: int, gradient: Tensor, plus: Tensor | None) -> Tensor:
        """From the gradient before the ReLU to that of the convolution's input, plus `plus`.

        It is the convolution with the kernel turned by 180° and its channels swapped.
        """
        if index not in self._backward_kernels:  # made at the first use: metrics and targets need no gradient
            kernel = self._kernels[index]
            plain = kernel.to_dense() if kernel.is_mkldnn else kernel
            self._backward_kernels[index] = _reordered(plain.flip(2, 3).transpose(0, 1))
        kernel = self._backward_kernels[index]
        if plus is None:
            return _convolve(gradient, kernel, None, "none")
        plus = plus.contiguous(memory_format=torch.channels_last)
        return torch.ops.mkldnn._convolution_pointwise.binary(  # type: ignore[no-any-return]
            gradient, plus, kernel, None, [1, 1], [1, 1], [1, 1], 1, "add", 1.0, None, [], None
        )

    def pool(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """x at half the size, and for a maximum where it was found."""
        if self._maximum:
            return torch.ops.aten.max_pool2d_with_indices(x, [2, 2])  # type: ignore[no-any-return]
        return F.avg_pool2d(x, 2), None

    def follows(self, index: int) -> bool:
        """Whether a pooling follows the layer."""
        return index in self._pooled


@dataclass(frozen=True)
class _Layer:
    """What the gradient of a layer takes, and no more: such are most of the memory of a step."""

    activations: Tensor | None
    """None where they are tapped: autograd keeps them.  Empty where a maximum was taken of them."""
    pooled: Tensor | None
    """What the pooling behind it made of them, if there is one."""
    places: Tensor | None
    """Where the maxima were found, if they were taken."""


class _Differentiable(torch.autograd.Function):
    """`FusedVGG` with its gradient with respect to the pictures, which can be taken once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, network: FusedVGG, taps: tuple[int, ...]) -> tuple[Tensor, ...]:
        found: list[Tensor] = []
        layers: list[_Layer] = []
        for index in range(taps[-1] + 1):
            x = network.convolve(index, x)
            activations, pooled, places = x, None, None
            if network.follows(index) and index < taps[-1]:
                pooled, places = network.pool(activations)
                x = pooled
            if index in taps:
                found.append(activations)
            elif places is not None:
                activations.untyped_storage().resize_(0)  # the gradient takes their shape and layout, no more
            layers.append(_Layer(None if index in taps else activations, pooled, places))
        ctx.save_for_backward(*found)  # outputs that were kept elsewhere would never be freed
        ctx.network, ctx.taps, ctx.layers = network, taps, layers
        ctx.set_materialize_grads(False)
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None, None]:
        network, layers = ctx.network, ctx.layers
        if not layers:
            raise RuntimeError("the gradient was taken before: call the network again")
        of_tap = dict(zip(ctx.taps, gradients, strict=True))
        tapped = dict(zip(ctx.taps, ctx.saved_tensors, strict=True))
        gradient: Tensor | None = None  # of what follows the layer: with the tap's added, unless that is a pooling
        while layers:
            index = len(layers) - 1
            gradient = _before_relu(layers.pop(), gradient, tapped.get(index), of_tap.get(index))
            if gradient is not None:
                below = None if index and layers[-1].pooled is not None else of_tap.get(index - 1)
                gradient = network.convolve_back(index, gradient, below)
        return gradient, None, None


def _before_relu(
    layer: _Layer, gradient: Tensor | None, activations: Tensor | None, tap: Tensor | None
) -> Tensor | None:
    """The gradient before the ReLU of a layer.

    Args:
        gradient: of what follows; ours to overwrite.  Where that is no pooling, `tap` is in it.
        activations, tap: where the layer is tapped, its activations and their gradient.
    """
    activations = layer.activations if activations is None else activations
    if gradient is None:
        return None if tap is None else _relu_back(tap, activations)
    if layer.pooled is None:
        return _relu_back_(gradient, activations)
    sizes: list[list[int]] = [[2, 2], [2, 2], [0, 0]]
    if layer.places is None:
        spread = torch.ops.aten.avg_pool2d_backward(gradient, activations, *sizes, False, True, None)
        return _relu_back_(spread if tap is None else spread.add_(tap), activations)
    # The maximum of a ReLU is the ReLU of the maximum.
    found: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
        _relu_back_(gradient, layer.pooled), activations, *sizes, [1, 1], False, layer.places
    )
    return found if tap is None else found.add_(_relu_back(tap, activations))


def _relu_back(gradient: Tensor, activations: Tensor | None) -> Tensor:
    return torch.ops.aten.threshold_backward(gradient, activations, 0)  # type: ignore[no-any-return]


def _relu_back_(gradient: Tensor, activations: Tensor | None) -> Tensor:
    """In place."""
    return torch.ops.aten.threshold_backward.grad_input(  # type: ignore[no-any-return]
        gradient, activations, 0, grad_input=gradient
    )


def _reordered(kernel: Tensor) -> Tensor:
    """A kernel (O, I, 3, 3) in oneDNN's own layout, for pictures of any size."""
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    return torch.ops.mkldnn._reorder_convolution_weight(  # type: ignore[no-any-return]
        kernel, [1, 1], [1, 1], [1, 1], 1
    )


def _convolve(x: Tensor, kernel: Tensor, bias: Tensor | None, after: str) -> Tensor:
    """The zero-padded convolution, and `after` ("relu" or "none") of it."""
    return torch.ops.mkldnn._convolution_pointwise(  # type: ignore[no-any-return]
        x, kernel, bias, [1, 1], [1, 1], [1, 1], 1, after, [], ""
    )


@functools.lru_cache
def available(dtype: torch.dtype) -> bool:
    """Whether this build of torch has the fused kernels (those that torch.compile uses) and they give here what plain
    operations give."""
    if dtype not in (torch.float32, torch.bfloat16) or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False
    generator = torch.Generator().manual_seed(0)
    x, plus = torch.randn(2, 1, 16, 8, 8, generator=generator).to(dtype)
    kernel, bias = torch.randn(16, 16, 3, 3, generator=generator), torch.zeros(16)
    x, plus = (values.contiguous(memory_format=torch.channels_last) for values in (x, plus))
    try:
        network = FusedVGG([kernel], [bias], (), maximum=True, dtype=dtype)
        found = network.convolve(0, x), network.convolve_back(0, x, plus)
    except (RuntimeError, AttributeError):
        return False
    expected = (
        F.conv2d(x.float(), kernel.to(dtype).float(), padding=1).relu(),
        F.conv_transpose2d(x.float(), kernel.to(dtype).float(), padding=1) + plus.float(),
    )
    return all(torch.allclose(a.float(), b, rtol=0.02, atol=0.05) for a, b in zip(found, expected, strict=True))
