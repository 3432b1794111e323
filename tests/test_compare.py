"""Two runs side by side: made up ones, and a real repository with a real change."""

import html
import io
import json
import math
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from flows_support import TINY, Checkout, make_checkout, set_params
from PIL import Image

from nst.params import Params
from nst.report import compare
from nst.report.compare import CompareError, Side
from nst.report.differences import differences, texts

MAKE = ["make", "--old-file=.venv/.installed", "compare"]


def png(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(buffer, "PNG")
    return buffer.getvalue()


def make_run(folder: Path, jobs: dict[str, dict[str, Any]], params: str = "size: 64\n", **metrics: Any) -> Side:
    """A run of one study; a job's picture is of its "colour", or is not there."""
    study = folder / "reports" / "transfer"
    (study / "images").mkdir(parents=True)
    (study / "figures").mkdir()
    tables = study / "tables"
    tables.mkdir()
    (folder / "params.yaml").write_text(params)
    (tables / "metrics.json").write_text(json.dumps(metrics))
    names = [name for name in next(iter(jobs.values())) if name != "colour"]
    lines = [",".join(["job", *names, "image"])]
    for job, values in jobs.items():
        lines.append(",".join([job, *(str(values[name]) for name in names), f"images/{job}.png"]))
        if "colour" in values:
            (study / "images" / f"{job}.png").write_bytes(png(values["colour"]))
    (tables / "quality.csv").write_text("\n".join(lines) + "\n")
    (tables / "timing.csv").write_text("\n".join(["job,seconds", *(f"{job},2.5" for job in jobs)]) + "\n")
    return Side(folder.name, folder)


RED, BLUE = (200, 0, 0), (0, 0, 200)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Side, Side]:
    """One job is the same, one changed a little, one a lot, one is gone, one is new."""
    before = make_run(
        tmp_path / "old",
        {
            "same": {"ssim": 0.5, "psnr": 20.0, "colour": RED},
            "little": {"ssim": 0.5, "psnr": 20.0, "colour": RED},
            "lot": {"ssim": 0.5, "psnr": 20.0, "colour": RED},
            "gone": {"ssim": 0.5, "psnr": 20.0, "colour": RED},
        },
        params="size: 64\ntransfer: {style_weight: 10.0, old: 1, seeds: [0, 1]}\n",
        best="9-13",
        distance={"1-5": 0.0, "2-6": 0.2},
    )
    after = make_run(
        tmp_path / "new",
        {
            "same": {"ssim": 0.5, "psnr": 20.0, "sliced": 1.0, "colour": RED},
            "little": {"ssim": 0.5, "psnr": 20.2, "sliced": 1.0, "colour": BLUE},
            "lot": {"ssim": 0.25, "psnr": 10.0, "sliced": 1.0, "colour": BLUE},
            "new": {"ssim": 0.5, "psnr": 20.0, "sliced": 1.0},
        },
        params="size: 64\ntransfer: {style_weight: 30.0, seeds: [0, 1, 2]}\n",
        best="1-5",
        distance={"1-5": 0.1, "2-6": 0.8},
    )
    return before, after


def test_what_differs_and_by_how_much(two: tuple[Side, Side], tmp_path: Path) -> None:
    (found,) = compare.write(*two, tmp_path / "page.html")
    assert texts(found.metrics) == [
        ("best", "9-13", "1-5", "–"),
        ("distance.1-5", "0", "0.1000", "from 0"),
        ("distance.2-6", "0.2000", "0.8000", "+300 %"),
    ]
    assert texts(found.quality) == [
        ("lot", "ssim", "0.5000", "0.2500", "−50 %"),
        ("lot", "psnr", "20.00", "10.00", "−50 %"),
        ("little", "psnr", "20.00", "20.20", "+1 %"),
    ]
    assert (found.jobs, found.only_before, found.only_after) == (3, ("gone",), ("new",))
    assert found.seconds == (10.0, 10.0)
    assert [(pair.title, pair.note) for pair in found.pictures] == [
        ("lot", "ssim −50 %, psnr −50 %"),
        ("little", "psnr +1 %"),
    ]
    assert found.facts == (("Only after", "sliced"), ("Pictures that are the same in both", "1"))


def write_verdicts(side: Side, choices: dict[str, tuple[str, list[str]]], claims: dict[str, str]) -> None:
    """As `nst.report.build` writes them."""
    chosen = {what: {"best": best, "alike": alike} for what, (best, alike) in choices.items()}
    (side.folder / "reports" / "verdicts.json").write_text(json.dumps({"choices": chosen, "claims": claims}))


