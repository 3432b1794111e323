"""Whole processes: how long they take and how much memory, from the outside."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import environment
from flows.processes import stop
from flows.settings import ROOT


class FailedError(Exception):
    """A command that was to be measured went wrong."""


@dataclass(frozen=True)
class Finished:
    """A command that ended well."""

    seconds: float
    """Wall time, from before it is started until it has ended."""
    peak_mb: float
    """Most memory that was resident at any time, MiB."""


def run(*command: str, more: Mapping[str, str] | None = None) -> Finished:
    """Runs a command in the checkout.

    Args:
        more: environment variables.

    Raises:
        FailedError: it ended with another code than 0.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        words = [sys.executable, "-m", "benchmarks.launch", str(os.getpid()), str(report), *command]
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            env={**environment(), **(more or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            output, _ = process.communicate()
        finally:
            stop(process)
        check(command, process.returncode, output.decode(errors="replace"))
        return Finished(**json.loads(report.read_text()))


def check(command: Sequence[str], code: int, output: str) -> None:
    """Whether a command ended well.

    Raises:
        FailedError: it did not; the message has its last words.
    """
    if code != 0:
        last = " / ".join(output.strip().splitlines()[-3:])
        raise FailedError(f"`{' '.join(command)}` ended with {code}: {last or 'it printed nothing'}")
