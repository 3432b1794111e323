"""The tables of both pages, from the data frames of a run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nst.engine.layers import layer_number, parse_layers, receptive_field
from nst.report.choices import ShownChoice
from nst.report.numbers import NOTHING, about, fixed, interval, number, percent
from nst.report.run import Frame, Run, Study
from nst.report.texts import NAMES, label, start_name
from nst.studies.initialization import reference
from nst.studies.intervals import Interval

TEXTURE_METRICS = ("style_distance", "sliced_wasserstein", "colour_distance", "arrangement")
FINALIST_METRICS = ("content_distance", "style_distance", "sliced_wasserstein", "cfsd", "st_lpips", "colour_distance")
CORRELATED = (
    "content_distance", "cfsd", "st_lpips", "ssim", "psnr",
    "style_distance", "own_style_distance", "sliced_wasserstein", "colour_distance",
)  # fmt: skip
"""Metrics of the content, then of the style."""
SETTINGS = ("content", "style", "content_layer", "style_layers", "init", "seed", "size", "iterations", "optimizer")
"""Columns that say what a run was."""


@dataclass(frozen=True)
class Cell:
    """One entry of a table."""

    text: str
    value: float | None = None
    """What to sort by, if that is not the text."""
    href: str | None = None
    """Relative to the folder of reports."""


@dataclass(frozen=True)
class Column:
    """Head of a table's column."""

    title: str
    note: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """Rows and columns, as both pages draw them."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def table(caption: str, frame: Frame, *, href: Sequence[str] | None = None, digits: int | None = None) -> Table:
    """A data frame under its columns' labels; entries may be values or cells.

    Args:
        href: where the first entry of each row leads to.
        digits: significant ones, of numbers that are no integers.
    """
    columns = []
    for name in frame:
        text = all(isinstance(value, str) for value in frame[name].dropna())
        columns.append(Column(label(str(name)).title, label(str(name)).note, numeric=not text))
    rows = []
    for index, values in enumerate(frame.itertuples(index=False)):
        first, *others = (_cell(str(name), value, digits) for name, value in zip(frame, values, strict=True))
        rows.append((Cell(first.text, first.value, href[index]) if href is not None else first, *others))
    return Table(caption, tuple(columns), tuple(rows))


def _cell(column: str, value: Any, digits: int | None) -> Cell:
    if isinstance(value, Cell):
        return value
    if pd.isna(value):
        return Cell(NOTHING)
    if not isinstance(value, str):
        return Cell(number(value, digits), float(value))
    if column == "layer":
        return Cell(f"{layer_number(value)} · {value}", float(layer_number(value)))
    if column == "style_layers":
        return Cell(value, float(layer_number(parse_layers(value.split(","))[0])))
    return Cell(NAMES.get(value, value) if column in ("init", "optimizer") else value)


def of_starts(run: Run) -> Table:
    """Quality and time of each start: its mean, and its difference from the reference's with the interval."""
    rows = []
    for (when, quantity), some in run.starts.groupby(["when", "quantity"], sort=False):
        row: dict[str, Any] = {"when": when, "quantity": _with_unit(str(quantity))}
        by_start = {str(each["init"]): each for each in some.to_dict("records")}
        row |= {start_name(init): _mean(str(quantity), each["mean"]) for init, each in by_start.items()}
        base = reference(list(by_start))
        for init, each in by_start.items():
            if init != base:
                found = Interval(each["difference"], each["low"], each["high"], each["runs"])
                row[f"{start_name(init)} − {start_name(base)}"] = Cell(interval(found), found.mean)
        rows.append({**row, "n": int(some["runs"].iloc[0])})
    return table("Each start: means, and paired differences with their 95 % confidence interval", Frame(rows))


def _mean(quantity: str, value: float) -> Cell:
    """Of a start; no clock is good for less than a millisecond."""
    return Cell("<0.001" if quantity == "seconds" and value < 0.001 else number(value), value)


def _with_unit(quantity: str) -> str:
    unit = label(quantity).note.split(",")[0]
    return label(quantity).title + (f" ({unit})" if unit in ("s", "dB") else "")


def by_layer(study: Study, choice: ShownChoice, size: int) -> Table:
    """Reconstructions from the first noise, means over the contents; and what each layer sees of the picture.

    Args:
        size: longest side of the pictures, px.
    """
    first = study.runs.drop_duplicates(["content", "content_layer"])
    means = first.groupby("content_layer", sort=False)[["psnr", "ssim", "content_distance"]].mean().reset_index()
    shown = means.rename(columns={"content_layer": "layer"})
    fields = [receptive_field(layer) for layer in shown["layer"]]
    seen = [f"{field} px" + (" (more than the picture)" if field > size else "") for field in fields]
    shown.insert(1, "sees", [Cell(text, field) for text, field in zip(seen, fields, strict=True)])
    apart = [choice.told_apart(layer) if layer in choice.numbers else NOTHING for layer in shown["layer"]]
    return table("Means over the contents, from the first noise", shown.assign(**{"told from the best": apart}))


