"""What it costs to run many small jobs: ``python -m benchmarks.scale 500 1000 2000 5000``.

As many jobs as the largest number, of one iteration at 32 px each, run through a temporary Prefect API and local
workers, with nothing cached.  When as many as each number have ended, a row for docs/cluster.md is printed.
"""

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from flows import api, settings

WORKERS = 4


def run(counts: Sequence[int], data: Path, folder: Path) -> None:
    """Runs as many jobs as the last of `counts`, and prints a row when as many as each have ended."""
    from flows import cache, fanout, sharing, worker
    from nst.engine import images
    from nst.engine import run as engine
    from nst.params import settings as settings_of_jobs

    job = settings_of_jobs(size=32, iterations=1).job("reconstruct", content="egeskov", content_layers=("conv1_1",))
    where = settings.Settings(cache=str(folder / "jobs"), workers=WORKERS, cluster="local", dask_address=None)
    place = worker.place(job.precision)
    picture = images.read(data / "content" / "egeskov.jpg")
    square = picture.crop((0, 0, min(picture.size), min(picture.size)))
    inputs = engine.Inputs(content=images.to_png(images.fit(square, job.size, "egeskov")), style=None)
    orders = []
    for seed in range(counts[-1]):
        each = dataclasses.replace(job, seed=seed)
        orders.append(fanout.Order(each, inputs, place, engine.key(each, inputs, place.platform, False, 1)))
    ended: list[float] = []

    def work(submit: fanout.Submit) -> None:
        for _, outcome in submit(orders, fanout.no_more):
            if isinstance(outcome, fanout.Failure):
                raise RuntimeError(outcome.reason)
            ended.append(time.monotonic())
            if len(ended) in counts:
                print(row(ended, began), flush=True)

    with sharing.own(where, WORKERS) as services:
        began = time.monotonic()
        fanout.Crew(services, where, cache.storage(where.cache), alone=False).run("scale", work)
    assert len(list((folder / "jobs").iterdir())) == len(ended) == counts[-1]


def row(ended: Sequence[float], began: float) -> str:
    """What the jobs that ended at these times cost, and the memory of driver and server now."""
    seconds = ended[-1] - began
    tail = ended[-len(ended) // 5 :]  # the last fifth: whether a job costs more when many have been
    late = (tail[-1] - tail[0]) / (len(tail) - 1)
    driver = psutil.Process()
    (server,) = [child for child in driver.children() if "flows.server" in child.cmdline()]
    memory = " | ".join(f"{process.memory_info().rss / 2**20:.0f}" for process in (driver, server))
    return f"| {len(ended)} | {seconds:.0f} | {1000 * seconds / len(ended):.0f} | {1000 * late:.0f} | {memory} |"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("counts", nargs="+", type=int, metavar="N", help="after how many jobs to print a row")
    parser.add_argument("--data", type=Path, default=Path("data"))
    arguments = parser.parse_args()
    print("| jobs | seconds | ms a job | ms a job, last fifth | driver, MB | server, MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="nst-scale-") as folder:
        os.environ["PREFECT_HOME"] = folder
        os.environ.pop(api.API, None)
        api.prepare_environment()
        run(sorted(arguments.counts), arguments.data, Path(folder))


if __name__ == "__main__":
    main()
