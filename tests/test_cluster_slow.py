"""What dies, fills up or misbehaves: `make test-cluster`.  Real processes, real signals, a real file system."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest
from distributed import Client
from distributed.chaos import KillWorker
from flows_support import (
    TINY,
    Checkout,
    alive,
    family,
    hand_made_cluster,
    killed_at_the_end,
    make_checkout,
    planted,
    set_params,
    wait_for,
    written,
)

from flows import services

pytestmark = pytest.mark.cluster

STUDY = [sys.executable, "-m", "flows.study", "transfer"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the transfer study has run undisturbed, with jobs of about a second."""
    made = make_checkout(tmp_path_factory.mktemp("checkout"))
    set_params(made, {**TINY, "transfer": {**TINY["transfer"], "iterations": 150}})
    made.run(*STUDY)
    return made


@pytest.fixture
def whole(checkout: Checkout) -> dict[str, bytes]:
    """What the undisturbed run wrote."""
    return written(checkout.path / "reports" / "transfer")


def there(tmp_path: Path) -> dict[str, str]:
    """A place of its own for the finished jobs of one test."""
    return {"NST_CACHE": str(tmp_path / "jobs")}


def stamps(tmp_path: Path) -> dict[str, int]:
    """The finished jobs and when each was written; a job that runs again is written again."""
    return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "jobs").glob("*.json")}


def reports(tmp_path: Path) -> list[str]:
    """Options that write the study's folder beside the undisturbed one."""
    return ["--reports", str(tmp_path / "reports")]


def ours(text: str) -> list[psutil.Process]:
    """All processes on this machine whose environment or command line holds this path."""
    found = []
    for process in psutil.process_iter():
        try:
            if text in " ".join([*process.cmdline(), *process.environ().values()]):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("whom", ["worker", "fork server"])
def test_a_nanny_brings_a_killed_worker_back(
    checkout: Checkout, tmp_path: Path, whole: dict[str, bytes], whom: str
) -> None:
    process = checkout.start([*STUDY, *reports(tmp_path)], **there(tmp_path))
    with killed_at_the_end(process):
        assert wait_for(lambda: bool(stamps(tmp_path)), every=0.02)
        forked = [member for member in family(process.pid) if "forkserver" in " ".join(member.cmdline())]
        server, *workers = sorted(forked, key=lambda member: member.ppid() != process.pid)
        assert len(workers) == 2
        (server if whom == "fork server" else workers[0]).kill()
        output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output
    assert written(tmp_path / "reports" / "transfer") == whole
    assert stamps(tmp_path).keys() == checkout.finished().keys()


@pytest.mark.parametrize("command", ["study", "dvc"])
def test_the_driver_is_killed_five_times(
    checkout: Checkout, tmp_path: Path, whole: dict[str, bytes], command: str
) -> None:
    chance = random.Random(0)
    words = [*STUDY, *reports(tmp_path)] if command == "study" else ["dvc", "repro", "--force", "transfer"]
    if command == "dvc":
        shutil.rmtree(checkout.path / "reports" / "transfer")
    before: dict[str, int] = {}
    for _ in range(5):
        process = checkout.start(words, **there(tmp_path))
        with killed_at_the_end(process):
            time.sleep(chance.uniform(2, 14))
            members = family(process.pid)
            process.kill()
            process.wait()
            assert wait_for(lambda members=members: not alive(members), 60), alive(members)
        after = stamps(tmp_path)
        assert before.items() <= after.items()  # what was finished stays, and did not run again
        before = after
    checkout.run(*(words if command == "study" else ["dvc", "repro", "transfer"]), **there(tmp_path))
    assert before.items() <= stamps(tmp_path).items()
    assert stamps(tmp_path).keys() == checkout.finished().keys()
    folder = (tmp_path if command == "study" else checkout.path) / "reports" / "transfer"
    assert written(folder) == whole
    left = wait_for(lambda: not ours(str(tmp_path / "jobs")), 60)
    assert left, alive(ours(str(tmp_path / "jobs")))


