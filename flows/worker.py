"""Loaded by each Dask worker before it takes jobs."""

import signal
from typing import Any


def dask_setup(_worker: Any) -> None:
    """Leaves Ctrl-C, which a terminal sends to every process, to the one that runs the study."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
