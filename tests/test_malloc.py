"""What a process does with freed memory, seen from the system's side.  Where the C library is not glibc, nothing."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")

BLOCKS = """
import psutil
import torch
from nst.engine import malloc

def resident():
    return psutil.Process().memory_info().rss / 2**20

malloc.keep_freed_memory()
before = resident()
for _ in range(5):
    blocks = [torch.zeros(4 << 20) for _ in range(8)]  # 16 MiB each
    above = torch.zeros(1 << 16)  # the heap ends with what is in use, as it mostly does
    del blocks
print(resident() - before)  # MiB
malloc.trim()
print(resident() - before)
"""


def test_what_is_freed_is_kept_until_it_is_trimmed() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKS], capture_output=True, text=True, check=True)
    kept, trimmed = map(float, done.stdout.split())
    assert kept > 100
    assert trimmed < 20
