"""`make repro` and `dvc repro` from a fresh clone, killed in the middle, again, and with a change."""

import ast
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from flows_support import (
    ROOT,
    TINY,
    Checkout,
    alive,
    family,
    killed_at_the_end,
    make_checkout,
    set_params,
    wait_for,
)

from nst.params import STUDIES, Settings

# The environment these tests run in stands for the one that `make` would build.
MAKE = ["make", "--old-file=.venv/.installed", "repro"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A clone with tiny parameters and nothing in it that was computed."""
    made = make_checkout(tmp_path_factory.mktemp("clone"))
    (made.path / ".venv").symlink_to(sys.prefix)
    set_params(made, TINY)
    return made


@pytest.mark.timeout(600)
def test_repro_from_nothing_to_the_report(checkout: Checkout) -> None:
    # Killed in the first study by `kill -9` of make itself …
    process = checkout.start(MAKE)
    with killed_at_the_end(process):
        assert wait_for(lambda: len(checkout.finished()) > 1, seconds=250)
        members = family(process.pid)
        assert len(members) > 5
        os.kill(process.pid, signal.SIGKILL)
        assert wait_for(lambda: not alive(members), 60), alive(members)
    kept = checkout.finished()

    # … it goes on where it was, and ends with the whole report.
    output = checkout.run(*MAKE, timeout=400)
    for study in STUDIES:
        assert f"Running stage '{study}'" in output
    assert kept.items() <= checkout.finished().items()
    reports = checkout.path / "reports"
    for study in STUDIES:
        assert {"figures", "images", "tables", "headline.json"} <= {path.name for path in (reports / study).iterdir()}
    assert (reports / "index.html").exists()
    assert (reports / "README.md").exists()

    # Another run, of either kind, has nothing to do.
    finished = checkout.finished()
    for command in (MAKE, ["dvc", "repro"]):
        began = time.monotonic()
        output = checkout.run(*command)
        assert "Data and pipelines are up to date." in output
        assert time.monotonic() - began < 10  # 2 s on an idle machine
    assert checkout.finished() == finished

    # Of the finished jobs, those that nothing wants can be removed.
    old = checkout.cache / f"{'0' * 64}.json"
    shutil.copy(next(checkout.cache.glob("*.json")), old)
    output = checkout.run(sys.executable, "-m", "flows.store", "--prune")
    assert f"{len(finished) + 1} finished jobs" in output
    assert "removed 1 of them" in output
    assert checkout.finished() == finished

    # One changed style window costs its own cells: two content layers, so two jobs.
    set_params(checkout, {"transfer": {"style_windows": ["1-2", "2-4"]}})
    output = checkout.run("dvc", "repro", "transfer")
    assert "Running stage 'transfer'" in output
    assert "Running stage 'synthesis'" not in output
    assert finished.items() <= checkout.finished().items()
    assert len(checkout.finished()) == len(finished) + 2

    # What git is given: everything but the single pictures and the page, which DVC keeps.
    taken = checkout.run("git", "ls-files", "--cached", "--others", "--exclude-standard", "reports").splitlines()
    assert "reports/transfer/tables/quality.csv" in taken
    assert not [name for name in taken if "/images/" in name]
    assert "reports/index.html" not in taken


@pytest.mark.timeout(300)
def test_the_gallery_runs_again_for_another_choice_and_for_nothing_else_of_the_grid(checkout: Checkout) -> None:
    # The classic layers alone are the choice, whatever else changes.
    set_params(checkout, {"transfer": {"content_layers": ["conv4_2"], "style_windows": ["classic"]}})
    checkout.run("dvc", "repro", "gallery")
    transfer = checkout.path / "reports" / "transfer"
    before = (transfer / "headline.json").read_text()
    finalists = {**TINY["transfer"]["finalists"], "iterations": 3}
    set_params(checkout, {"transfer": {"finalists": finalists}})
    output = checkout.run("dvc", "repro", "gallery")
    assert "Running stage 'transfer'" in output
    assert "Running stage 'gallery'" not in output
    assert (transfer / "headline.json").read_text() != before

    # With another cell in the grid there are other finalists.
    set_params(checkout, {"transfer": {"style_windows": ["1-2"]}})
    checkout.run("dvc", "repro", "transfer")
    assert "Running stage 'gallery'" in checkout.run("dvc", "repro", "--dry", "gallery")


@pytest.mark.cluster
@pytest.mark.timeout(600)
@pytest.mark.parametrize("queued", [False, True])
def test_experiments_in_copies_use_the_finished_jobs(tmp_path: Path, queued: bool) -> None:
    made = make_checkout(tmp_path)
    set_params(made, TINY)
    made.run("git", "add", "-A")
    made.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-q", "-m", "tiny")
    made.run("dvc", "repro", "transfer")
    finished, params = made.finished(), (made.path / "params.yaml").read_bytes()
    change = ["-S", 'transfer.style_windows=["1-2","2-4"]', "transfer"]
    if queued:
        made.run("dvc", "exp", "run", "--queue", *change)
        made.run("dvc", "exp", "run", "--run-all", timeout=400)
    else:
        made.run("dvc", "exp", "run", "--temp", *change, timeout=400)
    assert finished.items() <= made.finished().items()
    assert len(made.finished()) == len(finished) + 2  # the new window's own cells
    assert (made.path / "params.yaml").read_bytes() == params
    assert "2-4" in made.run("dvc", "exp", "show", "--csv")


def imported(path: Path) -> set[str]:
    """The modules of `nst` that a file imports, those it imports late as well."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "nst":
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found |= {name for name in names if source(name)}
    return found


def source(module: str) -> Path | None:
    """Where a module's code is."""
    path = ROOT / module.replace(".", "/")
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def code(*modules: str) -> set[str]:
    """The files of these modules and of all they import."""
    needed: set[str] = set()
    waiting = set(modules)
    while waiting:
        module = waiting.pop()
        path = source(module)
        assert path is not None
        needed.add(module)
        waiting |= imported(path) - needed
    return {str(path.relative_to(ROOT)) for path in map(source, needed) if path} - {"nst/__init__.py"}


def stages() -> dict[str, Any]:
    """The stages of dvc.yaml."""
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def uncovered(used: set[str], deps: list[str]) -> set[str]:
    """The files that neither are dependencies nor lie in one."""
    return {name for name in used if not any(name == dep or name.startswith(f"{dep}/") for dep in deps)}


@pytest.mark.parametrize("study", STUDIES)
def test_a_stage_depends_on_the_code_and_parameters_it_uses(study: str) -> None:
    stage = stages()[study]
    shared, own = stage["params"]
    assert set(shared["params.yaml"]) == set(Settings.model_fields)
    assert own == study
    used = code(f"nst.studies.{study}", "nst.studies", "nst.engine.run", "nst.params")
    assert not uncovered(used - {"nst/errors.py"}, stage["deps"])
    others = {f"nst/studies/{other}.py" for other in STUDIES if other != study}
    assert not others & set(stage["deps"])


def test_the_report_depends_on_the_code_it_uses() -> None:
    used = code("nst.report.build") - {"nst/errors.py"}
    assert not uncovered(used, stages()["report"]["deps"])


def test_the_pipeline_is_short_enough_to_read() -> None:
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 160


def test_the_lock_file_pins_everything_and_names_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all("==" in line and "://" not in line and not line.startswith("-") for line in lines)
