"""The report: what it says is what the tables say, and its one page needs nothing but itself."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, unquote

import pandas as pd
import pytest
from scipy.stats import spearmanr
from study_support import DATA

from nst import params
from nst.engine.layers import CLASSIC, LAYERS
from nst.engine.metrics import CONTENT_LAYER, WASSERSTEIN_LAYERS
from nst.errors import NSTError
from nst.params import Params
from nst.report import build as report
from nst.report import numbers, run, tables
from nst.report.choices import choices
from nst.report.page import _clearly_lowest
from nst.report.provenance import checksums
from nst.report.run import JOBS, ReportError, read_table
from nst.report.texts import DEFINITIONS, label
from nst.studies.intervals import Interval

ROOT = Path(__file__).resolve().parent.parent


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
    for name in (report.PAGE, report.README, report.VERDICTS):
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
    names, of_jobs = set(made.values("id")), Page((reports / JOBS).read_text("utf-8")).values("id")
    assert len(names) == len(made.values("id"))
    assert len(set(of_jobs)) == len(of_jobs)
    for target in made.values("href"):
        if target.startswith("#"):
            assert target[1:] in names
        elif not target.startswith("data:"):
            path, _, place = target.partition("#")
            assert (reports / unquote(path)).exists(), target
            assert not place or unquote(place) in of_jobs, target
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


def test_every_study_leads_to_its_tables_and_pictures(tiny: tuple[Params, Path]) -> None:
    _, reports = tiny
    targets = page(reports).values("href")
    readme = (reports / report.README).read_text("utf-8")
    for study in params.STUDIES:
        assert {f"{study}/tables/quality.csv", f"{study}/tables/timing.csv", f"{study}/images"} <= set(targets)
        assert f"]({study}/tables/quality.csv)" in readme
        runs = len(read_table(reports / study / "tables" / "quality.csv"))
        assert f"All {runs} runs" in readme


def test_every_picture_stands_beside_its_job(tiny: tuple[Params, Path]) -> None:
    _, reports = tiny
    made = Page((reports / JOBS).read_text("utf-8"))
    for study in params.STUDIES:
        table = read_table(reports / study / "tables" / "quality.csv")
        assert {f"{study}/{job}" for job in table["job"]} <= set(made.values("id"))
        for image in table["image"]:
            assert quote(f"{study}/{image}") in made.values("src")
    row = read_table(reports / "transfer" / "tables" / "quality.csv").iloc[0]
    assert row["job"] in made.text
    assert numbers.number(row["style_distance"], 4) in made.text
    assert [source for source in made.values("src") if not (reports / unquote(source)).is_file()] == []


def test_every_varied_parameter_is_shown_on_both_pages(tiny: tuple[Params, Path]) -> None:
    given, reports = tiny
    readme, html = (reports / report.README).read_text("utf-8"), page(reports)
    assert given.parameters.vary
    for name in given.parameters.vary:
        for kind in ("webp", "png"):
            assert f"parameters/figures/{name}.{kind}" in html.values("href")
            assert f"(parameters/figures/{name}.{kind})" in readme


def test_the_headline_has_the_numbers_of_the_tables(tiny: tuple[Params, Path]) -> None:
    _, reports = tiny
    readme, html = (reports / report.README).read_text("utf-8"), page(reports).text
    assert readme.index("| noise |") < readme.index("\n## ")
    folder = reports / "initialization" / "tables"
    rows = pd.concat([read_table(folder / name) for name in ("starts.csv", "speed.csv")])
    headline = tables.of_starts(run.read(reports))
    titles = [column.title for column in headline.columns]
    assert titles == ["when", "quantity", "noise", "content", "AdaIN", "content − noise", "AdaIN − noise", "n"]
    for shown, (_, group) in zip(headline.rows, rows.groupby(["when", "quantity"], sort=False), strict=True):
        by_start = group.set_index("init")
        assert [cell.value for cell in shown[2:5]] == list(by_start["mean"])
        assert [cell.value for cell in shown[5:7]] == list(by_start["difference"].drop("noise"))
        for cell in shown:
            assert cell.text in readme
            assert cell.text in html


def test_differences_are_from_noise_wherever_it_stands(copy: tuple[Params, Path]) -> None:
    """As the study takes them: the first start of params.yaml need not be noise."""
    _, reports = copy
    for name in ("starts.csv", "speed.csv"):
        path = reports / "initialization" / "tables" / name
        read_table(path).iloc[::-1].to_csv(path, index=False)
    titles = [column.title for column in tables.of_starts(run.read(reports)).columns]
    assert titles[2:] == ["AdaIN", "content", "noise", "AdaIN − noise", "content − noise", "n"]


def of_starts(**intervals: tuple[float, float]) -> pd.DataFrame:
    """A row a start: the bounds of its difference from noise, whose mean is 1."""
    rows = [(init, 1 + (low + high) / 2, low, high) for init, (low, high) in {"noise": (0, 0), **intervals}.items()]
    return pd.DataFrame(rows, columns=["init", "mean", "low", "high"])


@pytest.mark.parametrize(
    ("starts", "lowest"),
    [
        (of_starts(content=(-0.5, -0.4), adain=(-0.2, -0.1)), "content"),
        (of_starts(content=(0.1, 0.2), adain=(0.3, 0.4)), "noise"),
        (of_starts(content=(-0.5, 0.1), adain=(0.3, 0.4)), None),
        (of_starts(content=(-0.5, -0.3), adain=(-0.4, -0.2)), None),
        (of_starts(content=(-0.1, 0.3), adain=(0.3, 0.4)), None),
        (of_starts(content=(float("nan"), float("nan")), adain=(0.3, 0.4)), None),
        (of_starts(), None),
    ],
    ids=["clear", "noise", "chance against noise", "chance against the next", "noise by chance", "one run", "alone"],
)
def test_nothing_within_chance_is_marked_lowest(starts: pd.DataFrame, lowest: str | None) -> None:
    for rows in (starts, starts.iloc[::-1]):
        marked = [init for init in starts["init"] if _clearly_lowest(rows, init)]
        assert marked == ([lowest] if lowest else [])


def test_words_name_the_winner_of_the_numbers_and_what_it_is_not_told_from(tiny: tuple[Params, Path]) -> None:
    _, reports = tiny
    readme, html = (reports / report.README).read_text("utf-8"), (reports / report.PAGE).read_text("utf-8")
    for study in ("reconstruction", "synthesis", "transfer"):
        metrics = json.loads((reports / study / "tables" / "metrics.json").read_text("utf-8"))
        box = Page(html[html.index(f'id="{study}-choice"') :].split("</div>")[0]).text
        alike = ", ".join(metrics["alike"])
        assert f"{metrics['best']} " in box
        assert (f"Not told from it: {alike}. Rule" if alike else "Told from all others. Rule") in box
        assert metrics["rule"] in box
        (row,) = [line for line in readme.splitlines() if metrics["rule"] in line]
        cells = [cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", row)]
        assert cells[2].startswith(f"**{metrics['best']}** (")
        assert cells[3] == (alike or "–")


def test_verdicts_are_those_of_both_pages(tiny: tuple[Params, Path]) -> None:
    _, reports = tiny
    verdicts = json.loads((reports / report.VERDICTS).read_text("utf-8"))
    readme, html = (reports / report.README).read_text("utf-8"), page(reports)
    assert len(verdicts["choices"]) == 3
    assert html.values("data-verdict") == list(verdicts["claims"].values())
    for claim, verdict in verdicts["claims"].items():
        assert claim in html.text
        assert re.search(rf"\| {re.escape(claim)} \|[^|]*\| \*\*{verdict}\*\* \|", readme)
    for what, choice in verdicts["choices"].items():
        name = choice["best"].replace("|", "\\|")
        assert f"| {what} | **{name}** (" in readme
        assert choice["best"] in html.text


def test_a_layer_that_sees_more_than_the_picture_is_said_to(tiny: tuple[Params, Path]) -> None:
    """At 48 px: conv2_1 sees 10 px, conv4_2 84."""
    given, reports = tiny
    read = run.read(reports)
    study, choice = read.studies["reconstruction"], choices(read)["reconstruction"]
    sees = [row[1].text for row in tables.by_layer(study, choice, given.reconstruction.size).rows]
    assert sees == ["3 px", "10 px", "84 px (more than the picture)"]
    for text in ((reports / report.README).read_text("utf-8"), page(reports).text):
        assert "84 px (more than the picture)" in text
    assert tables.by_layer(study, choice, 84).rows[2][1].text == "84 px"


def test_correlations_are_scipys_and_symmetric(tiny: tuple[Params, Path]) -> None:
    read = run.read(tiny[1])
    found = tables.correlations(read)
    titles = [column.title for column in found.columns[1:]]
    assert [row[0].text for row in found.rows] == titles
    values = [[cell.value for cell in row[1:]] for row in found.rows]
    assert [values[i][i] for i in range(len(titles))] == [None] * len(titles)
    assert [list(column) for column in zip(*values, strict=True)] == values

    runs = pd.concat([study.runs for study in read.studies.values()]).dropna(subset=["content", "style"])
    names = {label(name).title: name for name in tables.CORRELATED}
    pictures = runs.drop_duplicates(["pair", *tables.CORRELATED])
    assert f"over {len(pictures)} pictures" in found.caption
    one, other = titles.index("SSIM"), titles.index("style distance")
    expected = spearmanr(pictures[names["SSIM"]], pictures[names["style distance"]]).statistic
    assert values[one][other] == pytest.approx(expected)


def test_tables_name_no_other_best_than_the_choice(tiny: tuple[Params, Path]) -> None:
    read = run.read(tiny[1])
    chosen = choices(read)
    shown = {
        "synthesis": tables.by_window(read.studies["synthesis"], chosen["synthesis"]),
        "transfer": tables.of_finalists(read, chosen["transfer"]),
    }
    for study, table in shown.items():
        told = {row[0].text: row[-1].text for row in table.rows}
        assert [name for name, text in told.items() if text == "winner"] == [chosen[study].winner]
        assert {name for name, text in told.items() if text == "no"} == set(chosen[study].alike)
        best = {row[1].text for row in table.rows if row[-1].text == "winner"}
        assert best == {numbers.NOTHING}, "no spread of a difference from itself"


def test_both_pages_say_where_it_comes_from(tiny: tuple[Params, Path]) -> None:
    _, reports = tiny
    digests = [digest for _, digest in checksums(DATA)]
    assert len(digests) >= 6
    for fact in (*digests, "size: 48", "style_windows:", "torch", "bfloat16", "CC BY-SA 4.0"):
        assert fact in page(reports).text
    for fact in ("params.yaml", "bfloat16", "CC BY-SA 4.0"):
        assert fact in (reports / report.README).read_text("utf-8")


def test_the_definitions_name_the_layers_that_are_measured() -> None:
    assert re.findall(r"conv\d_\d", DEFINITIONS["content distance"]) == [CONTENT_LAYER]
    assert re.findall(r"conv\d_\d", DEFINITIONS["sliced Wasserstein"]) == []
    assert WASSERSTEIN_LAYERS == CLASSIC, "said to be those of Gatys et al."
    assert f"all {len(LAYERS)} layers" in DEFINITIONS["style distance"]


def test_every_distance_that_is_shown_is_defined() -> None:
    shown = {*tables.FINALIST_METRICS, *tables.TEXTURE_METRICS, "psnr", "ssim"}
    assert {label(name).title for name in shown} <= set(DEFINITIONS)


@pytest.mark.parametrize(
    ("missing", "study"),
    [
        ("transfer", "transfer"),
        ("synthesis/tables/quality.csv", "synthesis"),
        ("initialization/tables/losses.csv", "initialization"),
        ("initialization/tables/elapsed.csv", "initialization"),
        ("initialization/tables/starts.csv", "initialization"),
        ("transfer/tables/finalists.csv", "transfer"),
        ("parameters/figures/style_weight.webp", "parameters"),
        ("parameters/figures/curves.png", "parameters"),
        ("gallery/figures/grid.webp", "gallery"),
        ("gallery/figures/process.gif", "gallery"),
        ("reconstruction/tables/metrics.json", "reconstruction"),
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


@pytest.mark.parametrize(
    ("study", "table"),
    [
        ("initialization", "elapsed.csv"),
        ("initialization", "quality.csv"),
        ("transfer", "quality.csv"),
        ("transfer", "timing.csv"),
        ("synthesis", "timing.csv"),
    ],
)
def test_a_table_without_its_last_row_is_refused(copy: tuple[Params, Path], study: str, table: str) -> None:
    _, reports = copy
    path = reports / study / "tables" / table
    text = path.read_text("utf-8")
    path.write_text(text[: text.rindex("\n", 0, -1) + 1], "utf-8")
    with pytest.raises(ReportError) as error:
        run.read(reports)
    assert f"{study}: its tables do not fit together" in str(error.value)
    assert f"run `dvc repro --force {study}`" in str(error.value)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("metrics.json", "{"),
        ("quality.csv", ""),
        ("quality.csv", 'job,"\n'),
        ("cells.csv", "a,b\n1\n2,3,4\n"),
        ("cells.csv", "a,b\n1,2\n"),
        ("finalists.csv", "a,b\n1,2\n"),
        ("metrics.json", "{}"),
        ("metrics.json", "[]"),
    ],
)
def test_damaged_tables_give_one_line_with_the_remedy(copy: tuple[Params, Path], table: str, text: str) -> None:
    _, reports = copy
    (reports / "transfer" / "tables" / table).write_text(text, "utf-8")
    with pytest.raises(ReportError) as error:
        run.read(reports)
    assert re.fullmatch(r".*transfer: its tables do not fit together .*dvc repro --force transfer`", str(error.value))


@pytest.mark.parametrize("name", ["null", "5", "NA"])
def test_names_that_look_like_something_else_stay_names(tmp_path: Path, name: str) -> None:
    (tmp_path / "quality.csv").write_text(f"job,content,style_layers,ssim\na,{name},5,\n")
    (row,) = read_table(tmp_path / "quality.csv").to_dict("records")
    assert (row["content"], row["style_layers"]) == (name, "5")
    assert row["ssim"] != row["ssim"]


def test_names_cannot_become_markup(copy: tuple[Params, Path]) -> None:
    given, reports = copy
    for table in ("quality.csv", "finalists.csv"):
        column = {"quality.csv": "content", "finalists.csv": "finalist"}[table]
        name = read_table(reports / "transfer" / "tables" / table)[column] + "<script>alert(1)</script>"
        rewrite(reports / "transfer" / "tables" / table, **{column: name})
    path = reports / "transfer" / "tables" / "metrics.json"
    metrics = json.loads(path.read_text("utf-8"))
    metrics["best"] += "<script>alert(1)</script>"
    metrics["numbers"] = {f"{name}<script>alert(1)</script>": each for name, each in metrics["numbers"].items()}
    path.write_text(json.dumps(metrics), "utf-8")
    report.write(given, reports, DATA)
    text = (reports / report.PAGE).read_text("utf-8")
    assert "&lt;script&gt;alert" in text
    assert "<script>alert" not in text


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
    ("value", "shown"), [(1209.0, "1200"), (751.2, "750"), (38.4, "38"), (0.0571, "0.057"), (9.96, "10"), (0.0, "0")]
)
def test_measurements_have_two_digits_before_the_point_too(value: float, shown: str) -> None:
    assert numbers.about(value) == shown


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (Interval(-0.0813, -0.1012, -0.0614, 9), "−0.081 [−0.101, −0.061]"),
        (Interval(-16.33, -20.12, -12.54, 9), "−16.3 [−20.1, −12.5]"),
        (Interval(0.25, 0.25, 0.25, 9), "0.25 [0.25, 0.25]"),
        (Interval(0.25, float("nan"), float("nan"), 1), "0.25"),
        (Interval(float("nan"), float("nan"), float("nan"), 9), "–"),
    ],
)
def test_an_interval_has_the_digits_of_its_width(found: Interval, shown: str) -> None:
    assert numbers.interval(found) == shown
