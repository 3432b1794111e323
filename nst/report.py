"""The pages that people read: reports/index.html, one file that opens offline, and reports/README.md for a code host.

Both are drawn from what the studies wrote; the same results give the same bytes.
"""

import base64
import csv
import hashlib
import html
import io
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from nst import figures, findings, images, tables, weights
from nst.claims import agreement, claims
from nst.errors import NSTError
from nst.findings.definitions import definitions
from nst.findings.initialization import headline, starts_table
from nst.findings.phrases import start_name
from nst.findings.records import Results, Run, Start, StudyResults
from nst.findings.runs import full_table, time_table
from nst.layers import layer_number, window
from nst.params import STUDIES, Params, Settings
from nst.studies.initialization import ALL_PAIRS
from nst.wording import number

PAGE = "index.html"
README = "README.md"

THUMBNAIL = 192
"""Longest side of the pictures in the transfer grid, px: small in their cells, large enough to look at one."""

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "matplotlib", "prefect", "dvc")
"""Whose versions are reported, beside Python's."""

_NUMBER = float | None
_MIME = {".webp": "image/webp", ".png": "image/png", ".gif": "image/gif"}


class ReportError(NSTError):
    """A table or picture that the report needs is missing or cannot be read."""


@dataclass(frozen=True)
class Picture:
    """A picture as the page carries it."""

    uri: str
    """A data: URI."""
    width: int
    height: int


@dataclass(frozen=True)
class GridCell:
    """One cell of the transfer grid."""

    run: Run
    picture: Picture
    href: str
    """The full picture."""
    on_front: bool
    recommended: bool

    @property
    def numbers(self) -> str:
        """What is said under the picture when it is shown large."""
        run = self.run
        return (
            f"content distance {number(run.content_distance)} · style distance {number(run.style_distance)} · "
            f"PSNR {number(run.psnr)} dB · SSIM {number(run.ssim)}"
        )


@dataclass(frozen=True)
class Grid:
    """The transfer study as a matrix: rows are content layers, columns style windows."""

    windows: tuple[str, ...]
    rows: tuple[tuple[str, tuple[GridCell | None, ...]], ...]
    originals: tuple[tuple[str, Picture], ...]
    shown_first: GridCell


@dataclass(frozen=True)
class Labelled:
    """A picture with what is said of it."""

    picture: Picture
    alt: str
    caption: str
    href: str | None


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
    for section in sections:
        for figure in section.figures:
            _existing(reports / figure.path, section.name)
    page = {
        "figure": lambda figure: embed(reports / figure.path),
        "grid": grid(params, results, reports, data),
        "hero": hero(params, results, reports, data),
        "compared": compared(params, results, reports, data),
        "favourites": favourites(results, reports),
        "film": film(reports),
        "full": {name: full_table(study) for name, study in results.studies.items()},
        "css": _template_text("report.css"),
        "script": _template_text("report.js"),
    }
    (reports / PAGE).write_text(_render("report.html.j2", {**shared, **page}), "utf-8")
    (reports / README).write_text(_render("README.md.j2", shared), "utf-8")


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
        path = _existing(folder / table, "initialization")
        for row in _rows(path):
            key = (row.pop("pair"), row.pop("init"))
            counts[key] = int(row.pop("runs"))
            merged.setdefault(key, {}).update({name: float(value) for name, value in row.items()})
    return Results(studies, tuple(Start(*key, counts[key], values) for key, values in merged.items()))


def _read_study(folder: Path, name: str) -> StudyResults:
    for file in ("metrics.json", "quality.csv", "timing.csv"):
        _existing(folder / file, name)
    try:
        metrics = tables.read_metrics(folder)
        timing = {row["job"]: row for row in _rows(folder / "timing.csv")}
        runs = tuple(_run({**row, **timing[row["job"]]}) for row in _rows(folder / "quality.csv"))
    except (ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ReportError(
            f"{folder}: its tables do not fit together ({reason}); run `dvc repro --force {name}`"
        ) from None
    if not runs:
        raise ReportError(f"{folder}/quality.csv: holds no runs; run `dvc repro --force {name}`")
    return StudyResults(name, metrics, runs)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _run(row: Mapping[str, str]) -> Run:
    """A run from the text of its cells; empty ones are None."""
    values: dict[str, Any] = {}
    for field in fields(Run):
        text = row[field.name]
        parse: Callable[[str], Any] = int if field.type is int else float if field.type in (float, _NUMBER) else str
        values[field.name] = parse(text) if text else None
    return Run(**values)


def _existing(path: Path, study: str) -> Path:
    if not path.is_file():
        raise ReportError(f"{path}: missing; run `dvc repro {study}` first")
    return path


# ── Pictures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def embed(path: Path) -> Picture:
    """A picture file as it is."""
    content = path.read_bytes()
    with Image.open(io.BytesIO(content)) as picture:
        size = picture.size
    return Picture(_uri(content, _MIME[path.suffix]), *size)


def thumbnail(picture: Image.Image, longest: int = THUMBNAIL, quality: int = 80) -> Picture:
    """A picture as WebP, scaled down to `longest` px at most."""
    small = picture.convert("RGB")
    small.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=quality, method=4)
    return Picture(_uri(buffer.getvalue(), "image/webp"), *small.size)


