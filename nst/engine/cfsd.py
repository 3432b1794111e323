"""CFSD: content feature structural distance (Chung, Hyun & Heo 2024, "Style Injection in Diffusion", evaluation).

Which places of a picture are like each other, and how much, in the eyes of VGG-19: a picture that changed its colours
and strokes and kept its structure is near.  It compares no place of one picture with a place of the other.

Deviations: the network is the normalised VGG-19 (or whichever a job names), not torchvision's; the sum over positions
is scaled to the number that a square of 512 px has, which the authors measure, so that sizes compare; and on large
pictures `ANCHORS` positions stand for all.  So values are of the size of published ones, and compare only with one
another.
"""

import torch
from torch import Tensor

LAYER = "conv3_1"
"""The authors'."""
POSITIONS = 128**2
"""Of this layer, in a square of 512 px."""
ANCHORS = 512
"""Positions that are compared with all others, at most, evenly spaced: at 192 px that changes the distance by up to 3 %
against taking all, and the same positions serve all pictures of a content."""

_AT_A_TIME = 64
"""Of these: their rows, as long as there are positions, are in memory together."""


def distance(features: Tensor, target: Tensor) -> float:
    """From a picture to its content, by their activations (1, C, H, W) at `LAYER`.  0 = same; lower is closer.

    `POSITIONS` × the mean over positions i of the Kullback-Leibler divergence D(C_i ‖ X_i) of what position i is like
    in the content and in the picture: the softmax over all positions j of f_i · f_j / C², as in the authors' program.
    """
    places, expected = (each[0].flatten(1).T for each in (features, target))
    count, channels = expected.shape
    anchors = min(count, ANCHORS)
    chosen = torch.arange(anchors, device=target.device) * count // anchors
    total = 0.0
    for part in torch.split(chosen, _AT_A_TIME):
        logits = expected[part] @ expected.T / channels**2
        # log Σ p e^d − Σ p d for the difference d of the logits.  All rows are almost flat, and the divergence, of
        # about 1e-5, would drown in the rounding of the logarithms of both.
        difference = places[part] @ places.T / channels**2 - logits
        shares = logits.softmax(1)
        difference -= (shares * difference).sum(1, keepdim=True)
        total += torch.log1p((shares * torch.expm1(difference)).sum(1)).sum().item()
    return POSITIONS * total / anchors
