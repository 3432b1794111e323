"""A small set of reports: every study, really run, at 48 px with two iterations."""

from pathlib import Path

import yaml
from engine_support import DATA, finished
from study_support import PARAMS

from nst import params, studies
from nst.engine.jobs import Job
from nst.engine.results import Result
from nst.params import Params
from nst.report import build as report

ITERATIONS = 2


def complete(study: studies.Study, wanted: Params) -> dict[Job, Result]:
    """All results of a study, asked for until it wants no more."""
    results: dict[Job, Result] = {}
    while missing := [job for job in study.jobs(wanted, results) if job not in results]:
        results |= {job: finished(job) for job in missing}
    return results


def write_studies(given: Params, reports: Path) -> None:
    """The folders of all studies."""
    for name in params.STUDIES:
        study, wanted = studies.load(name), studies.resolve(given, reports)
        study.write(wanted, complete(study, wanted), DATA, reports / name)


def make_reports(folder: Path) -> tuple[Params, Path]:
    """What was studied, and the folder of reports, with the two pages."""
    values = yaml.safe_load(PARAMS.read_text("utf-8"))
    for study in params.STUDIES:
        values[study].pop("iterations", None)
    values |= {"size": 48, "iterations": ITERATIONS}
    values["reconstruction"] |= {"layers": ["conv1_1", "conv2_1", "conv4_2"]}
    values["synthesis"] |= {"windows": ["1-2", "2-3"]}
    values["transfer"] |= {"content_layers": ["conv1_2", "conv2_1", "conv3_1", "conv4_2"]}
    values["transfer"] |= {"style_windows": ["1-2", "2-3", "3-4"]}
    pairs = [["egeskov", "great_wave"], ["chelsea", "cafe_terrace"]]
    values["transfer"]["finalists"] = {
        "count": 2,
        "iterations": ITERATIONS,
        "style_weights": [3, 10],
        "pairs": pairs,
        "seeds": [0, 1],
    }
    values["initialization"] |= {"seeds": [0, 1], "content_layer": "conv2_2", "style_layers": "1-3"}
    values["initialization"] |= {"long_iterations": 3}
    values["parameters"] |= {"vary": {"style_weight": [1, 10], "optimizer": ["adam", "lbfgs"]}}
    values["gallery"] |= {"favourite_size": 64, "film": {**values["gallery"]["film"], "frames": 2}}
    (folder / "params.yaml").write_text(yaml.safe_dump(values), "utf-8")
    given = params.load(folder / "params.yaml")
    reports = folder / "reports"
    write_studies(given, reports)
    report.write(given, reports, DATA)
    return given, reports
