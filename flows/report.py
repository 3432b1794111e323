"""Makes the pages that show all studies: ``python -m flows.report``."""

import argparse
import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml

from flows import processes
from nst.report.provenance import Commit


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.report",
        description="Write reports/index.html and reports/README.md from the studies' tables and pictures.",
    )
    parser.add_argument(
        "--params", type=Path, default=Path("params.yaml"), help="what was studied (default: %(default)s)"
    )
    parser.add_argument(
        "--data", type=Path, default=Path("data"), help="the pictures that were studied (default: %(default)s)"
    )
    parser.add_argument(
        "--reports", type=Path, default=Path("reports"), help="where the studies are (default: %(default)s)"
    )
    return parser.parse_args(argv)


def made_from(pipeline: Path) -> Commit | None:
    """The commit that last changed anything that a stage of dvc.yaml depends on, and whether that has changed since.

    Not the commit that is checked out: then a commit of the reports themselves, or of a word in the README, would
    change the reports once more.  This one changes exactly when a stage runs again.  None where git has no answer.
    """
    sources = ["params.yaml", "data.dvc", *_dependencies(pipeline)]
    found = _git(pipeline.parent, "log", "-1", "--format=%H", "--", *sources)
    changes = _git(pipeline.parent, "status", "--porcelain", "--", *sources)
    return Commit(found.strip()[:12], bool(changes)) if found and changes is not None else None


def _dependencies(pipeline: Path) -> list[str]:
    """Files in git that stages depend on: not what another stage makes, nor `data`, which data.dvc stands for."""
    try:
        stages = yaml.safe_load(pipeline.read_text("utf-8"))["stages"].values()
    except (OSError, KeyError):
        return []
    named = {dependency for stage in stages for dependency in stage["deps"]}
    return sorted(name for name in named if name.startswith(("nst/", "flows/")))


def _git(folder: Path, *arguments: str) -> str | None:
    """What a git command prints, or None if there is no git or no repository."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def main() -> int:
    """The command."""
    arguments = parse()
    from nst import params
    from nst.report import build as report

    report.write(
        params.load(arguments.params),
        arguments.reports,
        arguments.data,
        made_from(Path("dvc.yaml")),
    )
    return 0


if __name__ == "__main__":
    processes.run_command(main)
