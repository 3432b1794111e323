"""One Prefect API and one Dask cluster for several commands: what `flows.up` lends to the commands it runs.

The lender starts them when the first borrower asks, so a run that finds nothing to do starts nothing.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from flows import api, cluster, lending
from flows.errors import ClusterError
from flows.settings import Settings


@dataclass(frozen=True)
class Services:
    """Where the two are."""

    api: str
    dask: str


@contextmanager
def services(settings: Settings, workers: int) -> Iterator[Services]:
    """Services that are lent to this process, else its own.

    Raises:
        ClusterError: they cannot be had.
    """
    if lent := _borrow(settings.server_timeout + settings.cluster_timeout):
        yield lent
    else:
        with own(settings, workers) as started:
            yield started


@contextmanager
def own(settings: Settings, workers: int, server: api.Server | None = None) -> Iterator[Services]:
    """Prefect's API and a Dask cluster: those given by address, and temporary ones for what was not given.

    The two start side by side, each taking some seconds.

    Args:
        server: a temporary API that was started before.

    Raises:
        ClusterError: one of them does not answer.
    """
    cluster.quiet()
    url, address = api.check_given(), cluster.check_given(settings)
    with ExitStack() as stack:
        if not url and not server:
            server = stack.enter_context(api.temporary_server())
        if address is None:
            address = stack.enter_context(cluster.own_cluster(settings, workers))
        if server:
            if settings.elsewhere and not _on_loopback(address):
                raise ClusterError(
                    f"workers at {address} cannot reach a temporary Prefect API on this machine: "
                    f"set {api.API} to a server that they can reach"
                )
            server.wait(settings.server_timeout)
            url = server.url
        yield Services(str(url), address)


def _on_loopback(address: str) -> bool:
    return urlsplit(address).hostname in ("127.0.0.1", "::1", "localhost")


def _borrow(timeout: float) -> Services | None:
    line = lending.ask(lending.SERVICES, timeout)
    if line is None:
        return None
    try:
        with line, line.makefile("r") as answer:
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
