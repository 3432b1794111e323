"""Runs one command and writes its wall time and peak memory to a file: ``python -m benchmarks.launch FILE CMD …``.

A step between, and a small one: what Linux reports as a child's peak memory is at least what its parent had when it
started it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from flows.processes import end_with_parent, stop_on_sigterm


def main() -> int:
    """The command's exit code, or 128 + the signal that ended it."""
    parent, report, *command = sys.argv[1:]
    stop_on_sigterm()
    end_with_parent(int(parent))
    began = time.perf_counter()
    child = subprocess.Popen(command)
    try:
        _, status, usage = os.wait4(child.pid, 0)
    except KeyboardInterrupt:  # Stopped is one, too
        child.send_signal(signal.SIGKILL)
        raise
    seconds = time.perf_counter() - began
    unit = 1 if sys.platform == "darwin" else 1024
    measured = {"seconds": seconds, "peak_mb": usage.ru_maxrss * unit / 2**20}
    Path(report).write_text(json.dumps(measured))
    code = os.waitstatus_to_exitcode(status)
    child.returncode = code  # or Popen would wait for it again
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
