"""Finished jobs: one JSON file each, in a folder or below an fsspec URL, written whole or not at all.

A file is replaced only where there is none or where its content is not what its checksum says.  Any other error (a
disk that fails, a right that is missing, a network fault) is raised, and nothing is deleted.
"""

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from flows.processes import ClusterError
from nst.engine.jobs import Job
from nst.engine.results import Result
from nst.errors import ResultError

_STALE = 3600.0
"""Seconds after which an unfinished file has no writer any more: writing takes milliseconds."""


class StoreError(ClusterError):
    """The store cannot be read or written; what is in it is left alone."""


class Store:
    """Finished jobs by key (see `nst.engine.machine.key`).

    Args:
        place: a folder, or a URL like ``s3://bucket/prefix``.

    Raises:
        StoreError: the folder cannot be read, or no installed package reaches such a URL.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._remote: Any = None
        if "://" in place:
            self._remote = _file_system(place)
            return
        try:
            _remove_leftovers(Path(place))
        except OSError as error:
            raise StoreError(f"NST_CACHE = {place!r} cannot be read: {_one_line(error)}") from None

    def load(self, key: str, job: Job) -> Result | None:
        """The finished job, or None when there is none.

        Raises:
            ResultError: the file was cut short or altered, or belongs to another job; it may be replaced.
            StoreError: the file cannot be read.
        """
        try:
            content = self._read(f"{key}.json")
        except FileNotFoundError:
            return None
        except Exception as error:  # each file system has errors of its own
            raise StoreError(f"NST_CACHE = {self._place!r} cannot be read: {_one_line(error)}") from None
        try:
            result = Result.from_dict(json.loads(content))
        except (ValueError, KeyError, TypeError) as error:
            raise ResultError(f"not a stored result: {_one_line(error)}") from None
        if result.job != job:
            raise ResultError("a stored result belongs to another job")
        return result

    def save(self, key: str, result: Result) -> None:
        """Writes a finished job.

        Raises:
            StoreError: it cannot be written; what was there before is still there.
        """
        content = json.dumps(result.to_dict()).encode()
        try:
            if self._remote is None:
                _write_whole(Path(self._place) / f"{key}.json", content)
            else:
                self._remote.pipe_file(f"{self._place}/{key}.json", content)
        except Exception as error:
            raise StoreError(f"NST_CACHE = {self._place!r} cannot be written: {_one_line(error)}") from None

    def _read(self, name: str) -> bytes:
        if self._remote is None:
            return (Path(self._place) / name).read_bytes()
        content: bytes = self._remote.cat_file(f"{self._place}/{name}")
        return content


def _write_whole(target: Path, content: bytes) -> None:
    """Writes beside, then renames; both file and folder reach the disk before this returns."""
    folder = target.parent
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{target.name}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns()}"
    try:
        with beside.open("xb") as file:
            # Whoever may use the folder may read its files.
            os.fchmod(file.fileno(), folder.stat().st_mode & 0o666)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_leftovers(folder: Path) -> None:
    """Removes what writers that were killed have left."""
    for path in folder.glob(".*.json.*"):
        with suppress(OSError):  # another process may remove it first
            if time.time() - path.stat().st_mtime > _STALE:
                path.unlink()


def _file_system(url: str) -> Any:
    """Whose it is and where it listens is for the environment to say (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, …)."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(url, use_listings_cache=False)[0]
    except (RuntimeError, ValueError, ImportError) as error:
        raise StoreError(f"NST_CACHE = {url!r}: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__
