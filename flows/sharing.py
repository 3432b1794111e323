"""One Prefect API and one Dask cluster for several commands: what `flows.up` lends to the commands it runs.

The lender starts them when the first borrower asks, so a run that finds nothing to do starts nothing.
They talk over a Unix socket in a folder that only this user can open; a line of JSON each way.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from flows import cluster
from flows.cluster import ClusterError, Services
from flows.settings import Settings

LENDER = "NST_LENDER"
"""Environment variable: path of the socket."""


@contextmanager
def services(settings: Settings, workers: int) -> Iterator[Services]:
    """Services that are lent to this process, else its own.

    Raises:
        ClusterError: they cannot be had.
    """
    path = os.environ.get(LENDER)
    if path and (lent := _borrow(path, settings.server_timeout + settings.cluster_timeout)):
        yield lent
    else:
        with cluster.services(settings, workers) as own:
            yield own


def _borrow(path: str, timeout: float) -> Services | None:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(timeout)
        try:
            line.connect(path)
            with line.makefile("rb") as answer:
                text = answer.readline()
        except TimeoutError:
            raise ClusterError(f"the services were not ready within {timeout:.0f} s") from None
        except OSError:
            return None  # the lender is gone
    if not text:
        return None
    answer_ = json.loads(text)
    if "error" in answer_:
        raise ClusterError(answer_["error"])
    return Services(**answer_)