@pytest.fixture
def judged(two: tuple[Side, Side]) -> tuple[Side, Side]:
    """One choice and one verdict change, one choice is no longer told from the next, one claim is new."""
    before, after = two
    write_verdicts(
        before,
        {"Best layer": ("conv4_2", []), "Best window": ("1-5", ["2-6"]), "Recommended layers": ("conv4_2 | 6-10", [])},
        {"Depth costs.": "holds", "Noise decides.": "holds"},
    )
    write_verdicts(
        after,
        {"Best layer": ("conv4_2", []), "Best window": ("2-6", []), "Recommended layers": ("conv4_2 | 6-10", ["a"])},
        {"Depth costs.": "undecided", "Noise decides.": "holds", "New.": "doesn't hold"},
    )
    return before, after


def test_choices_and_verdicts_that_changed(judged: tuple[Side, Side]) -> None:
    found = compare.verdicts(*judged)
    assert found.lines() == (
        "4 choices and verdicts changed, 2 are the same",
        "Best window: 1-5 (not told from it: 2-6) → 2-6",
        "Recommended layers: conv4_2 | 6-10 → conv4_2 | 6-10 (not told from it: a)",
        "Depth costs. holds → undecided",
        "New. – → doesn't hold",
    )


def test_choices_and_verdicts_come_first_on_the_page(judged: tuple[Side, Side], tmp_path: Path) -> None:
    compare.write(*judged, tmp_path / "page.html")
    text = html.unescape((tmp_path / "page.html").read_text("utf-8"))
    assert re.findall(r"<h2[^>]*>([^<]*)", text) == ["Choices and verdicts", "Parameters", "Transfer"]
    assert "4 choices and verdicts changed, 2 are the same" in text
    assert '<th scope="row">Depth costs.</th><td>holds</td><td>undecided</td>' in text
    assert "Noise decides." not in text


def test_two_runs_that_agree_say_so(judged: tuple[Side, Side], tmp_path: Path) -> None:
    before = judged[0]
    assert compare.verdicts(before, Side("again", before.folder)).lines() == (
        "0 choices and verdicts changed, 5 are the same",
    )
    compare.write(before, Side("again", before.folder), tmp_path / "page.html")
    assert "What changed" not in (tmp_path / "page.html").read_text("utf-8")


@pytest.mark.parametrize("older", [0, 1])
def test_a_run_from_before_verdicts_were_written_is_named(
    judged: tuple[Side, Side], older: int, tmp_path: Path
) -> None:
    (judged[older].folder / "reports" / "verdicts.json").unlink()
    told = f"{judged[older].label}: has no reports/verdicts.json, so what it chose is not known"
    assert compare.verdicts(*judged).lines() == (told,)
    compare.write(*judged, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert told in text
    assert "are the same." not in text.split("Parameters</h2>")[0]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"choices": {"Best layer": "conv4_2"}, "claims": {}}'])
def test_damaged_verdicts_give_one_line_with_the_remedy(judged: tuple[Side, Side], text: str) -> None:
    (judged[1].folder / "reports" / "verdicts.json").write_text(text)
    with pytest.raises(
        CompareError, match=r"^new: reports/verdicts\.json cannot be read; run `dvc repro report` there$"
    ):
        compare.verdicts(*judged)


def test_tables_from_before_they_had_a_folder_are_read(two: tuple[Side, Side], tmp_path: Path) -> None:
    study = two[0].study("transfer")
    for path in (study / "tables").iterdir():
        path.rename(study / path.name)
    (found,) = compare.write(*two, tmp_path / "page.html")
    assert found.jobs == 3


def test_what_the_report_writes_is_what_is_compared(tiny: tuple[Params, Path]) -> None:
    here = Side("here", tiny[1].parent)
    assert compare.verdicts(here, Side("again", here.folder)).lines() == (
        "0 choices and verdicts changed, 7 are the same",
    )


def test_parameters_as_they_are_written(two: tuple[Side, Side]) -> None:
    changed = texts(differences(*map(compare.parameters, two)))
    assert sorted(changed) == [
        ("transfer.old", "1", "–", "–"),
        ("transfer.seeds", "[0, 1]", "[0, 1, 2]", "–"),
        ("transfer.style_weight", "10.00", "30.00", "+200 %"),
    ]


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (2.0, 1.0, -0.5),
        (-2.0, -1.0, 0.5),
        (0, 3, math.inf),
        (0.0, -3.0, -math.inf),
        ("a", 1.0, math.nan),
        (None, 1.0, math.nan),
        (False, True, math.nan),
    ],
)
def test_a_change_is_relative_to_before(before: Any, after: Any, change: float) -> None:
    (found,) = differences(*(pd.Series({"ssim": value}, dtype=object) for value in (before, after)))["change"]
    assert found == pytest.approx(change, nan_ok=True)


