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
from nst.engine.jobs import Job, Precision
from nst.engine.results import Result
from nst.errors import ResultError
from nst.params import STUDIES

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
    asked: set[Job] = field(default_factory=set)
    """Jobs that the study has asked for: each has a result, or was told to run."""
    failed: set[Job] = field(default_factory=set)

    def missing(self) -> "list[Order]":
        """The jobs that have to run now, after taking what the cache holds; each is told only once."""
        orders = []
        while jobs := self._new(self.study.jobs(self.params, self.results)):
            orders += self._take(jobs)
        return orders

    def more(self, idle: int) -> "list[Order]":
        """What is missing now; where nothing is, jobs that are likely to be wanted, one for each idle worker.

        After a failure, which will be the study's, nothing is guessed.
        """
        orders = self.missing()
        if orders or self.failed:
            return orders
        for job in self._new(self.study.likely(self.params, self.results)):
            if len(orders) == idle:
                break
            orders += self._take([job])
        return orders

    def run(self, orders: "list[Order]", submit: "Submit", bar: "tqdm[NoReturn]") -> dict[Job, Result]:
        """Runs these jobs, and those that are wanted as results come.

        Returns the results of all that ran.

        Raises:
            JobsFailedError: some that are wanted failed; the others have been run and kept.
        """
        from flows.fanout import Failure

        new = {}
        for order, outcome in submit(orders, self.more):
            if isinstance(outcome, Failure):
                self.failed.add(order.job)
                wanted = order.job in self.study.jobs(self.params, self.results)
                what = "failed" if wanted else "failed, though it may not be wanted"
                bar.write(f"{what}: {order.job.title}: {outcome.reason}", file=sys.stderr)
            else:
                self.results[order.job] = new[order.job] = outcome
            bar.total = len(self.asked)
            bar.update(len(self.results) - bar.n)
        jobs = self.study.jobs(self.params, self.results)
        if failures := len(self.failed.intersection(jobs)):
            raise JobsFailedError(
                f"error: {failures} of {len(jobs)} jobs failed; the others are kept, "
                "so running this again runs only what is missing"
            )
        return new

    def _new(self, jobs: list[Job]) -> list[Job]:
        return [job for job in dict.fromkeys(jobs) if job not in self.asked]

    def _take(self, jobs: list[Job]) -> "list[Order]":
        """Asks for these jobs; those that the cache does not hold have to run."""
        orders = [self._order(job) for job in jobs]  # finds bad pictures before any job runs
        self.asked.update(jobs)
        return [order for order in orders if not self._found(order)]

    def _order(self, job: Job) -> "Order":
        from flows.fanout import Order
        from nst.engine import run

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
    from nst import params, studies
    from nst.engine import weights

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

        def work(submit: "Submit") -> None:
            with tqdm(
                desc=arguments.study,
                unit="job",
                initial=len(collection.results),
                total=len(collection.asked),
                file=sys.stderr,
                smoothing=0.1,
                mininterval=0.5 if sys.stderr.isatty() else 20.0,
                dynamic_ncols=True,
            ) as bar:
                new = collection.run(orders, submit, bar)
            write(collection, arguments)
            artifact.leave(arguments.study, new, len(collection.results) - len(new), arguments.reports)

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
