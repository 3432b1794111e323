"""3×3 convolutions with a quarter to a half of the multiplications, in float32: Winograd's F(4×4, 3×3) and F(2×2, 3×3).

Lavin & Gray (2016), "Fast Algorithms for Convolutional Neural Networks", section 4.  Their matrices, and no deviation
but the order of work: patches of pixels and blocks of results are turned by one matrix product each, and multiplied
with the kernel by one for each place of a patch.  The rounding errors are those of the direct sum: 1e-6.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class _Form:
    """F(m×m, 3×3): blocks of m×m results, of patches of (m + 2)×(m + 2) pixels.  The matrices are of both directions
    at once, so that a product with one turns all places of a patch, a kernel or a block."""

    block: int
    pixels: Tensor
    """((m + 2)², (m + 2)²)."""
    kernel: Tensor
    """((m + 2)², 9)."""
    results: Tensor
    """(m², (m + 2)²)."""

    @property
    def everywhere(self) -> int:
        """The place where what is added is added to all results of a block: that column of `results` is ones."""
        return self.block + 3


def _form(pixels: list[list[float]], kernel: list[list[float]], results: list[list[float]]) -> _Form:
    matrices = (torch.tensor(rows, dtype=torch.float64) for rows in (pixels, kernel, results))
    return _Form(len(results), *(torch.kron(matrix, matrix).float() for matrix in matrices))


_OF_TWO = _form(
    [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
    [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
    [[1, 1, 1, 0], [0, 1, -1, -1]],
)
_OF_FOUR = _form(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
)
_FORMS = {len(form.pixels): form for form in (_OF_TWO, _OF_FOUR)}

_LARGE = 256 * 512
"""A kernel between more channels would take four times its size of F(4×4): 38 MB in VGG-19.  F(2×2) takes twice."""
_PIXELS_AT_ONCE = 2048
"""Few enough for a processor's cache, and for memory where pictures are large."""


def pays(kernel: Tensor) -> bool:
    """Whether this way is the faster one for a kernel (O, I, 3, 3), and for its gradient.

    Between few channels the turning costs more than the multiplications it saves.
    """
    fewer, more = sorted(kernel.shape[:2])
    return fewer >= 64 and more >= 128


def transformed(kernel: Tensor) -> Tensor:
    """A kernel (O, I, 3, 3) as `convolve` wants it: (36, I, O), or (16, I, O) for a large one."""
    into, channels = kernel.shape[:2]
    form = _OF_TWO if into * channels > _LARGE else _OF_FOUR
    return (form.kernel @ kernel.permute(2, 3, 1, 0).reshape(9, -1)).view(-1, channels, into)


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> Tensor:
    """The zero-padded convolution of x (B, C, H, W), float32 in channels_last, plus `bias`; in channels_last.

    Args:
        kernel: from `transformed`.
        relu: negative results become 0.
    """
    form, (pictures, _, height, width), into = _FORMS[len(kernel)], x.shape, kernel.shape[-1]
    block = form.block
    rows, columns = -(-height // block), -(-width // block)
    found = x.new_empty(pictures, rows, block, columns, block, into)
    step = max(1, _PIXELS_AT_ONCE // (block * block * columns))
    for picture, target in zip(x.permute(0, 2, 3, 1), found, strict=True):
        for row in range(0, rows, step):
            band = target[row : row + step]
            top, bottom = block * row - 1, block * (row + len(band)) + 1
            around = (1, block * columns + 1 - width, max(0, -top), max(0, bottom - height))
            blocks = _blocks(F.pad(picture[max(0, top) : bottom], (0, 0, *around)), kernel, bias, form)
            if relu:
                torch.clamp_min(blocks, 0, out=band)
            else:
                band.copy_(blocks)
    whole = found.view(pictures, block * rows, block * columns, into)[:, :height, :width].contiguous()
    return whole.permute(0, 3, 1, 2)


def _blocks(x: Tensor, kernel: Tensor, bias: Tensor | None, form: _Form) -> Tensor:
    """(R, m, K, m, O) of x (m·R + 2, m·K + 2, C)."""
    block = form.block
    patches = x.unfold(0, block + 2, block).unfold(1, block + 2, block).permute(3, 4, 0, 1, 2)  # (m+2, m+2, R, K, C)
    _, _, rows, columns, channels = patches.shape
    turned = form.pixels @ patches.reshape(len(kernel), -1)
    products = torch.bmm(turned.view(len(kernel), -1, channels), kernel)
    if bias is not None:
        products[form.everywhere] += bias
    blocks = form.results @ products.view(len(kernel), -1)
    return blocks.view(block, block, rows, columns, -1).permute(2, 0, 3, 1, 4)
