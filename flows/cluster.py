"""The Dask cluster: one that was given by address, or one of our own, which is always stopped."""

import logging
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from flows import warm
from flows.errors import ClusterError
from flows.settings import Settings

if TYPE_CHECKING:
    from distributed import SpecCluster


def quiet() -> None:
    """Leaves it to us to say what happened; Dask's defaults name these loggers one by one."""
    for name in ("client", "worker", "scheduler", "nanny", "core"):
        logging.getLogger(f"distributed.{name}").setLevel(logging.CRITICAL)


def check_given(settings: Settings) -> str | None:
    """The scheduler that was given by address, if one was.

    Raises:
        ClusterError: it does not answer.
    """
    address = settings.dask_address
    if address:
        from distributed import Client

        try:
            Client(address, timeout=settings.cluster_timeout, set_as_default=False).close()
        except (OSError, ValueError) as error:
            raise ClusterError(f"no Dask scheduler answers at {address}: {error}") from None
    return address


@contextmanager
def own_cluster(settings: Settings, workers: int) -> Iterator[str]:
    """A cluster of the kind that the settings name; yields the scheduler's address.

    Raises:
        ClusterError: it cannot be started.
    """
    import dask
    import distributed  # noqa: F401  (its defaults must be there first: what we set is taken back whole)

    with dask.config.set(_config(settings)):
        cluster = start(settings, workers)
        try:
            yield cluster.scheduler_address
        except (KeyboardInterrupt, ClusterError):  # a job in the middle would be waited for
            _kill_local_workers(cluster)
            raise
        finally:
            with suppress(AssertionError):  # Dask's, about a batch job that could not be submitted
                cluster.close()


def start(settings: Settings, workers: int) -> "SpecCluster":
    """Starts the cluster that the settings name, each of its workers running one job or batch at a time.

    Raises:
        ClusterError: its package is not installed, or it does not take the options it was given.
    """
    starter = {"local": _local, "cuda": _cuda, "slurm": _slurm}[settings.cluster]
    try:
        return starter(settings, workers)
    except ImportError as error:
        raise ClusterError(f"NST_CLUSTER={settings.cluster}: {error.msg}: see docs/cluster.md") from None
    except (TypeError, ValueError, RuntimeError, OSError) as error:
        text = " ".join(str(error).split())
        raise ClusterError(
            f"NST_CLUSTER={settings.cluster} with NST_CLUSTER_OPTIONS={settings.cluster_options}: {text}"
        ) from None


def _local(settings: Settings, workers: int) -> "SpecCluster":
    """Workers that are forked, so that what they import is imported once."""
    from distributed import LocalCluster

    warm.start()
    return LocalCluster(**{"n_workers": workers, **_on_this_machine(settings), **settings.cluster_options})


def _cuda(settings: Settings, _workers: int) -> "SpecCluster":
    """One worker for each GPU, or for each that CUDA_VISIBLE_DEVICES names.

    Each sees all GPUs, its own first, which is the one that torch takes.
    """
    from dask_cuda import LocalCUDACluster

    offers = {"resources": settings.resources or {"GPU": 1}}
    counts = {"n_workers": settings.workers} if settings.workers else {}
    # Of a GPU's memory torch is the only user, and there is nothing to spill.
    options = {**_on_this_machine(settings), **offers, **counts, "device_memory_limit": 0}
    return LocalCUDACluster(**{**options, **settings.cluster_options})


def _slurm(settings: Settings, workers: int) -> "SpecCluster":
    """As many batch jobs of one worker each as NST_WORKERS says, or as many as NST_CLUSTER_OPTIONS asks for."""
    from dask_jobqueue import SLURMCluster

    if workers and not shutil.which("sbatch"):
        raise FileNotFoundError("there is no sbatch on this machine")
    exports = [f"export {name}={value}" for name, value in worker_environment(settings.threads).items()]
    options: dict[str, Any] = {
        "n_workers": workers,
        "cores": settings.threads,
        "processes": 1,
        "memory": settings.memory_limit if settings.memory_limit not in ("auto", "0") else "4GB",
        "job_script_prologue": exports,
        "worker_extra_args": [
            "--nthreads",
            str(settings.worker_threads),
            "--preload",
            "flows.worker",
            *_offered(settings),
        ],
        "silence_logs": logging.CRITICAL,
    }
    given = settings.cluster_options
    both = {**options, **given}
    for name in ("job_script_prologue", "worker_extra_args"):  # in addition to ours
        both[name] = [*options[name], *given.get(name, [])]
    return SLURMCluster(**both)


def _offered(settings: Settings) -> list[str]:
    """What each worker offers: the resources that one job takes."""
    offers = " ".join(f"{name}={amount:g}" for name, amount in settings.job_resources.items())
    return ["--resources", f"'{offers}'"] if offers else []


def _on_this_machine(settings: Settings) -> dict[str, Any]:
    return {
        "threads_per_worker": settings.worker_threads,
        "memory_limit": settings.memory_limit if settings.memory_limit != "0" else None,
        "dashboard_address": "127.0.0.1:0",
        "preload": ["flows.worker"],
        "silence_logs": logging.CRITICAL,
        **({"resources": settings.resources} if settings.resources else {}),
    }


def worker_environment(threads: int) -> dict[str, int]:
    """Environment variables for workers, which leave all threads to the one job."""
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)


def _config(settings: Settings) -> dict[str, object]:
    """Dask's options that are no arguments of a cluster's class.

    Dask would pause a worker that holds much memory until it holds less, which may be never; ending it at the limit
    is enough.  A job that has killed as many workers as it has tries is not given another.
    """
    environment = worker_environment(settings.threads)
    return {
        **{f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in environment.items()},
        **{f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause")},
        "distributed.scheduler.allowed-failures": settings.retries,
        **({"distributed.worker.multiprocessing-method": warm.METHOD} if settings.cluster == "local" else {}),
    }


def _kill_local_workers(cluster: "SpecCluster") -> None:
    for nanny in cluster.workers.values():
        if pid := getattr(nanny, "pid", None):  # a batch job has none
            nanny.auto_restart = False
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
