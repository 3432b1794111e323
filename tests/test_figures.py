"""Figures show the right thing at the right place, and are drawn the same every time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nst.studies import figures

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
FRAME = (220, 30, 30)


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new("RGB", size, colour)


def places(sheet: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) around all pixels of a colour."""
    rows, columns = np.nonzero((np.asarray(sheet) == colour).all(-1))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


class TestFoldedSheet:
    """One long row, folded."""

    @pytest.mark.parametrize("count", [1, 3, 4, 11, 16])
    def test_first_is_top_left_and_last_bottom_right(self, count: int) -> None:
        pictures = [plain(GREEN) for _ in range(count)]
        pictures[-1], pictures[0] = plain(BLUE), plain(RED)
        sheet = figures.folded_sheet(pictures, [""] * count, mark=count // 2)
        columns, lines = min(count, 4), -(-count // 4)
        last = places(sheet, BLUE if count > 1 else RED)
        assert places(sheet, RED)[:2] == (4, 4) or count == 1
        assert last[2] > sheet.width * (columns - 1) / columns
        assert last[3] > sheet.height * (lines - 1) / lines

    def test_a_last_row_that_is_not_full_begins_with_the_gap(self) -> None:
        sheet = np.asarray(figures.folded_sheet([plain(GREEN)] * 4 + [plain(BLUE)], [""] * 5, mark=0))
        below = sheet[sheet.shape[0] // 2 + 4 :]
        assert (below[:, : sheet.shape[1] // 2] == WHITE).all()
        assert (below == BLUE).all(-1).any()


class TestContactSheet:
    """Pictures in rows and columns."""

    def test_pictures_lie_where_they_are_in_the_list(self) -> None:
        sheet = figures.contact_sheet([[plain(RED), plain(GREEN)], [plain(BLUE), None]], cell=40)
        red, green, blue = (places(sheet, colour) for colour in (RED, GREEN, BLUE))
        assert all((box[2] - box[0], box[3] - box[1]) == (40, 30) for box in (red, green, blue))
        assert red[1] == green[1] < red[3] < blue[1]
        assert red[0] == blue[0] < red[2] < green[0]
        assert sheet.getpixel((green[0] + 20, blue[1] + 15)) == WHITE

    def test_pictures_are_scaled_to_the_cell_and_keep_their_shape(self) -> None:
        sheet = figures.contact_sheet([[plain(RED, (400, 200)), plain(GREEN, (50, 100))]], cell=60)
        left, top, right, bottom = places(sheet, RED)
        assert (right - left, bottom - top) == (60, 30)
        left, top, right, bottom = places(sheet, GREEN)
        assert (right - left, bottom - top) == (30, 60)

    def test_rows_may_be_of_different_length(self) -> None:
        sheet = figures.contact_sheet([[plain(RED)] * 3, [plain(BLUE)]], captions=[["a", "b", "c"], ["d"]], cell=40)
        assert places(sheet, RED)[2] > places(sheet, BLUE)[2]

    def test_labels_take_room_beside_the_pictures_not_on_them(self) -> None:
        bare = figures.contact_sheet([[plain(RED), plain(GREEN)]], cell=40)
        labelled = figures.contact_sheet(
            [[plain(RED), plain(GREEN)]],
            captions=[["one", "two"]], row_labels=["a long label"], column_labels=["x", "y"], cell=40,
        )  # fmt: skip
        assert labelled.width > bare.width
        assert labelled.height > bare.height
        for colour in (RED, GREEN):
            left, top, right, bottom = places(labelled, colour)
            assert (right - left, bottom - top) == (40, 30)
            assert (np.asarray(labelled.crop((left, top, right, bottom))) == colour).all()
        above = np.asarray(labelled)[: places(labelled, RED)[1]]
        beside = np.asarray(labelled)[:, : places(labelled, RED)[0]]
        below = np.asarray(labelled)[places(labelled, RED)[3] :]
        assert all((part < 100).any() for part in (above, beside, below))  # there is ink

    def test_a_mark_frames_one_picture(self) -> None:
        rows = [[plain(RED), plain(GREEN)], [plain(BLUE), plain((9, 9, 9))]]
        assert not (np.asarray(figures.contact_sheet(rows, cell=40)) == FRAME).all(-1).any()
        sheet = figures.contact_sheet(rows, cell=40, mark=(1, 0))
        frame = places(sheet, FRAME)
        inside = places(sheet, BLUE)
        assert frame[0] < inside[0] < inside[2] < frame[2]
        assert frame[1] < inside[1] < inside[3] < frame[3]
        for colour in (RED, GREEN):
            assert places(sheet, colour)[2] - places(sheet, colour)[0] == 40


class TestFilm:
    """An animated GIF."""

    def frames(self) -> list[Image.Image]:
        return [Image.linear_gradient("L").resize((32, 24)).rotate(angle).convert("RGB") for angle in (0, 90, 180, 270)]

    def test_has_every_frame_rests_on_the_last_and_begins_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "film.gif"
        figures.save_gif(self.frames(), path, seconds=2.0)
        with Image.open(path) as film:
            assert film.n_frames == 4  # type: ignore[attr-defined]
            assert film.size == (32, 24)
            assert film.info["loop"] == 0
            durations = []
            for number, frame in enumerate(self.frames()):
                film.seek(number)
                durations.append(film.info["duration"])
                difference = np.asarray(film.convert("RGB")).astype(int) - np.asarray(frame)
                assert np.abs(difference).mean() < 6
        assert durations == [500, 500, 500, 1500]


VALUES = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
CURVES = {"a × b": {"noise": [((0, 1, 2), (3.0, 2.0, 1.0))], "content": [((0, 1, 2), (2.0, 1.5, 1.0))]}}
PLOTS: dict[str, Callable[[Path], None]] = {
    "heat map": lambda path: figures.heat_map(
        VALUES, ["a", "b"], ["1-5", "2-6", "3-7"], title="t", x_label="x", y_label="y", path=path, mark=(1, 2)
    ),
    "heat map of one value": lambda path: figures.heat_map(
        np.zeros((1, 1)), ["a"], ["1-5"], title="t", x_label="x", y_label="y", path=path
    ),
    "line plots": lambda path: figures.line_plots(
        ["1", "2"],
        {"psnr": {"a": [1.0, 2.0]}, "ssim": {"a": [0.1, 0.2], "b": [0.3, 0.2]}},
        x_label="layer",
        path=path,
        mark=1,
    ),
    "trade-offs": lambda path: figures.trade_offs(
        {"a × b": {"1-5": [(1.0, 2.0), (2.0, 1.0)], "classic": [(0.5, 2.0)]}}, x_label="x", y_label="y", path=path
    ),
    "loss curves": lambda path: figures.loss_curves(CURVES, x_label="seconds", path=path, targets={"a × b": 1.5}),
    "scatter": lambda path: figures.scatter(
        {"cells": ([1.0, 2.0], [2.0, 1.0]), "best": ([1.0], [1.0])}, x_label="x", y_label="y", title="t", path=path
    ),
    "gram matrices": lambda path: figures.gram_matrices(
        {"conv1_1": {"style": np.eye(80, dtype=np.float32), "result": np.ones((80, 80), np.float32)}}, path
    ),
}


@pytest.mark.parametrize("name", PLOTS)
def test_plots_are_drawn_the_same_to_the_byte(tmp_path: Path, name: str) -> None:
    for folder in ("one", "other"):
        PLOTS[name](tmp_path / folder / "plot.png")
    one, other = ((tmp_path / folder / "plot.png").read_bytes() for folder in ("one", "other"))
    assert one == other
    with Image.open(tmp_path / "one" / "plot.png") as plot:
        pixels = np.asarray(plot.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10
    assert (pixels[0] == 255).all()  # on white


def test_long_labels_of_a_plot_have_room(tmp_path: Path) -> None:
    figures.heat_map(
        np.array([[1.0, 2.0]]), ["█" * 20], ["1-5", "2-6"],
        title="title", x_label="columns", y_label="rows", path=tmp_path / "plot.png",
    )  # fmt: skip
    with Image.open(tmp_path / "plot.png") as plot:
        pixels = np.asarray(plot.convert("RGB"))
    assert (pixels[:, [0, -1]] == 255).all(), "cut at an edge"


def test_a_heat_map_is_dark_where_values_are_low(tmp_path: Path) -> None:
    figures.heat_map(
        np.array([[0.01, 100.0]]), ["a"], ["1-5", "2-6"], title="t", x_label="x", y_label="y", path=tmp_path / "a.png"
    )
    with Image.open(tmp_path / "a.png") as plot:
        pixels = np.asarray(plot.convert("RGB")).astype(int)
    coloured = np.abs(pixels - pixels.mean(-1, keepdims=True)).max(-1) > 40
    columns = np.nonzero(coloured.any(0))[0]
    middle = (columns[0] + columns[-1]) // 2
    low, high = (
        pixels[:, columns[0] : middle][coloured[:, columns[0] : middle]],
        pixels[:, middle:][coloured[:, middle:]],
    )
    assert low.mean() < high.mean()


def test_pictures_are_saved_as_webp_in_new_folders(tmp_path: Path) -> None:
    figures.save(plain(RED), tmp_path / "a" / "b.webp")
    with Image.open(tmp_path / "a" / "b.webp") as opened:
        assert (opened.format, opened.size) == ("WEBP", (40, 30))
