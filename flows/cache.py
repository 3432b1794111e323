"""Finished jobs in a folder or a bucket, one file each, in the form in which Prefect persists a task's result.

Prefect's own storage would do but for two things: a folder is written in place, so that a kill leaves half a file,
and on reading it follows whatever serializer the file names, `pickle` included.  Ours renames whole files into
place and reads plain JSON only.
"""

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect.filesystems import LocalFileSystem, RemoteFileSystem
from prefect.serializers import JSONSerializer

from flows.errors import ClusterError
from nst.engine.jobs import Job
from nst.engine.results import Result
from nst.errors import ResultError

SERIALIZER: JSONSerializer[dict[str, Any]] = JSONSerializer(object_encoder=None, object_decoder=None)
"""JSON and nothing else: Prefect's default decoder imports classes that the text names."""


class ResultFolder(LocalFileSystem):
    """A folder of results that are whole, and never unpickled."""

    _block_type_name = "Folder of job results"
    _block_type_slug = "nst-result-folder"

    def write_path(self, path: str, content: bytes, _sync: bool | None = None) -> str:  # type: ignore[override]
        """Writes beside and renames, so that the file is there whole or not at all."""
        target = self._resolve_path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=target.parent, prefix=".writing-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).replace(target)
        except BaseException:
            with suppress(OSError):
                Path(beside).unlink()
            raise
        return str(target)

    async def awrite_path(self, path: str, content: bytes) -> str:
        """As `write_path`."""
        return self.write_path(path, content)

    def read_path(self, path: str, _sync: bool | None = None) -> bytes:  # type: ignore[override]
        """The file's content, once it is known to hold what we write.

        Raises:
            ValueError: there is no such file, or its content asks for another serializer.
        """
        target = self._resolve_path(path)
        try:
            content = target.read_bytes()
        except OSError as error:
            raise ValueError(f"{target}: {error.strerror}") from error
        _plain(content)
        return content

    async def aread_path(self, path: str) -> bytes:
        """As `read_path`."""
        return self.read_path(path)


class ResultBucket(RemoteFileSystem):
    """A place that fsspec reaches by URL, like s3://bucket/prefix; its files appear whole, and are never unpickled.

    Whose it is and where it listens is for the environment to say, here and on the workers (AWS_ACCESS_KEY_ID,
    AWS_ENDPOINT_URL, …).
    """

    _block_type_name = "Bucket of job results"
    _block_type_slug = "nst-result-bucket"

    def read_path(self, path: str, _sync: bool | None = None) -> bytes:  # type: ignore[override]
        """As `ResultFolder.read_path`."""
        try:
            content: bytes = self.filesystem.cat_file(self._resolve_path(path))
        except FileNotFoundError as error:
            raise ValueError(f"{self.basepath}: no {path}") from error
        except Exception as error:  # each file system has errors of its own
            raise ClusterError(f"NST_CACHE = {self.basepath!r} cannot be read: {error}") from error
        _plain(content)
        return content

    async def aread_path(self, path: str) -> bytes:
        """As `read_path`."""
        return self.read_path(path)

    def write_path(self, path: str, content: bytes, _sync: bool | None = None) -> str:  # type: ignore[override]
        """Writes the file in one request."""
        target = self._resolve_path(path)
        self.filesystem.pipe_file(target, content)
        return target

    async def awrite_path(self, path: str, content: bytes) -> str:
        """As `write_path`."""
        return self.write_path(path, content)


Storage = ResultFolder | ResultBucket


def storage(place: str) -> Storage:
    """The storage at this folder or URL.

    Raises:
        ClusterError: there is no means to reach such a URL.
    """
    if "://" not in place:
        return ResultFolder(basepath=place)
    bucket = ResultBucket(basepath=place, settings={"use_listings_cache": False})
    try:
        bucket.filesystem  # noqa: B018  (finds out whether the package for it is installed)
    except (RuntimeError, ValueError, ImportError) as error:
        raise ClusterError(f"NST_CACHE = {place!r}: {error.__cause__ or error}") from None
    return bucket


def file_name(key: str) -> str:
    """Name of the file for the job with this key (see `nst.engine.run.key`)."""
    return f"{key}.json"


def load(place: Storage, key: str, job: Job) -> Result | None:
    """The finished job, or None when there is none.

    Raises:
        ResultError: the file was cut short or altered, or belongs to another job.
    """
    try:
        content = place.read_path(file_name(key))
    except ValueError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise ResultError(f"not a stored result: {error}") from None
    try:
        result = Result.from_dict(json.loads(_plain(content)))
    except (ValueError, KeyError, TypeError) as error:
        raise ResultError(f"not a stored result: {error}") from None
    if result.job != job:
        raise ResultError("a stored result belongs to another job")
    return result


def store(place: Storage, key: str, value: dict[str, Any]) -> None:
    """Writes a finished job that came from a worker with a disk of its own."""
    from prefect.results import ResultStore

    ResultStore(result_storage=place, serializer=SERIALIZER).write(value, key=file_name(key))


def holds(place: Storage, key: str) -> bool:
    """Whether the finished job is there."""
    path = place._resolve_path(file_name(key))
    return bool(place.filesystem.exists(path)) if isinstance(place, ResultBucket) else Path(path).exists()


def discard(place: Storage, key: str) -> None:
    """Removes a file that `load` could not read."""
    if isinstance(place, ResultBucket):
        place.filesystem.rm_file(place._resolve_path(file_name(key)))
    else:
        place._resolve_path(file_name(key)).unlink(missing_ok=True)


def _plain(content: bytes) -> str:
    """The result's JSON text inside Prefect's record.

    Raises:
        ValueError: this is no record, or it names a serializer other than ours.
    """
    record = json.loads(content)
    if not isinstance(record, dict) or not isinstance(record.get("metadata"), dict):
        raise ValueError("not a record of a result")
    if record["metadata"].get("serializer") != SERIALIZER.model_dump(mode="json"):
        raise ValueError("written with another serializer")
    text = record.get("result")
    if not isinstance(text, str):
        raise ValueError("the record holds no result")
    return text
