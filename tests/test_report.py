"""The report: what it says is what the tables say, and its one page needs nothing but itself."""

import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from nst import params
from nst.engine.metrics import CONTENT_LAYER, WASSERSTEIN_LAYERS
from nst.errors import NSTError
from nst.params import Params
from nst.report import build as report
from nst.report import numbers, run, tables
from nst.report.provenance import checksums
from nst.report.run import ReportError, read_table
from nst.report.texts import DEFINITIONS

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"


@pytest.fixture
def copy(tiny: tuple[Params, Path], tmp_path: Path) -> tuple[Params, Path]:
    """The same, to be altered."""
    given, reports = tiny
    shutil.copytree(reports, tmp_path / "reports")
    return given, tmp_path / "reports"


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._skipped = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._skipped = tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._skipped = False

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.text += data

    def values(self, attribute: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(attribute)) is not None]


def page(reports: Path) -> Page:
    return Page((reports / report.PAGE).read_text("utf-8"))


def rewrite(path: Path, **columns: object) -> None:
    """Set whole columns of a table."""
    read_table(path).assign(**columns).to_csv(path, index=False)


def test_the_same_results_give_the_same_bytes(copy: tuple[Params, Path], tiny: tuple[Params, Path]) -> None:
    given, reports = copy
    report.write(given, reports, DATA)
    for name in (report.PAGE, report.README):
        assert (reports / name).read_bytes() == (tiny[1] / name).read_bytes()


def test_the_page_loads_nothing(tiny: tuple[Params, Path]) -> None:
    text = (tiny[1] / report.PAGE).read_text("utf-8")
    made = Page(text)
    assert [attrs["href"] for tag, attrs in made.tags if tag == "link"] == ["data:,"]
    assert not {"iframe", "object", "embed", "base", "audio", "video"} & {tag for tag, _ in made.tags}
    for source in (*made.values("src"), *made.values("srcset")):
        assert source.startswith("data:image/")
    assert not re.search(r"url\((?!#)|@import|https?://|fetch\(|XMLHttpRequest|import\(", text)
    assert len(text) < 15e6


def test_every_link_of_both_pages_leads_somewhere(tiny: tuple[Params, Path]) -> None:
    _, reports = tiny
    made = page(reports)
    names = set(made.values("id"))
    assert len(names) == len(made.values("id"))
    for target in made.values("href"):
        if target.startswith("#"):
            assert target[1:] in names
        elif not target.startswith("data:"):
            assert (reports / unquote(target)).is_file(), target
    readme = (reports / report.README).read_text("utf-8")
    targets = re.findall(r"\]\(([^)]+)\)", readme)
    assert len(targets) > 20
    for target in targets:
        assert (reports / unquote(target)).is_file(), target
        assert "/images/" not in target, "single pictures are not on the code host"


def test_every_picture_is_described(tiny: tuple[Params, Path]) -> None:
    described = [attrs.get("alt") for tag, attrs in page(tiny[1]).tags if tag == "img"]
    assert len(described) > 30
    assert all(described)
    assert not re.search(r"!\[\]", (tiny[1] / report.README).read_text("utf-8"))


def test_all_runs_are_listed_with_their_numbers_and_pictures(tiny: tuple[Params, Path]) -> None:
    _, reports = tiny
    made = page(reports)
    values, targets = made.values("data-value"), [unquote(target) for target in made.values("href")]
    for study in params.STUDIES:
        quality, timing = (read_table(reports / study / name) for name in ("quality.csv", "timing.csv"))
        assert {f"{study}/{image}" for image in quality["image"]} <= set(targets)
        assert all(job in made.text for job in quality["job"])
        shown = [*quality.select_dtypes(float).to_numpy().flat, *timing["seconds"]]
        assert {str(value) for value in shown if not math.isnan(value)} <= set(values)


def test_a_new_metric_is_shown_with_no_change_of_code(copy: tuple[Params, Path]) -> None:
    given, reports = copy
    rewrite(reports / "transfer" / "quality.csv", new_metric=[float(f"{index}.25") for index in range(12)])
    report.write(given, reports, DATA)
    made = page(reports)
    assert "new metric" in made.text
    assert "11.25" in made.values("data-value")


def test_the_headline_has_the_numbers_of_the_tables(tiny: tuple[Params, Path]) -> None:
    _, reports = tiny
    readme, html = (reports / report.README).read_text("utf-8"), page(reports).text
    assert readme.index("| noise |") < readme.index("\n## ")
    starts, speed = (read_table(reports / "initialization" / name) for name in ("starts.csv", "speed.csv"))
    both = starts.merge(speed, on=["pair", "init", "runs"])
    headline = tables.of_starts(run.read(reports))
    for shown, (_, row) in zip(headline.rows, both[both["pair"] == "all"].iterrows(), strict=True):
        for cell, key in zip(shown[1:], tables.START_QUANTITIES, strict=True):
            assert cell.value == pytest.approx(row[key], rel=1e-3)
            assert cell.text in readme
            assert cell.text in html


def test_choices_and_provenance_are_those_of_the_studies(tiny: tuple[Params, Path]) -> None:
    _, reports = tiny
    readme, html = (reports / report.README).read_text("utf-8"), page(reports).text
    metrics = {study: json.loads((reports / study / "metrics.json").read_text()) for study in params.STUDIES}
    cell = metrics["transfer"]["recommended"]
    digests = [digest for _, digest in checksums(DATA)]
    assert len(digests) >= 6
    for text in (readme, html):
        assert metrics["reconstruction"]["best_layer"] in text
        assert f"{cell['content_layer']} with {cell['style_layers']}" in text
        for study in ("reconstruction", "synthesis", "transfer"):
            assert metrics[study]["rule"] in text
        for fact in (*digests, "size: 48", "content_layers: 1-4", "torch", "bfloat16", "CC BY-SA 4.0"):
            assert fact in text


