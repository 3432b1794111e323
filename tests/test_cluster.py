"""Studies on workers that were started by hand and share no folder with us; and one of them is killed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from flows_support import (
    TINY,
    Checkout,
    HandMade,
    hand_made_cluster,
    killed_at_the_end,
    make_checkout,
    set_params,
    wait_for,
    written,
)

from flows import api
from nst.studies.tables import read_csv

STUDY = ["python", "-m", "flows.study", "transfer"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect API for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        api.prepare_environment()
        with api.temporary_server() as started:
            started.wait(60)
            yield started.url


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, server: str) -> Checkout:
    """A checkout in which the transfer study has run on a local cluster."""
    made = make_checkout(tmp_path_factory.mktemp("checkout"), {api.API: server})
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
    return [f"{row['content_layer']} | {row['style_layers']}" for row in read_csv(folder / "quality.csv")]


def test_batches_give_the_same_bytes(checkout: Checkout, tmp_path: Path) -> None:
    """Eight jobs to the same deepest layer; those that wait while the first runs are a batch."""
    values = yaml.safe_load((checkout.path / "params.yaml").read_text("utf-8"))
    values["transfer"] |= {"iterations": 20, "content_layers": "1-4", "style_windows": ["1-6", "2-6"]}
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(values), "utf-8")
    tables = {}
    for batch in (1, 3):
        folder = tmp_path / str(batch)
        where = {"NST_BATCH": str(batch), "NST_WORKERS": "1", "NST_CACHE": str(folder / "jobs")}
        checkout.run(*STUDY, "--params", str(params), "--reports", str(folder), **where)
        tables[batch] = {int(row["batch"]) for row in read_csv(folder / "transfer" / "timing.csv")}
    assert tables[1] == {1}
    assert max(tables[3]) in {2, 3}
    assert written(tmp_path / "3" / "transfer") == written(tmp_path / "1" / "transfer")


@pytest.mark.usefixtures("checkout")
def test_only_the_run_carries_the_mark_of_its_process(server: str) -> None:
    """Prefect asks its server for a slot for each tag of each task."""

    def found(what: str) -> list[dict[str, Any]]:
        return list(httpx.post(f"{server}/{what}/filter", json={}).json())

    assert wait_for(lambda: {run["state_type"] for run in found("task_runs")} == {"COMPLETED"}, 10)
    assert [tag for run in found("task_runs") for tag in run["tags"]] == []
    for run in found("flow_runs"):
        (tag,) = run["tags"]
        assert tag.startswith("process:")


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
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    found = names(tmp_path / "reports" / "transfer")
    assert len(found) == len(set(found)) == 4
    assert len(list(jobs.iterdir())) == 4


@pytest.mark.cluster
def test_a_run_that_was_killed_does_not_seem_to_run(checkout: Checkout, tmp_path: Path, server: str) -> None:
    def states() -> list[str]:
        return [run["state"]["type"] for run in httpx.post(f"{server}/flow_runs/filter", json={}).json()]

    assert set(states()) <= {"COMPLETED"}
    params = tmp_path / "params.yaml"
    params.write_text((checkout.path / "params.yaml").read_text().replace("iterations: 2", "iterations: 2000"))
    process = checkout.start([*STUDY, "--params", str(params), "--reports", str(tmp_path / "reports")])
    with killed_at_the_end(process):
        assert wait_for(lambda: "RUNNING" in states())
        process.kill()
        process.wait()
    assert states().count("RUNNING") == 1
    there = {"NST_CACHE": str(tmp_path / "jobs")}
    checkout.run(*STUDY, "--reports", str(tmp_path / "reports"), **there)
    assert states().count("CRASHED") == 1
    assert set(states()) == {"COMPLETED", "CRASHED"}


@pytest.mark.cluster
def test_results_are_filed_under_the_workers_kind_of_machine(checkout: Checkout, tmp_path: Path) -> None:
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
