"""Makes the pages that show all studies: ``python -m flows.report``; with ``--compare HEAD~3``, beside a revision's."""

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from flows import processes, settings
from nst.errors import NSTError
from nst.params import STUDIES
from nst.report.provenance import Commit


class RevisionError(NSTError):
    """There is no such revision."""


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.report",
        description="Write reports/index.html and reports/README.md from the studies' tables and pictures.",
    )
    settings.add_paths(parser)
    parser.add_argument(
        "--compare",
        metavar="REV",
        help="write reports/compare.html instead: the reports beside those of a commit, a branch, a tag or one of "
        "DVC's experiments; its single pictures are shown as far as DVC's cache or a remote has them",
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


def compare(revision: str, reports: Path) -> None:
    """Writes the page that sets the reports of a revision beside those that are here.

    Raises:
        NSTError: there is no such revision, or one of the two has no reports.
    """
    from nst.report import compare

    page = reports / "compare.html"
    with tempfile.TemporaryDirectory(prefix="nst-compare-") as other:
        _fetch(revision, Path(other))
        before, after = compare.Side(revision, Path(other)), compare.Side("this run", Path())
        found = compare.write(before, after, page)
        print("\n".join(compare.verdicts(before, after).lines()))
    for study in found:
        differ = f"{len(study.metrics)} metrics and {len(study.quality)} numbers of {study.jobs} pictures differ"
        print(f"{study.study}: {differ}")
    print(page)


def _fetch(revision: str, folder: Path) -> None:
    """Copies params.yaml and the reports of a revision: what git has, and of what DVC keeps as much as there is."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError
    from dvc_data.index import DataIndexDirError

    if not revision:
        raise RevisionError("name what to compare with: make compare REV=HEAD~1, or a branch, a tag or an experiment")
    try:
        files = DVCFileSystem(".", rev=revision)
        files.ls("/")  # it is opened on first use
    except SCMError:
        raise RevisionError(
            f"{revision}: there is no such revision; `git log` and `dvc exp show` list what there is"
        ) from None
    except DvcException as error:
        raise RevisionError(f"{revision}: cannot be read ({' '.join(str(error).split())})") from None
    places = [f"reports/{study}{below}" for study in STUDIES for below in ("", "/tables", "/figures", "/images")]
    for place in ["params.yaml", "reports/verdicts.json", *places]:
        with suppress(FileNotFoundError, DataIndexDirError):  # DVC keeps a folder whole or not at all
            for name in files.ls(place, detail=False):
                if files.isfile(name):
                    target = folder / name.lstrip("/")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(files.read_bytes(name))


def main() -> int:
    """The command."""
    arguments = parse()
    if arguments.compare is not None:
        compare(arguments.compare, arguments.reports)
        return 0
    from nst import params
    from nst.report import build

    build.write(params.load(arguments.params), arguments.reports, arguments.data, made_from(Path("dvc.yaml")))
    return 0


if __name__ == "__main__":
    processes.run_command(main)
