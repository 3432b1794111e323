"""The pages that people read: reports/index.html, one file that opens offline, and reports/README.md for a code host.

Both are drawn from what the studies wrote; the same results give the same bytes.
"""

import hashlib
import json
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from nst.engine import weights
from nst.engine.layers import window
from nst.params import STUDIES, Params, Settings
from nst.report import findings
from nst.report.claims import agreement, claims
from nst.report.findings.definitions import definitions
from nst.report.findings.initialization import headline, starts_table, target_table
from nst.report.findings.records import Results, Run, Start, StudyResults
from nst.report.findings.runs import full_table, time_table
from nst.report.page import gallery, grid, opening, pictures, starts, strips
from nst.report.page.sources import ReportError, existing
from nst.report.templating import render
from nst.studies import tables
from nst.studies.initialization import ALL_PAIRS

PAGE = "index.html"
README = "README.md"

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "matplotlib", "prefect", "dvc")
"""Whose versions are reported, beside Python's."""

_NUMBER = float | None


@dataclass(frozen=True)
class Commit:
    """The state of the repository that results were made from."""

    hash: str
    modified: bool
    """Something that results depend on had changes that were not committed."""


@dataclass(frozen=True)
class Provenance:
    """What the results came from."""

    commit: Commit | None
    """None where there is no git repository."""
    params: str
    """YAML."""
    data: tuple[tuple[str, str], ...]
    """Each file of data/ with its SHA-256."""
    credits: tuple[tuple[str, ...], ...]
    """The table of data/ATTRIBUTION.md, its head first."""
    weights: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    devices: tuple[str, ...]
    precisions: tuple[str, ...]


def write(params: Params, reports: Path, data: Path, commit: Commit | None = None) -> None:
    """Write index.html and README.md into `reports`.

    Args:
        params: what was studied.
        reports: holds a folder for each study, and receives the pages.
        data: the pictures that were studied.
        commit: that the results were made from, to be named in the pages.

    Raises:
        ReportError: a study has not been run, or what it wrote is damaged; names the file and the remedy.
    """
    results = read(reports)
    sections = findings.sections(params, results)
    for section in sections:
        for figure in section.figures:
            existing(reports / figure.path, section.name)
    shared = {
        "params": params,
        "sections": sections,
        "definitions": definitions(),
        "headline": headline(results),
        "starts": starts_table(results, [ALL_PAIRS]),
        "time": time_table(results),
        "claims": claims(results),
        "agreement": agreement(results.studies["transfer"].runs),
        "provenance": provenance(params, results, data, commit),
        "results": results,
    }
    (reports / PAGE).write_text(_page(params, results, reports, data, shared), "utf-8")
    (reports / README).write_text(render("README.md.j2", shared), "utf-8")


def _page(params: Params, results: Results, reports: Path, data: Path, shared: Mapping[str, Any]) -> str:
    """index.html: what both pages say, with everything that can be looked at."""
    film = gallery.film(params, reports)
    origin: Provenance = shared["provenance"]
    shown = {
        "sections": {section.name: section for section in shared["sections"]},
        "runs": sum(len(study.runs) for study in results.studies.values()),
        "hero": opening.hero(params, results, reports, data),
        "cards": opening.start_cards(params, results, reports),
        "reconstruction": strips.reconstruction(params, results, reports, data),
        "synthesis": strips.synthesis(params, results, reports, data),
        "grid": grid.grid(params, results, reports, data),
        "pairs": starts.pairs(params, results, read_traces(reports), reports, data),
        "target_table": target_table(results),
        "gallery": gallery.matrix(params, results, reports, data),
        "favourites": gallery.favourites(results, reports),
        "film": film,
        "film_frames": json.dumps([(told, frame.uri) for told, frame in zip(film.moments, film.frames, strict=True)]),
        "figure": lambda figure: pictures.embed(reports / figure.path),
        "full": {name: full_table(study) for name, study in results.studies.items()},
        "checksums": [(name, f"`{digest}`") for name, digest in origin.weights + origin.data],
        "css": "".join(_parts("style")),
        # Each script has names of its own.
        "script": '"use strict";\n' + "".join(f"{{\n{text}}}\n" for text in _parts("script")),
    }
    return render("page/index.html.j2", {**shared, **shown})


def read(reports: Path) -> Results:
    """What the studies wrote.

    Raises:
        ReportError: something is missing or damaged.
    """
    studies = {name: _read_study(reports / name, name) for name in STUDIES}
    folder = reports / "initialization"
    merged: dict[tuple[str, str], dict[str, float]] = {}
    counts: dict[tuple[str, str], int] = {}
    for table in ("starts.csv", "speed.csv"):
        path = existing(folder / table, "initialization")
        for row in tables.read_csv(path):
            key = (row.pop("pair"), row.pop("init"))
            counts[key] = int(row.pop("runs"))
            merged.setdefault(key, {}).update({name: float(value) for name, value in row.items()})
    return Results(studies, tuple(Start(*key, counts[key], values) for key, values in merged.items()))


