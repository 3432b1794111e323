"""`python -m flows.study` as a whole: real weights, a real Prefect API, real Dask workers, real signals."""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from flows_support import (
    TINY,
    Checkout,
    alive,
    family,
    killed_at_the_end,
    make_checkout,
    set_params,
    wait_for,
    with_a_bad_picture,
    written,
)

from flows import services, settings

NOWHERE = "http://127.0.0.1:9/api"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Prefect API and two Dask workers for all tests here, as a person would give them by address."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        patch.delenv(services.API, raising=False)
        settings.prepare_environment()
        where = settings.Settings(dask_address=None)
        with services.server(services.free_port(), where, {}) as api, services.cluster(where, 2) as address:
            yield {services.API: api.url, "NST_DASK_ADDRESS": address}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, given: dict[str, str]) -> Checkout:
    """A checkout in which the transfer study has run, with one worker of its own."""
    made = make_checkout(tmp_path_factory.mktemp("checkout"), given)
    set_params(made, TINY)
    made.study("transfer", NST_WORKERS="1", NST_DASK_ADDRESS="")
    return made


def test_writes_its_folder(checkout: Checkout) -> None:
    folder = checkout.path / "reports" / "transfer"
    assert {path.name for path in folder.iterdir()} == {
        "figures",
        "headline.json",
        "images",
        "recommended.json",
        "tables",
    }
    assert len(list((folder / "images").iterdir())) == len(checkout.finished()) == 4
    assert [path.name for path in (checkout.path / "reports").iterdir() if path.name.startswith(".")] == []


def test_finished_jobs_do_not_run_again(checkout: Checkout) -> None:
    before, files = checkout.finished(), written(checkout.path / "reports" / "transfer")
    output = checkout.study("transfer", **{services.API: NOWHERE})  # with nothing to run, it is not needed
    assert output == "transfer: all 4 jobs were finished before\n"
    assert checkout.finished() == before
    assert written(checkout.path / "reports" / "transfer") == files


def test_another_number_of_workers_gives_the_same_bytes(checkout: Checkout, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flows.study", "transfer", "--reports", str(tmp_path / "reports")]
    checkout.run(*command, NST_CACHE=str(tmp_path / "jobs"))
    assert len(list((tmp_path / "jobs").iterdir())) == 4
    with_one = written(checkout.path / "reports" / "transfer")
    assert written(tmp_path / "reports" / "transfer") == with_one


def test_cut_and_altered_results_are_computed_again(checkout: Checkout) -> None:
    before = checkout.finished()
    cut, altered, _, _ = sorted(checkout.cache.glob("*.json"))
    cut.write_bytes(cut.read_bytes()[:1000])
    text = altered.read_text()
    altered.write_text(re.sub(r'("final_loss": )[0-9.]+', r"\g<1>0.125", text))
    assert altered.read_text() != text
    output = checkout.study("transfer")
    assert len(re.findall(r"^transfer · .*; it is computed again$", output, re.MULTILINE)) == 2
    after = checkout.finished()
    assert {name for name in before if after[name] != before[name]} == {cut.name, altered.name}
    assert json.loads(cut.read_text())["sha256"]


def test_a_failing_job_is_named_and_the_others_are_kept(checkout: Checkout, tmp_path: Path) -> None:
    options = {"NST_CACHE": str(tmp_path / "jobs"), "NST_RETRIES": "1", "NST_RETRY_DELAY": "0"}
    files = written(checkout.path / "reports" / "transfer")
    with with_a_bad_picture(checkout):
        output = checkout.study("transfer", code=1, **options)
    told = re.findall(r"^failed: .*$", output, re.MULTILINE)
    assert len(told) == 1
    assert told[0].startswith("failed: transfer · egeskov × great_wave · conv2_2 | 1-2 · from noise 0: ")
    assert "error: 1 of 4 jobs failed; the others are kept" in output
    assert "Traceback" not in output
    assert written(checkout.path / "reports" / "transfer") == files
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "jobs").iterdir()}
    assert len(kept) == 3
    checkout.study("transfer", **options)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "jobs").iterdir()}
    assert len(after) == 4
    assert kept.items() <= after.items()


OWN = {services.API: "", "NST_DASK_ADDRESS": ""}


