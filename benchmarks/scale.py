"""What it costs to run many small jobs: ``python -m benchmarks.scale 500 1000 2000 5000``.

Each size runs jobs of one iteration at 32 px through a temporary Prefect API and local workers, with nothing cached,
and prints a row for docs/cluster.md.
"""

import argparse
import dataclasses
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from flows import api, settings

WORKERS = 4
_EVERY = 1.0
"""Seconds between two looks at the memory."""


def run(count: int, data: Path, folder: Path) -> str:
    """Runs `count` jobs and returns the row: what was measured of them."""
    from flows import cache, fanout, sharing, worker
    from nst import images
    from nst import run as engine
    from nst.jobs import Job

    job = Job(
        task="reconstruct", content="egeskov", style=None, content_layers=("conv1_1",), style_layers=(), init="noise",
        seed=0, size=32, iterations=1, optimizer="adam", learning_rate=0.05, content_weight=1.0, style_weight=1.0,
        tv_weight=0.0, pooling="max", parametrization="pixels", noise="uniform", precision="auto", weights="normalised",
    )  # fmt: skip
    where = settings.Settings(cache=str(folder / "jobs"), workers=WORKERS, cluster="local", dask_address=None)
    place = worker.place(job.precision)
    picture = images.read(data / "content" / "egeskov.jpg")
    square = picture.crop((0, 0, min(picture.size), min(picture.size)))
    inputs = engine.Inputs(content=images.to_png(images.fit(square, job.size, "egeskov")), style=None)
    orders = []
    for seed in range(count):
        each = dataclasses.replace(job, seed=seed)
        orders.append(fanout.Order(each, inputs, place, engine.key(each, inputs, place.platform, False, 1)))
    ended: list[float] = []

    def work(submit: fanout.Submit) -> None:
        for _, outcome in submit(orders):
            if isinstance(outcome, fanout.Failure):
                raise RuntimeError(outcome.reason)
            ended.append(time.monotonic())

    with sharing.own(where, WORKERS) as services, memory() as megabytes:
        began = time.monotonic()
        fanout.Crew(services, where, cache.storage(where.cache), alone=False).run("scale", work)
        seconds = time.monotonic() - began
    assert len(list((folder / "jobs").iterdir())) == len(ended) == count
    tail = ended[-count // 5 :]  # the last fifth: whether a job costs more when many have been
    late = (tail[-1] - tail[0]) / (len(tail) - 1)
    return (
        f"| {count} | {seconds:.0f} | {1000 * seconds / count:.0f} | {1000 * late:.0f} "
        f"| {spread(megabytes['driver'])} | {spread(megabytes['server'])} |"
    )


@contextmanager
def memory() -> Iterator[dict[str, list[float]]]:
    """Resident memory of this process and of the server below it, in MB, from time to time."""
    driver = psutil.Process()
    (server,) = [child for child in driver.children() if "flows.server" in child.cmdline()]
    seen: dict[str, list[float]] = {"driver": [], "server": []}
    done = threading.Event()

    def look() -> None:
        while not done.wait(_EVERY):
            seen["driver"].append(driver.memory_info().rss / 2**20)
            seen["server"].append(server.memory_info().rss / 2**20)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def spread(megabytes: list[float]) -> str:
    """At a quarter of the time, when all is warm, and at the end."""
    return f"{megabytes[len(megabytes) // 4]:.0f} → {megabytes[-1]:.0f}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("counts", nargs="+", type=int, metavar="N", help="numbers of jobs")
    parser.add_argument("--data", type=Path, default=Path("data"))
    arguments = parser.parse_args()
    print("| jobs | seconds | ms a job | ms a job, last fifth | driver, MB | server, MB |")
    print("|---|---|---|---|---|---|")
    for count in arguments.counts:
        with tempfile.TemporaryDirectory(prefix="nst-scale-") as folder:
            os.environ["PREFECT_HOME"] = folder
            os.environ.pop(api.API, None)
            api.prepare_environment()
            print(run(count, arguments.data, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
