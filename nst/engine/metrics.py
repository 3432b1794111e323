"""Quality of a saved 8-bit picture, measured at fixed layers in float32, whatever layers were optimised.

So that cells of a grid compare: a job that optimised conv1_1 and one that optimised conv5_4 are judged by the same
numbers.
"""

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nst.engine import cfsd, images, st_lpips, styles, tiles, vgg
from nst.engine.layers import CLASSIC, LAYERS, positions
from nst.engine.losses import content_loss, gram_distance, gram_matrix, gram_sums, relative_error
from nst.engine.style_metrics import arrangement, colour_distance, cumulative, projected, sample, sliced_wasserstein
from nst.engine.vgg import Encoder

if TYPE_CHECKING:
    from PIL import Image

CONTENT_LAYER = "conv4_2"
_CONTENT_LAYERS = [CONTENT_LAYER, cfsd.LAYER]
WASSERSTEIN_LAYERS = CLASSIC
ARRANGEMENT_LAYER = "conv4_2"
SMALLEST_ERROR = 1e-6
"""What a relative Gram error counts for in a geometric mean, at least: a thousandth of the Gram matrix's norm.  A
single layer that happens to fit to the last digit would else make the mean of all as small as one likes."""


def content_distance(picture: Tensor, content: Tensor, weights: str) -> float:
    """|F(x) − F(c)|² / |F(c)|² at conv4_2, for pictures (1, 3, H, W) of the same size.  0 = same; lower is closer."""
    features, target = (activations(each, [CONTENT_LAYER], weights)[CONTENT_LAYER] for each in (picture, content))
    return content_loss(features, target).item()


def style_distance(picture: Tensor, style: Tensor, weights: str) -> float:
    """`mean_error` over all 16 layers of |G(x) − G(s)|² / |G(s)|², the relative Gram errors; the sizes may differ.

    The geometric mean of 16 layers falls by the same share whichever layer's error halves; an arithmetic one would be
    little but its worst layer, mostly conv5_1.  All layers, so that no choice of layers to optimise is favoured.
    """
    features, targets = (activations(each, LAYERS, weights) for each in (picture, style))
    return mean_error(gram_distance(features[name], gram_matrix(targets[name])).item() for name in LAYERS)


def mean_error(errors: Iterable[float]) -> float:
    """Geometric mean of relative Gram errors, none of which counts as less than `SMALLEST_ERROR`.

    `SMALLEST_ERROR` = same; 1 = what Gram matrices of zero would give; lower is closer.
    """
    return geometric_mean(max(error, SMALLEST_ERROR) for error in errors)


@dataclass(frozen=True)
class Distances:
    """From a picture to its originals; None where there is no such original."""

    content: float | None
    """`content_distance`."""
    style: float | None
    """`style_distance`."""
    gram_errors: tuple[float, ...] | None
    """Of which that is the mean: from the style, at each layer."""
    sliced_wasserstein: float | None
    """From the style, at `WASSERSTEIN_LAYERS`: `nst.engine.style_metrics.sliced_wasserstein`."""
    colour: float | None
    """From the style: `nst.engine.style_metrics.colour_distance`."""
    cfsd: float | None
    """From the content: `nst.engine.cfsd.distance`."""
    st_lpips: float | None
    """From the content: `nst.engine.st_lpips.distance`.  None also for pictures too small for it."""
    arrangement: float | None
    """Of the style, at `ARRANGEMENT_LAYER`: `nst.engine.style_metrics.arrangement`.  None where there is a content too,
    as then the arrangement is to be that one's, where sizes differ, and where there are several styles."""


def distances(
    picture: Tensor,
    content: bytes | None,
    style: Sequence[tuple[bytes, float]],
    weights: str,
    *,
    layers: Collection[str] = (),
    watch: Callable[[str, Tensor], None] = lambda _layer, _features: None,
) -> Distances:
    """All of them, from a picture (1, 3, H, W) to originals that are PNG files, the styles each with its share.

    Args:
        watch: is given the activations at `layers`, from the same pass through the network.  Of a large picture it is
            given those of one tile after the other.
    """
    target = _content_target(content, weights, picture.device) if content else None
    original = _mean_style([(_style_target(png, weights, picture.device), share) for png, share in style])
    arrangement_of = original.arranged if original and not target else None
    kept = _CONTENT_LAYERS if target else [ARRANGEMENT_LAYER] if original else []
    seen = _see(picture, weights, kept, statistics=bool(original), layers=layers, watch=watch)
    structure = perceived = colour = arranged = wasserstein = content_error = None
    if target:
        content_error = content_loss(seen.kept[CONTENT_LAYER], target.features[CONTENT_LAYER]).item()
        structure = cfsd.distance(seen.kept[cfsd.LAYER], target.features[cfsd.LAYER])
        if target.perceived is not None:
            perceived = st_lpips.distance(st_lpips.activations(picture), target.perceived)
    gram_errors = None
    if original:
        errors = [relative_error(seen.grams[name], original.grams[name]) for name in LAYERS]
        gram_errors = tuple(torch.cat(errors).tolist())  # a GPU is waited for once
        wasserstein = sliced_wasserstein(seen.quantiles, original.quantiles)
        colour = colour_distance(picture, original.colours)
        if arrangement_of is not None and seen.kept[ARRANGEMENT_LAYER].shape == arrangement_of.shape:
            arranged = arrangement(seen.kept[ARRANGEMENT_LAYER], arrangement_of)
    return Distances(
        content=content_error,
        style=mean_error(gram_errors) if gram_errors else None,
        gram_errors=gram_errors,
        sliced_wasserstein=wasserstein,
        colour=colour,
        cfsd=structure,
        st_lpips=perceived,
        arrangement=arranged,
    )


