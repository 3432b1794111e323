"""What the results came from: commit, parameters, pictures, weights, versions, machine."""

import hashlib
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from nst.engine import weights
from nst.engine.layers import LAYERS, window
from nst.params import STUDIES, Params, Settings
from nst.report.run import Run

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pandas", "pillow", "matplotlib", "prefect", "dvc")
"""Whose versions are reported, beside Python's."""

Pairs = tuple[tuple[str, str], ...]


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
    checksums: Pairs
    """SHA-256 of the weights and of each file of data/."""
    credits: tuple[tuple[str, ...], ...]
    """The table of data/ATTRIBUTION.md, its head first."""
    versions: Pairs
    devices: tuple[str, ...]
    precisions: tuple[str, ...]


def provenance(params: Params, run: Run, data: Path, commit: Commit | None) -> Provenance:
    """What the results came from."""
    runs = pd.concat([study.runs for study in run.studies.values()])
    sources = sorted({getattr(params, study).weights for study in STUDIES})
    used = [(f"VGG-19, {source}", weights.check(source)) for source in sources]
    if "adain" in set(runs["init"]):
        used.append(("AdaIN decoder", weights.DECODER_SHA256))
    return Provenance(
        commit,
        params_text(params),
        (*used, *checksums(data)),
        credits_table(data / "ATTRIBUTION.md"),
        (("python", platform.python_version()), *((name, metadata.version(name)) for name in PACKAGES)),
        _distinct(runs["device"]),
        _distinct(runs["precision"]),
    )


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))


def params_text(params: Params) -> str:
    """The parameters as YAML: shared settings once, and in a study's section what is its own or differs."""
    shared = {name: getattr(params, name) for name in Settings.model_fields}
    written: dict[str, Any] = dict(shared)
    for study in STUDIES:
        written[study] = {
            name: _plain(value) for name, value in getattr(params, study) if name not in shared or value != shared[name]
        }
    return yaml.safe_dump(written, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)


def _plain(value: Any) -> Any:
    """Values that YAML has; neighbouring layers as people write them, ``1-5``."""
    if hasattr(value, "model_dump"):
        return {name: _plain(item) for name, item in value}
    if not isinstance(value, tuple):
        return value
    if len(value) > 1 and set(value) <= set(LAYERS) and "-" in window(value):
        return window(value)
    return [_plain(item) for item in value]


def checksums(folder: Path) -> Pairs:
    """Each file under `folder` with its SHA-256; hidden files are no data."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return tuple(
        (name, hashlib.sha256(path.read_bytes()).hexdigest())
        for name, path in paths.items()
        if not any(part.startswith((".", "__pycache__")) for part in name.split("/"))
    )


def credits_table(path: Path) -> tuple[tuple[str, ...], ...]:
    """Who made the pictures: the table of a Markdown file, or nothing where there is none."""
    if not path.is_file():
        return ()
    lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("|")]
    return tuple(row for row in rows if not all(re.fullmatch(r":?-+:?", cell) for cell in row))
