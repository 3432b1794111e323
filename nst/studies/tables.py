"""The files that studies write: quality.csv, timing.csv, metrics.json, headline.json, pictures.  And how to read them.

A number that is added to `Quality` is a column of quality.csv; one added to `Timing`, of timing.csv.
"""

import csv
import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from nst.engine.layers import LAYERS, window
from nst.engine.results import Result
from nst.studies.choices import Choice

if TYPE_CHECKING:
    pass

JOB_COLUMNS = (
    "content", "style", "content_layer", "style_layers", "init", "seed", "size", "iterations", "optimizer",
    "style_weight",
)  # fmt: skip
"""Columns of quality.csv that describe the job; after them comes every number of `Quality`."""
NOT_IN_TIMING = ("start_seconds", "iterations", "elapsed")
"""Fields of `Timing` that timing.csv leaves out; speed.csv, quality.csv and elapsed.csv have them."""

TABLES = ("metrics.json", "quality.csv", "timing.csv")
"""What every study writes and pages are made from."""

IMAGES = "images"
"""The folder of single pictures, inside a study's folder."""
FOLDER = "tables"
"""The folder of tables, inside a study's folder; headline.json alone, and recommended.json, are beside it."""


def write(results: Iterable[Result], folder: Path) -> None:
    """Write the pictures of `results`, quality.csv and timing.csv into a study's folder; and style_layers.csv, where
    there is a style: each layer's relative Gram error, a column a layer.

    quality.csv and style_layers.csv depend on nothing but the jobs; timing.csv differs from run to run.
    """
    results = list(results)
    names = [result.job.name for result in results]
    assert len(set(names)) == len(names), "two jobs of a study have the same name"
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    for result in results:
        (folder / image_path(result)).write_bytes(result.png)
    for name, rows in (("quality.csv", map(_quality, results)), ("timing.csv", map(_timing, results))):
        write_csv(rows, folder, name, digits=6)
    errors = [
        {"job": result.job.name, **dict(zip(LAYERS, found, strict=True))}
        for result in results
        if (found := result.quality.gram_errors)
    ]
    if errors:
        write_csv(errors, folder, "style_layers.csv", digits=6)


def image_path(result: Result) -> str:
    """Where a result's picture lies, relative to the study's folder."""
    return f"{IMAGES}/{result.job.name}.png"


def write_metrics(metrics: Mapping[str, Any], folder: Path) -> None:
    """metrics.json: all that the study found, for the report."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    _write_json(metrics, folder / FOLDER / "metrics.json")


def write_headline(results: Sequence[Result], folder: Path, choice: Choice | None = None) -> None:
    """headline.json: the mean distances of `results`; and what was chosen, and how many others could be as good.

    `dvc metrics show`, `dvc metrics diff` and `dvc exp show` make a column of each key, so all studies share them.
    """
    chosen = {"best": choice.winner, "alike": len(choice.alike)} if choice else {}
    _write_json({**chosen, **means(results, ("content_distance", "style_distance"))}, folder / "headline.json")


@dataclass(frozen=True)
class Recommended:
    """The layers that the transfer study recommends, and those that it compared them with.

    The studies that build on it depend on its file alone: other numbers may change, and they need not run again.
    """

    content_layer: str
    style_layers: str
    finalists: tuple[tuple[str, str], ...]
    """Content layer and style layers of each."""

    def write(self, folder: Path) -> None:
        """recommended.json, in a study's folder."""
        _write_json(dataclasses.asdict(self), folder / "recommended.json")

    @classmethod
    def read(cls, folder: Path) -> "Recommended":
        """Inverse of `write`."""
        found = _read_json(folder / "recommended.json")
        finalists = tuple((layer, layers) for layer, layers in found.pop("finalists"))
        return cls(**found, finalists=finalists)


def means(results: Sequence[Result], metrics: Sequence[str]) -> dict[str, float]:
    """Of those metrics that all these results have."""
    values = {name: [getattr(result.quality, name) for result in results] for name in metrics}
    return {name: fmean(found) for name, found in values.items() if None not in found}


def write_csv(rows: Iterable[dict[str, Any]], folder: Path, name: str, digits: int = 5) -> None:
    """A table of a study, its numbers to so many significant digits."""
    import pandas as pd

    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    table.to_csv(folder / FOLDER / name, index=False, lineterminator="\n", float_format=f"%.{digits}g")


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a table; cells are text, as written."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_metrics(folder: Path) -> dict[str, Any]:
    """What `write_metrics` wrote into a study's folder."""
    return _read_json(folder / FOLDER / "metrics.json")


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots as `dvc metrics show` joins them; lists are values."""
    if not isinstance(values, Mapping):
        return {prefix: values}
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))  # type: ignore[no-any-return]


def _write_json(values: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(_rounded(values), indent=2, ensure_ascii=False) + "\n", "utf-8")


def _quality(result: Result) -> dict[str, Any]:
    """A row of quality.csv: what the job was, every number of `Quality`, and where the picture lies."""
    job = result.job
    layers = {
        "content_layer": "+".join(job.content_layers) or None,
        "style_layers": window(job.style_layers) or None,
    }
    return {
        "job": job.name,
        **{name: layers[name] if name in layers else getattr(job, name) for name in JOB_COLUMNS},
        **result.quality.numbers(),
        "image": image_path(result),
    }


def _timing(result: Result) -> dict[str, Any]:
    """A row of timing.csv: the fields of `Timing` and, of `Environment`, what times depend on most."""
    timing, environment = result.timing, result.environment
    return {
        "job": result.job.name,
        "seconds": timing.seconds,
        "seconds_per_iteration": timing.seconds_per_iteration,
        **{name: value for name, value in dataclasses.asdict(timing).items() if name not in NOT_IN_TIMING},
        "device": environment.device,
        "precision": environment.precision,
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
