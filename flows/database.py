"""Prefect's database, as it is when nothing has run: ``python -m flows.database`` makes one when this is installed.

Prefect lays out a new one by all the changes that its tables ever went through, which takes seven seconds.  A server
that finds none starts from a copy of ours; where there is no copy for this version, Prefect does it.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

_NAME = "prefect.db"


def made() -> Path:
    """Where the empty database of this environment's version of Prefect is, or would be."""
    return Path(sys.prefix) / "share" / "nst-studies" / f"prefect-{importlib.metadata.version('prefect')}.db"


def lay_out(home: Path) -> None:
    """Puts a copy into Prefect's folder, if there is no database yet."""
    if not (home / _NAME).exists():
        with suppress(FileNotFoundError):
            _copy(made(), home / _NAME)


def main() -> None:
    """Has Prefect make the database."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "PREFECT_HOME": home, "DO_NOT_TRACK": "1"}
        environment.pop("PREFECT_API_DATABASE_CONNECTION_URL", None)
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        _copy(Path(home) / _NAME, made())


def _copy(source: Path, target: Path) -> None:
    """Beside first, so that it is there whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as beside:
        Path(shutil.copyfile(source, Path(beside) / _NAME)).replace(target)


if __name__ == "__main__":
    main()
