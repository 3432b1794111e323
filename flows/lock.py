"""Two runs in one checkout: the second waits, and says for whom."""

import fcntl
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from flows.settings import ROOT


@contextmanager
def held(what: str) -> Iterator[None]:
    """Keeps `what` to this process.

    The system lets go of a lock when its holder ends, however it ends; the file stays and means nothing by itself.
    """
    name = hashlib.sha256(what.encode()).hexdigest()[:16]
    path = ROOT / ".cache" / "locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _acquire(file, what)
        file.truncate(0)
        file.write(f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}")
        file.flush()
        yield


def _acquire(file: TextIO, what: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        print(f"waiting for another run of {what} ({file.read() or 'just started'})", file=sys.stderr, flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
