"""Pictures of 16 bits a channel.  Pillow writes none in colour."""

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngInfo, putchunk

if TYPE_CHECKING:
    from torch import Tensor

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB, _PLAIN = 2, 0
"""PNG's colour type, and the only compression, filter method and order of rows."""
_SUB = 1
"""PNG's filter of a row that holds differences from the pixel to the left."""
_PIXEL = 3 * 2
"""Bytes."""


def rounded(picture: "Tensor") -> NDArray[np.uint16]:
    """The pixels (H, W, 3) of a picture (1, 3, H, W) in [0, 1]."""
    pixels: NDArray[np.uint16] = np.rint(picture[0].permute(1, 2, 0).cpu().numpy() * 65535).astype(np.uint16)
    return pixels


def save_png(pixels: NDArray[np.uint16], path: Path, notes: PngInfo) -> None:
    """Write an RGB picture (H, W, 3) as PNG (ISO/IEC 15948), with text.

    Raises:
        OSError: it could not be written.
    """
    height, width, _ = pixels.shape
    content = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    rows = np.full((height, 1 + content.shape[1]), _SUB, np.uint8)
    rows[:, 1:] = content
    rows[:, 1 + _PIXEL :] -= content[:, :-_PIXEL]
    with path.open("wb") as file:
        file.write(_SIGNATURE)
        putchunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, _RGB, _PLAIN, _PLAIN, _PLAIN))
        for kind, data, *_ in notes.chunks:
            putchunk(file, kind, data)
        putchunk(file, b"IDAT", zlib.compress(rows.tobytes()))
        putchunk(file, b"IEND")


def save_tiff(pixels: NDArray[np.uint16], path: Path, *, software: str, description: bytes) -> None:
    """Write an RGB picture (H, W, 3) as TIFF.

    Raises:
        OSError: it could not be written.
    """
    import tifffile

    tifffile.imwrite(
        path, pixels, photometric="rgb", compression="zlib", metadata=None, software=software, description=description
    )
