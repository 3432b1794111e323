"""Pictures of results: labelled contact sheets, curves, heat maps, Gram matrices, a film.

The same results give the same bytes.
"""

import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

FOLDER = "figures"
"""The folder of figures, inside a study's folder."""

_GAP = 4
_INK = (34, 34, 34)
_PAPER = (255, 255, 255)
_MARK = (220, 30, 30)


def contact_sheet(
    rows: Sequence[Sequence[Image.Image | None]],
    *,
    captions: Sequence[Sequence[str]] | None = None,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    cell: int = 192,
    mark: tuple[int, int] | None = None,
) -> Image.Image:
    """Pictures in rows and columns on white.

    Args:
        rows: the pictures; None leaves a cell empty.
        captions: a line under each picture, in the same rows and columns.
        row_labels, column_labels: at the left and above.
        cell: longest side of a picture, px.
        mark: row and column of a picture to frame.
    """
    fitted = [[picture and _shrink(picture, cell) for picture in row] for row in rows]
    widths = [max((p.width for p in column if p), default=0) for column in itertools.zip_longest(*fitted)]
    heights = [max((p.height for p in row if p), default=0) for row in fitted]
    font = _font(13)
    line = 20
    left = _GAP + (max(int(font.getlength(text)) for text in row_labels) + 8 if row_labels else 0)
    top = _GAP + (line if column_labels else 0)
    below = line if captions else 0
    # Where columns and rows begin; the last is where the sheet ends.
    xs = list(itertools.accumulate((width + _GAP for width in widths), initial=left))
    ys = list(itertools.accumulate((height + below + _GAP for height in heights), initial=top))
    sheet = Image.new("RGB", (xs[-1], ys[-1]), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for c, text in enumerate(column_labels or ()):
        draw.text((xs[c] + widths[c] / 2, top - line / 2), text, _INK, font, anchor="mm")
    for r, row in enumerate(fitted):
        if row_labels:
            draw.text((_GAP, ys[r] + heights[r] / 2), row_labels[r], _INK, font, anchor="lm")
        for c, picture in enumerate(row):
            if picture:
                x, y = xs[c] + (widths[c] - picture.width) // 2, ys[r] + (heights[r] - picture.height) // 2
                sheet.paste(picture, (x, y))
                if mark == (r, c):
                    box = (x - 2, y - 2, x + picture.width + 1, y + picture.height + 1)
                    draw.rectangle(box, outline=_MARK, width=3)
        for c, text in enumerate(captions[r] if captions else ()):
            draw.text((xs[c] + widths[c] / 2, ys[r] + heights[r] + line / 2), text, _INK, font, anchor="mm")
    return sheet


def folded_sheet(
    pictures: Sequence[Image.Image], captions: Sequence[str], *, mark: int, columns: int = 4
) -> Image.Image:
    """A contact sheet of one long row, broken into several: the first picture is top left, the last bottom right.

    If the pictures do not fill the last row, its left end stays empty.
    """
    columns = min(columns, len(pictures))
    empty = -len(pictures) % columns
    last_row = len(pictures) + empty - columns
    order: list[int | None] = [*range(last_row), *[None] * empty, *range(last_row, len(pictures))]
    rows = [order[first : first + columns] for first in range(0, len(order), columns)]
    return contact_sheet(
        [[None if index is None else pictures[index] for index in row] for row in rows],
        captions=[["" if index is None else captions[index] for index in row] for row in rows],
        mark=divmod(order.index(mark), columns),
    )


def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: Pillow's own font has no ×."""
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _shrink(picture: Image.Image, cell: int) -> Image.Image:
    scale = cell / max(picture.size)
    if scale == 1:
        return picture
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)


def save(picture: Image.Image, path: Path, quality: int = 82) -> None:
    """Write a WebP file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(webp(picture, quality))


def webp(picture: Image.Image, quality: int) -> bytes:
    """The bytes of a WebP file.

    Method 2 takes half the time of Pillow's default, 4, for 1 % more bytes and the same quality (within 0.1 dB).
    """
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, method=2)
    return buffer.getvalue()


def save_gif(frames: Sequence[Image.Image], path: Path, seconds: float = 4.0) -> None:
    """An animated GIF of `frames` that takes `seconds`, rests on the last one and starts again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    each = max(20, round(seconds * 1000 / len(frames)))
    durations = [each] * (len(frames) - 1) + [1500]
    # All frames share the palette of the last one, as colours would flicker with a palette each.
    palette = frames[-1].quantize(128, method=Image.Quantize.MEDIANCUT)
    paletted = [frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    paletted[0].save(path, save_all=True, append_images=paletted[1:], duration=durations, loop=0, optimize=True)


def heat_map(
    values: NDArray[np.float64],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    *,
    title: str,
    x_label: str,
    y_label: str,
    path: Path,
    mark: tuple[int, int] | None = None,
) -> None:
    """A PNG of `values` (rows, columns), each written in its cell; dark is low.  `mark` frames a cell."""
    from matplotlib.patches import Rectangle

    figure = _figure(0.55 * len(column_labels) + 2.2, 0.3 * len(row_labels) + 1.6)
    axes = figure.subplots()
    shown = np.log10(np.maximum(values, 1e-9))
    axes.imshow(shown, cmap="viridis", aspect="auto")
    middle = (shown.min() + shown.max()) / 2
    for (r, c), value in np.ndenumerate(values):
        colour = "black" if shown[r, c] > middle else "white"
        axes.text(c, r, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour, in_layout=False)
    if mark is not None:
        axes.add_patch(Rectangle((mark[1] - 0.5, mark[0] - 0.5), 1, 1, fill=False, edgecolor="red", linewidth=2))
    axes.set_xticks(range(len(column_labels)), column_labels, fontsize=8)
    axes.set_yticks(range(len(row_labels)), row_labels, fontsize=8)
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    _save_plot(figure, path)


def line_plots(
    x: Sequence[str],
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    x_label: str,
    path: Path,
    mark: int | None = None,
) -> None:
    """A PNG with one panel a quantity over the same labels, one line an original; `mark` shades one of the labels."""
    figure = _figure(3.6 * len(panels), 3.2)
    for axes, (title, lines) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True):
        for name, values in lines.items():
            axes.plot(range(len(x)), values, marker="o", markersize=4, label=name)
        if mark is not None:
            axes.axvspan(mark - 0.4, mark + 0.4, color="red", alpha=0.15, linewidth=0)
        axes.set_xticks(range(len(x)), x, rotation=90 if max(map(len, x)) > 4 else 0, fontsize=7)
        axes.set(title=title, xlabel=x_label)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    _save_plot(figure, path)