def _uri(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def _result(reports: Path, study: str, run: Run) -> tuple[Image.Image, str]:
    """A run's picture, and where the full one lies."""
    href = f"{study}/{run.image}"
    path = reports / href
    if not path.is_file():
        raise ReportError(f"{path}: missing; run `dvc repro {study}` first (or `dvc checkout {study}`)")
    return images.read(path), href


def _original(data: Path, kind: str, name: str) -> Image.Image:
    return images.read(images.find(data / kind, name))


def grid(params: Params, results: Results, reports: Path, data: Path) -> Grid:
    """The transfer study's pictures as a matrix."""
    study = results.studies["transfer"]
    chosen = study.metrics["recommended"]
    best = f"{chosen['content_layer']} | {chosen['style_layers']}"
    cells: dict[tuple[str, str], GridCell] = {}
    for run in study.runs:
        picture, href = _result(reports, "transfer", run)
        name = f"{run.content_layer} | {run.style_layers}"
        cells[str(run.content_layer), str(run.style_layers)] = GridCell(
            run, thumbnail(picture), href, name in study.metrics["front"], name == best
        )
    layers = list(dict.fromkeys(layer for layer, _ in cells))
    windows = tuple(dict.fromkeys(name for _, name in cells))
    section = params.transfer
    return Grid(
        windows,
        tuple((layer, tuple(cells.get((layer, name)) for name in windows)) for layer in layers),
        tuple(
            (f"{kind}: {name}", thumbnail(_original(data, kind, name)))
            for kind, name in (("content", section.content), ("style", section.style))
        ),
        cells[chosen["content_layer"], chosen["style_layers"]],
    )


def hero(params: Params, results: Results, reports: Path, data: Path) -> tuple[Labelled, ...]:
    """The first favourite after the two pictures that it was made of."""
    content, style = params.gallery.favourites[0]
    return (
        *(
            Labelled(thumbnail(_original(data, kind, name), 320), f"The {kind} picture, {name}.", name, None)
            for kind, name in (("content", content), ("style", style))
        ),
        favourites(results, reports)[0],
    )


def favourites(results: Results, reports: Path) -> tuple[Labelled, ...]:
    """The gallery's larger pictures."""
    study = results.studies["gallery"]
    shown = []
    for name in study.metrics["favourites"]:
        file = f"gallery/{figures.FOLDER}/favourite_{name.replace(' × ', '_')}.webp"
        of_pair = [run for run in study.runs if f"{run.content} × {run.style}" == name]
        largest = max(of_pair, key=lambda run: run.size)
        content, style = str(largest.content), str(largest.style)
        shown.append(
            Labelled(
                embed(_existing(reports / file, "gallery")),
                f"{content} painted as {style}.",
                name,
                f"gallery/{largest.image}",
            )
        )
    return tuple(shown)


def film(reports: Path) -> Picture:
    """The last picture of the film, for those who want nothing to move."""
    path = _existing(reports / "gallery" / figures.FOLDER / "process.gif", "gallery")
    with Image.open(path) as opened:
        opened.seek(getattr(opened, "n_frames", 1) - 1)
        return thumbnail(opened.convert("RGB"), max(opened.size))


def compared(params: Params, results: Results, reports: Path, data: Path) -> tuple[Labelled, ...]:
    """The first pair of the initialization study: its originals, and what came of it from each start."""
    study = results.studies["initialization"]
    content, style = params.initialization.pairs[0]
    shown = [
        Labelled(thumbnail(_original(data, kind, name)), f"The {kind} picture, {name}.", f"{kind}: {name}", None)
        for kind, name in (("content", content), ("style", style))
    ]
    for init in results.inits:
        run = next(run for run in study.runs if (run.content, run.style, run.init) == (content, style, init))
        picture, href = _result(reports, "initialization", run)
        start = start_name(init)
        shown.append(
            Labelled(thumbnail(picture), f"{content} painted as {style}, from {start}.", f"from {start}", href)
        )
    return tuple(shown)


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


def _render(template: str, values: Mapping[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("nst", "templates"),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        capitalize_first=lambda text: text[:1].upper() + text[1:],
        lower_first=lambda text: text[:1].lower() + text[1:],
        href=href,
        layer_number=layer_number,
        markdown_cell=markdown_cell,
        prose=prose,
        start_name=start_name,
    )
    return environment.get_template(template).render(values)


def _template_text(name: str) -> str:
    """A file that the page holds inside."""
    return (Path(__file__).parent / "templates" / name).read_text("utf-8")


def prose(text: str) -> Any:
    """HTML of a sentence in which `names` stand between backticks."""
    from markupsafe import Markup

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text)))


def href(path: str) -> str:
    """A relative path as a link's target; pictures may have any name."""
    from urllib.parse import quote

    return quote(path, safe="/")


def markdown_cell(text: str) -> str:
    """Text that stays in its cell of a Markdown table."""
    return text.replace("|", "\\|")
