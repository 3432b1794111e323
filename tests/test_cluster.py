"""Studies on workers that were started by hand and share no folder with us; and one of them is killed."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from distributed import Client
from flows_support import (
    TINY,
    Checkout,
    HandMade,
    hand_made_cluster,
    killed_at_the_end,
    make_checkout,
    set_params,
    wait_for,
    with_a_bad_picture,
    with_other_losses,
    written,
)

from flows import services, settings
from nst.studies.tables import read_csv

STUDY = ["python", "-m", "flows.study", "transfer"]

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect API for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        settings.prepare_environment()
        with services.server(services.free_port(), settings.Settings(), {}) as started:
            yield started.url


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, api: str) -> Checkout:
    """A checkout in which the transfer study has run on a local cluster."""
    made = make_checkout(tmp_path_factory.mktemp("checkout"), {services.API: api})
    set_params(made, TINY)
    made.run(*STUDY)
    return made


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[HandMade]:
    """A scheduler and two workers without nannies: those that die stay dead."""
    folder = tmp_path / "by hand"
    folder.mkdir()
    with hand_made_cluster(folder, 2, "--no-nanny") as made:
        yield made


def names(folder: Path) -> list[str]:
    """The jobs in a study's table."""
    return [f"{row['content_layer']} | {row['style_layers']}" for row in read_csv(folder / "tables" / "quality.csv")]


def test_batches_give_the_same_bytes(checkout: Checkout, tmp_path: Path, api: str) -> None:
    """Four jobs to one deepest layer and four to another make batches of three, three and two, each one task that is
    named after its jobs; a finalist comes last."""
    values = yaml.safe_load((checkout.path / "params.yaml").read_text("utf-8"))
    values["transfer"] |= {"iterations": 20, "content_layers": "1-4", "style_windows": ["1-6"]}
    values["transfer"]["finalists"]["iterations"] = 20
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(values), "utf-8")
    sizes = {}
    for batch in (1, 3):
        folder = tmp_path / str(batch)
        where = {"NST_BATCH": str(batch), "NST_WORKERS": "1", "NST_CACHE": str(folder / "jobs")}
        checkout.run(*STUDY, "--params", str(params), "--reports", str(folder), **where)
        sizes[batch] = [int(row["batch"]) for row in read_csv(folder / "transfer" / "tables" / "timing.csv")]
    assert sizes[1] == [1] * 9
    assert sorted(sizes[3]) == [1] + [2] * 2 + [3] * 6
    assert written(tmp_path / "3" / "transfer") == written(tmp_path / "1" / "transfer")
    names = [run["name"] for run in httpx.post(f"{api}/task_runs/filter", json={}).json()]
    assert sorted(name[:7] for name in names if " jobs: " in name) == ["2 jobs:", "3 jobs:", "3 jobs:"]


def test_a_batch_that_fails_is_tried_job_by_job(checkout: Checkout, tmp_path: Path) -> None:
    """So the failed one is named, and the others are kept."""
    where = {"NST_BATCH": "4", "NST_RETRY_DELAY": "0", "NST_RETRIES": "1", "NST_CACHE": str(tmp_path / "jobs")}
    with with_a_bad_picture(checkout):
        output = checkout.run(*STUDY, "--reports", str(tmp_path / "reports"), code=1, **where)
    (told,) = [line for line in output.splitlines() if line.startswith("failed: ")]
    assert told.startswith("failed: transfer · egeskov × great_wave · conv2_2 | 1-2 · from noise 0: ")
    assert len(list((tmp_path / "jobs").iterdir())) == 3


def test_gives_the_same_bytes_as_the_local_cluster(checkout: Checkout, tmp_path: Path, by_hand: HandMade) -> None:
    there = {"NST_DASK_ADDRESS": by_hand.address, "NST_CACHE": str(tmp_path / "jobs")}
    checkout.run(*STUDY, "--reports", str(tmp_path / "reports"), **there)
    local = written(checkout.path / "reports" / "transfer")
    assert written(tmp_path / "reports" / "transfer") == local
    assert len(local) > 4
    # The results are filed under the same names as those of the local cluster, so neither runs what the other has.
    assert {path.name for path in (tmp_path / "jobs").iterdir()} == set(checkout.finished())
    assert not [path for path in (tmp_path / "by hand").rglob("*.json") if path.name in checkout.finished()]