class _Seen(NamedTuple):
    """What metrics take from a picture's pass through the network."""

    grams: dict[str, Tensor]
    """Of all layers."""
    quantiles: dict[str, Tensor]
    """Of `WASSERSTEIN_LAYERS`."""
    kept: dict[str, Tensor]
    """Whole activations (1, C, H, W)."""


def _see(
    picture: Tensor,
    weights: str,
    kept: Collection[str],
    *,
    statistics: bool,
    layers: Collection[str] = (),
    watch: Callable[[str, Tensor], None] = lambda _layer, _features: None,
) -> _Seen:
    """One pass, tile by tile and layer by layer: all activations of a large picture would fill the memory.

    Args:
        kept: the layers whose activations are kept.
        statistics: Gram matrices and quantiles too.
    """
    needed = {*kept, *layers, *(LAYERS if statistics else ())}
    sums: dict[str, Tensor] = {}
    samples: dict[str, list[Tensor]] = {}
    whole: dict[str, Tensor] = {}
    for tile, name, features in tiles.stream(_encoder(weights, picture.device), picture, needed):
        if name in layers:
            watch(name, features)
        if name in kept:
            tile.add_to(whole, name, features)
        if statistics:
            sums[name] = sums.get(name, 0.0) + gram_sums(features)
        if statistics and name in WASSERSTEIN_LAYERS:
            samples.setdefault(name, []).append(sample(features, tile.corner(name), positions(name, *tile.size)))
    grams = {name: each / positions(name, *picture.shape[-2:]) for name, each in sums.items()}
    return _Seen(grams, {name: projected(torch.cat(each, dim=2)) for name, each in samples.items()}, whole)


def activations(picture: Tensor, layers: Collection[str], weights: str) -> dict[str, Tensor]:
    """Of a picture (1, 3, H, W) at `layers`, in float32, by VGG-19 with max pooling whatever a job's is."""
    if not layers:
        return {}
    with torch.no_grad():
        return _encoder(weights, picture.device)(picture, layers)


@functools.lru_cache(maxsize=1)
def _encoder(weights: str, device: torch.device) -> Encoder:
    return vgg.load(weights, device=device)


@dataclass(frozen=True)
class _Content:
    """What is cached of a content picture."""

    features: Mapping[str, Tensor]
    perceived: list[Tensor] | None
    """What ST-LPIPS sees of it, unless it is too small."""


@functools.lru_cache(maxsize=4)
def _content_target(png: bytes, weights: str, device: torch.device) -> _Content:
    picture = as_tensor(images.from_png(png)).to(device)
    features = _see(picture, weights, _CONTENT_LAYERS, statistics=False).kept
    large_enough = min(picture.shape[-2:]) >= st_lpips.SMALLEST_SIDE
    return _Content(features, st_lpips.activations(picture) if large_enough else None)


@dataclass(frozen=True)
class _Style:
    """What is cached of a style picture."""

    colours: Tensor
    """Of its `cumulative` histograms."""
    grams: dict[str, Tensor]
    """Of all layers."""
    quantiles: dict[str, Tensor]
    """Of `WASSERSTEIN_LAYERS`."""
    arranged: Tensor | None
    """Activations at `ARRANGEMENT_LAYER`."""


@functools.lru_cache(maxsize=4)
def _style_target(png: bytes, weights: str, device: torch.device) -> _Style:
    picture = as_tensor(images.from_png(png)).to(device)
    seen = _see(picture, weights, [ARRANGEMENT_LAYER], statistics=True)
    return _Style(cumulative(picture), seen.grams, seen.quantiles, seen.kept[ARRANGEMENT_LAYER])


def _mean_style(parts: Sequence[tuple[_Style, float]]) -> _Style | None:
    """Of several styles, each with its share, what a job that has them all aims at."""
    if len(parts) < 2:
        return parts[0][0] if parts else None
    return _Style(
        styles.mean((each.colours, share) for each, share in parts),
        {name: styles.mean((each.grams[name], share) for each, share in parts) for name in LAYERS},
        {name: styles.mean((each.quantiles[name], share) for each, share in parts) for name in WASSERSTEIN_LAYERS},
        None,
    )


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


def gram_matrices(
    parts: "Sequence[tuple[Image.Image, float]]", layers: Sequence[str], weights: str
) -> dict[str, NDArray[np.float32]]:
    """The Gram matrices (C, C) at `layers` of a picture, or the mean of several, each with its share."""
    found = [(activations(as_tensor(picture), layers, weights), share) for picture, share in parts]
    return {name: styles.mean((gram_matrix(each[name])[0], share) for each, share in found).numpy() for name in layers}


def relative_distance(values: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """|v − t|² / |t|²."""
    return float(np.square(values - target).sum() / np.square(target).sum())


def as_tensor(picture: "Image.Image") -> Tensor:
    """(1, 3, H, W) in [0, 1] of an 8-bit picture."""
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255).permute(2, 0, 1)[None].contiguous()
