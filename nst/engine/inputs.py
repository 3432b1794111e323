"""A job's pictures: read, scaled to the job's size, and packed so that they can travel to any worker."""

import functools
from dataclasses import dataclass
from pathlib import Path

from nst.engine import images
from nst.engine.jobs import Job


@dataclass(frozen=True)
class Inputs:
    """A job's pictures at the job's size, as PNG files."""

    content: bytes | None
    style: bytes | None

    @property
    def shape(self) -> bytes:
        """The picture whose size the result has: the content, or the style when synthesizing."""
        picture = self.style if self.content is None else self.content
        assert picture is not None, "a job names a content, a style, or both"
        return picture


def inputs(job: Job, data: Path) -> Inputs:
    """The pictures that a job names, from `data`/content and `data`/style, at the job's size.

    Raises:
        ImageError: a picture is missing, unreadable, or too small or too narrow.
    """
    return Inputs(
        content=_fitted(data / "content", job.content, job.size) if job.content else None,
        style=_fitted(data / "style", job.style, job.size) if job.style else None,
    )


def _fitted(folder: Path, name: str, size: int) -> bytes:
    path = images.find(folder, name)
    stat = path.stat()
    return _fitted_file(path, size, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _fitted_file(path: Path, size: int, _bytes: int, _modified: int) -> bytes:
    """Cached, as the jobs of a study share a few pictures; a file that changed is read again."""
    return images.to_png(images.fit(images.read(path), size, str(path)))
