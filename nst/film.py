"""The pictures of an optimisation as a film: a GIF, or an MP4 where ffmpeg is installed."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from nst import output
from nst.engine import images
from nst.errors import OutputError

FRAMES = 25
"""Pictures in a film, unless another number is asked for."""
SECONDS = 4.0
"""How long a film takes, without the rest on its last picture."""


def check(path: Path, size: int, pictures: Sequence[Path]) -> None:
    """Whether a film can be written to `path`, before there is one.

    Args:
        size: bytes that it may take.
        pictures: files that must not be overwritten.

    Raises:
        OutputError: it cannot.
    """
    suffix = path.suffix.lower()
    if suffix not in (".gif", ".mp4"):
        raise OutputError(f"{path}: give a name that ends in .gif or .mp4")
    if suffix == ".mp4" and shutil.which("ffmpeg") is None:
        raise OutputError(f"{path}: an MP4 needs ffmpeg, which is not installed; install it, or give a .gif")
    output.check(path, size, pictures)


def save(frames: Sequence[bytes], path: Path) -> None:
    """Write the frames, PNG files of one size, as a film.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with output.replacing(path) as beside:
            if path.suffix.lower() == ".gif":
                from nst.studies.figures import save_gif

                save_gif([images.from_png(frame) for frame in frames], beside, SECONDS)
            else:
                _save_mp4(frames, beside)
    except OSError as error:
        raise OutputError(f"{path}: the film cannot be written ({error.strerror or error})") from None
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise OutputError(f"{path}: ffmpeg cannot write the film ({reason})") from None


def _save_mp4(frames: Sequence[bytes], path: Path) -> None:
    """H.264 as all players take it: yuv420p, which needs sides that are even; the last picture stands for a second."""
    rate = max(1, round(len(frames) / SECONDS))
    command = ["ffmpeg", "-loglevel", "error", "-y", "-f", "image2pipe", "-framerate", str(rate), "-c:v", "png"]
    command += ["-i", "-", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", str(path)]
    subprocess.run(command, input=b"".join([*frames, *[frames[-1]] * rate]), capture_output=True, check=True)
