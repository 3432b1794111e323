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
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from flows import services, settings, worker

if TYPE_CHECKING:
    from nst.engine.inputs import Inputs
    from nst.engine.jobs import Job

WORKERS = 4


def run(counts: Sequence[int], data: Path, folder: Path) -> None:
    """Runs as many jobs as the last of `counts`, and prints a row when as many as each have ended."""
    where = settings.Settings(cache=str(folder / "jobs"), workers=WORKERS, cluster="local", dask_address=None)
    with services.client(where, WORKERS) as client, services.api(where):
        from flows import fanout
        from flows.store import Store
        from nst.engine.machine import key

        workers = services.Workers(client, where.cluster_timeout)
        job, inputs = small_job(data)
        jobs = [dataclasses.replace(job, seed=seed) for seed in range(counts[-1])]
        orders = [worker.Order(each, inputs, key(each, inputs, workers.machine)) for each in jobs]
        fan_out = fanout.FanOut(client, workers, Store(where.cache), where)
        ended: list[float] = []
        began = time.monotonic()

        def body() -> None:
            with closing(fan_out.run(orders, lambda: [], 2 * WORKERS)) as outcomes:
                for _, outcome in outcomes:
                    if isinstance(outcome, worker.Failed):
                        raise RuntimeError(outcome.reason)
                    ended.append(time.monotonic())
                    if len(ended) in counts:
                        print(row(ended, began), flush=True)

        fanout.run_flow("scale", body, 2 * WORKERS)
    assert len(list((folder / "jobs").iterdir())) == len(ended) == counts[-1]


def small_job(data: Path) -> "tuple[Job, Inputs]":
    """One iteration at 32 px."""
    from nst.engine import images
    from nst.engine.inputs import Inputs
    from nst.params import settings as settings_of_jobs

    job = settings_of_jobs(size=32, iterations=1).job("reconstruct", content="egeskov", content_layers=("conv1_1",))
    picture = images.read(data / "content" / "egeskov.jpg")
    square = picture.crop((0, 0, min(picture.size), min(picture.size)))
    return job, Inputs(content=images.to_png(images.fit(square, job.size, "egeskov")))


def row(ended: Sequence[float], began: float) -> str:
    """What the jobs that ended at these times cost, and the memory of driver and server now."""
    seconds = ended[-1] - began
    tail = ended[-len(ended) // 5 :]  # the last fifth: whether a job costs more when many have been
    late = (tail[-1] - tail[0]) / (len(tail) - 1)
    driver = psutil.Process()
    (server,) = [child for child in driver.children() if "uvicorn" in child.cmdline()]
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
        os.environ.pop(services.API, None)
        settings.prepare_environment()
        run(sorted(arguments.counts), arguments.data, Path(folder))


if __name__ == "__main__":
    main()
