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

Frame = pd.DataFrame

TABLES = ("metrics.json", "quality.csv", "timing.csv")
"""What every study writes and pages are made from."""

TEXT = ("job", "content", "style", "content_layer", "style_layers", "init", "optimizer", "image", "device", "precision")
"""Columns that hold names, even where these look like numbers: a single style layer is written ``5``."""


class ReportError(NSTError):
    """A table or picture that the report needs is missing or cannot be read."""


@dataclass(frozen=True)
class Study:
    """What one study left."""

    name: str
    metrics: Mapping[str, Any]
    runs: Frame
    """quality.csv beside timing.csv, a row a job.  Also: "href", where the picture lies in the folder of reports; and
    "pair", its content and style."""


@dataclass(frozen=True)
class Run:
    """What all studies left."""

    reports: Path
    studies: Mapping[str, Study]
    traces: Frame
    """Of each job of the initialization study: "loss" after each "iteration", and the "seconds" until then."""

    @property
    def starts(self) -> Frame:
        """The runs of the initialization study."""
        return self.studies["initialization"].runs


def read(reports: Path) -> Run:
    """The studies in the folder of reports.

    In the initialization study each run also has its "iterations_to_target" and "seconds_to_target".

    Raises:
        ReportError: a study has not been run, or its tables are damaged; names the file and the remedy.
    """
    studies = {name: _study(reports / name, name) for name in STUDIES}
    starts, folder = studies["initialization"], reports / "initialization"
    losses, elapsed = (read_table(existing(folder / name, folder.name)) for name in ("losses.csv", "elapsed.csv"))
    traces = losses.merge(elapsed, on=["job", "iteration"], how="outer")
    jobs = starts.runs.set_index("job")
    targets = jobs["pair"].map(starts.metrics["target_loss"])
    reached = traces[traces["loss"] <= traces["job"].map(targets)].groupby("job").first()
    if traces.isna().any(axis=None) or set(reached.index) != set(jobs.index):
        raise _unfit(folder, "losses.csv, elapsed.csv and metrics.json differ")
    starts.runs["iterations_to_target"] = reached["iteration"].loc[jobs.index].to_numpy()
    starts.runs["seconds_to_target"] = reached["seconds"].loc[jobs.index].to_numpy()
    return Run(reports, studies, traces)


def _study(folder: Path, name: str) -> Study:
    files = [existing(folder / file, name) for file in TABLES]
    try:
        metrics = json.loads(files[0].read_text("utf-8"))
        quality, timing = map(read_table, files[1:])
        runs = quality.merge(timing, on="job", how="outer", indicator=True, validate="one_to_one", sort=False)
    except (ValueError, KeyError) as error:
        raise _unfit(folder, _line(error)) from None
    if runs.empty or (runs.pop("_merge") != "both").any():
        raise _unfit(folder, "quality.csv and timing.csv have not the same jobs")
    runs = runs.set_index("job").loc[quality["job"]].reset_index()
    runs["href"] = f"{name}/" + runs["image"]
    runs["pair"] = [pair_name(*both) for both in zip(runs["content"], runs["style"], strict=True)]
    return Study(name, metrics, runs)


def read_table(path: Path) -> Frame:
    """A table that a study wrote.  Empty cells are missing; nothing else is: a picture may be called "null".

    Raises:
        ReportError: it is no table.
    """
    try:
        return pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=[""])
    except ValueError as error:  # those of pandas and of decoding are ValueErrors
        raise _unfit(path.parent, _line(error)) from None


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
