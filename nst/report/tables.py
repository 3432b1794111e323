"""The tables of both pages, from the data frames of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nst.engine.layers import layer_number
from nst.report.choices import is_recommended
from nst.report.numbers import NOTHING, about, difference, interval, number, percent, plus_minus, rank_correlation
from nst.report.run import Frame, Run, Study
from nst.report.texts import NAMES, label, start_name

START_QUANTITIES = (
    "content_distance",
    "style_distance",
    "ssim",
    "iterations_to_target",
    "seconds_to_target",
    "seconds",
)
"""By which starts are compared."""
OTHER_STYLE_METRICS = ("sliced_wasserstein", "colour_distance")
"""That no job optimises."""
SETTINGS = ("content", "style", "content_layer", "style_layers", "init", "seed", "size", "iterations", "optimizer")
"""Columns that say what a run was."""
HIDDEN = ("image", "href", "pair", "all_seconds", "measuring_seconds", "batch", "device", "precision")
"""Columns that the tables of all runs leave out."""


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
        return Cell(value, float(value.replace(",", "-").split("-")[0]))
    return Cell(NAMES.get(value, value) if column in ("init", "optimizer") else value)


def of_starts(run: Run, pairs: bool = False) -> Table:
    """Mean ± standard deviation of each start: over the runs of all pairs, or of each pair."""
    runs, keys = run.starts, ["pair", "init"] if pairs else ["init"]
    groups = runs.groupby(keys, sort=False)[list(START_QUANTITIES)]
    mean, deviation = groups.mean(), groups.std()
    shown = Frame({name: map(_plus_minus, mean[name], deviation[name]) for name in START_QUANTITIES}, mean.index)
    first = runs.groupby(keys, sort=False)["href"].first()
    return table("Mean ± standard deviation over the runs", shown.reset_index(), href=list(first) if pairs else None)


def _plus_minus(mean: float, deviation: float) -> Cell:
    return Cell(plus_minus(mean, deviation), mean)


def between_starts(run: Run) -> Table:
    """Of each other start to the first one, in each pair, with the 95 % confidence interval."""
    reference, *others = run.starts["init"].unique()
    rows = []
    for name in START_QUANTITIES:
        unit = " (s)" if label(name).note.startswith("s") else ""
        for pair, runs in run.starts.groupby("pair", sort=False):
            by_start = {str(init): values for init, values in runs.groupby("init")[name]}
            found = {init: difference(by_start[init], by_start[reference]) for init in others}
            shown = {
                f"{start_name(init)} − {start_name(reference)}": Cell(interval(*each), each.value)
                for init, each in found.items()
            }
            rows.append({"quantity": label(name).title + unit, "pair": pair, **shown})
    return table("Difference of the means in each pair, with its 95 % confidence interval", Frame(rows))


def by_layer(study: Study, content: str) -> Table:
    """Reconstructions of one content: quality by layer."""
    runs = study.runs[study.runs["content"] == content].drop_duplicates("content_layer")
    shown = runs[["content_layer", "psnr", "ssim", "content_distance"]].rename(columns={"content_layer": "layer"})
    return table("Quality by layer", shown, href=list(runs["href"]))


def by_window(study: Study, style: str) -> Table:
    """Textures of one style: distances by window."""
    runs = study.runs[study.runs["style"] == style].drop_duplicates("style_layers")
    return table(
        "Distances by window", runs[["style_layers", "style_distance", *OTHER_STYLE_METRICS]], href=list(runs["href"])
    )


def of_noises(study: Study, column: str, metric: str, best: str) -> Table:
    """What came of two noises at the best layer or window: of each original, the two and how alike they are."""
    place = "content_layer" if column == "content" else "style_layers"
    rows = []
    for name, noises in study.metrics["noises"].items():
        runs = study.runs[(study.runs[column] == name) & (study.runs[place] == best)]
        values = {
            f"{label(metric).title}, noise {seed}": value
            for seed, value in zip(runs["seed"], runs[metric], strict=True)
        }
        alike = {"PSNR of one against the other": noises["psnr_between"]}
        shared = Cell(percent(noises["shared"]), noises["shared"])
        rows.append({column: name, **values, **alike, "shared variation": shared})
    return table("From two noises", Frame(rows))


def of_cells(run: Run) -> Table:
    """The transfer grid's distances: how far they reach, and where in this the recommended cell is."""
    runs = run.studies["transfer"].runs
    distances = runs[["content_distance", "style_distance", *OTHER_STYLE_METRICS]]
    shown = distances.agg(["min", "median", "max"]).T.set_axis(["lowest", "median", "highest"], axis="columns")
    shown["recommended"] = distances[is_recommended(run)].iloc[0]
    shown.insert(0, "distance", [label(name).title for name in shown.index])
    return table("Over all cells (lower is closer)", shown)


def over_grid(study: Study) -> Table:
    """How each distance goes with depth along either axis of the transfer grid, and how far its means spread."""
    runs, rows = study.runs, []
    for name in ("content_distance", "style_distance"):
        for axis in ("content_layer", "style_layers"):
            means = runs.groupby(axis, sort=False)[name].mean()
            rows.append(
                {
                    "distance": label(name).title,
                    "averaged by": label(axis).title,
                    "lowest mean": means.min(),
                    "lowest at": str(means.idxmin()),
                    "highest mean": means.max(),
                    "highest at": str(means.idxmax()),
                    "rank correlation with depth": rank_correlation(range(len(means)), means),
                }
            )
    return table("Along the grid's axes", Frame(rows))


def agreement(study: Study) -> Table:
    """Rank correlation of every other distance with the style distance, over the transfer grid."""
    runs = study.runs
    rows = [
        {
            "metric": label(name).title,
            "rank correlation with the style distance": rank_correlation(runs[name], runs["style_distance"]),
            "cells": len(runs),
        }
        for name in (*OTHER_STYLE_METRICS, "content_distance")
    ]
    return table("Do other metrics put the cells in the same order?", Frame(rows))


def of_gallery(study: Study) -> Table:
    """The distances of the pictures."""
    runs = study.runs
    shown = runs[["pair", "size", "init", "content_distance", "style_distance", *OTHER_STYLE_METRICS]]
    return table("Distances of the pictures", shown, href=list(runs["href"]))


def of_gram_matrices(study: Study) -> Table:
    """How far Gram matrices are from the style's."""
    rows = [{"layer": layer, **distances} for layer, distances in study.metrics["gram_distance_to_style"].items()]
    return table("Distance of the Gram matrix to the style's (|G − G(s)|² / |G(s)|², lower is closer)", Frame(rows))


def all_runs(study: Study) -> Table:
    """quality.csv beside timing.csv; columns that hold nothing are left out, and the settings that all runs share."""
    shared = [name for name in SETTINGS if study.runs[name].nunique() < 2]
    shown = study.runs.drop(columns=[*HIDDEN, *shared]).dropna(axis="columns", how="all")
    return table(f"All runs of the {study.name} study", shown, href=list(study.runs["href"]), digits=4)


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
