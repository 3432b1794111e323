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
    return torch.cat([_convolve(picture, kernel, bias, relu) for picture in x.permute(0, 2, 3, 1)]).permute(0, 3, 1, 2)


def _convolve(x: Tensor, kernel: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
    """(1, H, W, O) of x (H, W, C)."""
    (height, width, channels), into = x.shape, kernel.shape[-1]
    rows, columns = -(-height // 4), -(-width // 4)
    padded = F.pad(x, (0, 0, 1, 4 * columns + 1 - width, 1, 4 * rows + 1 - height))
    found = x.new_empty(rows, 4, columns, 4, into)
    turn_input, turn_output = _both_ways(_INPUT), _both_ways(_OUTPUT)
    step = max(1, _BLOCKS_AT_ONCE // columns)
    for row in range(0, rows, step):
        band = padded[4 * row : 4 * (row + step) + 2].unfold(0, 6, 4).unfold(1, 6, 4)  # (rows, columns, C, 6, 6)
        patches = turn_input @ band.permute(3, 4, 0, 1, 2).reshape(36, -1)
        products = torch.bmm(patches.view(36, -1, channels), kernel)
        if bias is not None:
            products[_EVERYWHERE] += bias
        blocks = (turn_output @ products.view(36, -1)).view(4, 4, -1, columns, into).permute(2, 0, 3, 1, 4)
        if relu:
            torch.clamp_min(blocks, 0, out=found[row : row + step])
        else:
            found[row : row + step] = blocks
    return found.view(1, 4 * rows, 4 * columns, into)[:, :height, :width].contiguous()


@functools.lru_cache
def _both_ways(matrix: Tensor) -> Tensor:
    """M ⊗ M: for all places of a patch at once, M from the left and its transpose from the right."""
    return torch.kron(matrix, matrix).float()
