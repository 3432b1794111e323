"""Charts as SVG that stands inside the page: drawn by matplotlib, coloured by the page's style sheet.

Matplotlib finds ticks and places labels; colours are written as names of the page's own (light, dark, print), and
points that stand for a picture are links to it, so that a chart needs no script to lead somewhere.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nst.studies.figures import plain_ticks

_INK, _SOFT, _LINE, _ACCENT, _MARK, _PAPER = (f"#00010{digit}" for digit in range(6))
_SERIES = tuple(f"#00020{digit}" for digit in range(3))
_NAMES = {
    _INK: "--ink",
    _SOFT: "--soft",
    _LINE: "--line",
    _ACCENT: "--accent",
    _MARK: "--mark",
    _PAPER: "--card",
    **{colour: f"--start-{number}" for number, colour in enumerate(_SERIES)},
}
"""Colours that stand for the page's own: the style sheet knows what they are."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 8,
    "figure.facecolor": "none",
    "figure.edgecolor": "none",
    "axes.facecolor": "none",
    "text.color": _INK,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titley": 1.0,  # told, it is not looked for, which takes long
    "axes.titleweight": "bold",
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _SOFT,
    "ytick.labelcolor": _SOFT,
    "grid.color": _LINE,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.6,
}
_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"


@dataclass(frozen=True)
class Point:
    """A point that stands for a picture."""

    x: float
    y: float
    label: str
    """Said of it where it cannot be seen."""
    href: str
    key: str
    marked: bool = False
    front: bool = False


@dataclass(frozen=True)
class Curve:
    """One run: a value over iterations or seconds."""

    x: Sequence[float]
    y: Sequence[float]


@rc_context(_STYLE)
def over_depth(title: str, names: Sequence[str], points: Sequence[Point], *, y_label: str) -> str:
    """A line over layers or windows; `names` label them."""
    figure, axes = _axes(4.3, 2.15)
    axes.plot([point.x for point in points], [point.y for point in points], color=_ACCENT, zorder=2)
    _points(axes, points)
    axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 5 else 0)
    axes.set(title=title, ylabel=y_label)
    axes.margins(x=0.03, y=0.1)
    axes.grid(axis="y")
    return _inline(figure, f"{title} over depth", points)


@rc_context(_STYLE)
def trade_off(points: Sequence[Point], *, x_label: str, y_label: str) -> str:
    """Points by two distances; those on the front are joined."""
    figure, axes = _axes(4.9, 3.7)
    front = [point for point in points if point.front]
    axes.plot([p.x for p in front], [p.y for p in front], color=_ACCENT, drawstyle="steps-post", zorder=2)
    axes.set(xlabel=x_label, ylabel=y_label)
    _points(axes, points)
    axes.grid()
    for point in points:
        if point.marked:
            # Nothing is to the lower left of the front.
            axes.annotate(
                "recommended",
                (point.x, point.y),
                (-5, -5),
                textcoords="offset points",
                ha="right",
                va="top",
                color=_MARK,
                weight="bold",
            )
    return _inline(figure, f"{x_label} against {y_label}", points)


@rc_context(_STYLE)
def loss_curves(title: str, starts: Mapping[str, Sequence[Curve]], *, x_label: str, target: float) -> str:
    """The median of each start's runs, with a band from the lowest to the highest.  Dashed: the target."""
    figure, axes = _axes(3.9, 2.7)
    for (name, runs), colour in zip(starts.items(), _SERIES, strict=False):
        x, values = together(runs)
        axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.25, linewidth=0)
        axes.plot(x, np.median(values, axis=0), color=colour, label=name)
    axes.axhline(target, color=_SOFT, linestyle=(0, (4, 3)), linewidth=1)
    axes.set(title=title, xlabel=x_label, ylabel="loss", yscale="log")
    axes.set_xlim(left=0)
    plain_ticks(axes.yaxis)
    axes.grid(axis="y")
    axes.legend(frameon=False, handlelength=1.4)
    return _inline(figure, f"{title}: loss against {x_label}", ())


def together(runs: Sequence[Curve]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places on the x axis that all runs reach, and (runs, places) their values there."""
    longest = max(runs, key=lambda run: len(run.x))
    x = np.linspace(max(run.x[0] for run in runs), min(run.x[-1] for run in runs), len(longest.x))
    return x, np.array([np.interp(x, run.x, run.y) for run in runs])


def _points(axes: Axes, points: Sequence[Point]) -> None:
    drawn = axes.scatter(
        [point.x for point in points],
        [point.y for point in points],
        s=[44 if point.marked else 20 if point.front else 13 for point in points],
        c=[_MARK if point.marked else _ACCENT if point.front else _SOFT for point in points],
        linewidth=0,
        zorder=3,
    )
    drawn.set_urls([str(index) for index in range(len(points))])


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _inline(figure: Figure, label: str, points: Sequence[Point]) -> str:
    """The figure as an SVG element of the page, its points as links."""
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": label}):
        # Once, where `savefig` draws twice to the same end.
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    root = ElementTree.fromstring(buffer.getvalue())
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"class": "chart", "role": "group" if points else "img", "aria-label": label}
    for parent in root.iter():
        for child in [child for child in parent if child.tag.endswith(("metadata", "style"))]:
            parent.remove(child)
    for element in root.iter():
        if "}" in element.tag:
            element.tag = element.tag.split("}")[1]
        target = element.attrib.pop(f"{_XLINK}href", None)
        if target is not None:
            element.set("href", target)
        if element.tag == "a" and target is not None:
            _link(element, points[int(target)])
    text = ElementTree.tostring(root, encoding="unicode")
    used = {*_ids(text, "url(#", ")"), *_ids(text, 'href="#', '"')}
    for element in root.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)
    text = ElementTree.tostring(root, encoding="unicode")
    for colour, name in _NAMES.items():
        text = text.replace(colour, f"var({name})")
    return text


def _link(element: ElementTree.Element, point: Point) -> None:
    element.attrib |= {"href": quote(point.href), "aria-label": point.label, "data-key": point.key}
    if point.marked:
        element.set("data-best", "")


def _ids(text: str, before: str, after: str) -> list[str]:
    return [part.split(after)[0] for part in text.split(before)[1:]]


def colour(value: float, low: float, high: float) -> tuple[str, str]:
    """The colour of a heat map's cell, logarithmic, and the one that can be read on it."""
    share = np.log(value / low) / np.log(high / low) if high > low > 0 else 0.0
    red, green, blue, _ = colormaps["viridis"](share)
    # Relative luminance (WCAG 2): black has the better contrast from 0.18 on.
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return to_hex((red, green, blue)), "#000" if light > 0.179 else "#fff"


def scale(steps: int = 7) -> tuple[str, ...]:
    """Colours of a heat map from the lowest to the highest value."""
    return tuple(colour(float(value), 1.0, 2.0)[0] for value in np.geomspace(1.0, 2.0, steps))