def test_the_server_is_killed(checkout: Checkout, tmp_path: Path, whole: dict[str, bytes]) -> None:
    process = checkout.start([*STUDY, *reports(tmp_path)], **there(tmp_path))
    with killed_at_the_end(process):
        assert wait_for(lambda: bool(stamps(tmp_path)), every=0.02)
        (server,) = [member for member in family(process.pid) if "uvicorn" in member.cmdline()]
        began = time.monotonic()
        server.kill()
        output, _ = process.communicate(timeout=400)
        took = time.monotonic() - began
    assert process.returncode == 1, output
    assert re.search(r"^error: Prefect's API has ended.*: run the command again; finished jobs are kept$", output, re.M)
    assert "Traceback" not in output
    assert took < 90  # "about a minute", docs/cluster.md says
    kept = stamps(tmp_path)
    checkout.run(*STUDY, *reports(tmp_path), **there(tmp_path))
    assert kept.items() <= stamps(tmp_path).items()
    assert written(tmp_path / "reports" / "transfer") == whole


@pytest.mark.parametrize("patient", [True, False])
def test_the_server_answers_nobody_for_a_while(checkout: Checkout, tmp_path: Path, patient: bool) -> None:
    """It is stopped, as a debugger would; jobs do not need it."""
    params = tmp_path / "params.yaml"
    params.write_text((checkout.path / "params.yaml").read_text().replace("iterations: 150", "iterations: 2000"))
    limits = {} if patient else {"NST_SERVER_TIMEOUT": "10", "PREFECT_API_REQUEST_TIMEOUT": "5"}
    words = [*STUDY, *reports(tmp_path), "--params", str(params)]
    with killed_at_the_end(process := checkout.start(words, **limits, **there(tmp_path))):
        assert wait_for(lambda: bool(stamps(tmp_path)), every=0.02)
        (server,) = [member for member in family(process.pid) if "uvicorn" in member.cmdline()]
        server.suspend()
        if patient:
            time.sleep(25)  # long enough for the driver to look, and see nothing
            assert process.poll() is None
            server.resume()
        output, _ = process.communicate(timeout=400)
    if patient:
        assert process.returncode == 0, output
        assert len(stamps(tmp_path)) == len(checkout.finished())
        assert (tmp_path / "reports" / "transfer" / "tables" / "quality.csv").exists()
    else:
        assert process.returncode == 1, output
        # Seen while jobs ran, or when the last had ended.
        assert re.search(r"^error: Prefect's API (is|has been) busy .*: run the command again", output, re.M)
        assert "Traceback" not in output


BEFORE_A_BATCH = "    try:\n        results = _run("
AFTER_A_BATCH = "    places = ["


def poisoned(checkout: Checkout, poison: str, when: str = BEFORE_A_BATCH) -> AbstractContextManager[None]:
    """Workers of the checkout run these lines before or after each batch, which is one job."""
    return planted(checkout, "flows/worker.py", poison, before=when)


def test_a_poisoned_job_is_named_and_the_others_finish(checkout: Checkout, tmp_path: Path) -> None:
    with poisoned(checkout, "if 'conv2_2 | 1-2' in jobs[0].title:\n    import os\n    os.kill(os.getpid(), 9)\n"):
        output = checkout.run(*STUDY, *reports(tmp_path), code=1, **there(tmp_path))
    told = re.findall(r"^failed: .*$", output, re.MULTILINE)
    assert told == [
        "failed: transfer · egeskov × great_wave · conv2_2 | 1-2 · from noise 0: "
        "its worker died each time it was tried (out of memory?)"
    ]
    assert "error: 1 of 4 jobs failed; the others are kept" in output
    assert "Traceback" not in output
    assert len(stamps(tmp_path)) == 3
    assert not (tmp_path / "reports" / "transfer" / "tables" / "quality.csv").exists()


def test_a_job_that_ends_only_when_it_is_alone_is_built_upon(checkout: Checkout, tmp_path: Path) -> None:
    """Here it is one whose worker dies three times; with the result of the last try the study goes on."""
    poison = f"""
        import os
        with open({str(tmp_path / "deaths")!r}, "a") as deaths:
            if "cafe_terrace · 2-3 · from noise 0" in jobs[0].title and deaths.tell() < 3:
                deaths.write("+")
                deaths.flush()
                os.kill(os.getpid(), 9)
    """
    with poisoned(checkout, poison):
        checkout.run(*STUDY[:-1], "synthesis", *reports(tmp_path), **there(tmp_path))
    assert (tmp_path / "deaths").read_text() == "+++"
    rows = (tmp_path / "reports" / "synthesis" / "tables" / "quality.csv").read_text().splitlines()[1:]
    assert len(rows) == 8  # two windows, styles and noises


