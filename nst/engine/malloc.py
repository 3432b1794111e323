"""What this process does with memory it has freed, where the C library is glibc; elsewhere nothing happens."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20  # bytes; glibc refuses more


def keep_freed_memory() -> None:
    """Keep large freed blocks from here on.  For processes that optimise and do little else.

    Every iteration frees and allocates the same blocks of some megabytes.  glibc learns by itself to keep them, but not
    where MALLOC_TRIM_THRESHOLD_ is set, as Dask's nannies do: there an iteration at 192 px, with one thread, takes 97
    to 175 ms, and 59 to 63 with this.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def trim() -> None:
    """Return freed memory to the system once, after something large that does not come again.

    After weights were read it saves a tenth of a process's peak.
    """
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
