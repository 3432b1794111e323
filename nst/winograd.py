"""3×3 convolutions with a quarter of the multiplications, in float32: Winograd's F(4×4, 3×3).

Lavin & Gray (2016), "Fast Algorithms for Convolutional Neural Networks", section 4.  Their matrices, and no deviation
but the order of work: patches of 6×6 pixels and blocks of 4×4 results are turned by one matrix product each, and
multiplied with the kernel by one for each of the 36 places.  Its rounding errors are those of the direct sum: 1e-6.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

_INPUT = torch.tensor(
    [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
     [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]], dtype=torch.float64,
)  # fmt: skip
_KERNEL = torch.tensor(
    [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
     [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]], dtype=torch.float64,
)  # fmt: skip
_OUTPUT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=torch.float64
)
_EVERYWHERE = 6 * 1 + 1
"""What is added in this place is added to all 4×4 results: that column of _OUTPUT is ones."""

_BLOCKS_AT_ONCE = 128
"""Few enough for a processor's cache, and for memory where pictures are large."""


def pays(kernel: Tensor) -> bool:
    """Whether this way is the faster one for a kernel (O, I, 3, 3), or its gradient, and worth the memory.

    Between few channels the turning costs more than the multiplications it saves.  Of more than 256 × 512, a kernel
    takes 38 MB.
    """
    fewer, more = sorted(kernel.shape[:2])
    return fewer >= 64 and more >= 128 and fewer * more <= 256 * 512


def transformed(kernel: Tensor) -> Tensor:
    """(36, I, O) of a kernel (O, I, 3, 3); four times its size."""
    into, channels = kernel.shape[:2]
    return (_both_ways(_KERNEL) @ kernel.permute(2, 3, 1, 0).reshape(9, -1)).view(36, channels, into)


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> Tensor:
    """The zero-padded convolution of x (B, C, H, W), float32 in channels_last, plus `bias`; in channels_last.

    Args:
        kernel: from `transformed`.
        relu: negative results become 0.
    """
    (pictures, _, height, width), into = x.shape, kernel.shape[-1]
    rows, columns = -(-height // 4), -(-width // 4)
    found = x.new_empty(pictures, rows, 4, columns, 4, into)
    step = max(1, _BLOCKS_AT_ONCE // columns)
    for picture, target in zip(x.permute(0, 2, 3, 1), found, strict=True):
        for row in range(0, rows, step):
            band = target[row : row + step]
            top, bottom = 4 * row - 1, 4 * (row + len(band)) + 1
            seen = picture[max(0, top) : bottom]
            around = (1, 4 * columns + 1 - width, max(0, -top), max(0, bottom - height))
            blocks = _blocks(F.pad(seen, (0, 0, *around)), kernel, bias)
            if relu:
                torch.clamp_min(blocks, 0, out=band)
            else:
                band.copy_(blocks)
    whole = found.view(pictures, 4 * rows, 4 * columns, into)[:, :height, :width].contiguous()
    return whole.permute(0, 3, 1, 2)


def _blocks(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """(R, 4, K, 4, O) of x (4·R + 2, 4·K + 2, C)."""
    patches = x.unfold(0, 6, 4).unfold(1, 6, 4).permute(3, 4, 0, 1, 2)  # (6, 6, R, K, C)
    _, _, rows, columns, channels = patches.shape
    turned = _both_ways(_INPUT) @ patches.reshape(36, -1)
    products = torch.bmm(turned.view(36, -1, channels), kernel)
    if bias is not None:
        products[_EVERYWHERE] += bias
    blocks = _both_ways(_OUTPUT) @ products.view(36, -1)
    return blocks.view(4, 4, rows, columns, -1).permute(2, 0, 3, 1, 4)


@functools.lru_cache
def _both_ways(matrix: Tensor) -> Tensor:
    """M ⊗ M: for all places of a patch at once, M from the left and its transpose from the right."""
    return torch.kron(matrix, matrix).float()