def test_the_definitions_name_the_layers_that_are_measured() -> None:
    assert re.findall(r"conv\d_\d", DEFINITIONS["content distance"]) == [CONTENT_LAYER]
    assert re.findall(r"conv\d_\d", DEFINITIONS["sliced Wasserstein distance"]) == list(WASSERSTEIN_LAYERS)


def test_iterations_and_seconds_to_the_target_by_hand(copy: tuple[Params, Path]) -> None:
    _, reports = copy
    folder = reports / "initialization"
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["target_loss"] = dict.fromkeys(metrics["target_loss"], 2.0)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    losses = read_table(folder / "losses.csv")
    rewrite(folder / "losses.csv", loss=3.0 - losses["iteration"])
    rewrite(folder / "elapsed.csv", seconds=0.5 + 2 * losses["iteration"])
    starts = run.read(reports).starts
    assert set(starts["iterations_to_target"]) == {1}
    assert set(starts["seconds_to_target"]) == {2.5}


@pytest.mark.parametrize(
    ("missing", "study"),
    [
        ("transfer", "transfer"),
        ("synthesis/quality.csv", "synthesis"),
        ("initialization/losses.csv", "initialization"),
        ("initialization/elapsed.csv", "initialization"),
        ("gallery/figures/grid.webp", "gallery"),
        ("gallery/figures/process.gif", "gallery"),
        ("reconstruction/metrics.json", "reconstruction"),
    ],
)
def test_a_missing_study_is_named_with_the_remedy(copy: tuple[Params, Path], missing: str, study: str) -> None:
    given, reports = copy
    path = reports / missing
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(NSTError) as error:
        report.write(given, reports, DATA)
    assert missing in str(error.value)
    assert f"dvc repro {study}" in str(error.value)
    assert "\n" not in str(error.value)


def test_tables_that_do_not_fit_together_are_refused(copy: tuple[Params, Path]) -> None:
    given, reports = copy
    elapsed = (reports / "initialization" / "elapsed.csv").read_text("utf-8")
    (reports / "initialization" / "elapsed.csv").write_text(elapsed[: elapsed.rindex("\n", 0, -1) + 1], "utf-8")
    with pytest.raises(ReportError, match=r"initialization: its tables do not fit together .*dvc repro --force"):
        report.write(given, reports, DATA)
    rewrite(reports / "transfer" / "timing.csv", job=[f"other {index}" for index in range(12)])
    with pytest.raises(ReportError, match="transfer: its tables do not fit together"):
        report.write(given, reports, DATA)
    (reports / "transfer" / "metrics.json").write_text("{", "utf-8")
    with pytest.raises(ReportError, match="transfer: its tables do not fit together"):
        report.write(given, reports, DATA)


@pytest.mark.parametrize("name", ["null", "5", "NA"])
def test_names_that_look_like_something_else_stay_names(tmp_path: Path, name: str) -> None:
    (tmp_path / "quality.csv").write_text(f"job,content,style_layers,ssim\na,{name},5,\n")
    (row,) = read_table(tmp_path / "quality.csv").to_dict("records")
    assert (row["content"], row["style_layers"]) == (name, "5")
    assert row["ssim"] != row["ssim"]


def test_names_cannot_become_markup(copy: tuple[Params, Path]) -> None:
    given, reports = copy
    rewrite(reports / "transfer" / "quality.csv", content="<script>alert(1)</script>")
    report.write(given, reports, DATA)
    assert "<script>alert" not in (reports / report.PAGE).read_text("utf-8")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0192827, "0.019"),
        (0.13449, "0.13"),
        (9.996, "10.0"),
        (24.648, "24.6"),
        (1365.2, "1365"),
        (-0.5, "−0.50"),
        (0.0, "0"),
        (None, "–"),
        (176, "176"),
    ],
)
def test_numbers_have_the_digits_that_noise_leaves_and_no_exponent(value: float | None, shown: str) -> None:
    assert numbers.number(value) == shown


@pytest.mark.parametrize(
    ("mean", "deviation", "shown"),
    [
        (0.658831, 0.0717118, "0.659 ± 0.072"),
        (0.426815, 0.18306, "0.43 ± 0.18"),
        (0.97754, 0.0, "0.978 ± 0"),
        (0.2222, 0.44096, "0.22 ± 0.44"),
        (10.6234, 0.00012, "10.6 ± <0.1"),
        (0.0, 0.0, "0 ± 0"),
    ],
)
def test_a_mean_is_rounded_to_what_its_spread_allows(mean: float, deviation: float, shown: str) -> None:
    assert numbers.plus_minus(mean, deviation) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1209.0, "1200"), (751.2, "750"), (38.4, "38"), (0.0571, "0.057"), (9.96, "10"), (0.0, "0")]
)
def test_measurements_have_two_digits_before_the_point_too(value: float, shown: str) -> None:
    assert numbers.about(value) == shown


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((-0.0813, -0.1012, -0.0614), "−0.081 [−0.101, −0.061]"),
        ((-16.33, -20.12, -12.54), "−16.3 [−20.1, −12.5]"),
        ((0.25, 0.25, 0.25), "0.25 [0.25, 0.25]"),
        ((0.25, float("nan"), float("nan")), "0.25"),
    ],
)
def test_an_interval_has_the_digits_of_its_width(values: tuple[float, float, float], shown: str) -> None:
    assert numbers.interval(*values) == shown
