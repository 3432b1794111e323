"""The report: what it says is what the tables say, and its one page needs nothing but itself."""

import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from nst import params
from nst.errors import NSTError
from nst.params import Params
from nst.report import build as report
from nst.report import findings, wording
from nst.report.findings import initialization, synthesis
from nst.studies.tables import read_csv, read_metrics, write_csv, write_metrics

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


def rewrite(path: Path, change: Callable[[dict[str, str]], None]) -> None:
    """Alter each row of a CSV file."""
    table = read_csv(path)
    for row in table:
        change(row)
    write_csv(table, path)


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
        for row in read_csv(reports / study / "quality.csv"):
            assert f"{study}/{row['image']}" in targets
            assert row["job"] in made.text
            for key in ("content_distance", "style_distance", "psnr", "ssim", "final_loss"):
                if row[key]:
                    assert str(float(row[key])) in values, (study, row["job"], key)
        for row in read_csv(reports / study / "timing.csv"):
            assert str(float(row["seconds"])) in values


def test_the_headline_has_the_numbers_of_the_tables(tiny: tuple[Params, Path]) -> None:
    _, reports = tiny
    readme, html = (reports / report.README).read_text("utf-8"), page(reports).text
    starts, speed = (read_csv(reports / "initialization" / name) for name in ("starts.csv", "speed.csv"))
    tables = {(row["pair"], row["init"]): row | extra for row, extra in zip(starts, speed, strict=True)}
    for init in ("noise", "content", "adain"):
        row = tables["all", init]
        for key in ("content_distance", "style_distance", "ssim", "iterations_to_target", "seconds_to_target"):
            shown = wording.plus_minus(float(row[key]), float(row[f"{key}_sd"]))
            assert shown in readme
            assert shown in html


def test_choices_and_provenance_are_those_of_the_studies(tiny: tuple[Params, Path]) -> None:
    _, reports = tiny
    readme, html = (reports / report.README).read_text("utf-8"), page(reports).text
    metrics = {study: read_metrics(reports / study) for study in params.STUDIES}
    cell = metrics["transfer"]["recommended"]
    digests = [digest for _, digest in report.checksums(DATA)]
    assert len(digests) >= 6
    for text in (readme, html):
        assert metrics["reconstruction"]["best_layer"] in text
        assert f"{cell['content_layer']} with {cell['style_layers']}" in text
        for study in ("reconstruction", "synthesis", "transfer"):
            assert metrics[study]["rule"][1:] in text  # the page begins it with a capital
        for fact in (*digests, "size: 48", "content_layers: 1-4", "torch", "bfloat16", "CC BY-SA 4.0"):
            assert fact in text


def test_sentences_turn_when_the_numbers_do(copy: tuple[Params, Path]) -> None:
    given, reports = copy

    def sentence() -> str:
        sections = findings.sections(given, report.read(reports))
        (told,) = [
            text for part in sections for text in part.findings if text.startswith("Iterations to the target: noise")
        ]
        return told

    def needing(noise: float, content: float, deviation: float) -> None:
        def change(row: dict[str, str]) -> None:
            row["iterations_to_target"] = str({"noise": noise, "content": content}.get(row["init"], 7))
            row["iterations_to_target_sd"] = str(deviation)

        rewrite(reports / "initialization" / "starts.csv", change)

    needing(40, 10, 1)
    assert "noise 40; content 10, 4.0× fewer than noise, clearly so in all 3 pairs" in sentence()
    assert "Fewest iterations to it: AdaIN (7.0)" in initialization.headline(report.read(reports))[1]
    needing(10, 40, 1)
    assert "noise 10; content 40, 4.0× more than noise, clearly so in all 3 pairs" in sentence()
    needing(10, 11, 5)
    assert "content 11, 10 % more than noise, but in no pair beyond the spread of its runs" in sentence()
    needing(10, 10, 0)
    assert "content 10, the same as noise, in no pair beyond the spread of its runs" in sentence()
    report.write(given, reports, DATA)
    assert sentence() in (reports / report.README).read_text("utf-8")


def test_a_spread_that_exceeds_the_margin_is_told(copy: tuple[Params, Path]) -> None:
    given, reports = copy
    metrics = read_metrics(reports / "synthesis")
    for spread, expected in ((0.001, "less than the margin"), (0.2, "The spread exceeds the margin")):
        metrics["margin"] = 0.1
        metrics["noises"][given.synthesis.style]["style_distance"] = [0.5, 0.5 + spread]
        write_metrics(metrics, reports / "synthesis")
        chosen = synthesis.section(given, report.read(reports)).chosen
        assert chosen is not None
        assert expected in chosen.certainty


@pytest.mark.parametrize(
    ("missing", "study"),
    [
        ("transfer", "transfer"),
        ("synthesis/quality.csv", "synthesis"),
        ("initialization/speed.csv", "initialization"),
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
    with pytest.raises(report.ReportError, match=r"elapsed\.csv and losses\.csv do not fit together"):
        report.write(given, reports, DATA)
    rewrite(reports / "transfer" / "timing.csv", lambda row: row.update(job="other"))
    with pytest.raises(report.ReportError, match="do not fit together"):
        report.write(given, reports, DATA)
    (reports / "transfer" / "metrics.json").write_text("{", "utf-8")
    with pytest.raises(report.ReportError, match="do not fit together"):
        report.write(given, reports, DATA)


def test_names_cannot_become_markup(copy: tuple[Params, Path]) -> None:
    given, reports = copy
    rewrite(reports / "transfer" / "quality.csv", lambda row: row.update(content="<script>alert(1)</script>"))
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
    assert wording.number(value) == shown


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
    assert wording.plus_minus(mean, deviation) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1209.0, "1200"), (751.2, "750"), (38.4, "38"), (0.0571, "0.057"), (9.96, "10"), (0.0, "0")]
)
def test_measurements_have_two_digits_before_the_point_too(value: float, shown: str) -> None:
    assert wording.about(value) == shown


def test_comparisons_say_which_way_and_how_much() -> None:
    assert wording.versus(4.0, 40.0, "fewer", "more") == "10× fewer"
    assert wording.versus(40.0, 4.0, "fewer", "more") == "10× more"
    assert wording.versus(0.0, 4.0, "fewer", "more") == "fewer"
    assert wording.versus(0.9, 1.0) == "10 % lower"
    assert wording.versus(1.0, 1.0) == ""
    assert wording.rank_correlation([1, 2, 3], [5, 7, 9]) == pytest.approx(1)
    assert wording.rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert wording.rank_correlation([1, 2, 2, 4], [1, 3, 3, 2]) == pytest.approx(0.333, abs=1e-3)  # ties share ranks
    assert wording.rank_correlation([1, 2, 3], [5, 5, 5]) is None
    assert wording.trend([2, 1]) == "falls"
    assert wording.trend([0.1351, 0.1461]) == "rises"
    assert wording.trend([0.1351, 0.1405]) == "stays the same", "both are printed as 0.14"
    assert wording.trend([1, 2]) == "rises"