@pytest.mark.parametrize("mode", ["sys.exit", "graceful", "segfault"])
def test_workers_die_at_random(checkout: Checkout, tmp_path: Path, whole: dict[str, bytes], mode: str) -> None:
    """Dask's own means of chaos: each worker, also one that was started anew, ends some seconds after its start."""
    folder = tmp_path / "by hand"
    folder.mkdir()
    patient = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "20"}
    with (
        hand_made_cluster(folder, 2, again=True, **patient) as made,
        Client(made.address, set_as_default=False) as client,
    ):
        client.wait_for_workers(2, timeout=200)
        first = set(client.scheduler_info()["workers"])
        client.register_plugin(KillWorker(delay="3 s", mode=mode))
        checkout.run(*STUDY, *reports(tmp_path), NST_DASK_ADDRESS=made.address, **there(tmp_path))
        assert first != set(client.scheduler_info()["workers"])
    assert written(tmp_path / "reports" / "transfer") == whole


def test_a_worker_that_fails_at_once_does_not_drain_the_queue(
    checkout: Checkout, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    """What failed on it is tried on the other one."""
    folder = tmp_path / "by hand"
    folder.mkdir()
    fault = f"""
        import os
        if os.getcwd().endswith("worker0"):
            open({str(tmp_path / "failures")!r}, "a").write("+")
            raise RuntimeError("an odd worker")
    """
    poison = planted(checkout, "flows/worker.py", fault, before="    try:\n        return run_jobs(")
    options = {"PYTHONPATH": str(checkout.path)}
    with poison, hand_made_cluster(folder, 2, "--no-nanny", **options) as made:
        with Client(made.address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=200)
        checkout.run(*STUDY, *reports(tmp_path), NST_DASK_ADDRESS=made.address, **there(tmp_path))
    assert len((tmp_path / "failures").read_text()) > 1
    assert written(tmp_path / "reports" / "transfer") == whole


def test_the_last_worker_dies_with_its_result(checkout: Checkout, tmp_path: Path) -> None:
    """It has said that it is done, and what it made cannot be fetched any more."""
    folder = tmp_path / "by hand"
    folder.mkdir()
    die = "import os, threading\nthreading.Timer(0.02, os.kill, (os.getpid(), 9)).start()\n"
    with (
        poisoned(checkout, die, AFTER_A_BATCH),
        hand_made_cluster(folder, 1, "--no-nanny", PYTHONPATH=str(checkout.path)) as made,
    ):
        with Client(made.address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=200)
        where = {"NST_DASK_ADDRESS": made.address, "NST_CLUSTER_TIMEOUT": "5", **there(tmp_path)}
        output = checkout.run(*STUDY, *reports(tmp_path), code=1, **where)
    assert re.search(r"^error: no worker has been left for \d+ s: run the command again", output, re.MULTILINE)


def test_all_workers_die(checkout: Checkout, tmp_path: Path) -> None:
    folder = tmp_path / "by hand"
    folder.mkdir()
    with hand_made_cluster(folder, 1, "--no-nanny") as made:
        where = {"NST_DASK_ADDRESS": made.address, "NST_CLUSTER_TIMEOUT": "5", **there(tmp_path)}
        process = checkout.start([*STUDY, *reports(tmp_path)], **where)
        with killed_at_the_end(process):
            assert wait_for(lambda: bool(stamps(tmp_path)), every=0.02)
            made.workers[0].kill()
            output, _ = process.communicate(timeout=400)
    assert process.returncode == 1
    assert re.search(r"^error: no worker has been left for \d+ s: run the command again", output, re.MULTILINE)


SBATCH = """#!/bin/sh
cp "$1" "$0.$$"
setsid sh "$0.$$" >"$0.$$.log" 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
kill -- "-$1"
"""


def test_the_batch_scripts_of_slurm_run(checkout: Checkout, tmp_path: Path, whole: dict[str, bytes]) -> None:
    """The scripts are those that SLURM would get; what takes them here only runs them."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {"sbatch": SBATCH, "scancel": SCANCEL}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    options = {"scheduler_options": {"host": "127.0.0.1"}, "walltime": "00:10:00"}
    slurm = {"NST_CLUSTER": "slurm", "NST_CLUSTER_OPTIONS": json.dumps(options), **there(tmp_path)}
    checkout.run(*STUDY, *reports(tmp_path), PATH=f"{commands}{os.pathsep}{checkout.environ()['PATH']}", **slurm)
    assert written(tmp_path / "reports" / "transfer") == whole
    assert len(list(commands.glob("sbatch.*.log"))) == 2
    assert wait_for(lambda: not ours(str(commands)), 30), alive(ours(str(commands)))


class TestDiskFull:
    """A small file system in memory, which only this test's processes see."""

    def run(self, checkout: Checkout, tmp_path: Path, full: Path, kilobytes: int, **environment: str) -> str:
        """Runs the study where `full` is so small, and copies what is left there to tmp_path/left."""
        full.mkdir(parents=True)
        mount = f"mount -t tmpfs -o size={kilobytes}k tmpfs {full}"
        if subprocess.run(["unshare", "-rm", "sh", "-c", mount], check=False, capture_output=True).returncode:
            pytest.skip("this system lets no one mount a file system of their own")
        study = " ".join([*STUDY, *reports(tmp_path)])
        script = f"{mount} && {study}; code=$?; cp -a {full} {tmp_path}/left; exit $code"
        return checkout.run("unshare", "-rm", "sh", "-c", script, code=1, **environment)

    def test_of_finished_jobs(self, checkout: Checkout, tmp_path: Path, whole: dict[str, bytes]) -> None:
        output = self.run(checkout, tmp_path, tmp_path / "full", 20, NST_CACHE=str(tmp_path / "full"))
        assert "No space left on device" in output
        assert "Traceback" not in output
        assert not (tmp_path / "reports" / "transfer" / "tables" / "quality.csv").exists()
        left = list((tmp_path / "left").iterdir())
        assert left and all(json.loads(path.read_text()) for path in left)  # the first ones, and whole
        again = tmp_path / "left"
        checkout.run(*STUDY, *reports(tmp_path), NST_CACHE=str(again))
        assert written(tmp_path / "reports" / "transfer") == whole

    def test_of_reports(self, checkout: Checkout, tmp_path: Path) -> None:
        output = self.run(checkout, tmp_path, tmp_path / "reports", 48)
        assert "error: No space left on device" in output
        assert "Traceback" not in output
        assert not [path for path in (tmp_path / "left").rglob("*") if path.is_file()]


class TestBucket:
    """Finished jobs in a bucket, by way of a server on loopback that speaks S3."""

    @pytest.fixture
    def bucket(self, tmp_path: Path) -> Iterator[dict[str, str]]:
        """The environment that leads to a bucket called `studies`."""
        port = services.free_port()
        where = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "NST_CACHE": "s3://studies/jobs",
        }
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        with (tmp_path / "s3.log").open("wb") as log:
            moto = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            made = "import s3fs, sys; s3fs.S3FileSystem().mkdir('studies')"
            environment = {**os.environ, **where}

            def ready() -> bool:
                return subprocess.run([sys.executable, "-c", made], env=environment, check=False).returncode == 0

            assert wait_for(ready, 60, every=0.5)
            yield where
        finally:
            moto.kill()
            moto.wait()

    def test_holds_the_same_results(
        self, checkout: Checkout, tmp_path: Path, whole: dict[str, bytes], bucket: dict[str, str]
    ) -> None:
        checkout.run(*STUDY, *reports(tmp_path), **bucket)
        assert written(tmp_path / "reports" / "transfer") == whole
        output = checkout.run(*STUDY, *reports(tmp_path), **bucket)
        assert output.endswith(f"transfer: all {len(checkout.finished())} jobs were finished before\n")
        # One that was cut short is noticed and computed again.
        name = next(iter(checkout.finished()))
        cut = f"import s3fs; s3fs.S3FileSystem().pipe_file('studies/jobs/{name}', b'{{')"
        checkout.run(sys.executable, "-c", cut, **bucket)
        output = checkout.run(*STUDY, *reports(tmp_path), **bucket)
        assert len(re.findall("it is computed again", output)) == 1
        assert written(tmp_path / "reports" / "transfer") == whole

    def test_that_cannot_be_reached(self, checkout: Checkout, tmp_path: Path, bucket: dict[str, str]) -> None:
        nobody = {**bucket, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
        output = checkout.run(*STUDY, *reports(tmp_path), code=1, **nobody)
        assert output.splitlines()[-1].startswith("error: NST_CACHE = 's3://studies/jobs' cannot be read: ")
        assert "Traceback" not in output
