"""Tables of all runs, and of what they cost."""

from collections.abc import Callable
from statistics import median

from nst.report.findings.phrases import cell, start_name, window_cell
from nst.report.findings.records import Cell, Column, Results, Run, StudyResults, Table
from nst.report.wording import NOTHING, about


def full_table(study: StudyResults) -> Table:
    """quality.csv beside timing.csv; columns that hold nothing are left out."""
    columns: list[tuple[Column, Callable[[Run], Cell]]] = [
        (Column("picture", numeric=False), lambda run: Cell(run.job, href=f"{study.name}/{run.image}")),
        (Column("content", numeric=False), lambda run: Cell(run.content or NOTHING)),
        (Column("style", numeric=False), lambda run: Cell(run.style or NOTHING)),
        (Column("content layer", numeric=False), lambda run: Cell(run.content_layer or NOTHING)),
        (Column("style layers", numeric=False), lambda run: window_cell(run.style_layers)),
        (Column("start", numeric=False), lambda run: Cell(start_name(run.init))),
        (Column("seed"), lambda run: Cell(str(run.seed), float(run.seed))),
        (Column("size", "px"), lambda run: Cell(str(run.size), float(run.size))),
        (Column("iterations"), lambda run: Cell(str(run.iterations), float(run.iterations))),
        (Column("optimizer", numeric=False), lambda run: Cell(run.optimizer)),
        (Column("content distance", "lower is closer"), lambda run: cell(run.content_distance, 4)),
        (Column("style distance", "lower is closer"), lambda run: cell(run.style_distance, 4)),
        (Column("sliced Wasserstein", "lower is closer"), lambda run: cell(run.sliced_wasserstein, 4)),
        (Column("colour distance", "lower is closer"), lambda run: cell(run.colour_distance, 4)),
        (Column("PSNR", "dB, higher is closer"), lambda run: cell(run.psnr, 4)),
        (Column("SSIM", "higher is closer"), lambda run: cell(run.ssim, 4)),
        (Column("final loss", "lower is better"), lambda run: cell(run.final_loss, 4)),
        (Column("time", "s"), lambda run: cell(run.seconds)),
        (Column("time an iteration", "ms"), lambda run: cell(1000 * run.seconds_per_iteration)),
        (Column("evaluations"), lambda run: Cell(str(run.evaluations), float(run.evaluations))),
        (Column("peak memory", "MB"), lambda run: cell(run.peak_memory_mb)),
    ]
    rows = [tuple(cell(run) for _, cell in columns) for run in study.runs]
    kept = [i for i in range(len(columns)) if any(row[i].text != NOTHING for row in rows)]
    return Table(
        f"All runs of the {study.name} study",
        tuple(columns[i][0] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in rows),
    )


def time_table(results: Results) -> Table:
    """What each study cost."""
    rows = []
    for study in results.studies.values():
        runs = study.runs
        rows.append(
            (
                Cell(study.name),
                Cell(str(len(runs)), float(len(runs))),
                _about(sum(run.seconds for run in runs)),
                _about(1000 * median(run.seconds_per_iteration for run in runs)),
                _about(max(run.peak_memory_mb for run in runs)),
                Cell(", ".join(sorted({run.precision for run in runs}))),
                Cell(", ".join(sorted({run.device for run in runs}))),
            )
        )
    return Table(
        "Time and memory",
        (
            Column("study", numeric=False),
            Column("runs"),
            Column("time of all runs", "s"),
            Column("time an iteration", "ms, median"),
            Column("peak memory", "MB"),
            Column("precision", numeric=False),
            Column("device", numeric=False),
        ),
        tuple(rows),
    )


def _about(value: float) -> Cell:
    """A measurement that differs a little from run to run."""
    return Cell(about(value), value)
