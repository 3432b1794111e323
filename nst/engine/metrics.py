"""Quality of a saved 8-bit picture, measured at fixed layers in float32, whatever layers were optimised.

So that cells of a grid compare: a job that optimised conv1_1 and one that optimised conv5_4 are judged by the same
numbers.
"""

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nst.engine import images, vgg
from nst.engine.layers import CLASSIC
from nst.engine.losses import content_loss, gram_distance, gram_matrix
from nst.engine.style_metrics import colour_distance, projected, sliced_wasserstein
from nst.engine.vgg import Encoder

if TYPE_CHECKING:
    from PIL import Image

CONTENT_LAYER = "conv4_2"
STYLE_LAYERS = CLASSIC


def content_distance(picture: Tensor, content: Tensor, weights: str) -> float:
    """|F(x) − F(c)|² / |F(c)|² at conv4_2, for pictures (1, 3, H, W) of the same size.  0 = same; lower is closer."""
    features, target = (activations(each, [CONTENT_LAYER], weights)[CONTENT_LAYER] for each in (picture, content))
    return content_loss(features, target).item()


def style_distance(picture: Tensor, style: Tensor, weights: str) -> float:
    """Mean over conv1_1, 2_1, 3_1, 4_1, 5_1 of |G(x) − G(s)|² / |G(s)|²; the sizes may differ.

    0 = same; lower is closer.
    """
    features, targets = (activations(each, STYLE_LAYERS, weights) for each in (picture, style))
    return fmean(gram_distance(features[name], gram_matrix(targets[name])).item() for name in STYLE_LAYERS)


@dataclass(frozen=True)
class Distances:
    """From a picture to its originals; None where there is no such original."""

    content: float | None
    """`content_distance`."""
    style: float | None
    """`style_distance`."""
    sliced_wasserstein: float | None
    """From the style, at the layers of `style_distance`: `nst.engine.style_metrics.sliced_wasserstein`."""
    colour: float | None
    """From the style: `nst.engine.style_metrics.colour_distance`."""


def layers(content: bytes | None, style: bytes | None) -> tuple[str, ...]:
    """Those that `distances` takes activations of."""
    return (*([CONTENT_LAYER] if content else []), *(STYLE_LAYERS if style else []))


def distances(
    picture: Tensor,
    content: bytes | None,
    style: bytes | None,
    weights: str,
    *,
    features: Mapping[str, Tensor] | None = None,
) -> Distances:
    """All of them, from a picture (1, 3, H, W) to originals that are PNG files.

    Args:
        features: the picture's `activations` at `layers` or more, if the caller has them.
    """
    if features is None:
        features = activations(picture, layers(content, style), weights)
    content_found = style_found = wasserstein = colour = None
    if content:
        target = _content_target(content, weights, picture.device)
        content_found = content_loss(features[CONTENT_LAYER], target).item()
    if style:
        original = _style_target(style, weights, picture.device)
        style_found = fmean(gram_distance(features[name], original.grams[name]).item() for name in STYLE_LAYERS)
        wasserstein = sliced_wasserstein(features, original.quantiles)
        colour = colour_distance(picture, original.picture)
    return Distances(content_found, style_found, wasserstein, colour)


def activations(picture: Tensor, layers: Collection[str], weights: str) -> dict[str, Tensor]:
    """Of a picture (1, 3, H, W) at `layers`, in float32, by VGG-19 with max pooling whatever a job's is."""
    if not layers:
        return {}
    with torch.no_grad():
        return _encoder(weights, picture.device)(picture, layers)


@functools.lru_cache(maxsize=1)
def _encoder(weights: str, device: torch.device) -> Encoder:
    return vgg.load(weights, device=device)


@functools.lru_cache(maxsize=8)
def _content_target(png: bytes, weights: str, device: torch.device) -> Tensor:
    return activations(as_tensor(images.from_png(png)).to(device), [CONTENT_LAYER], weights)[CONTENT_LAYER]


@dataclass(frozen=True)
class _Style:
    """What is cached of a style picture."""

    picture: Tensor
    grams: Mapping[str, Tensor]
    quantiles: Mapping[str, Tensor]


@functools.lru_cache(maxsize=8)
def _style_target(png: bytes, weights: str, device: torch.device) -> _Style:
    picture = as_tensor(images.from_png(png)).to(device)
    features = activations(picture, STYLE_LAYERS, weights)
    grams = {name: gram_matrix(each) for name, each in features.items()}
    return _Style(picture, grams, {name: projected(each) for name, each in features.items()})


def psnr(picture: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio, dB, of pictures in [0, 1]; higher is closer, capped at 100 for equal pictures."""
    from torchmetrics.functional.image import peak_signal_noise_ratio

    value = peak_signal_noise_ratio(picture, reference, data_range=1.0)
    return min(float(value), 100.0)


def ssim(picture: Tensor, reference: Tensor) -> float:
    """Structural similarity (Wang et al. 2004), mean over RGB, of pictures in [0, 1]; 1 = equal.

    torchmetrics' form: edges are mirrored, where the paper leaves them out.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    return float(structural_similarity_index_measure(picture, reference, data_range=1.0))


def shared_variation(picture: Tensor, other: Tensor) -> float:
    """1 − |x − y|² / (|x − x̄|² + |y − ȳ|²) for pictures (1, 3, H, W) of the same size, x̄ the mean of each channel.

    1 = the same picture; about 0 for two of the same colours that have nothing else in common, whatever their
    contrast; less where their means differ.
    """
    both = torch.cat([picture, other])
    variation = (both - both.mean((-2, -1), keepdim=True)).square().sum()
    return 1 - ((picture - other).square().sum() / variation.clamp_min(torch.finfo(both.dtype).tiny)).item()


def gram_matrices(picture: "Image.Image", layers: Sequence[str], weights: str) -> dict[str, NDArray[np.float32]]:
    """The Gram matrices (C, C) of a picture at `layers`."""
    features = activations(as_tensor(picture), layers, weights)
    return {name: gram_matrix(features[name])[0].numpy() for name in layers}


def relative_distance(values: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """|v − t|² / |t|²."""
    return float(np.square(values - target).sum() / np.square(target).sum())


def as_tensor(picture: "Image.Image") -> Tensor:
    """(1, 3, H, W) in [0, 1] of an 8-bit picture."""
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255).permute(2, 0, 1)[None].contiguous()
