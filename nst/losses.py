"""The three losses, as plain functions of activations or pixels.  Each returns one value a picture: shape (B,).

Content and style losses are divided by the energy of their target.  That deviates from Gatys, Ecker & Bethge (2016),
whose losses are plain sums (content, eq. 1) or are divided by 4·N²·M² (style, eq. 4), and makes the value of every
layer comparable: 0 is a perfect match, and 1 is what activations (or Gram matrices) of zero would give.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def gram_matrix(features: Tensor) -> Tensor:
    """Gram matrices (B, C, C) of activations (B, C, H, W): G_ij = Σ_hw F_ihw F_jhw / (H·W).

    Gatys et al. (2016), eq. 3, without the division by H·W: dividing makes pictures of different sizes comparable.
    The products are summed by the matrix multiplication of the activations' own type; the result is float32 or wider.
    """
    batch, channels, height, width = features.shape
    # With channels_last activations this is a view: no copy.
    rows = features.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
    gram: Tensor = _Products.apply(rows)
    return gram.to(_wide(features)) / (height * width)


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """|F − P|² / |P|² over all channels and positions, for F and P of shape (B, C, H, W)."""
    return _energy(features - target) / _energy(target).clamp_min(torch.finfo(torch.float32).tiny)


def style_loss(features: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Mean over the layers of `targets` of |G − A|² / |A|², G and A the Gram matrices (B, C, C) of picture and style.

    Gatys et al. (2016), eq. 4 and 5 with equal weights, divided by the target's energy as said above.
    """
    return torch.stack([content_loss(gram_matrix(features[name]), gram) for name, gram in targets.items()]).mean(0)


def total_variation(pictures: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels, down plus across, for pictures (B, 3, H, W).

    The smooth form (β = 2) of Mahendran & Vedaldi (2015), eq. 3, as a mean so that it does not grow with the size.
    """
    down = (pictures[..., 1:, :] - pictures[..., :-1, :]).square().mean((1, 2, 3))
    across = (pictures[..., 1:] - pictures[..., :-1]).square().mean((1, 2, 3))
    return down + across


class _Products(torch.autograd.Function):
    """XᵀX (B, C, C) of X (B, N, C), with a gradient in X's own layout.

    Autograd takes the two factors apart: two products, one of them transposed, and a slow sum of different layouts.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return torch.bmm(rows.transpose(1, 2), rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        return torch.bmm(rows, gradients[0] + gradients[0].transpose(1, 2))


def _energy(values: Tensor) -> Tensor:
    """Σ v² of each picture, summed in float32 or wider."""
    norm: Tensor = torch.linalg.vector_norm(values.flatten(1), dim=1, dtype=_wide(values))
    return norm.square()


def _wide(values: Tensor) -> torch.dtype:
    return torch.promote_types(values.dtype, torch.float32)
