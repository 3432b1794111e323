"""The pages that people read: reports/index.html, one file that opens offline; jobs.html, which has every picture; and
README.md for a code host.

Beside them verdicts.json has what the run chose and found, for `make compare`.  All are drawn from what the studies
wrote; the same results give the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nst.params import Params
from nst.report import jobs, tables
from nst.report.choices import ShownChoice, choices
from nst.report.claims import Claim, claims
from nst.report.page import page
from nst.report.provenance import Commit, provenance
from nst.report.run import JOBS, Run, existing, read
from nst.report.templating import render
from nst.report.texts import DEFINITIONS, SECTIONS
from nst.studies import figures

PAGE = "index.html"
README = "README.md"
VERDICTS = "verdicts.json"
"""Each choice and verdict, so that two runs can be compared by them."""


def write(params: Params, reports: Path, data: Path, commit: Commit | None = None) -> None:
    """Write index.html, jobs.html and README.md into `reports`.

    Args:
        params: what was studied.
        reports: holds a folder for each study, and receives the pages.
        data: the pictures that were studied.
        commit: that the results were made from, to be named in the pages.

    Raises:
        ReportError: a study has not been run, or what it wrote is damaged; names the file and the remedy.
    """
    run = read(reports)
    gallery, chosen = run.studies["gallery"], choices(run)
    shared = {
        "sections": {section.name: section for section in SECTIONS},
        "settings": {name: tables.settings(study) for name, study in run.studies.items()},
        "runs": {name: len(study.runs) for name, study in run.studies.items()},
        "choices": chosen,
        "claims": claims(run),
        "definitions": DEFINITIONS,
        "starts": tables.of_starts(run),
        "layers": tables.by_layer(run.studies["reconstruction"], chosen["reconstruction"], params.reconstruction.size),
        "windows": tables.by_window(run.studies["synthesis"], chosen["synthesis"]),
        "noises": {
            name: tables.of_noises(run.studies[name], chosen[name].winner) for name in ("reconstruction", "synthesis")
        },
        "finalists": tables.of_finalists(run, chosen["transfer"]),
        "confirmed": run.studies["transfer"].metrics["confirmed"],
        "curves": tables.of_curves(run),
        "varied": list(params.parameters.vary),
        "correlations": tables.correlations(run),
        "gallery_table": tables.of_gallery(gallery),
        "gram_table": tables.of_gram_matrices(gallery),
        "cost": tables.cost(run),
        "provenance": provenance(params, run, data, commit),
    }
    html = page(params, run, data, shared)
    text = _readme(run, shared)
    (reports / PAGE).write_text(html, "utf-8")
    (reports / JOBS).write_text(jobs.page(run), "utf-8")
    (reports / VERDICTS).write_text(verdicts(shared["choices"], shared["claims"]), "utf-8")
    (reports / README).write_text(text, "utf-8")


def _readme(run: Run, shared: Mapping[str, Any]) -> str:
    """The text.

    Args:
        shared: what the page says too.

    Raises:
        ReportError: a figure is missing.
    """

    def figure(study: str, name: str) -> str:
        """Its path relative to the folder of reports."""
        path = f"{study}/{figures.FOLDER}/{name}"
        existing(run.reports / path, study)
        return path

    rows = (run.reports / "transfer" / figures.FOLDER).glob("rows_*.webp")
    return render("README.md.j2", {**shared, "figure": figure, "grid_rows": sorted(path.name for path in rows)})


def verdicts(chosen: Mapping[str, ShownChoice], claimed: Sequence[Claim]) -> str:
    """The text of verdicts.json."""
    found = {
        "choices": {choice.what: {"best": choice.winner, "alike": list(choice.alike)} for choice in chosen.values()},
        "claims": {claim.statement: claim.verdict for claim in claimed},
    }
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
