"""Colours as a file means them: what its ICC profile says, converted to sRGB."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsProfile, ImageCmsTransform

_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
"""Pillow's mode of pixels that a profile of each colour space describes."""


def srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """A picture of mode RGB, L, CMYK or LAB as RGB, in sRGB.

    By the relative colorimetric intent with black point compensation: white stays white, black black, and colours that
    sRGB cannot show become the nearest that it can.  A profile that is damaged, or describes pixels of another kind, is
    left out; so is one that is sRGB within rounding, so that such a picture keeps its numbers.
    """
    from PIL import ImageCms

    try:
        conversion = _conversion(profile, picture.mode) if profile else None
    except (OSError, ImageCms.PyCMSError):
        conversion = None
    if conversion is not None:
        return _apply(conversion.transform, picture.convert(conversion.mode))
    if picture.mode == "LAB":
        return _apply(_transform(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB"), picture)
    return picture.convert("RGB")


def note(profile: bytes, mode: str) -> str | None:
    """What `srgb` does with a picture that has a profile, in a few words; None where it changes nothing.

    Args:
        mode: of the picture as its file has it.
    """
    from PIL import ImageCms

    try:
        conversion = _conversion(profile, mode)
    except (OSError, ImageCms.PyCMSError):
        return "its colour profile is damaged and left out"
    return f"its colours are converted from {conversion.name} to sRGB" if conversion else None


@dataclass(frozen=True)
class _Conversion:
    transform: "ImageCmsTransform"
    mode: str
    """Of the pixels that it takes."""
    name: str
    """Of the profile."""


def _conversion(profile: bytes, mode: str) -> _Conversion | None:
    """From a profile to sRGB, where it changes the colours of pixels of `mode`.

    Raises:
        OSError, PyCMSError: the profile is damaged.
    """
    from PIL import ImageCms

    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    wanted = _MODES.get(source.profile.xcolor_space.strip(), "")
    if not wanted or (wanted in ("CMYK", "LAB")) != (mode in ("CMYK", "LAB")) or (wanted == "RGB" and mode == "L"):
        return None
    transform = _transform(source, wanted)
    if wanted == "RGB" and _is_identity(transform):
        return None
    return _Conversion(transform, wanted, ImageCms.getProfileDescription(source).strip() or "a profile without a name")


def _is_identity(transform: "ImageCmsTransform") -> bool:
    """Whether it changes no colour by more than rounding, tried on all colours whose parts are multiples of 51."""
    steps = np.arange(0, 256, 51, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    found = np.asarray(_apply(transform, Image.fromarray(cube)))
    return int(np.abs(found.astype(int) - cube).max()) <= 2


def _transform(source: "ImageCmsProfile", mode: str) -> "ImageCmsTransform":
    from PIL import ImageCms

    return ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _apply(transform: "ImageCmsTransform", picture: Image.Image) -> Image.Image:
    from PIL import ImageCms

    converted = ImageCms.applyTransform(picture, transform)
    assert converted is not None, "it is not made in place"
    return converted
