"""Reading, checking, resizing and writing pictures.

Pictures are 8-bit RGB `PIL.Image` outside the engine and float tensors (1, 3, H, W) in [0, 1] inside it.
"""

import difflib
import errno
import io
import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from nst.engine import colours
from nst.errors import ImageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm")
SHORTEST_SIDE = 32
"""px; VGG-19 halves a picture four times before conv5_1, and less than two cells of it say nothing."""


def read(path: Path) -> Image.Image:
    """A picture file as 8-bit RGB, upright, converted by `rgb`.

    Raises:
        ImageError: the file is missing, empty, no picture, cut off, or too large to be one.
    """
    with opened(path) as picture:
        picture.load()
        return rgb(picture, str(path))


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A picture file of which only the head has been read.

    Raises:
        ImageError: as `read` does, also for what goes wrong inside the ``with``.
    """
    check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about metadata that we do not use
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                if picture.format == "EPS":  # reading its pixels would run it, by Ghostscript
                    raise ImageError(f"{path}: EPS is a program, not a picture; save it as PNG first")
                yield picture
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not a picture that can be read; use JPEG, PNG, WebP or TIFF") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"{path}: more than {Image.MAX_IMAGE_PIXELS:,} pixels; scale it down first") from None
    except PermissionError:
        raise ImageError(f"{path}: may not be read; change its permissions") from None
    except Exception as error:  # what decoding damaged bytes ends in can be anything
        raise ImageError(f"{path}: damaged or cut off ({error or type(error).__name__}); copy it again") from None


def check_file(path: Path) -> None:
    """Whether there is a file to read: a pipe or a device might never end.

    Raises:
        ImageError: there is none, or it is something else, or empty.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ELOOP:
            raise ImageError(f"{path}: a symbolic link that leads to itself; name the picture") from None
        if isinstance(error, PermissionError):
            raise ImageError(f"{path}: may not be read; change the permissions of its folder") from None
        raise ImageError(f"{path}: no such picture; check the name, or put the file there") from None
    if stat.S_ISDIR(found.st_mode):
        raise ImageError(f"{path}: a folder; name a picture in it")
    if not stat.S_ISREG(found.st_mode):
        raise ImageError(f"{path}: a {kind_of_file(found)}, not a file; save the picture to a file first")
    if found.st_size == 0:
        raise ImageError(f"{path}: the file is empty; copy it again")


def kind_of_file(found: os.stat_result) -> str:
    """What is there, where it is neither a file nor a folder."""
    kinds = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(found.st_mode), "device")


def rgb(picture: Image.Image, name: str = "the picture") -> Image.Image:
    """Any picture as 8-bit RGB, upright, in sRGB.

    EXIF rotation is applied; transparency is laid on white; grey, palette, CMYK, L*a*b* and 16-bit pictures are
    converted; colours that an ICC profile describes are converted to sRGB.  One without a profile is taken as sRGB.

    Raises:
        ImageError: it holds numbers that are not finite.
    """
    profile = picture.info.get("icc_profile")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        picture = _grey(picture, name)
    elif picture.has_transparency_data:
        rgba = (picture.convert("LA") if picture.mode == "La" else picture).convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        picture = Image.alpha_composite(white, rgba).convert("RGB")
    elif picture.mode not in ("L", "CMYK", "LAB"):
        picture = picture.convert("RGB")
    return colours.srgb(picture, profile)


def _grey(picture: Image.Image, name: str) -> Image.Image:
    """Numbers as 8-bit grey: black is 0, white the highest number of 16-bit files.

    Others may hold anything: white is the smallest of 1, 255 and 65535 that is not exceeded, else the largest number.
    """
    values = np.asarray(picture).astype(np.float64)
    if not np.isfinite(values).all():
        raise ImageError(f"{name}: holds numbers that are NaN or infinite; replace them first")
    top = next(limit for limit in (1.0, 255.0, 65535.0, max(values.max(), 1.0)) if values.max() <= limit)
    top = 65535.0 if picture.mode.startswith("I;16") else top
    return Image.fromarray(np.clip(values / top * 255 + 0.5, 0, 255).astype(np.uint8))


def notes(path: Path, size: int, *, size_is_chosen: bool) -> list[str]:
    """What happens to a picture on its way to `size` that its owner may not expect, found in the file's head.

    Args:
        size_is_chosen: somebody asked for this size, so that a smaller picture is no surprise.

    Raises:
        ImageError: as `opened` does.
    """
    said = []
    with opened(path) as picture:
        if max(picture.size) < size:
            said.append(f"only {picture.width}×{picture.height} px, enlarged to {size}")
        elif max(picture.size) >= 2 * size and not size_is_chosen:
            said.append(f"{picture.width}×{picture.height} px, scaled down to {size}; a larger size keeps more of it")
        if getattr(picture, "n_frames", 1) > 1:
            said.append(f"the first of its {getattr(picture, 'n_frames', 1)} pictures is used")
        if picture.has_transparency_data:
            said.append("what is transparent is laid on white")
        if picture.mode in ("I", "F"):
            said.append("its numbers are scaled to black and white")
        profile = picture.info.get("icc_profile")
        if profile and (told := colours.note(profile, picture.mode)):
            said.append(told)
    return said


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


def beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Several pictures in a row, each as high as the first; one alone as it is."""
    height = pictures[0].height
    row = [each if each.height == height else ImageOps.contain(each, (10**6, height)) for each in pictures]
    if len(row) == 1:
        return row[0]
    whole = Image.new("RGB", (sum(each.width for each in row), height))
    for number, each in enumerate(row):
        whole.paste(each, (sum(before.width for before in row[:number]), 0))
    return whole


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
    close = difflib.get_close_matches(name, [path.stem for path in files], n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ImageError(f"{folder}: no picture called {name!r}; {hint}there is {there}")


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
