"""``python -m flows study transfer``: as ``python -m flows.study transfer``, without the seconds of importing.

Under `flows.up` the command runs in a process that has imported everything (`flows.warm`); this one hands it its
output, passes signals on and ends with its exit code.  Anywhere else, and whenever that process would not do exactly
what this one would, the command runs here.
"""

import json
import os
import runpy
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from flows import lending

COMMANDS = ("report", "study")
"""Those that stages of DVC run."""


def hand_over(module: str, arguments: Sequence[str]) -> int | None:
    """The exit code of the command that ran elsewhere; None when it has to run here."""
    line = lending.ask(lending.PROCESS)
    if line is None:
        return None
    with line, line.makefile("r") as answers:
        request = {
            "module": module,
            "arguments": [module, *arguments],
            "folder": str(Path.cwd()),
            "environment": dict(os.environ),
            "python": sys.prefix,
            "checkout": __file__,
            "process": os.getpid(),
            "parent": os.getppid(),
        }
        with suppress(OSError):  # the answer is missing then
            socket.send_fds(line, [b"\n"], [1, 2])
            line.sendall(json.dumps(request).encode() + b"\n")
        worker = answers.readline()
        if not worker:
            return None

        def pass_on(number: int, _frame: FrameType | None) -> None:
            with suppress(ProcessLookupError):
                os.kill(int(worker), number)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, pass_on)
        code = answers.readline()
        if not code:
            print(f"error: the process that ran {module} was killed", file=sys.stderr)
        return int(code or 1)


def main() -> None:
    """The command."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: python -m flows {{{','.join(COMMANDS)}}} …")
    module, arguments = f"flows.{sys.argv[1]}", sys.argv[2:]
    try:
        code = hand_over(module, arguments)
    except KeyboardInterrupt:  # before anything ran
        from flows.command import INTERRUPTED

        code = INTERRUPTED
    if code is not None:
        sys.exit(code)
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