def by_window(study: Study, choice: ShownChoice) -> Table:
    """Textures: means over the styles and noises, and how far each window is behind the best."""
    metrics = [name for name in TEXTURE_METRICS if study.runs[name].notna().all()]
    shown = study.runs.groupby("style_layers", sort=False)[metrics].mean().reset_index()
    shown.insert(1, "× the best's", [_against_best(choice, name) for name in shown["style_layers"]])
    apart = [choice.told_apart(name) for name in shown["style_layers"]]
    return table("Means over the styles and noises", shown.assign(**{"told from the best": apart}))


def _against_best(choice: ShownChoice, candidate: str) -> Cell:
    """Nothing for the best itself, which has no difference from itself."""
    found = choice.numbers[candidate]
    return Cell(NOTHING if candidate == choice.winner else interval(found), found.mean)


def of_noises(study: Study, best: str) -> Table:
    """How alike what came of two noises at the best layer or window is."""
    rows = study.noises[study.noises["layers"] == best]
    shown = rows[["original", "psnr"]].copy()
    shown["shared"] = pd.Series([Cell(percent(value), value) for value in rows["shared"]], rows.index, dtype=object)
    return table("Two noises", shown)


def of_finalists(run: Run, choice: ShownChoice) -> Table:
    """The finalists' means over all pairs and noises, and how far each is behind the winner."""
    metrics = [name for name in FINALIST_METRICS if run.finalists[name].notna().all()]
    shown = run.finalists.groupby(["finalist", "style_weight"], sort=False)[metrics].mean().reset_index()
    shown.insert(1, "× the best's", [_against_best(choice, name) for name in shown["finalist"]])
    apart = [choice.told_apart(name) for name in shown["finalist"]]
    return table("Means over all pairs and noises", shown.assign(**{"told from the best": apart}))


def of_curves(run: Run) -> Table:
    """How many points of each set of layers another set beats in both distances."""
    curves = run.studies["parameters"].metrics["curves"]
    rows = [
        {"layers": name, "points": each["points"], "beaten": each["beaten"], "by": ", ".join(each["by"]) or NOTHING}
        for name, each in curves.items()
    ]
    return table("Points that another set's point, of the same pair and noise, beats in both distances", Frame(rows))


def correlations(run: Run) -> Table:
    """Spearman's rank correlation of every two metrics, over all pictures of a content and a style."""
    runs = pd.concat([study.runs.dropna(subset=["content", "style"]) for study in run.studies.values()])
    metrics = [name for name in CORRELATED if runs[name].notna().any()]
    # A start without noise is run more than once, for its times, and gives the same picture.
    pictures = runs.drop_duplicates(["pair", *metrics])
    found = pictures[metrics].corr(method="spearman").to_numpy()
    rows = [
        {"metric": label(one).title}
        | {label(other).title: _correlation(value, one, other) for other, value in zip(metrics, values, strict=True)}
        for one, values in zip(metrics, found, strict=True)
    ]
    return table(f"Rank correlation (Spearman), over {len(pictures)} pictures", Frame(rows))


def _correlation(value: float, one: str, other: str) -> Cell:
    return Cell(NOTHING) if one == other or math.isnan(value) else Cell(fixed(value, 2), float(value))


def of_gallery(study: Study) -> Table:
    """The distances of the pictures."""
    runs = study.runs
    metrics = [name for name in FINALIST_METRICS if runs[name].notna().all()]
    shown = runs[["pair", "size", "init", *metrics]]
    return table("Distances of the pictures", shown, href=list(runs["href"]))


def of_gram_matrices(study: Study) -> Table:
    """How far Gram matrices are from the style's."""
    rows = [{"layer": layer, **distances} for layer, distances in study.metrics["gram_distance_to_style"].items()]
    return table("Distance of the Gram matrix to the style's (|G − G(s)|² / |G(s)|², lower is closer)", Frame(rows))


def cost(run: Run) -> Table:
    """What each study cost."""
    rows = []
    for study in run.studies.values():
        runs = study.runs
        rows.append(
            {
                "study": study.name,
                "runs": len(runs),
                "seconds": _about(runs["seconds"].sum()),
                "ms_per_iteration": _about(1000 * runs["seconds_per_iteration"].median()),
                "peak_memory_mb": _about(runs["peak_memory_mb"].max()),
                "precision": ", ".join(sorted(runs["precision"].unique())),
                "device": ", ".join(sorted(runs["device"].unique())),
            }
        )
    return table("Time and memory", Frame(rows))


def _about(value: float) -> Cell:
    return Cell(about(value), value)


def settings(study: Study) -> tuple[tuple[str, str], ...]:
    """What the runs of a study have in common, and what they do not: each column with its values."""
    found = []
    for name in SETTINGS:
        values = [_cell(name, value, None).text for value in study.runs[name].dropna().unique().tolist()]
        if len(values) > 6:
            values = [f"{values[0]} … {values[-1]} ({len(values)})"]
        if values:
            found.append((label(name).title, ", ".join(values) + (" px" if name == "size" else "")))
    return tuple(found)
