"""Sets this run beside that of another revision: ``python -m flows.compare HEAD~3``."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flows import processes
from nst.errors import NSTError
from nst.params import STUDIES

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem


class RevisionError(NSTError):
    """There is no such revision, or it has nothing to compare with."""


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.compare",
        description="Write a page that sets the reports in this folder beside those of another revision.",
        epilog="Tables and figures of the other revision are in git; its single pictures are shown as far as DVC's "
        "cache or a remote has them.",
    )
    parser.add_argument("revision", metavar="REV", help="a commit, a branch, a tag, or one of DVC's experiments")
    parser.add_argument(
        "--page", type=Path, default=Path("reports/compare.html"), help="what is written (default: %(default)s)"
    )
    return parser.parse_args(argv)


def fetch(revision: str, folder: Path) -> None:
    """Copies params.yaml and the reports of a revision into `folder`: what git has of them, and of what DVC keeps as
    much as there is.

    Raises:
        RevisionError: there is no such revision, or this is no repository with DVC.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    from nst.report.run import TABLES

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
    _copy(files, "params.yaml", folder)
    for study in STUDIES:
        reports = f"reports/{study}"
        for name in (*(f"{reports}/{table}" for table in TABLES), *_figures(files, f"{reports}/figures")):
            _copy(files, name, folder)
        for name in _images(folder / reports):
            if not _copy(files, f"{reports}/{name}", folder):
                break  # it is the folder that is kept, whole or not at all


def _figures(files: "DVCFileSystem", folder: str) -> list[str]:
    return [str(name) for name in files.ls(folder, detail=False)] if files.isdir(folder) else []


def _images(study: Path) -> list[str]:
    from nst.report.run import read_table

    table = study / "quality.csv"
    return list(read_table(table)["image"]) if table.is_file() else []


def _copy(files: "DVCFileSystem", name: str, folder: Path) -> bool:
    """Whether there was such a file."""
    from dvc_data.index import DataIndexDirError

    try:
        content = files.read_bytes(name)
    except (FileNotFoundError, DataIndexDirError):
        return False
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return True


def main() -> int:
    """The command."""
    arguments = parse()
    from nst.report import compare

    with tempfile.TemporaryDirectory(prefix="nst-compare-") as other:
        fetch(arguments.revision, Path(other))
        before, after = compare.Side(arguments.revision, Path(other)), compare.Side("this run", Path())
        found = compare.write(before, after, arguments.page)
    for study in found:
        differ = f"{len(study.metrics)} metrics and {len(study.quality)} numbers of {study.jobs} pictures differ"
        print(f"{study.study}: {differ}")
    print(arguments.page)
    return 0


if __name__ == "__main__":
    processes.run_command(main)
