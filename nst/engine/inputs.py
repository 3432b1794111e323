"""A job's pictures: read, scaled to the job's sizes, and packed so that they can travel to any worker."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nst.engine import images
from nst.engine.jobs import Job


@dataclass(frozen=True)
class Inputs:
    """A job's pictures at the job's sizes, as PNG files."""

    content: bytes | None
    styles: tuple[tuple[bytes, float], ...] = ()
    """Each with its share, as `Job.styles` names them."""

    @property
    def shape(self) -> bytes:
        """The picture whose size the result has: the content, or the style when synthesizing."""
        assert self.content or self.styles, "a job names a content, a style, or both"
        return self.content or self.styles[0][0]

    def changed(self, change: Callable[[bytes], bytes]) -> "Inputs":
        """With another picture in place of each."""
        styles = tuple((change(png), share) for png, share in self.styles)
        return Inputs(change(self.content) if self.content else None, styles)


def inputs(job: Job, data: Path) -> Inputs:
    """The pictures that a job names, from `data`/content and `data`/style, at the job's sizes.

    Raises:
        ImageError: a picture is missing, unreadable, or too small or too narrow.
    """
    return Inputs(
        content=_fitted(data / "content", job.content, job.size) if job.content else None,
        styles=tuple(
            (_fitted(data / "style", name, job.style_size, job.style_scale), share) for name, share in job.styles
        ),
    )


def label(name: str, scale: float = 1.0) -> str:
    """How an error calls a picture that is scaled to `scale` × the job's size."""
    return name if scale == 1 else f"{name} (style_scale {scale:g})"


def _fitted(folder: Path, name: str, size: int, scale: float = 1.0) -> bytes:
    path = images.find(folder, name)
    stat = path.stat()
    return _fitted_file(path, size, label(str(path), scale), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _fitted_file(path: Path, size: int, name: str, _bytes: int, _modified: int) -> bytes:
    """Cached, as the jobs of a study share a few pictures; a file that changed is read again."""
    return images.to_png(images.fit(images.read(path), size, name))