def _read_study(folder: Path, name: str) -> StudyResults:
    for file in tables.TABLES:
        existing(folder / file, name)
    try:
        metrics = tables.read_metrics(folder)
        timing = {row["job"]: row for row in tables.read_csv(folder / "timing.csv")}
        runs = tuple(_run({**row, **timing[row["job"]]}) for row in tables.read_csv(folder / "quality.csv"))
    except (ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ReportError(
            f"{folder}: its tables do not fit together ({reason}); run `dvc repro --force {name}`"
        ) from None
    if not runs:
        raise ReportError(f"{folder}/quality.csv: holds no runs; run `dvc repro --force {name}`")
    return StudyResults(name, metrics, runs)


def read_traces(reports: Path) -> dict[str, starts.Trace]:
    """Seconds and losses of each run of the initialization study, by the name of its job.

    Raises:
        ReportError: something is missing or damaged.
    """
    folder = reports / "initialization"
    columns: dict[str, dict[str, list[float]]] = {"seconds": {}, "loss": {}}
    for table, key in (("elapsed.csv", "seconds"), ("losses.csv", "loss")):
        for row in tables.read_csv(existing(folder / table, "initialization")):
            columns[key].setdefault(row["job"], []).append(float(row[key]))
    if {job: len(x) for job, x in columns["seconds"].items()} != {job: len(y) for job, y in columns["loss"].items()}:
        raise ReportError(
            f"{folder}: elapsed.csv and losses.csv do not fit together; run `dvc repro --force initialization`"
        )
    return {job: (x, columns["loss"][job]) for job, x in columns["seconds"].items()}


def _run(row: Mapping[str, str]) -> Run:
    """A run from the text of its cells; empty ones are None."""
    values: dict[str, Any] = {}
    for field in fields(Run):
        text = row[field.name]
        parse: Callable[[str], Any] = int if field.type is int else float if field.type in (float, _NUMBER) else str
        values[field.name] = parse(text) if text else None
    return Run(**values)


# ── Provenance ────────────────────────────────────────────────────────────────────────────────────────────────────────


def provenance(params: Params, results: Results, data: Path, commit: Commit | None) -> Provenance:
    """What the results came from."""
    runs = [run for study in results.studies.values() for run in study.runs]
    sources = sorted({getattr(params, study).weights for study in STUDIES})
    used = [(f"VGG-19, {source}", weights.check(source)) for source in sources]
    if any(run.init == "adain" for run in runs):
        used.append(("AdaIN decoder", weights.DECODER_SHA256))
    return Provenance(
        commit=commit,
        params=params_text(params),
        data=tuple(checksums(data)),
        credits=credits_table(data / "ATTRIBUTION.md"),
        weights=tuple(used),
        versions=(("python", platform.python_version()), *((name, _version(name)) for name in PACKAGES)),
        devices=tuple(sorted({run.device for run in runs})),
        precisions=tuple(sorted({run.precision for run in runs})),
    )


def params_text(params: Params) -> str:
    """The parameters as YAML: shared settings once, and in a study's section what is its own or differs."""
    shared = {name: getattr(params, name) for name in Settings.model_fields}
    written: dict[str, Any] = dict(shared)
    for study in STUDIES:
        section = getattr(params, study)
        values = {name: getattr(section, name) for name in type(section).model_fields}
        written[study] = {
            name: _plain(value) for name, value in values.items() if name not in shared or value != shared[name]
        }
    return yaml.safe_dump(written, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)


def _plain(value: Any) -> Any:
    """Values that YAML has, with layers as people write them."""
    if hasattr(value, "model_dump"):
        return {name: _plain(item) for name, item in value.model_dump().items()}
    if isinstance(value, tuple):
        if len(value) > 1 and all(isinstance(item, str) and re.fullmatch(r"conv\d_\d", item) for item in value):
            label = window(value)
            return label if "," not in label else list(value)
        return [_plain(item) for item in value]
    return value


def checksums(folder: Path) -> list[tuple[str, str]]:
    """Each file under `folder` with its SHA-256; hidden files are no data."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in name.split("/")):
            found.append((name, hashlib.sha256(path.read_bytes()).hexdigest()))
    return found


def credits_table(path: Path) -> tuple[tuple[str, ...], ...]:
    """Who made the pictures: the first table of a Markdown file, or nothing where there is none."""
    if not path.is_file():
        return ()
    lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("|")]
    return tuple(row for row in rows if not all(re.fullmatch(r":?-+:?", cell) for cell in row))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


# ── Pages ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _parts(folder: str) -> list[str]:
    """The files of one folder of the page's templates, by name."""
    return [path.read_text("utf-8") for path in sorted((Path(__file__).parent / "templates/page" / folder).iterdir())]
