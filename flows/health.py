"""Whether all that jobs need still runs: Prefect's API, and workers of the right kind."""

import sys
import time
from collections import Counter
from enum import Enum
from importlib import metadata
from typing import TYPE_CHECKING

from tqdm import tqdm

from flows import worker
from flows.processes import RUN_AGAIN, ClusterError
from flows.settings import Settings
from nst.engine.machine import Machine, engine_digest

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 10.0
"""Seconds between two looks."""


class Health(Enum):
    """How Prefect's API is."""

    GOOD = "good"
    BUSY = "busy"
    """It does not answer in time, or says that it cannot (503)."""
    GONE = "gone"


def of_api() -> Health:
    """How the API is that ``PREFECT_API_URL`` names, asked with the certificates that Prefect is set to use."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    # Once, as this is asked again soon; with tries of its own the client would take half a minute to say so.
    once = {PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: 5.0}
    with temporary_settings(once), get_client(sync_client=True) as client:
        error = client.api_healthcheck()
    if error is None:
        return Health.GOOD
    busy = isinstance(error, httpx.TimeoutException | httpx.HTTPStatusError)
    return Health.BUSY if busy else Health.GONE


def find_workers(client: "Client", settings: Settings) -> tuple[Machine, list[str]]:
    """The kind of machine that results are stored under, and the workers that are of it.

    Workers with other code or another torch than ours are refused.  Of several kinds of machine it is the one that most
    of the others are of; those of another kind are refused too.

    Raises:
        ClusterError: no worker that can be used comes in time.
    """
    deadline = time.monotonic() + settings.cluster_timeout
    while True:
        found = _machines(client)
        usable = Counter(kind for kind in found.values() if isinstance(kind, Machine) and not _refusal(kind, None))
        if usable:
            kind = max(usable, key=lambda kind: (usable[kind], str(kind)))
            return kind, sorted(address for address, other in found.items() if other == kind)
        if time.monotonic() > deadline:
            refused = "; ".join(f"{address} is refused: {_refusal(kind, None)}" for address, kind in found.items())
            raise ClusterError(
                f"no worker that can be used came within {settings.cluster_timeout:.0f} s (NST_CLUSTER_TIMEOUT)"
                + (f": {refused}" if refused else "")
            )
        time.sleep(0.1)


def _machines(client: "Client") -> dict[str, Machine | str]:
    """What each worker of the cluster is."""
    try:
        workers = client.scheduler_info(n_workers=-1)["workers"]
    except (OSError, TimeoutError) as error:
        raise ClusterError(f"the Dask cluster has ended ({error}): {RUN_AGAIN}") from None
    return {address: worker.machine_of(about.get("resources", {})) for address, about in workers.items()}


def _refusal(kind: Machine | str, wanted: Machine | None) -> str:
    """Why a worker gets no jobs, or "" if it gets some.

    Args:
        wanted: the kind of machine that results are stored under, once that is known.
    """
    if isinstance(kind, str):
        return kind
    if kind.engine != engine_digest():
        return (
            f"its code is not this checkout's ({kind.engine[:8]}, not {engine_digest()[:8]}): restart it with the same"
        )
    ours = metadata.version("torch")  # without the "+cu130" that says what it was built for
    if kind.torch.partition("+")[0] != ours.partition("+")[0]:
        return f"its torch is {kind.torch}, not {ours}: install the same"
    if wanted is not None and kind != wanted:
        return f"it is {kind}, and results are stored for {wanted}"
    return ""


class Watch:
    """Looks from time to time whether all that jobs need still runs.

    Args:
        machine: the kind that workers have to be of; others are refused, by name, once.
    """

    def __init__(self, client: "Client", machine: Machine, settings: Settings) -> None:
        self._client = client
        self._machine = machine
        self._settings = settings
        self._looked = self._answered = self._staffed = time.monotonic()
        self._refused: set[str] = set()
        self.workers: list[str] = []
        """Addresses of those that can be used, at the last look."""
        self._look_at_workers()

    def look(self) -> None:
        """Looks, unless that was a moment ago.

        Raises:
            ClusterError: Prefect's API has ended, or has been busy for long, or all workers have been gone for long.
        """
        if time.monotonic() - self._looked < PATIENCE:
            return
        self._look_at_api()
        self._look_at_workers()
        self._looked = time.monotonic()

    def _look_at_api(self) -> None:
        """Jobs do not wait for the API, so one that is busy is borne; one that has ended is an error at once."""
        found = of_api()
        if found is Health.GONE:
            found = of_api()  # a connection may break
        if found is Health.GONE:
            raise ClusterError(f"Prefect's API has ended: {RUN_AGAIN}")
        if found is Health.GOOD:
            self._answered = time.monotonic()
        elif (silent := time.monotonic() - self._answered) > self._settings.server_timeout:
            raise ClusterError(f"Prefect's API has been busy for {silent:.0f} s (NST_SERVER_TIMEOUT): {RUN_AGAIN}")

    def _look_at_workers(self) -> None:
        """Refuses those of another kind, by name, once."""
        found = _machines(self._client)
        self.workers = sorted(name for name, kind in found.items() if kind == self._machine)
        for name in sorted(found.keys() - self._refused):
            if why := _refusal(found[name], self._machine):
                self._refused.add(name)
                tqdm.write(f"worker {name} is refused: {why}", file=sys.stderr)  # a line of its own beside the bar
        if self.workers:
            self._staffed = time.monotonic()
        elif (lonely := time.monotonic() - self._staffed) > self._settings.cluster_timeout:
            raise ClusterError(f"no worker has been left for {lonely:.0f} s: {RUN_AGAIN}")
