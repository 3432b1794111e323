"""What was measured on, and whether it had nothing else to do."""

import os
import platform
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import TracebackType

import psutil

from flows.settings import cores

QUIET = 0.1
"""Cores that others may keep busy, on average, while something is measured."""
_EVERY = 2.0
"""Seconds between two looks: rare enough that looking does not slow down what is measured."""


class BusyError(Exception):
    """Other processes used the processor, so times mean nothing."""


def describe() -> str:
    """One line: processor, cores, memory, versions."""
    memory = psutil.virtual_memory().total / 2**30
    known = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    flags = set(_entry(text, "flags").split())
    parts = [
        _entry(text, "model name") or platform.processor() or platform.machine(),
        f"{cores()} cores",
        ", ".join(flag for flag in known if flag in flags),
        f"{memory:.0f} GB",
        f"{platform.system()}, Python {platform.python_version()}, torch {metadata.version('torch')}",
    ]
    return ", ".join(part for part in parts if part)


def _entry(text: str, name: str) -> str:
    values = (line.partition(":")[2].strip() for line in text.splitlines() if line.split(":")[0].strip() == name)
    return next(values, "")


@dataclass(frozen=True)
class Load:
    """What other processes did while this one watched."""

    seconds: float
    cores: float
    """Kept busy by others on average; time that a hypervisor gave to other machines counts too."""
    busiest: str
    """The process that used most."""

    def check(self) -> None:
        """Refuse what was measured meanwhile if it was too much.

        Raises:
            BusyError: it was.
        """
        if self.cores > QUIET:
            raise BusyError(
                f"the machine is busy: others used {self.cores:.2f} cores ({QUIET} is the most that can be allowed), "
                f"most of it {self.busiest}; end that and run this again"
            )


@dataclass
class Watch:
    """Measures the processor time of all processes but this one and those below it, in a ``with`` block.

    Time of processes that come and go between two looks is missed.
    """

    load: Load | None = None
    """There at the end of the block."""
    _ours: set[tuple[int, float]] = field(default_factory=set)
    _seen: dict[tuple[int, float], float] = field(default_factory=dict)
    _used: dict[str, float] = field(default_factory=dict)
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Watch":
        self._began = time.monotonic()
        self._began_at = time.time()
        self._stolen = _stolen()
        self._look()
        self._thread = threading.Thread(target=self._keep_looking, name="watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._look()
        seconds = time.monotonic() - self._began
        used = {**self._used, "other machines on this one": max(0.0, _stolen() - self._stolen)}
        self.load = _load(used, seconds)

    def _keep_looking(self) -> None:
        while not self._end.wait(_EVERY):
            self._look()

    def _look(self) -> None:
        self._ours |= _family()
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                times = process.cpu_times()
                key = (process.pid, process.create_time())
                total = times.user + times.system
                # What started before the watch has used its time before it.
                before = self._seen.get(key, 0.0 if key[1] >= self._began_at else total)
                self._seen[key] = total
                if key not in self._ours and total > before:
                    name = f"{process.name()} (process {process.pid})"
                    self._used[name] = self._used.get(name, 0.0) + total - before


def _load(used: Mapping[str, float], seconds: float) -> Load:
    """Of processor seconds by process, used within `seconds`."""
    busiest = max(used, key=lambda name: used[name], default="nothing")
    return Load(seconds, sum(used.values()) / seconds, busiest)


def _family() -> set[tuple[int, float]]:
    found = set()
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        with suppress(psutil.Error):
            found.add((process.pid, process.create_time()))
    return found


def _stolen() -> float:
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def wait_until_quiet(seconds: float = 3.0) -> None:
    """Look at the machine before anything is measured.

    Raises:
        BusyError: it is busy.
    """
    with Watch() as watch:
        time.sleep(seconds)
    assert watch.load is not None
    watch.load.check()


def environment() -> dict[str, str]:
    """For the processes that are measured: ours, without what `make` and DVC would pass on to theirs."""
    unset = (
        "MAKEFLAGS",
        "MAKELEVEL",
        "MFLAGS",
        "DVC_STAGE",
        "DVC_ROOT",
        "NST_OWNER",
        "NST_SUPERVISOR",
        "PREFECT_API_URL",
    )
    return {name: value for name, value in os.environ.items() if name not in unset}