def test_the_page_stands_alone_and_names_cannot_become_markup(two: tuple[Side, Side], tmp_path: Path) -> None:
    before, after = two
    compare.write(Side("<script>alert(1)</script>", before.folder), after, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "<script>" not in text
    assert not re.search(r"https?://|url\(|@import|src=\"(?!data:image/)", text)
    assert text.count("<img ") == 4
    assert all(re.findall(r'<img [^>]*alt="([^"]*)"', text))


def test_a_run_against_itself_has_no_difference(two: tuple[Side, Side], tmp_path: Path) -> None:
    (found,) = compare.write(two[0], Side("again", two[0].folder), tmp_path / "page.html")
    assert (len(found.metrics), len(found.quality), found.figures, found.pictures) == (0, 0, (), ())
    assert found.facts == (("Pictures that are the same in both", "4"),)
    assert "Both runs have the same parameters" in (tmp_path / "page.html").read_text("utf-8")


def test_figures_that_changed_came_or_went(two: tuple[Side, Side], tmp_path: Path) -> None:
    for side, files in zip(
        two, ({"same.png": RED, "changed.png": RED}, {"same.png": RED, "changed.png": BLUE}), strict=True
    ):
        for name, colour in files.items():
            (side.study("transfer") / "figures" / name).write_bytes(png(colour))
    (two[1].study("transfer") / "figures" / "new.png").write_bytes(png(BLUE))
    (found,) = compare.write(*two, tmp_path / "page.html")
    assert [(pair.title, pair.before is None, pair.after is None) for pair in found.figures] == [
        ("changed.png", False, False),
        ("new.png", True, False),
    ]


def test_a_run_that_cannot_be_read_is_named(two: tuple[Side, Side], tmp_path: Path) -> None:
    before, after = two
    (before.folder / "params.yaml").unlink()
    with pytest.raises(CompareError, match=r"^old: has no params\.yaml"):
        compare.write(before, after, tmp_path / "page.html")
    shutil.copy(after.folder / "params.yaml", before.folder)
    before.table("transfer", "metrics.json").write_text("{")
    with pytest.raises(CompareError, match=r"^old: transfer/metrics\.json"):
        compare.write(before, after, tmp_path / "page.html")
    shutil.rmtree(before.study("transfer"))
    with pytest.raises(CompareError, match=r"^old: there are no reports"):
        compare.write(before, after, tmp_path / "page.html")


def test_jobs_are_found_again_by_what_tells_them_apart() -> None:
    before = ["a_conv1_1_noise0_48px_2it_learning_rate-0.03", "a_conv1_1_noise1_48px_2it_learning_rate-0.03"]
    after = ["a_conv1_1_noise0_64px_3it", "a_conv1_1_noise1_64px_3it"]
    assert compare._without_shared(before) == compare._without_shared(after) == ["a_conv1_1_noise0", "a_conv1_1_noise1"]
    varied = ["a_noise0_48px_2it", "a_noise0_48px_2it_style_weight-3.0"]
    assert compare._without_shared(varied) == ["a_noise0", "a_noise0_style_weight-3.0"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A repository whose last commit has one study, and whose working tree has it with another parameter."""
    made = make_checkout(tmp_path_factory.mktemp("clone"))
    (made.path / ".venv").symlink_to(sys.prefix)
    set_params(made, TINY)
    made.run("dvc", "repro", "reconstruction")
    made.run("git", "add", "-A")
    made.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-q", "-m", "run")
    set_params(made, {"reconstruction": {"iterations": 3}})
    made.run("dvc", "repro", "reconstruction")
    return made


@pytest.mark.cluster  # it runs a study twice
def test_a_revision_of_a_real_repository(checkout: Checkout) -> None:
    output = checkout.run(*MAKE, "REV=HEAD")
    assert "reports/compare.html" in output
    page = checkout.path / "reports" / "compare.html"
    text = page.read_text("utf-8")
    assert re.search(
        r'<th scope="row">reconstruction.iterations</th><td class="number">2</td><td class="number">3</td>', text
    )
    assert "<h4>egeskov_conv1_1_noise0</h4>" in text, "found again, though its name states the iterations"
    images = len(list((checkout.path / "reports/reconstruction/images").iterdir()))
    assert text.count("<h4>") >= images + 3  # all pictures, and the figures
    assert "The synthesis study is not in both runs." in text
    assert "reports/compare.html" not in checkout.run("git", "status", "--porcelain")

    # Pictures that nothing holds any more are said to be gone; tables and figures are in git.
    shutil.rmtree(checkout.path / ".dvc" / "cache")
    checkout.run(*MAKE, "REV=HEAD")
    text = page.read_text("utf-8")
    assert f"Pictures of HEAD neither in DVC&#39;s cache nor in a remote: {images}" in text
    assert "layers.webp" in text


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("revision", "told"),
    [
        ("nonsense", "error: nonsense: there is no such revision; "),
        ("", "error: name what to compare with: make compare REV=HEAD~1"),
        ("HEAD~1", "error: HEAD~1: there are no reports to compare; "),
    ],
)
def test_a_revision_that_cannot_be_compared_is_one_line(checkout: Checkout, revision: str, told: str) -> None:
    output = checkout.run(sys.executable, "-m", "flows.report", "--compare", revision, code=2)
    assert output.startswith(told)
    assert len(output.splitlines()) == 1
    assert told in checkout.run(*MAKE, f"REV={revision}", code=2)