@pytest.mark.parametrize(
    ("send", "code", "environment"),
    [
        pytest.param(signal.SIGKILL, -9, OWN, id="kill -9"),
        pytest.param(signal.SIGINT, 130, {"NST_DASK_ADDRESS": ""}, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, 143, {}, id="SIGTERM"),
    ],
)
def test_resumes_when_stopped_and_leaves_nothing_behind(
    checkout: Checkout, tmp_path: Path, send: signal.Signals, code: int, environment: dict[str, str]
) -> None:
    params = tmp_path / "params.yaml"
    # Jobs of some seconds: when the first has ended, others are in the middle.
    params.write_text((checkout.path / "params.yaml").read_text().replace("iterations: 2", "iterations: 400"))
    command = [sys.executable, "-m", "flows.study", "transfer", "--params", str(params)]
    before = checkout.finished()
    process = checkout.start(command, **environment)
    with killed_at_the_end(process):
        assert wait_for(lambda: len(checkout.finished()) > len(before), 250, every=0.02)
        members = family(process.pid)
        began = time.monotonic()
        if send is signal.SIGINT:  # as a terminal sends it
            os.killpg(process.pid, send)
        else:
            process.send_signal(send)
        assert process.wait(30) == code
        assert wait_for(lambda: not alive(members), 30), alive(members)
        assert time.monotonic() - began < 15
        assert process.stdout is not None
        assert "leaked" not in process.stdout.read()
    kept = checkout.finished()
    assert len(before) < len(kept)
    checkout.run(*command)
    assert kept.items() <= checkout.finished().items()
    assert len(checkout.finished()) == len(before) + 4
    for name in checkout.finished().keys() - before.keys():
        (checkout.cache / name).unlink()


class TestWrongInput:
    """One line, exit code 2, nothing started."""

    def said(self, checkout: Checkout, *arguments: str, code: int = 2, **environment: str) -> str:
        output = checkout.run(sys.executable, "-m", "flows.study", *arguments, code=code, timeout=60, **environment)
        assert "Traceback" not in output
        return output.splitlines()[-1]

    def test_unknown_key(self, checkout: Checkout, tmp_path: Path) -> None:
        text = (checkout.path / "params.yaml").read_text()
        (tmp_path / "params.yaml").write_text(text.replace("iterations:", "iteration:", 1))
        line = self.said(checkout, "transfer", "--params", str(tmp_path / "params.yaml"))
        assert line.startswith("error: ")
        assert "iterations" in line

    def test_missing_data(self, checkout: Checkout, tmp_path: Path) -> None:
        line = self.said(checkout, "transfer", "--data", str(tmp_path), NST_CACHE=str(tmp_path / "jobs"))
        assert line.startswith("error: ")
        assert str(tmp_path) in line

    def test_a_picture_that_only_later_jobs_need(self, checkout: Checkout, tmp_path: Path) -> None:
        params = yaml.safe_load((checkout.path / "params.yaml").read_text())
        params["reconstruction"]["contents"][1] = "nobody"
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        where = {"NST_CACHE": str(tmp_path / "jobs"), "PREFECT_API_URL": NOWHERE}  # no job could run
        line = self.said(checkout, "reconstruction", "--params", str(tmp_path / "params.yaml"), **where)
        assert "no picture called 'nobody'" in line

    def test_api_that_does_not_answer(self, checkout: Checkout, tmp_path: Path) -> None:
        line = self.said(checkout, "transfer", code=1, PREFECT_API_URL=NOWHERE, NST_CACHE=str(tmp_path / "jobs"))
        assert line.startswith(f"error: Prefect's API at {NOWHERE} does not answer")

    @pytest.mark.parametrize(
        ("name", "value", "code", "told"),
        [
            ("NST_WORKER", "2", 2, "NST_WORKER is no setting; is it NST_WORKERS?"),
            ("NST_MEMORY_LIMIT", "-1", 2, "NST_MEMORY_LIMIT = '-1': should be auto, 0 (no limit), or a size like 3GB"),
            ("NST_CACHE", "/dev/null/jobs", 1, "NST_CACHE = '/dev/null/jobs' cannot be read: Not a directory"),
            ("NST_CACHE", "/proc/jobs", 1, "NST_CACHE = '/proc/jobs' cannot be written: No such file or directory"),
        ],
    )
    def test_settings_that_cannot_be_used(
        self, checkout: Checkout, name: str, value: str, code: int, told: str
    ) -> None:
        assert self.said(checkout, "transfer", code=code, **{name: value}) == f"error: {told}"

    def test_pruning_for_studies_that_are_not_finished(self, checkout: Checkout) -> None:
        before = checkout.finished()
        assert f"{len(before)} finished jobs, 0." in checkout.run(sys.executable, "-m", "flows.store")
        output = checkout.run(sys.executable, "-m", "flows.store", "--prune", code=2)
        assert "error: reconstruction is not finished, so it is not known which jobs it wants: " in output
        assert checkout.finished() == before

    def test_unknown_study(self, checkout: Checkout) -> None:
        output = checkout.run(sys.executable, "-m", "flows.study", "nonsense", code=2)
        assert "invalid choice: 'nonsense'" in output


def test_help_imports_nothing_heavy(checkout: Checkout) -> None:
    assert "python -m flows.study" in checkout.run(sys.executable, "-m", "flows.study", "--help")
    heavy = "{'torch', 'prefect', 'distributed', 'pandas', 'matplotlib'}"
    checkout.run(sys.executable, "-c", f"import sys, flows.study; sys.exit(bool({heavy} & set(sys.modules)))")
