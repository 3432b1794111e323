"""The pages that people read: reports/index.html, one file that opens offline, and reports/README.md for a code host.

Both are drawn from what the studies wrote; the same results give the same bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nst.params import Params
from nst.report import tables
from nst.report.choices import choices
from nst.report.claims import claims
from nst.report.page import page
from nst.report.provenance import Commit, provenance
from nst.report.run import Run, existing, read
from nst.report.templating import render
from nst.report.texts import DEFINITIONS, SECTIONS
from nst.studies import figures

PAGE = "index.html"
README = "README.md"


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
    run = read(reports)
    transfer, gallery = run.studies["transfer"], run.studies["gallery"]
    shared = {
        "sections": {section.name: section for section in SECTIONS},
        "settings": {name: tables.settings(study) for name, study in run.studies.items()},
        "runs": {name: len(study.runs) for name, study in run.studies.items()},
        "pair_count": run.starts["pair"].nunique(),
        "choices": choices(run),
        "claims": claims(run),
        "definitions": DEFINITIONS,
        "starts": tables.of_starts(run),
        "starts_by_pair": tables.of_starts(run, pairs=True),
        "differences": tables.between_starts(run) if run.starts["init"].nunique() > 1 else None,
        "cells": tables.of_cells(run),
        "axes": tables.over_grid(transfer),
        "agreement": tables.agreement(transfer),
        "gallery_table": tables.of_gallery(gallery),
        "gram_table": tables.of_gram_matrices(gallery),
        "cost": tables.cost(run),
        "provenance": provenance(params, run, data, commit),
    }
    html = page(params, run, data, shared)
    text = _readme(run, shared)
    (reports / PAGE).write_text(html, "utf-8")
    (reports / README).write_text(text, "utf-8")


def _readme(run: Run, shared: Mapping[str, Any]) -> str:
    """The text.

    Args:
        shared: what the page says too.

    Raises:
        ReportError: a figure is missing.
    """
    reconstruction, synthesis = run.studies["reconstruction"], run.studies["synthesis"]

    def figure(study: str, name: str) -> str:
        """Its path relative to the folder of reports."""
        path = f"{study}/{figures.FOLDER}/{name}"
        existing(run.reports / path, study)
        return path

    best_layer, best_window = reconstruction.metrics["best_layer"], synthesis.metrics["best_window"]
    rows = (run.reports / "transfer" / figures.FOLDER).glob("rows_*.webp")
    return render(
        "README.md.j2",
        {
            **shared,
            "figure": figure,
            "layers": tables.by_layer(reconstruction, reconstruction.runs["content"].iloc[0]),
            "layer_noises": tables.of_noises(reconstruction, "content", "psnr", best_layer),
            "windows": tables.by_window(synthesis, synthesis.runs["style"].iloc[0]),
            "window_noises": tables.of_noises(synthesis, "style", "style_distance", best_window),
            "grid_rows": sorted(path.name for path in rows),
        },
    )
