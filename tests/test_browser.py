"""The page in a real browser: nothing is fetched, and everything works by pointer and by keyboard.

Chromium is the one that is installed (on Debian: `apt install chromium`); Playwright drives it and downloads nothing.
"""

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from engine_support import DATA
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright

from nst.params import STUDIES, Params
from nst.report import build as report
from nst.report.numbers import NOTHING, number

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the PATH: apt install chromium")

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
PLOTS = (".matrix", ".heat >> nth=0", ".heat >> nth=1", "figure.front")
"""Where a cell of the transfer grid is shown."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def url(tiny: tuple[Params, Path]) -> str:
    """Of the page, as a file."""
    return (tiny[1] / report.PAGE).as_uri()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """The page at desktop width; whatever a test does with it, nothing is fetched and nothing complains."""
    context = browser.new_context(viewport=DESKTOP)
    opened = context.new_page()
    complaints: list[str] = []
    fetched: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: fetched.append(request.url))
    opened.goto(url)
    yield opened
    assert complaints == []
    assert [target for target in fetched if not target.startswith("data:")] == [url]
    context.close()


def quality(reports: Path, study: str) -> list[dict[str, str]]:
    with (reports / study / "tables" / "quality.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def key(place: Locator) -> str:
    """Which cell of the grid a place stands for."""
    return place.get_attribute("data-key") or ""


def expect_shown(page: Page, job: str, reports: Path) -> None:
    """This cell, and no other, is large with its numbers, and is lit wherever it is shown."""
    row = next(row for row in quality(reports, "transfer") if row["job"] == job)
    view = page.locator("#cell-view")
    expect(view.locator('[data-part="title"]')).to_have_text(f"{row['content_layer']} with {row['style_layers']}")
    numbers = view.locator('[data-part="number"]')
    expect(numbers.nth(0)).to_contain_text(number(float(row["content_distance"])))
    expect(numbers.nth(1)).to_contain_text(number(float(row["style_distance"])))
    expect(numbers.nth(4)).to_have_text(number(float(row["ssim"])))
    expect(view.locator('[data-part="full"]')).to_have_attribute("href", f"transfer/{row['image']}")
    expect(view.locator('[data-part="title"]')).to_have_attribute("href", f"jobs.html#{quote(f'transfer/{job}')}")
    small = page.locator(f'.matrix [data-key="{job}"] img').get_attribute("src") or ""
    expect(view.locator(".large img")).to_have_attribute("src", small)
    for plot in PLOTS:
        assert [key(place) for place in page.locator(f"{plot} >> a.on").all()] == [job]


def test_every_picture_loads(page: Page) -> None:
    sizes = page.evaluate("[...document.images].map((image) => image.complete && image.naturalWidth)")
    assert len(sizes) > 60
    assert all(sizes)


def test_the_recommended_cell_is_marked_everywhere_and_shown_first(page: Page, tiny: tuple[Params, Path]) -> None:
    chosen = json.loads((tiny[1] / "transfer" / "tables" / "metrics.json").read_text("utf-8"))["best"]
    # The grid's run comes before those of the finalists, which have the same layers.
    job = next(
        row["job"]
        for row in quality(tiny[1], "transfer")
        if f"{row['content_layer']} | {row['style_layers']}" == chosen
    )
    for plot in PLOTS:
        assert [key(place) for place in page.locator(f"{plot} >> a[data-best]").all()] == [job]
    expect_shown(page, job, tiny[1])


@pytest.mark.parametrize("plot", PLOTS)
def test_a_cell_is_shown_by_pointing_and_kept_by_a_click(page: Page, plot: str, tiny: tuple[Params, Path]) -> None:
    cells = page.locator(f"{plot} >> a[data-key]")
    assert cells.count() == 16
    first = key(page.locator(".matrix a[data-best]"))
    other = next(cell for cell in cells.all() if key(cell) != first)
    other.hover(force=True)
    expect_shown(page, key(other), tiny[1])
    page.locator("h1").hover()
    expect_shown(page, first, tiny[1])

    other.click(force=True)
    page.locator("h1").hover()
    expect_shown(page, key(other), tiny[1])
    assert page.url.endswith(report.PAGE), "a click looks closer; it does not leave"


@pytest.mark.parametrize("plot", PLOTS)
def test_cells_are_walked_with_the_arrow_keys(page: Page, plot: str, tiny: tuple[Params, Path]) -> None:
    cells = page.locator(f"{plot} >> a[data-key]").all()
    step = {"ArrowRight": 1, "ArrowDown": 4 if "front" not in plot else 1}
    # One place of each plot can be reached with the tab key: the cell that is shown.
    assert [cell.get_attribute("tabindex") for cell in cells].count("0") == 1
    cells[0].focus()
    at = 0
    for pressed in ("ArrowRight", "ArrowDown", "ArrowDown"):
        page.keyboard.press(pressed)
        at += step[pressed]
        assert page.evaluate("document.activeElement.dataset.key") == key(cells[at])
        expect_shown(page, key(cells[at]), tiny[1])
    page.keyboard.press("ArrowLeft")
    expect_shown(page, key(cells[at - 1]), tiny[1])
    assert [cell.get_attribute("tabindex") for cell in cells].index("0") == at - 1


def test_the_tab_key_goes_from_the_grid_to_the_same_cell_of_the_heat_map(page: Page) -> None:
    page.locator(".matrix a[data-key]").nth(4).click()
    page.keyboard.press("Tab")
    focused = "document.activeElement"
    assert page.evaluate(f"{focused}.dataset.key") == key(page.locator(".matrix a[data-key]").nth(4))
    assert page.evaluate(f"{focused}.closest('table').className") == "heat"


def test_a_picture_of_a_strip_lights_its_points(page: Page) -> None:
    strip = page.locator("#reconstruction .depth")
    strip.locator(".strip .shown").nth(1).hover()
    lit = strip.locator(".on")
    assert lit.count() == 4  # itself, and its point in each of three charts
    assert len({key(place) for place in lit.all()}) == 1


def test_the_slider_moves_by_keyboard_and_by_pointer(page: Page) -> None:
    tool = page.locator("[data-slider]")
    over = tool.locator(".stage img").nth(1)
    cut = tool.locator('[data-part="cut"]')

    def clipped() -> str:
        return str(over.evaluate("(image) => getComputedStyle(image).clipPath"))

    assert clipped() == "inset(0px 0px 0px 50%)"
    cut.focus()
    page.keyboard.press("ArrowRight")
    assert clipped() == "inset(0px 0px 0px 51%)"
    page.keyboard.press("Home")
    assert clipped() == "inset(0px 0px 0px 0%)"
    assert cut.get_attribute("aria-valuetext") == "0 % from noise, 100 % from content"
    tool.locator(".controls").scroll_into_view_if_needed()
    box = tool.locator(".stage").bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 5, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, middle)
    page.mouse.up()
    assert clipped() == "inset(0px 0px 0px 75%)"


def test_the_slider_shows_the_starts_that_are_chosen(page: Page) -> None:
    tool = page.locator("[data-slider]")
    tool.locator('[data-part="pair"]').select_option(index=2)
    tool.locator('[data-part="left"]').select_option("adain")
    tool.locator('[data-part="right"]').focus()
    page.keyboard.press("ArrowUp")  # from content to noise
    for layer, start in enumerate(("adain", "noise")):
        wanted = page.locator(f'[data-pair="2"] [data-key="{start}"] img').get_attribute("src") or ""
        expect(tool.locator(".stage img").nth(layer)).to_have_attribute("src", wanted)


def test_the_film_is_wound_by_keyboard(page: Page) -> None:
    film = page.locator("[data-film]")
    frames = json.loads(film.locator('[data-part="frames"]').text_content() or "")
    assert [moment for moment, _ in frames] == [f"after {count} iterations" for count in range(3)]
    film.locator('[data-part="wind"]').focus()
    for pressed, index in (("Home", 0), ("ArrowRight", 1), ("End", 2), ("ArrowLeft", 1)):
        page.keyboard.press(pressed)
        expect(film.locator('[data-part="told"]')).to_have_text(frames[index][0])
        expect(film.locator('[data-part="frame"]')).to_have_attribute("src", frames[index][1])


def column(table: Locator, head: str) -> list[str]:
    """The texts of a column, from the rows that are shown."""
    heads = [text.split("\n")[0].strip(" ↕↑↓") for text in table.locator("thead th").all_inner_texts()]
    place = heads.index(head) + 1
    return table.locator(f"tbody tr:not([hidden]) td:nth-child({place})").all_inner_texts()


def test_tables_are_sorted_by_click_and_by_keyboard(page: Page) -> None:
    table = page.locator("#transfer [data-table]", has_text="Rank correlation")
    head = table.locator("th", has_text="PSNR")
    before = column(table, "metric")
    values = [float(text.replace("−", "-")) for text in column(table, "PSNR") if text != NOTHING]
    assert len(values) == len(before) - 1
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    sorted_values = [float(text.replace("−", "-")) for text in column(table, "PSNR") if text != NOTHING]
    assert sorted_values == sorted(values)
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert sorted(column(table, "metric")) == sorted(before)


def test_short_tables_have_no_controls(page: Page) -> None:
    for table in page.locator("[data-table] table").all():
        buttons = table.locator("button").count()
        assert bool(buttons) == (table.locator("tbody tr").count() > 5)


def test_a_recommended_cell_outside_the_grid_is_marked_nowhere(
    browser: Browser, tiny: tuple[Params, Path], tmp_path: Path
) -> None:
    """The classic layers' cell is a finalist even where the grid lacks its row."""
    given, reports = tiny
    shutil.copytree(reports, tmp_path / "reports")
    path = tmp_path / "reports" / "transfer" / "tables" / "cells.csv"
    best = json.loads(path.with_name("metrics.json").read_text("utf-8"))["best"].split(" | ")[0]
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(f"{best},")), "utf-8")
    report.write(given, tmp_path / "reports", DATA)

    page = browser.new_page(viewport=DESKTOP)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((tmp_path / "reports" / report.PAGE).as_uri())
    assert page.locator(".matrix a").count() == 12
    assert page.locator("[data-linked] a[data-best]", has=page.locator("img")).count() == 0
    expect(page.locator('#cell-view [data-part="best"]')).to_be_hidden()
    expect(page.locator("[data-slider]")).to_be_visible()
    page.close()
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(browser: Browser, url: str, scheme: str, viewport: ViewportSize) -> None:
    page = browser.new_page(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(url)
    found = Axe().run(page)
    page.close()
    assert found.response["passes"], "it looked at something"
    assert {"color-contrast", "image-alt"} <= {rule["id"] for rule in found.response["passes"]}
    assert not found.response["violations"], found.generate_report()


@pytest.mark.parametrize(
    ("media", "width"),
    [("screen", 320), ("screen", 390), ("screen", 768), ("screen", 1280), ("screen", 1920), ("print", 688)],
)
def test_nothing_is_wider_than_the_window(browser: Browser, url: str, media: str, width: int) -> None:
    """688 px are what margins leave of A4."""
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(url)
    page.emulate_media(media=media)  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        assert shot.width == width
        assert len(shot.convert("L").getcolors()) > 100, "something is on it"
    page.close()


def test_it_prints(page: Page) -> None:
    page.emulate_media(media="print")
    expect(page.locator("nav.contents")).to_be_hidden()
    expect(page.locator("#cell-view")).to_be_visible()
    assert page.pdf().startswith(b"%PDF")


def test_without_script_it_reads_the_same(browser: Browser, url: str, tiny: tuple[Params, Path]) -> None:
    page = browser.new_page(viewport=PHONE, java_script_enabled=False)
    page.goto(url)
    for dead in ("[data-slider]", ".wound", "button", "input"):
        for control in page.locator(dead).all():
            expect(control).to_be_hidden()
    for study in STUDIES:
        expect(page.locator(f"#{study} h2")).to_be_visible()
    expect(page.locator("#cell-view .large img")).to_be_visible()
    assert page.locator(".matrix a").count() == 16
    page.locator(".matrix a").first.click()
    assert page.url.endswith(quality(tiny[1], "transfer")[0]["image"])
    page.close()
