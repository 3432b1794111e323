"""The `nst` command as a process: what has to be settled before torch is loaded, and how it ends."""

import os
import sys
import time
from typing import NoReturn

import psutil


def command() -> NoReturn:
    """`nst.cli.main` as a process that ends at once: unloading torch's libraries would take 0.3 s."""
    before = _others(), time.perf_counter()
    from nst import cli

    _wait_passively_if_busy((_others() - before[0]) / (time.perf_counter() - before[1]))
    code = cli.main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads it, or the disk is full
        code = code or 1
    os._exit(code)


def _others() -> float:
    """Seconds of processor time that everything else on this machine has used."""
    times = psutil.cpu_times()
    return times.user + times.system + getattr(times, "nice", 0.0) - time.process_time()


def _wait_passively_if_busy(cores: float) -> None:
    """Have OpenMP's threads sleep while they wait for one another, where others use so many cores of this machine.

    By default they spin.  On two cores with nothing else to do that is up to half as fast again, as waking takes long;
    beside one busy process it is two to eight times slower, as the thread that is waited for does not get a core.
    Results are the same.
    """
    free = (psutil.cpu_count() or 1) - cores
    threads = psutil.cpu_count(logical=False) or 1
    if free < threads - 0.3 and not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ["OMP_WAIT_POLICY"] = "passive"


if __name__ == "__main__":
    command()
