"""Reading, checking, resizing and writing pictures.

Pictures are 8-bit RGB `PIL.Image` outside the engine and float tensors (1, 3, H, W) in [0, 1] inside it.
"""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from nst.errors import ImageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm")
SHORTEST_SIDE = 32
"""px; VGG-19 halves a picture four times before conv5_1, and less than two cells of it say nothing."""


def read(path: Path) -> Image.Image:
    """A picture file as 8-bit RGB, upright, converted by `rgb`.

    Raises:
        ImageError: the file is missing, empty, no picture, cut off, or too large to be one.
    """
    if not path.is_file():
        raise ImageError(f"{path}: no such picture; check the name, or put the file there")
    if path.stat().st_size == 0:
        raise ImageError(f"{path}: the file is empty; copy it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                opened.load()
                return rgb(opened)
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not a picture that can be read; use JPEG, PNG, WebP or TIFF") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"{path}: more than {Image.MAX_IMAGE_PIXELS:,} pixels; scale it down first") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageError(f"{path}: damaged or cut off ({error}); copy it again") from None


def rgb(picture: Image.Image) -> Image.Image:
    """Any picture as 8-bit RGB, upright.

    EXIF rotation is applied; transparency is laid on white; grey, palette, CMYK and 16-bit pictures are converted.
    """
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(picture).astype(np.float64), posinf=0, neginf=0)
        # 16-bit files use 0 … 65535; "F" and "I" files may hold anything: take 0 … max of the smallest usual range.
        top = next(limit for limit in (1.0, 255.0, 65535.0, max(values.max(), 1.0)) if values.max() <= limit)
        top = 65535.0 if picture.mode.startswith("I;16") else top
        grey = np.clip(values / top * 255 + 0.5, 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return picture.convert("RGB")


def fit(picture: Image.Image, size: int, name: str = "the picture") -> Image.Image:
    """The picture scaled so that its longest side is `size` px (Lanczos), the aspect ratio kept to the pixel.

    Raises:
        ImageError: the shorter side would be under 32 px: too little for the deeper layers.
    """
    scale = size / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    if min(width, height) < SHORTEST_SIDE:
        raise ImageError(
            f"{name}: {picture.width}×{picture.height} px becomes {width}×{height} px at size {size}; "
            f"the shorter side must be {SHORTEST_SIDE} px or more: crop the picture to a squarer shape or raise size"
        )
    if min(picture.size) < SHORTEST_SIDE:
        raise ImageError(
            f"{name}: only {picture.width}×{picture.height} px; "
            f"use a picture of {SHORTEST_SIDE} px or more on its shorter side"
        )
    return picture if picture.size == (width, height) else picture.resize((width, height), Image.Resampling.LANCZOS)


def find(folder: Path, name: str) -> Path:
    """The file of the picture called `name` in `folder` (its suffix need not be given).

    Raises:
        ImageError: there is none, or more than one; the message lists the names there are.
    """
    files = [path for path in sorted(folder.glob("*")) if path.suffix.lower() in SUFFIXES]
    found = [path for path in files if name in (path.stem, path.name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ImageError(f"{folder}: {name!r} is the name of {len(found)} files; name one with its suffix")
    there = ", ".join(path.stem for path in files) or "nothing: run `dvc pull data`, or put pictures there"
    raise ImageError(f"{folder}: no picture called {name!r}; there is {there}")


def to_png(picture: Image.Image) -> bytes:
    """The picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def from_png(png: bytes) -> Image.Image:
    """Inverse of `to_png`."""
    with Image.open(io.BytesIO(png)) as opened:
        return opened.convert("RGB")


def png_size(png: bytes) -> tuple[int, int]:
    """Width and height, from the file's head alone."""
    with Image.open(io.BytesIO(png)) as opened:
        return opened.size
