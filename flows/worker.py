"""What a Dask worker knows of itself, and what it loads before it takes jobs."""

import platform
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nst.jobs import Precision
    from nst.run import Platform


@dataclass(frozen=True)
class Place:
    """What a result depends on beside the job, its pictures and the weights."""

    platform: "Platform"
    torch: str
    engine: str
    """Digest of the code."""

    def __str__(self) -> str:
        return (
            f"{self.platform.device} ({self.platform.processor}), {self.platform.precision}, "
            f"torch {self.torch}, code {self.engine[:8]}"
        )


def place(precision: "Precision") -> Place:
    """This process's."""
    import torch

    from nst import run

    return Place(run.platform(precision), torch.__version__, run.engine_digest())


def name() -> str:
    """This worker's, for people: machine and Dask address."""
    from distributed import get_worker

    node = platform.node()
    with suppress(ValueError):  # not in a worker
        return f"{node} {get_worker().address}"
    return node


def dask_setup(_worker: Any) -> None:
    """Leaves Ctrl-C, which a terminal sends to every process, to the one that runs the study."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
