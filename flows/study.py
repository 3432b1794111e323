"""Runs one study and writes its folder of the reports: ``python -m flows.study transfer``.

Finished jobs are kept outside the reports, under a key made of all that they depend on.  So a study that was
interrupted goes on where it was, and a changed parameter costs only the jobs it changes.
"""

import argparse
import functools
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from flows import command, settings
from flows.command import JobsFailedError
from nst.errors import ResultError
from nst.jobs import Job, Precision
from nst.params import STUDIES
from nst.results import Result

if TYPE_CHECKING:
    from tqdm import tqdm

    from flows.fanout import Order, Submit
    from nst.params import Params
    from nst.run import Platform
    from nst.studies import Study


@dataclass(frozen=True)
class Arguments:
    """What the command line asks for."""

    study: str
    params: Path
    data: Path
    reports: Path


def parse(argv: Sequence[str] | None = None) -> Arguments:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.study",
        description="Run one study: every job of it that is not finished yet, then its tables and pictures.",
        epilog="Where jobs run is set by environment variables (NST_WORKERS, NST_DASK_ADDRESS, …): see "
        "flows/settings.py.  Exit codes: 0 done, 1 some jobs failed (the others are kept), 2 wrong input.",
    )
    parser.add_argument("study", choices=STUDIES, metavar="NAME", help=f"one of: {', '.join(STUDIES)}")
    parser.add_argument(
        "--params", type=Path, default=Path("params.yaml"), help="what is studied (default: %(default)s)"
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of pictures (default: %(default)s)")
    parser.add_argument(
        "--reports",
        type=Path,
        default=Path("reports"),
        help="the study's folder is made in here (default: %(default)s)",
    )
    return Arguments(**vars(parser.parse_args(argv)))


@dataclass
class Collection:
    """The results of a study as they come together, from the cache and from workers."""

    study: "Study"
    params: "Params"
    data: Path
    cache: Path
    threads: int
    results: dict[Job, Result] = field(default_factory=dict)

    def missing(self) -> "list[Order]":
        """The jobs that have to run now, after taking what the cache holds; none means that all is there."""
        while jobs := [job for job in self.study.jobs(self.params, self.results) if job not in self.results]:
            orders = [self._order(job) for job in dict.fromkeys(jobs)]  # finds bad pictures before any job runs
            orders = [order for order in orders if not self._found(order)]
            if orders:
                return orders
        return []

    def run(self, orders: "list[Order]", submit: "Submit", bar: "tqdm[NoReturn]") -> None:
        """Runs these jobs, and those that are wanted once their results are there.

        Raises:
            JobsFailedError: some failed; the others have been run and kept.
        """
        from flows.fanout import Failure

        bar.unpause()  # the time that starting took says nothing about the time left
        while orders:
            failures = 0
            bar.total = len(self.results) + len(orders)
            bar.n = len(self.results)
            bar.refresh()
            for order, outcome in submit(orders):
                if isinstance(outcome, Failure):
                    failures += 1
                    bar.write(f"failed: {order.job.title}: {outcome.reason}", file=sys.stderr)
                else:
                    self.results[order.job] = outcome
                    bar.update()
            if failures:
                raise JobsFailedError(
                    f"error: {failures} of {bar.total} jobs failed; the others are kept, "
                    "so running this again runs only what is missing"
                )
            orders = self.missing()

    def _order(self, job: Job) -> "Order":
        from flows.fanout import Order
        from nst import run

        inputs = run.inputs(job, self.data)
        return Order(job, inputs, run.key(job, inputs, _platform(job.precision), self.study.ALONE, self.threads))

    def _found(self, order: "Order") -> bool:
        from flows import cache

        try:
            result = cache.load(self.cache, order.key, order.job)
        except ResultError as error:
            print(f"{order.job.title}: {error}; it is computed again", file=sys.stderr)
            cache.discard(self.cache, order.key)
            return False
        if result is None:
            return False
        self.results[order.job] = result
        return True


@functools.lru_cache
def _platform(precision: "Precision") -> "Platform":
    from nst import run

    return run.platform(precision)


def run_study(arguments: Arguments, where: settings.Settings) -> None:
    """Brings all results of a study together and writes its folder.

    Raises:
        NSTError: wrong input, found before any job is run.
        JobsFailedError: some jobs failed.
    """
    from nst import params, studies, weights

    study = studies.load(arguments.study)
    wanted = studies.resolve(params.load(arguments.params), arguments.reports)
    weights.check(wanted.weights)
    for original in study.originals(wanted):  # those of later jobs too: found bad now, they cost nothing
        original.read(arguments.data)
    collection = Collection(study, wanted, arguments.data, where.cache, where.threads)
    if orders := collection.missing():
        _run_on_cluster(arguments.study, collection, orders, where)
    else:
        print(f"{arguments.study}: all {len(collection.results)} jobs were finished before", file=sys.stderr)
    write(study, wanted, collection.results, arguments)


def _run_on_cluster(name: str, collection: Collection, orders: "list[Order]", where: settings.Settings) -> None:
    from tqdm import tqdm

    from flows import fanout, sharing

    alone = collection.study.ALONE
    finished = len(collection.results)
    with (
        tqdm(
            desc=name,
            unit="job",
            initial=finished,
            total=finished + len(orders),
            file=sys.stderr,
            smoothing=0.1,
            mininterval=0.5 if sys.stderr.isatty() else 20.0,
            dynamic_ncols=True,
        ) as bar,
        sharing.services(where, workers=1 if alone else where.local_workers) as services,
    ):
        crew = fanout.Crew(services, where, alone)
        crew.run(name, lambda submit: collection.run(orders, submit, bar))


def write(study: "Study", wanted: "Params", results: dict[Job, Result], arguments: Arguments) -> None:
    """Writes the study's folder beside the old one and then moves it over, one entry after the other."""
    folder = arguments.reports / arguments.study
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.reports, prefix=f".{arguments.study}-") as beside:
        study.write(wanted, results, arguments.data, Path(beside))
        for new in sorted(Path(beside).iterdir()):
            old = folder / new.name
            if old.is_dir():
                shutil.rmtree(old)
            new.replace(old)


def main() -> int:
    """The command."""
    run_study(parse(), settings.load())
    return 0


if __name__ == "__main__":
    command.run(main)
