"""What a process does with freed memory, seen from the system's side.  Where the C library is not glibc, nothing."""

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")

ITERATIONS = """
import resource
import torch
from nst.engine import malloc

def iteration():
    blocks = [torch.ones(megabytes << 18) for megabytes in (4, 2, 8, 1, 16, 3)]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

{keep}
for _ in range(3):
    iteration()
before = faults()
for _ in range(20):
    iteration()
print((faults() - before) / 20)
"""

BLOCKS = """
import psutil
import torch
from nst.engine import malloc

def resident():
    return psutil.Process().memory_info().rss / 2**20

malloc.keep_freed_memory()
before = resident()
blocks = [torch.ones(4 << 20) for _ in range(8)]  # 16 MiB each
del blocks
print(resident() - before)  # MiB
malloc.trim()
print(resident() - before)
"""


def run(code: str, **environment: str) -> list[float]:
    """What a process prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


def test_freed_memory_is_kept_where_dask_would_have_it_returned() -> None:
    """Memory that was returned comes back page by page, each a fault: 34 MiB are 8,700."""
    dasks = {"MALLOC_TRIM_THRESHOLD_": "65536"}
    (returned,) = run(ITERATIONS.format(keep=""), **dasks)
    (kept,) = run(ITERATIONS.format(keep="malloc.keep_freed_memory()"), **dasks)
    assert returned > 1000
    assert kept < returned / 10  # one block that finds no hole, once in 20 iterations, is 205 an iteration


def test_it_is_returned_by_trimming() -> None:
    kept, trimmed = run(BLOCKS)
    assert kept > 100
    assert trimmed < 20