def test_survives_the_death_of_a_worker(checkout: Checkout, tmp_path: Path, by_hand: HandMade) -> None:
    jobs = tmp_path / "jobs"
    params = tmp_path / "params.yaml"
    params.write_text((checkout.path / "params.yaml").read_text().replace("iterations: 2", "iterations: 200"))
    there = {"NST_DASK_ADDRESS": by_hand.address, "NST_CACHE": str(jobs)}
    process = checkout.start([*STUDY, "--params", str(params), "--reports", str(tmp_path / "reports")], **there)
    with killed_at_the_end(process):
        assert wait_for(lambda: any(jobs.glob("*.json")), every=0.02)
        by_hand.workers[0].kill()
        output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output
    found = names(tmp_path / "reports" / "transfer")
    assert len(found) == len(set(found)) == 4
    assert len(list(jobs.iterdir())) == 4


def wait_for_workers(made: HandMade, count: int) -> None:
    """Returns when so many workers have come."""
    with Client(made.address, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=60)


def other_code(checkout: Checkout, folder: Path) -> dict[str, str]:
    """The environment of workers whose losses are those of another revision."""
    with with_other_losses(checkout):
        for package in ("nst", "flows"):
            shutil.copytree(checkout.path / package, folder / package)
    return {"PYTHONPATH": str(folder)}


def test_a_worker_with_other_code_is_refused_by_name_and_the_others_go_on(
    checkout: Checkout, tmp_path: Path, by_hand: HandMade
) -> None:
    there = {"NST_DASK_ADDRESS": by_hand.address, "NST_CACHE": str(tmp_path / "jobs")}
    words = ["-m", "dask", "worker", by_hand.address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny"]
    command = [sys.executable, *words, "--preload", "flows.worker"]
    environment = {**os.environ, **other_code(checkout, tmp_path / "other")}
    odd = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    try:
        wait_for_workers(by_hand, 3)
        output = checkout.run(*STUDY, "--reports", str(tmp_path / "reports"), **there)
    finally:
        odd.kill()
        odd.communicate()
    refused = re.findall(
        r"^worker (\S+) is refused: its code is not this checkout.s .*: restart it with the same$", output, re.M
    )
    assert len(refused) == 1
    table = read_csv(tmp_path / "reports" / "transfer" / "tables" / "timing.csv")
    assert len(table) == 4
    for path in (tmp_path / "jobs").iterdir():
        assert not json.loads(path.read_text())["environment"]["worker"].endswith(refused[0])
    assert written(tmp_path / "reports" / "transfer") == written(checkout.path / "reports" / "transfer")


def test_workers_that_all_have_other_code_get_no_jobs(checkout: Checkout, tmp_path: Path, by_hand: HandMade) -> None:
    """The checkout was edited while they ran."""
    there = {"NST_DASK_ADDRESS": by_hand.address, "NST_CACHE": str(tmp_path / "jobs"), "NST_CLUSTER_TIMEOUT": "3"}
    wait_for_workers(by_hand, 2)
    with with_other_losses(checkout):
        output = checkout.run(*STUDY, "--reports", str(tmp_path / "reports"), code=1, **there)
    assert re.search(r"^error: no worker that can be used came within 3 s .*its code is", output, re.MULTILINE)
    assert not list((tmp_path / "jobs").glob("*"))


def test_results_are_stored_under_the_workers_kind_of_machine(checkout: Checkout, tmp_path: Path) -> None:
    """Workers that use fewer of the processor's instructions than we do: another kind, as far as results go."""
    there = {"NST_CACHE": str(tmp_path / "jobs")}
    folder = tmp_path / "by hand"
    folder.mkdir()
    with hand_made_cluster(folder, 1, "--no-nanny", ATEN_CPU_CAPABILITY="default") as made:
        where = {**there, "NST_DASK_ADDRESS": made.address}
        checkout.run(*STUDY, "--reports", str(tmp_path / "reports"), **where)
        found = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "jobs").iterdir()}
        assert len(found) == 4
        assert not found.keys() & checkout.finished().keys()
        checkout.run(*STUDY, "--reports", str(tmp_path / "reports"), **where)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "jobs").iterdir()} == found
