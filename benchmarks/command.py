"""What `python -m benchmarks` and `python -m benchmarks.gpu` have in common."""

import argparse
import subprocess
from collections.abc import Iterable

from flows.settings import ROOT


def chosen(text: str, names: Iterable[str], kind: str) -> tuple[str, ...]:
    """Those of the names that are in a list with commas, in their own order, for argparse.

    Args:
        kind: what a name stands for, for the error.
    """
    names, given = tuple(names), text.split(",")
    if unknown := [name for name in given if name not in names]:
        raise argparse.ArgumentTypeError(f"no {kind} {unknown[0]!r}; there are {', '.join(names)}")
    return tuple(name for name in names if name in given)


def commit() -> str:
    """The checkout's, "-dirty" behind it where it was changed.

    Raises:
        CalledProcessError: there is no repository.
        OSError: there is no git.
    """
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
