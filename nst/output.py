"""Where a picture goes: tried before minutes are spent on it, written whole, and with the command that made it."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nst import sixteen_bit
from nst.engine import images
from nst.errors import OutputError

QUALITY: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 6},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 90},
    "TIFF": {"compression": "tiff_deflate"},
    "JPEG2000": {},
    "BMP": {},
    "PPM": {},
    "TGA": {},
}
"""Formats that keep a picture's colours, and how Pillow is to write them."""
SUFFIXES = ".png, .jpg, .webp, .tif or .avif"
"""The most usual, for messages."""
SIXTEEN_BIT = ("PNG", "TIFF")
"""Formats that can have 16 bits a channel."""

_PIECE = 2**20
"""Bytes that are written at once, at most, to try a place."""
_DESCRIPTION, _SOFTWARE = 0x010E, 0x0131
"""EXIF's ImageDescription and Software."""


def format_of(path: Path, bits: int = 8) -> str:
    """Pillow's name of the format that the file's suffix stands for.

    Raises:
        OutputError: there is none, or none that this Pillow can write, or none of so many bits.
    """
    found = Image.registered_extensions().get(path.suffix.lower(), "")
    if found not in QUALITY or found not in Image.SAVE:
        raise OutputError(f"{path}: give a name that ends in {SUFFIXES}")
    if bits == 16 and found not in SIXTEEN_BIT:
        raise OutputError(f"{path}: {found} has 8 bits a channel; give a name that ends in .png or .tif")
    return found


def is_folder(path: Path) -> bool:
    """Also of names that are too long for the system, for which `Path.is_dir` raises."""
    try:
        return path.is_dir()
    except OSError:
        return False


def check(path: Path, size: int, pictures: Iterable[Path] = ()) -> None:
    """Whether `path` can take so many bytes, found by writing them beside it.

    Args:
        size: bytes.
        pictures: files that must not be overwritten.

    Raises:
        OutputError: it cannot; the message says why.
    """
    target = _target(path)
    for picture in pictures:
        with contextlib.suppress(OSError, ValueError):
            if target.samefile(picture):
                raise OutputError(f"{path}: is one of the pictures to start from; give another name")
    beside = _beside(target)
    try:
        with beside.open("wb") as file:
            for start in range(0, size, _PIECE):
                file.write(bytes(min(_PIECE, size - start)))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); give another place") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write, which takes the place of `path` when it is whole.  Where writing fails, the old one stays.

    Raises:
        OutputError: there is no place for it.
        OSError: it could not be written.
    """
    target = _target(path)
    beside = _beside(target)
    try:
        yield beside
        beside.replace(target)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def save(png: bytes, path: Path, command: str, pixels: NDArray[np.uint16] | None = None) -> None:
    """Write a picture in the format of its suffix, with the command that made it.

    Args:
        pixels: the same picture (H, W, 3) of 16 bits a channel, which is written instead where it is given.

    Raises:
        OutputError: it cannot be written; the message says where the picture is instead.
    """
    try:
        with replacing(path) as beside:
            _write(png, beside, command, pixels)
    except (OSError, OutputError) as error:
        with tempfile.NamedTemporaryFile(prefix="nst-", suffix=".png", delete=False) as rescued:
            rescued.write(png)
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: cannot be written ({reason}); the picture is in {rescued.name}") from None


def command_of(path: Path) -> str | None:
    """The command that made the picture, as `save` noted it; None where it did not.

    Raises:
        ImageError: the picture cannot be read.
    """
    with images.opened(path) as picture:
        exif = picture.getexif()
        if not str(picture.info.get("Software") or exif.get(_SOFTWARE)).startswith("nst "):
            return None
        said = picture.info.get("Comment") or picture.info.get("comment")
        if said is None and _DESCRIPTION in exif:
            said = exif[_DESCRIPTION].encode("latin-1", "replace")  # as Pillow reads it
    return said.decode("utf-8", "backslashreplace") if isinstance(said, bytes) else said


def _write(png: bytes, path: Path, command: str, pixels: NDArray[np.uint16] | None) -> None:
    kind = format_of(path)
    said = command.encode("utf-8", "backslashreplace")  # names of files may hold bytes that are no text
    software = f"nst {metadata.version('nst-studies')}"
    noted: dict[str, Any] = {}
    if kind == "PNG":
        noted["pnginfo"] = PngInfo()
        noted["pnginfo"].add_text("Software", software)
        noted["pnginfo"].add_itxt("Comment", said.decode())
    elif kind in ("JPEG", "WEBP", "AVIF", "TIFF"):
        noted["exif"] = Image.Exif()
        noted["exif"][_SOFTWARE] = software
        if kind == "JPEG":
            noted["comment"] = said
        else:
            noted["exif"][_DESCRIPTION] = said
    if pixels is None:
        images.from_png(png).save(path, kind, **QUALITY[kind], **noted)
    elif kind == "PNG":
        sixteen_bit.save_png(pixels, path, noted["pnginfo"])
    else:
        sixteen_bit.save_tiff(pixels, path, software=software, description=said)


def _target(path: Path) -> Path:
    """The file itself, where `path` is a link to it.

    Raises:
        OutputError: there is no such folder, or something that is no file is there already.
    """
    try:
        target = Path(os.path.realpath(path))
        found = target.lstat()
    except FileNotFoundError:
        if target.parent.is_dir():
            return target
        raise OutputError(f"{path}: there is no folder {path.parent}; make it first") from None
    except NotADirectoryError:
        raise OutputError(f"{path}: {path.parent} is no folder; give another place") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"{path}: cannot be written ({reason}); give another name") from None
    if stat.S_ISLNK(found.st_mode):
        raise OutputError(f"{path}: a symbolic link that leads to itself; give another name")
    if stat.S_ISDIR(found.st_mode):
        raise OutputError(f"{path}: is a folder; give a file name in it")
    if not stat.S_ISREG(found.st_mode):
        raise OutputError(f"{path}: a {images.kind_of_file(found)}; give the name of a file")
    if not os.access(target, os.W_OK):
        raise OutputError(f"{path}: may not be overwritten; change its permissions, or give another name")
    return target


def _beside(target: Path) -> Path:
    return target.with_name(f".nst-{os.getpid()}{target.suffix}")
