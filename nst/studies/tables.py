"""The files that studies write: quality.csv, timing.csv, metrics.json, headline.json, pictures.  And how to read them.

A number that is added to `Quality` is a column of quality.csv; one added to `Timing`, of timing.csv.
"""

import csv
import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nst.engine.layers import LAYERS, window
from nst.engine.results import Result

if TYPE_CHECKING:
    import pandas as pd

DISTANCES = ("content_distance", "style_distance", "sliced_wasserstein", "colour_distance")
"""Metrics that headlines and tables of depth show."""

JOB_COLUMNS = (
    "content", "style", "content_layer", "style_layers", "init", "seed", "size", "iterations", "optimizer",
)  # fmt: skip
"""Columns of quality.csv that describe the job; after them comes every number of `Quality`."""
NOT_IN_TIMING = ("start_seconds", "iterations", "elapsed")
"""Fields of `Timing` that timing.csv leaves out; speed.csv, quality.csv and elapsed.csv have them."""

TABLES = ("metrics.json", "quality.csv", "timing.csv")
"""What every study writes and pages are made from."""

IMAGES = "images"
"""The folder of single pictures, inside a study's folder."""


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
        write_csv(rows, folder / name, digits=6)
    errors = [
        {"job": result.job.name, **dict(zip(LAYERS, found, strict=True))}
        for result in results
        if (found := result.quality.gram_errors)
    ]
    if errors:
        write_csv(errors, folder / "style_layers.csv", digits=6)


def image_path(result: Result) -> str:
    """Where a result's picture lies, relative to the study's folder."""
    return f"{IMAGES}/{result.job.name}.png"


def write_metrics(metrics: Mapping[str, Any], folder: Path) -> None:
    """metrics.json: all that the study found, for the report."""
    _write_json(metrics, folder / "metrics.json")


def write_headline(values: Mapping[str, float | str | None], folder: Path) -> None:
    """headline.json: the few numbers that a study is judged by.

    `dvc metrics show`, `dvc metrics diff` and `dvc exp show` make a column of each.
    """
    _write_json(values, folder / "headline.json")


def write_recommended(content_layer: str, style_layers: str, folder: Path) -> None:
    """recommended.json: the layers that the transfer study recommends, and nothing else.

    The gallery depends on this file alone: other numbers of the study may change, and it need not run again.
    """
    _write_json({"content_layer": content_layer, "style_layers": style_layers}, folder / "recommended.json")


def read_recommended(folder: Path) -> tuple[str, str]:
    """What `write_recommended` wrote into a study's folder: content layer, style layers."""
    found = _read_json(folder / "recommended.json")
    return found["content_layer"], found["style_layers"]


def distances(result: Result) -> dict[str, float]:
    """The distances of a result to its originals, by name; only those that this kind of job has."""
    found = {name: getattr(result.quality, name) for name in DISTANCES}
    return {name: value for name, value in found.items() if value is not None}


def write_csv(rows: "Iterable[dict[str, Any]] | pd.DataFrame", path: Path, digits: int = 5) -> None:
    """A table, its numbers to so many significant digits."""
    import pandas as pd

    pd.DataFrame(rows).to_csv(path, index=False, lineterminator="\n", float_format=f"%.{digits}g")


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a table; cells are text, as written."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_metrics(folder: Path) -> dict[str, Any]:
    """What `write_metrics` wrote into a study's folder."""
    return _read_json(folder / "metrics.json")


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
