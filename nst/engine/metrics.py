"""Quality of a saved 8-bit picture, measured at fixed layers in float32, whatever layers were optimised.

So that cells of a grid compare: a job that optimised conv1_1 and one that optimised conv5_4 are judged by the same
numbers.
"""

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nst.engine import images, malloc
from nst.engine.layers import LAYERS
from nst.engine.losses import content_loss, gram_distance, gram_matrix
from nst.engine.style_metrics import colour_distance, projected, sliced_wasserstein
from nst.engine.vgg import Encoder
from nst.engine.weights import vgg19

if TYPE_CHECKING:
    from PIL import Image

CONTENT_LAYER = "conv4_2"
STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")


def content_distance(picture: Tensor, content: Tensor, weights: str) -> float:
    """|F(x) − F(c)|² / |F(c)|² at conv4_2, for pictures (1, 3, H, W) of the same size.  0 = same; lower is closer."""
    target = _content_features(content, weights)
    return content_loss(_content_features(picture, weights), target).item()


def style_distance(picture: Tensor, style: Tensor, weights: str) -> float:
    """Mean over conv1_1, 2_1, 3_1, 4_1, 5_1 of |G(x) − G(s)|² / |G(s)|²; the sizes may differ.

    0 = same; lower is closer.
    """
    grams = {name: gram_matrix(features) for name, features in _walk(style, weights, STYLE_LAYERS)}
    return fmean(
        gram_distance(features, grams[name]).item() for name, features in _walk(picture, weights, STYLE_LAYERS)
    )


@dataclass(frozen=True)
class Distances:
    """From a picture to its originals; None for an original that there is not."""

    content: float | None
    """`content_distance`."""
    style: float | None
    """`style_distance`."""
    sliced_wasserstein: float | None
    """From the style, at the layers of `style_distance`: `nst.engine.style_metrics.sliced_wasserstein`."""
    colour: float | None
    """From the style: `nst.engine.style_metrics.colour_distance`."""


def distances(
    picture: Tensor,
    content: bytes | None,
    style: bytes | None,
    weights: str,
    *,
    also: Collection[str] = (),
    see: Callable[[str, Tensor], None] = lambda _name, _features: None,
) -> Distances:
    """All in one pass, layer by layer, from originals as PNG files, of which what is needed is kept.

    Args:
        also, see: more layers, and what is called with each of them when its activations are there.
    """
    target = _content_target(content, weights, picture.device) if content else None
    painted = _style_target(style, weights, picture.device) if style else None
    content_found: float | None = None
    styles: list[float] = []
    wasserstein: list[float] = []
    layers = {*([CONTENT_LAYER] if content else []), *(STYLE_LAYERS if style else []), *also}
    for name, features in _walk(picture, weights, layers):
        if name in also:
            see(name, features)
        if target is not None and name == CONTENT_LAYER:
            content_found = content_loss(features, target).item()
        if painted is not None and name in STYLE_LAYERS:
            styles.append(gram_distance(features, painted.grams[name]).item())
            wasserstein.append(sliced_wasserstein({name: features}, {name: painted.projected[name]}))
        del features
    return Distances(
        content=content_found,
        style=fmean(styles) if styles else None,
        sliced_wasserstein=fmean(wasserstein) if wasserstein else None,
        colour=colour_distance(picture, painted.picture) if painted else None,
    )


def _walk(picture: Tensor, weights: str, layers: Collection[str]) -> Iterator[tuple[str, Tensor]]:
    """Activations in float32 one after another, as those of all layers at once take much memory.

    A loop lets go of one before it asks for the next.
    """
    if not layers:
        return iter(())
    # Laid out for its own layers or for all, so that jobs of different depths share it.
    deepest = STYLE_LAYERS[-1] if max(map(LAYERS.index, layers)) <= LAYERS.index(STYLE_LAYERS[-1]) else LAYERS[-1]
    return _encoder(weights, picture.device, deepest).walk(picture.detach(), layers)


def _content_features(picture: Tensor, weights: str) -> Tensor:
    return dict(_walk(picture, weights, [CONTENT_LAYER]))[CONTENT_LAYER]


@functools.lru_cache(maxsize=8)
def _content_target(png: bytes, weights: str, device: torch.device) -> Tensor:
    target = _content_features(as_tensor(images.from_png(png)).to(device), weights)
    malloc.give_back()  # of the layers before it
    return target


@dataclass(frozen=True)
class _Style:
    """What is kept of a style picture."""

    picture: Tensor
    grams: Mapping[str, Tensor]
    projected: Mapping[str, Tensor]


@functools.lru_cache(maxsize=8)
def _style_target(png: bytes, weights: str, device: torch.device) -> _Style:
    picture = as_tensor(images.from_png(png)).to(device)
    grams, quantiles = {}, {}
    for name, features in _walk(picture, weights, STYLE_LAYERS):
        grams[name], quantiles[name] = gram_matrix(features), projected(features)
        del features
    malloc.give_back()
    return _Style(picture, grams, quantiles)


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
    encoder = Encoder(vgg19(weights), max(layers, key=LAYERS.index))
    with torch.no_grad():
        features = encoder(as_tensor(picture), layers)
        return {name: gram_matrix(features[name])[0].numpy() for name in layers}


def relative_distance(values: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """|v − t|² / |t|²."""
    return float(np.square(values - target).sum() / np.square(target).sum())


def as_tensor(picture: "Image.Image") -> Tensor:
    """(1, 3, H, W) in [0, 1] of an 8-bit picture."""
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255).permute(2, 0, 1)[None].contiguous()


_encoders: dict[tuple[str, torch.device], Encoder] = {}
"""The one that was used last."""


def _encoder(weights: str, device: torch.device, deepest: str) -> Encoder:
    found = _encoders.get((weights, device))
    if found is None or deepest not in found.layers:
        _encoders.clear()
        found = Encoder(vgg19(weights), deepest, dtype=torch.float32, device=device)
        _encoders[weights, device] = found
        malloc.give_back()  # of the weights, and of the optimisation that usually went before
    return found
