"""DVC's own views and remotes: what `dvc plots show` draws, and what `dvc push` and `dvc pull` carry."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from flows_support import Checkout, make_checkout
from playwright.sync_api import sync_playwright
from study_support import DATA, ROOT
from test_browser import CHROMIUM, FLAGS

from nst.params import STUDIES

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))
DRAWN = (".png", ".jpg", ".jpeg", ".gif", ".svg")
"""Pictures that DVC shows; it takes no WebP."""


def _sources(plot: str | dict[str, Any]) -> list[str]:
    """The files of one entry of `plots:`."""
    return [plot] if isinstance(plot, str) else [file for each in plot.values() for file in each["y"]]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of the page that `dvc plots show` writes."""
    folder = tmp_path_factory.mktemp("plots")
    command = [sys.executable, "-m", "dvc", "plots", "show", "--out", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return (folder / "index.html").as_uri()


@pytest.mark.parametrize("study", STUDIES)
def test_each_study_has_a_curve_and_a_picture(study: str) -> None:
    files = [file for plot in PIPELINE["plots"] for file in _sources(plot) if file.startswith(f"reports/{study}/")]
    assert any(file.endswith(".csv") for file in files)
    assert any(file.endswith(DRAWN) for file in files)
    kept = subprocess.run(["git", "ls-files", *files], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(files) == set(kept.split()), "a new clone has them"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the PATH: apt install chromium")
def test_the_plots_are_drawn_without_a_network(page: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(offline=True)
        opened = context.new_page()
        errors: list[str] = []
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.goto(page)
        charts = [plot for plot in PIPELINE["plots"] if not isinstance(plot, str)]
        drawn = {svg.locator("text").first.inner_html(): svg for svg in opened.locator("svg").all()}
        assert drawn.keys() == {name for chart in charts for name in chart}
        for chart in charts:
            ((name, description),) = chart.items()
            ((file, columns),) = description["y"].items()
            rows = len((ROOT / file).read_text("utf-8").splitlines()) - 1
            series = len(columns) if isinstance(columns, list) else 1
            assert drawn[name].locator("circle").count() == rows * series
            assert drawn[name].locator("polyline").count() == series * (description["template"] == "linear")
        loaded = opened.evaluate("[...document.images].map((image) => image.complete && image.naturalWidth > 0)")
        assert loaded == [True] * (len(PIPELINE["plots"]) - len(charts))
        assert errors == []
        browser.close()


def _outputs() -> Iterator[str]:
    for stage in PIPELINE["stages"].values():
        for output in [*stage["outs"], *stage.get("metrics", [])]:
            yield output if isinstance(output, str) else next(iter(output))


def test_what_git_keeps_of_the_reports_is_made_by_the_pipeline() -> None:
    """A table that an earlier version wrote, and none writes now, would be read as if it were new."""
    listed = subprocess.run(["git", "ls-files", "reports"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    places = tuple(_outputs())
    assert [
        file for file in listed.splitlines() if not file.startswith(places) and Path(file).name != ".gitignore"
    ] == []


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which every output is there, as after a run, and known to DVC."""
    made = make_checkout(tmp_path_factory.mktemp("finished"))
    for output in _outputs():
        path = made.path / output
        if not path.suffix:
            path /= "picture.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"of {output}")
    made.run("dvc", "commit", "--force", "--quiet")
    made.run("git", "add", "--all")
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    made.run("git", *who, "commit", "--quiet", "--message", "a run")
    return made


def _clone(checkout: Checkout, path: Path) -> Checkout:
    subprocess.run(["git", "clone", "--quiet", str(checkout.path), str(path)], check=True)
    return Checkout(path)


def test_the_repository_s_own_store_is_for_pictures_alone(finished: Checkout, tmp_path: Path) -> None:
    """Nothing that a run computed gets into git by `dvc push`; what to study comes with `dvc pull data`."""
    said = finished.run("dvc", "push", code=1)
    assert "Setup default remote" in said
    assert finished.run("git", "status", "--porcelain") == ""

    clone = _clone(finished, tmp_path / "clone")
    clone.run("dvc", "pull", "data")
    assert len(list((clone.path / "data").rglob("*.jpg"))) == len(list(DATA.rglob("*.jpg")))


def test_everything_goes_to_a_remote_and_comes_back(finished: Checkout, tmp_path: Path) -> None:
    add = ("dvc", "remote", "add", "--quiet", "--local")
    finished.run(*add, "mine", str(tmp_path / "remote"))
    finished.run("dvc", "push", "--remote", "mine")
    clone = _clone(finished, tmp_path / "clone")
    clone.run(*add, "--default", "mine", str(tmp_path / "remote"))
    clone.run("dvc", "pull")
    for output in _outputs():
        path = Path(output) if Path(output).suffix else Path(output) / "picture.png"
        assert (clone.path / path).read_text() == f"of {output}"
    assert "up to date" in clone.run("dvc", "status")
