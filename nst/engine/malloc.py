"""How this process deals with memory it has freed, where the C library is glibc; elsewhere nothing happens.

Every step of an optimisation frees and wants again the same large blocks.  By default glibc gives them back to the
system, which hands them out again page by page, cleared: at 256 px that was a tenth of a step.
"""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # names in glibc's malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20  # glibc refuses more


def keep_freed_memory() -> None:
    """Has this process keep what it frees.  For processes that optimise and do little else."""
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_TOP_PAD, 64 << 20)


def give_back() -> None:
    """Returns to the system what was kept but is not used: after something large that does not come again.

    Takes some milliseconds; the next step has to ask for its memory anew.
    """
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
