"""Runs one study and writes its folder of the reports: ``python -m flows.study transfer``.

Finished jobs are stored outside the reports, under a key made of all that they depend on.  So a study that was
interrupted goes on where it was, and a changed parameter costs only the jobs it changes.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flows import processes, settings
from flows.processes import JobsFailedError
from flows.worker import Failed, Order
from nst.engine import images, memory
from nst.engine.inputs import inputs
from nst.engine.jobs import Job
from nst.engine.machine import key, precision_of
from nst.engine.results import Result
from nst.errors import ResultError
from nst.params import STUDIES

if TYPE_CHECKING:
    from flows.fanout import FanOut
    from flows.store import Store
    from nst.engine.machine import Machine
    from nst.params import Params
    from nst.studies import Study


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.study",
        description="Run one study: every job of it that is not finished yet, then its tables and pictures.",
        epilog="Where jobs run is set by environment variables (NST_WORKERS, NST_DASK_ADDRESS, …): see "
        "docs/cluster.md.  Exit codes: 0 done, 1 some jobs failed (the others are kept), 2 wrong input.",
    )
    parser.add_argument("study", choices=STUDIES, metavar="NAME", help=f"one of: {', '.join(STUDIES)}")
    settings.add_paths(parser)
    return parser.parse_args(argv)


@dataclass
class Collection:
    """The results of a study as they come together, from the store and from workers."""

    study: "Study"
    params: "Params"
    data: Path
    store: "Store"
    threads: int
    machine: "Machine"
    """The kind of machine that jobs run on."""
    memory: float = float("inf")
    """Bytes that a worker may take."""
    results: dict[Job, Result] = field(default_factory=dict)
    keys: dict[Job, str] = field(default_factory=dict)
    """What the jobs are stored under that the study wanted so far: each has a result, or was returned by `missing`."""

    def missing(self) -> list[Order]:
        """The jobs that have to run now, after taking what the store holds; each is returned only once."""
        orders = []
        while new := [job for job in self.study.jobs(self.params, self.results) if job not in self.keys]:
            found = [self._order(job) for job in dict.fromkeys(new)]  # finds bad pictures before any job runs
            self.keys.update((order.job, order.key) for order in found)
            orders += [order for order in found if not self._stored(order)]
        return orders

    def _order(self, job: Job) -> Order:
        given = inputs(job, self.data)
        if self.machine.device == "cpu":
            width, height = images.png_size(given.shape)
            memory.check(job, height, width, precision_of(job, self.machine), self.memory)
        return Order(job, given, key(job, given, self.machine, threads=self.threads))

    def _stored(self, order: Order) -> bool:
        try:
            result = self.store.load(order.key, order.job)
        except ResultError as error:
            print(f"{order.job.title}: {error}; it is computed again", file=sys.stderr)
            return False
        if result is not None:
            self.results[order.job] = result
        return result is not None


def run_study(arguments: argparse.Namespace) -> None:
    """Brings all results of a study together and writes its folder.

    Raises:
        NSTError: wrong input, found before any job is run.
        JobsFailedError: some jobs failed.
    """
    settings.load()  # wrong ones are found before anything starts
    study, params = _checked(arguments)
    from flows import services, up
    from flows.store import Store

    with processes.lock(f"{arguments.study} of {arguments.reports.resolve()}"):
        up.join()
        where = settings.load()
        store = Store(where.cache)
        with services.client(where, where.own_workers) as client:
            workers = services.Workers(client, where.cluster_timeout)
            collection = Collection(
                study, params, arguments.data, store, where.threads, workers.machine, workers.memory()
            )
            if orders := collection.missing():
                store.try_writing()
                with services.api(where):
                    from flows import fanout  # imports Prefect, which reads now where its API is

                    # One batch runs on each worker and one waits there.  NST_WORKERS may still come.
                    threads = 2 * max(len(workers.names), where.workers or 1)
                    fan_out = fanout.FanOut(client, workers, store, where)
                    fanout.run_flow(
                        arguments.study, lambda: _run_jobs(arguments, collection, orders, fan_out, threads), threads
                    )
            else:
                print(f"{arguments.study}: all {len(collection.results)} jobs were finished before", file=sys.stderr)
                write(collection, arguments)


def _checked(arguments: argparse.Namespace) -> "tuple[Study, Params]":
    """The study and its parameters, when all that can be wrong with them has been looked for."""
    from nst import params, studies
    from nst.engine import weights

    study = studies.load(arguments.study)
    wanted = studies.resolve(params.load(arguments.params), arguments.reports)
    weights.check(wanted.weights)
    studies.first_jobs(arguments.study, wanted)  # finds what is missing in the parameters
    for original in study.originals(wanted):  # those of later jobs too: found bad now, they cost nothing
        original.read(arguments.data)
    return study, wanted


def _run_jobs(
    arguments: argparse.Namespace, collection: Collection, orders: list[Order], fan_out: "FanOut", threads: int
) -> None:
    """The study's flow: runs these jobs and those that are wanted as results come, then writes the study's folder.

    Raises:
        JobsFailedError: some failed; the others have been run and stored.
    """
    from tqdm import tqdm

    from flows import artifact

    new: dict[Job, Result] = {}
    failed = 0
    bar = tqdm(
        desc=arguments.study,
        unit="job",
        initial=len(collection.results),
        total=len(collection.keys),
        file=sys.stderr,
        smoothing=0.1,
        mininterval=0.5 if sys.stderr.isatty() else 20.0,
        dynamic_ncols=True,
    )
    with bar, closing(fan_out.run(orders, collection.missing, threads)) as ended:
        for order, outcome in ended:
            if isinstance(outcome, Failed):
                failed += 1
                bar.write(f"failed: {order.job.title}: {outcome.reason}", file=sys.stderr)
            else:
                collection.results[order.job] = new[order.job] = outcome
            bar.total = len(collection.keys)
            bar.update(len(collection.results) - bar.n)
    if failed:
        raise JobsFailedError(
            f"{failed} of {len(collection.keys)} jobs failed; the others are kept, "
            "so running this again runs only what is missing"
        )
    write(collection, arguments)
    artifact.leave(arguments.study, new, len(collection.results) - len(new), arguments.reports)


def write(collection: Collection, arguments: argparse.Namespace) -> None:
    """Writes the study's folder beside the old one and then moves it over, one entry after the other."""
    folder = arguments.reports / arguments.study
    folder.mkdir(parents=True, exist_ok=True)
    beside = arguments.reports / f".{arguments.study}"
    shutil.rmtree(beside, ignore_errors=True)  # of one that was killed
    beside.mkdir()
    try:
        collection.study.write(collection.params, collection.results, arguments.data, beside)
        for new in sorted(beside.iterdir()):
            old = folder / new.name
            if old.is_dir():
                shutil.rmtree(old)
            new.replace(old)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def main() -> int:
    """The command."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # numbers computed while writing do not depend on the cores
    run_study(parse())
    return 0


if __name__ == "__main__":
    processes.run_command(main)
