"""Finished jobs: one JSON file each, in a folder or below an fsspec URL, written whole or not at all.

A file is replaced only where there is none or where its content is not what its checksum says.  Any other error (a
disk that fails, a right that is missing, a network fault) is raised, and nothing is deleted.

``python -m flows.store`` says how large the store is, and ``--prune`` removes what the present parameters do not want.
"""

import argparse
import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from flows import processes, settings
from flows.processes import ClusterError
from nst.engine.jobs import Job
from nst.engine.results import Result
from nst.errors import NSTError, ResultError
from nst.params import STUDIES

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
        import fsspec

        self._place = place
        self._is_folder = "://" not in place
        try:
            if self._is_folder:
                _remove_leftovers(Path(place))
            # Whose it is and where it listens is for the environment to say (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, …).
            self._files: Any = fsspec.core.url_to_fs(place, use_listings_cache=False)[0]
        except (OSError, RuntimeError, ValueError, ImportError) as error:
            raise StoreError(f"NST_CACHE = {place!r}: {_one_line(error)}") from None

    def load(self, key: str, job: Job) -> Result | None:
        """The finished job, or None when there is none.

        Raises:
            ResultError: the file was cut short or altered, or belongs to another job; it may be replaced.
            StoreError: the file cannot be read.
        """
        try:
            content = self._files.cat_file(self._file(key))
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
        self._write(self._file(key), json.dumps(result.to_dict()).encode())

    def try_writing(self) -> None:
        """Finds out whether jobs can be stored, before they run.

        Raises:
            StoreError: they cannot.
        """
        name = f"{self._place}/.try-{socket.gethostname()}-{os.getpid()}"
        self._write(name, b"")
        self._files.rm_file(name)

    def sizes(self) -> dict[str, int]:
        """The keys of all finished jobs, and the bytes that each takes."""
        try:
            found = self._files.find(self._place, maxdepth=1, detail=True).values()
        except Exception as error:
            raise StoreError(f"NST_CACHE = {self._place!r} cannot be read: {_one_line(error)}") from None
        return {Path(file["name"]).stem: file["size"] for file in found if file["name"].endswith(".json")}

    def remove(self, key: str) -> None:
        """Forgets a finished job."""
        self._files.rm_file(self._file(key))

    def _file(self, key: str) -> str:
        return f"{self._place}/{key}.json"

    def _write(self, name: str, content: bytes) -> None:
        try:
            if self._is_folder:
                _write_whole(Path(name), content)
            else:
                self._files.pipe_file(name, content)
        except Exception as error:
            raise StoreError(f"NST_CACHE = {self._place!r} cannot be written: {_one_line(error)}") from None


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


def _one_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


def wanted(store: Store, where: settings.Settings, arguments: argparse.Namespace) -> set[str]:
    """The keys of all jobs that the present parameters, pictures, code and workers want.

    Raises:
        NSTError: a study is not finished, so that it cannot be known what else it will want.
    """
    from flows import services, study
    from nst import params, studies

    keys: set[str] = set()
    with services.client(where, 1) as client:
        machine = services.Workers(client, where.cluster_timeout).machine
    given = studies.resolve(params.load(arguments.params), arguments.reports)
    for name in STUDIES:
        found = study.Collection(studies.load(name), given, arguments.data, store, where.threads, machine)
        if found.missing():
            raise NSTError(f"{name} is not finished, so it is not known which jobs it wants: `make repro` first")
        keys |= set(found.keys.values())
    return keys


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m flows.store", description="How large the store of jobs is.")
    settings.add_paths(parser)
    parser.add_argument("--prune", action="store_true", help="remove jobs that the present parameters do not want")
    arguments, where = parser.parse_args(), settings.load()
    store = Store(where.cache)
    sizes = store.sizes()
    print(f"{where.cache}: {len(sizes)} finished jobs, {sum(sizes.values()) / 1e6:.1f} MB")
    if arguments.prune:
        old = sizes.keys() - wanted(store, where, arguments)
        for key in old:
            store.remove(key)
        print(f"removed {len(old)} of them, {sum(sizes[key] for key in old) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    processes.run_command(main)