def loss_curves(
    panels: Mapping[str, Mapping[str, Sequence[tuple[Sequence[float], Sequence[float]]]]],
    *,
    x_label: str,
    path: Path,
    targets: Mapping[str, float] | None = None,
) -> None:
    """A PNG with one panel a pair, one colour a start and one line a run.

    Args:
        panels: by pair and start, each run as (x, loss).
        targets: by pair, a loss to mark with a dashed line.
    """
    figure = _figure(3.8 * len(panels), 3.4)
    for axes, (title, starts) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True):
        for number, (start, runs) in enumerate(starts.items()):
            for index, (x, loss) in enumerate(runs):
                axes.plot(x, loss, color=f"C{number}", alpha=0.7, linewidth=1.2, label=start if index == 0 else None)
        if targets:
            axes.axhline(targets[title], color="grey", linestyle="--", linewidth=1)
        axes.set(title=title, xlabel=x_label, ylabel="loss", yscale="log")
        plain_ticks(axes.yaxis)
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    _save_plot(figure, path)


def scatter(
    groups: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x_label: str,
    y_label: str,
    title: str,
    path: Path,
) -> None:
    """A PNG of points in named groups, log scales; the first group small and grey, the others large."""
    figure = _figure(5.2, 4)
    axes = figure.subplots()
    for number, (name, (x, y)) in enumerate(groups.items()):
        axes.scatter(
            x,
            y,
            label=name,
            s=14 if number == 0 else 45,
            color="lightgrey" if number == 0 else f"C{number - 1}",
        )
    axes.set(xlabel=x_label, ylabel=y_label, title=title, xscale="log", yscale="log")
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    _save_plot(figure, path)


def trade_offs(
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], *, x_label: str, y_label: str, path: Path
) -> None:
    """A PNG with one panel a pair of pictures, log scales, and one line of points a set of layers."""
    figure = _figure(4.6 * len(panels), 4)
    for axes, (title, curves) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True):
        for name, points in curves.items():
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, linewidth=1.2, label=name)
        axes.set(title=title, xlabel=x_label, ylabel=y_label, xscale="log", yscale="log")
        plain_ticks(axes.xaxis)
        plain_ticks(axes.yaxis)
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=7)
    _save_plot(figure, path)


def gram_matrices(rows: Mapping[str, Mapping[str, NDArray[np.float32]]], path: Path, channels: int = 64) -> None:
    """A PNG of Gram matrices: one row a layer, one column a picture, log scale shared within a row.

    Only the first `channels` channels are shown, so that cells stay visible.
    """
    columns = max(len(row) for row in rows.values())
    figure = _figure(2.9 * columns, 2.9 * len(rows))
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for line, (layer, grams) in zip(grid, rows.items(), strict=True):
        shown = {name: np.log10(gram[:channels, :channels] + 1e-3) for name, gram in grams.items()}
        low = min(float(gram.min()) for gram in shown.values())
        high = max(float(gram.max()) for gram in shown.values())
        for axes, (name, gram) in zip(line, shown.items(), strict=True):
            axes.imshow(gram, cmap="magma", vmin=low, vmax=high)
            axes.set(title=f"{name}\n{layer}", xticks=[], yticks=[])
            axes.title.set_fontsize(9)
    _save_plot(figure, path)


def plain_ticks(axis: "Axis") -> None:
    """Label a logarithmic axis with 0.2 rather than 2 × 10⁻¹."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def _save_plot(figure: "Figure", path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path.parent.mkdir(parents=True, exist_ok=True)
    canvas = FigureCanvasAgg(figure)
    # `savefig` would draw twice.
    canvas.draw()  # type: ignore[no-untyped-call]
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba()))  # type: ignore[no-untyped-call]
    # 128 colours are enough for a plot, and take a third of the bytes.
    drawn.convert("RGB").quantize(128).save(path, "PNG", optimize=True)
