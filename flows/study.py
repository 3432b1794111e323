"""Runs one study and writes its folder of the reports: ``python -m flows.study transfer``.

Finished jobs are kept outside the reports, under a key made of all that they depend on.  So a study that was
interrupted goes on where it was, and a changed parameter costs only the jobs it changes.
"""

import argparse
import functools
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from flows import command, lock, settings
from flows.errors import JobsFailedError
from nst.errors import ResultError
from nst.jobs import Job, Precision
from nst.params import STUDIES
from nst.results import Result

if TYPE_CHECKING:
    from tqdm import tqdm

    from flows.cache import Storage
    from flows.fanout import Order, Submit
    from flows.worker import Place
    from nst.params import Params
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
        "docs/cluster.md.  Exit codes: 0 done, 1 some jobs failed (the others are kept), 2 wrong input.",
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
    storage: "Storage"
    threads: int
    place: "Callable[[Precision], Place]"
    """What the workers are, when jobs of this precision run on them."""
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
        place = self.place(job.precision)
        return Order(job, inputs, place, run.key(job, inputs, place.platform, self.study.ALONE, self.threads))

    def _found(self, order: "Order") -> bool:
        from flows import cache

        try:
            result = cache.load(self.storage, order.key, order.job)
        except ResultError as error:
            print(f"{order.job.title}: {error}; it is computed again", file=sys.stderr)
            cache.discard(self.storage, order.key)
            return False
        if result is None:
            return False
        self.results[order.job] = result
        return True


def run_study(arguments: Arguments, where: settings.Settings) -> None:
    """Brings all results of a study together and writes its folder.

    Raises:
        NSTError: wrong input, found before any job is run.
        JobsFailedError: some jobs failed.
    """
    from flows import cache, worker
    from nst import params, studies, weights

    study = studies.load(arguments.study)
    wanted = studies.resolve(params.load(arguments.params), arguments.reports)
    weights.check(wanted.weights)
    for original in study.originals(wanted):  # those of later jobs too: found bad now, they cost nothing
        original.read(arguments.data)
    storage = cache.storage(where.cache)
    collection = Collection(study, wanted, arguments.data, storage, where.threads, worker.place)
    with lock.held(f"{arguments.study} of {arguments.reports.resolve()}"):
        # Workers elsewhere are asked what they are first, as results are filed under it.
        orders = [] if where.elsewhere else collection.missing()
        if where.elsewhere or orders:
            _run_on_cluster(arguments, collection, orders, where)
        else:
            print(f"{arguments.study}: all {len(collection.results)} jobs were finished before", file=sys.stderr)
            write(collection, arguments)


def _run_on_cluster(
    arguments: Arguments, collection: Collection, orders: "list[Order]", where: settings.Settings
) -> None:
    from tqdm import tqdm

    from flows import artifact, fanout, sharing

    alone = collection.study.ALONE
    with sharing.services(where, workers=1 if alone else where.local_workers) as services:
        crew = fanout.Crew(services, where, collection.storage, alone)
        if where.elsewhere:
            collection.place = functools.cache(crew.place)
            orders = collection.missing()
        finished = dict(collection.results)

        def work(submit: "Submit") -> None:
            with tqdm(
                desc=arguments.study,
                unit="job",
                initial=len(finished),
                total=len(finished) + len(orders),
                file=sys.stderr,
                smoothing=0.1,
                mininterval=0.5 if sys.stderr.isatty() else 20.0,
                dynamic_ncols=True,
            ) as bar:
                collection.run(orders, submit, bar)
            write(collection, arguments)
            new = {job: result for job, result in collection.results.items() if job not in finished}
            artifact.leave(arguments.study, new, len(finished), arguments.reports)

        crew.run(arguments.study, work)


def write(collection: Collection, arguments: Arguments) -> None:
    """Writes the study's folder beside the old one and then moves it over, one entry after the other."""
    folder = arguments.reports / arguments.study
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.reports, prefix=f".{arguments.study}-") as beside:
        collection.study.write(collection.params, collection.results, arguments.data, Path(beside))
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
