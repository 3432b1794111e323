"""Losses as plain functions of activations or pixels.  Each returns one value a picture: shape (B,).

Content and style losses are divided by the energy of their target.  That deviates from Gatys, Ecker & Bethge (2016),
whose losses are plain sums (content, eq. 1) or are divided by 4·N²·M² (style, eq. 4), and makes the value of every
layer comparable: 0 is a perfect match, and 1 is what activations (or Gram matrices) of zero would give.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def gram_matrix(features: Tensor) -> Tensor:
    """Gram matrices (B, C, C) of activations (B, C, H, W): G_ij = Σ_hw F_ihw F_jhw / (H·W).

    Gatys et al. (2016), eq. 3, without the division by H·W: dividing makes pictures of different sizes comparable.
    On a CPU the sums of bfloat16 activations are rounded to bfloat16, as its matrix multiplication gives them; on a GPU
    they are float32.  The result is float32 or wider.
    """
    return gram_sums(features) / features[0, 0].numel()


def gram_sums(features: Tensor) -> Tensor:
    """Σ_hw F_ihw F_jhw (B, C, C): `gram_matrix` before the division by H·W."""
    rows = _rows(features)
    return _products(rows.transpose(1, 2), rows, wide(features))


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """|F − P|² / |P|² over all channels and positions, for F and P of shape (B, C, H, W)."""
    return relative_error(features, target)


def relative_error(values: Tensor, target: Tensor) -> Tensor:
    """|v − t|² / |t|² (B,), of activations or of statistics (B, …)."""
    return _squares(values - target) / energy(target)


def gram_distance(features: Tensor, target: Tensor) -> Tensor:
    """|G − A|² / |A|² (B,), G the Gram matrices of activations (B, C, H, W), and A (B, C, C).

    Gatys et al. (2016), eq. 4 without 1 / 4·N²·M², divided by the target's energy as said above.  The style loss is its
    mean over layers: eq. 5 with equal weights.
    """
    distance: Tensor = _GramDistance.apply(_rows(features), target)
    return distance


def total_variation(pictures: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels, down plus across, for pictures (B, 3, H, W).

    The smooth form (β = 2) of Mahendran & Vedaldi (2015), eq. 3, as a mean so that it does not grow with the size.
    """
    down = pictures[..., 1:, :] - pictures[..., :-1, :]
    across = pictures[..., 1:] - pictures[..., :-1]
    # Row by row first: threads get whole rows, so that no sum depends on the number of pictures.
    return down.square().mean(-1).mean((1, 2)) + across.square().mean(-1).mean((1, 2))


class _GramDistance(torch.autograd.Function):
    """|XᵀX / N − A|² / |A|² (B,) of X (B, N, C) and A (B, C, C), with the gradient 4 X (XᵀX / N − A) / (N |A|²).

    Gatys et al. (2016), eq. 6.  Autograd would differentiate by each of XᵀX's two factors: two products, one of them
    transposed, a slow sum of different layouts, and several passes over C × C numbers.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, target: Tensor) -> Tensor:
        difference = _products(rows.transpose(1, 2), rows, target.dtype).div_(rows.shape[1]).sub_(target)
        divisor = energy(target)
        ctx.save_for_backward(rows, difference, divisor)
        return _squares(difference) / divisor

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        rows, difference, divisor = ctx.saved_tensors
        scale = gradients[0] * 4 / (rows.shape[1] * divisor)
        return _products(rows, (difference * scale[:, None, None]).to(rows.dtype), rows.dtype), None


def picture_by_picture(distance: Callable[[Tensor, Tensor], Tensor], features: Tensor, targets: Tensor) -> Tensor:
    """distance(features, targets) (B,), on CPUs one picture at a time: threads would split a batch's sums by its size.

    The gradient keeps the layout of `features`.
    """
    if features.device.type != "cpu" or len(features) == 1:
        return distance(features, targets)
    return torch.cat([distance(*one) for one in zip(torch.split(features, 1), torch.split(targets, 1), strict=True)])


def _products(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """a[i] @ b[i] as `dtype`.  On CPUs one by one: in a batch, threads would split the sums by the batch's size."""
    if a.device.type == "cuda" and a.dtype != dtype:
        return torch.bmm(a, b, out_dtype=dtype)
    if a.device.type == "cpu" and len(a) > 1:
        return torch.cat([torch.bmm(a[i : i + 1], b[i : i + 1]) for i in range(len(a))]).to(dtype)
    return torch.bmm(a, b).to(dtype)


def _rows(features: Tensor) -> Tensor:
    """(B, H·W, C) of (B, C, H, W): with channels_last activations a view, no copy."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def energy(target: Tensor) -> Tensor:
    """What losses are divided by (B,): Σ v² of each target, or the least number above 0 where that is 0."""
    return _squares(target).clamp_min(torch.finfo(torch.float32).tiny)


def _squares(values: Tensor) -> Tensor:
    """Σ v² of each picture, summed in float32 or wider."""
    norm: Tensor = torch.linalg.vector_norm(values.flatten(1), dim=1, dtype=wide(values))
    return norm.square()


def wide(values: Tensor) -> torch.dtype:
    """float32, or the type of the values where that is wider: what sums of them are kept in."""
    return torch.promote_types(values.dtype, torch.float32)
