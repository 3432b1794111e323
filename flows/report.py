"""Makes the pages that show all studies: ``python -m flows.report``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from flows import processes


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


def main() -> int:
    """The command."""
    arguments = parse()
    from flows import repository
    from nst import params
    from nst.report import build as report

    report.write(
        params.load(arguments.params),
        arguments.reports,
        arguments.data,
        repository.made_from(Path("dvc.yaml")),
    )
    return 0


if __name__ == "__main__":
    processes.run_command(main)
