"""What the page is drawn from: charts, colours, frames."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageColor

from nst.report import charts, pictures
from nst.report.charts import Curve, Point
from nst.studies import figures

POINTS = [
    Point(0.5, 0.3, "first <cell>", "transfer/images/a b.png", "a"),
    Point(0.7, 0.2, "second", "transfer/images/c.png", "c", marked=True, front=True),
]


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = np.array(ImageColor.getrgb(colour)) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_every_number_of_a_heat_map_can_be_read() -> None:
    for value in np.geomspace(0.1, 3, 200):
        paper, ink = map(luminance, charts.colour(float(value), 0.1, 3))
        assert (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) >= 4.5


def test_a_heat_map_goes_from_dark_to_light() -> None:
    values = [luminance(colour) for colour in charts.scale()]
    assert values == sorted(values)
    assert charts.colour(0.1, 0.1, 3)[0] == charts.scale()[0]
    assert charts.colour(3, 0.1, 3)[0] == charts.scale()[-1]
    assert charts.colour(1, 1, 1)[0] == charts.scale()[0], "one value alone"


def drawn() -> list[str]:
    """One chart of each kind."""
    run = Curve([0, 1, 2], [3, 2, 1])
    return [
        charts.over_depth("PSNR", ["conv1_1", "conv1_2"], POINTS, y_label="dB"),
        charts.trade_off(POINTS, x_label="content distance", y_label="style distance"),
        charts.loss_curves("a × b", {"noise": [run, run], "content": [run]}, x_label="seconds", target=1.5),
    ]


def test_charts_are_the_same_every_time() -> None:
    assert drawn() == drawn()


def test_charts_stand_in_a_page() -> None:
    identities: list[str] = []
    for svg in drawn():
        root = ElementTree.fromstring(svg)
        assert root.tag == "svg"
        assert root.get("aria-label")
        assert not re.search(r"https?:|<style|#000[12]0\d", svg), "of its own, or with a colour that stands for another"
        assert "var(--" in svg
        identities += [name for element in root.iter() if (name := element.get("id"))]
        for target in re.findall(r'(?:url\(|href=")#([^")]+)', svg):
            assert target in identities
    assert len(identities) == len(set(identities))


@pytest.mark.parametrize("svg", drawn()[:2], ids=["over depth", "trade-off"])
def test_points_are_links_with_a_name(svg: str) -> None:
    links = list(ElementTree.fromstring(svg).iter("a"))
    assert [link.get("href") for link in links] == ["transfer/images/a%20b.png", "transfer/images/c.png"]
    assert [link.get("aria-label") for link in links] == ["first <cell>", "second"]
    assert [link.get("data-key") for link in links] == ["a", "c"]
    assert [link.get("data-best") for link in links] == [None, ""]


def test_runs_are_compared_where_all_of_them_were() -> None:
    x, values = charts.together([Curve([0, 1, 2], [4, 2, 0]), Curve([0.5, 1.5], [10, 20])])
    assert x.tolist() == [0.5, 1.0, 1.5]
    assert values.tolist() == [[3, 2, 1], [10, 15, 20]]


@pytest.mark.parametrize(("count", "shown"), [(1, 1), (5, 5), (100, pictures.MOST_FRAMES)])
def test_a_film_keeps_its_first_and_last_frame(tmp_path: Path, count: int, shown: int) -> None:
    ramp = Image.linear_gradient("L").resize((80, 60))
    figures.save_gif(
        [
            ramp.point(lambda level, share=index / count: round(level * share)).convert("RGB")
            for index in range(1, count + 1)
        ],
        tmp_path / "film.gif",
    )
    frames = pictures.frames(tmp_path / "film.gif")
    assert len(frames) == shown
    assert (min(frames), max(frames)) == (0, count - 1)
    assert len({frame.uri for frame in frames.values()}) == shown
    assert {(frame.width, frame.height) for frame in frames.values()} == {(80, 60)}
