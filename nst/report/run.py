"""A finished run, as the studies left it in the folder of reports: tables as data frames, metrics.json as it is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nst.errors import NSTError
from nst.params import STUDIES
from nst.studies.originals import pair_name
from nst.studies.tables import FOLDER, TABLES

Frame = pd.DataFrame

JOBS = "jobs.html"
"""The page of all jobs."""
TEXT = (
    "job", "content", "style", "content_layer", "style_layers", "init", "optimizer", "image", "device", "precision",
    "original", "layers", "value", "pair", "finalist", "quantity", "when",
)  # fmt: skip
"""Columns that hold names, even where these look like numbers: a single style layer is written ``5``."""

_CHOICE = ("best", "alike", "rule", "compared", "numbers")
METRICS = {
    "reconstruction": _CHOICE,
    "synthesis": _CHOICE,
    "transfer": (*_CHOICE, "confirmed", "front"),
    "initialization": ("target_loss",),
    "parameters": ("curves",),
    "gallery": ("favourites", "gram_distance_to_style"),
}
"""What metrics.json of each study has."""
_START = ("when", "quantity", "init", "runs", "mean", "difference", "low", "high")


class ReportError(NSTError):
    """A table or picture that the report needs is missing or cannot be read."""


@dataclass(frozen=True)
class Study:
    """What one study left."""

    name: str
    metrics: Mapping[str, Any]
    runs: Frame
    """quality.csv beside timing.csv, a row a job.  Also: "href", where the picture lies in the folder of reports;
    "page", its place on jobs.html; and "pair", its content and style."""
    noises: Frame
    """noises.csv, if there is one: how alike what was made from two noises is."""


@dataclass(frozen=True)
class Run:
    """What all studies left."""

    reports: Path
    studies: Mapping[str, Study]
    cells: Frame
    """cells.csv of the transfer study: a row a cell of the grid."""
    finalists: Frame
    """finalists.csv of the transfer study: a row a run of a finalist."""
    starts: Frame
    """starts.csv and speed.csv of the initialization study: a row a quantity and start."""
    traces: Frame
    """Of each timed job of the initialization study: "loss" after each "iteration", and the "seconds" until then."""

    @property
    def timed(self) -> Frame:
        """The timed runs of the initialization study."""
        runs = self.studies["initialization"].runs
        timed: Frame = runs[runs["job"].isin(self.traces["job"])]
        return timed


def read(reports: Path) -> Run:
    """The studies in the folder of reports.

    Raises:
        ReportError: a study has not been run, or its tables are damaged; names the file and the remedy.
    """
    studies = {name: _study(reports / name, name) for name in STUDIES}

    def table(study: str, name: str, *columns: str) -> Frame:
        found = read_table(existing(reports / study / FOLDER / name, study))
        if missing := [column for column in columns if column not in found]:
            raise _unfit(reports / study, f"{name} has no column {missing[0]}")
        return found

    losses = table("initialization", "losses.csv", "job", "iteration", "loss")
    elapsed = table("initialization", "elapsed.csv", "job", "iteration", "seconds")
    starts = [table("initialization", name, *_START) for name in ("starts.csv", "speed.csv")]
    cells = table("transfer", "cells.csv", "job", "content_layer", "style_layers")
    finalists = table("transfer", "finalists.csv", "job", "finalist")
    traces = losses.merge(elapsed, on=["job", "iteration"], how="outer")
    if traces.isna().any(axis=None) or not set(traces["job"]) <= set(studies["initialization"].runs["job"]):
        raise _unfit(reports / "initialization", "losses.csv, elapsed.csv and quality.csv differ")
    if not {*cells["job"], *finalists["job"]} <= set(studies["transfer"].runs["job"]):
        raise _unfit(reports / "transfer", "cells.csv, finalists.csv and quality.csv differ")
    return Run(reports, studies, cells, finalists, pd.concat(starts), traces)


def _study(folder: Path, name: str) -> Study:
    files = [existing(folder / FOLDER / file, name) for file in TABLES]
    try:
        metrics = json.loads(files[0].read_text("utf-8"))
        quality, timing = map(read_table, files[1:])
        runs = quality.merge(timing, on="job", how="outer", indicator=True, validate="one_to_one", sort=False)
    except (ValueError, KeyError) as error:
        raise _unfit(folder, _line(error)) from None
    if missing := [key for key in METRICS[name] if key not in metrics]:
        raise _unfit(folder, f"metrics.json has no {missing[0]}")
    if runs.empty or (runs.pop("_merge") != "both").any():
        raise _unfit(folder, "quality.csv and timing.csv have not the same jobs")
    runs = runs.set_index("job").loc[quality["job"]].reset_index()
    runs["href"] = f"{name}/" + runs["image"]
    runs["page"] = f"{JOBS}#{name}/" + runs["job"]
    runs["pair"] = [pair_name(*both) for both in zip(runs["content"], runs["style"], strict=True)]
    noises = folder / FOLDER / "noises.csv"
    return Study(name, metrics, runs, read_table(noises) if noises.is_file() else Frame())


def read_table(path: Path) -> Frame:
    """A table that a study wrote.  Empty cells are missing; nothing else is: a picture may be called "null".

    Raises:
        ReportError: it is no table.
    """
    try:
        return pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=[""])
    except ValueError as error:  # those of pandas and of decoding are ValueErrors
        study = path.parent.parent if path.parent.name == FOLDER else path.parent
        raise _unfit(study, _line(error)) from None


def existing(path: Path, study: str) -> Path:
    """`path`, which `study` wrote.

    Raises:
        ReportError: it is not there.
    """
    if not path.is_file():
        raise ReportError(f"{path}: missing; run `dvc repro {study}` first (or `dvc checkout {study}`)")
    return path


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _unfit(folder: Path, reason: str) -> ReportError:
    return ReportError(f"{folder}: its tables do not fit together ({reason}); run `dvc repro --force {folder.name}`")
