"""What a study leaves on Prefect's page: what was found, a picture, which job ran where, and where the report is."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image
from prefect.artifacts import create_markdown_artifact

from flows import settings
from nst.engine.jobs import Job
from nst.engine.results import Result
from nst.report.pictures import thumbnail
from nst.studies import tables

_ROWS = 200
"""Jobs that are listed one by one."""
_SIDE = 640
"""Longest side of the picture, px."""


def leave(study: str, new: Mapping[Job, Result], finished_before: int, reports: Path) -> None:
    """Leaves the study's artifact with the flow run that is in progress."""
    create_markdown_artifact(
        key=f"study-{study}",
        description=f"{study}: {len(new)} jobs run, {finished_before} finished before",
        markdown=markdown(study, new, finished_before, reports),
    )


def markdown(study: str, new: Mapping[Job, Result], finished_before: int, reports: Path) -> str:
    """The page's text.

    Args:
        new: the jobs that this run computed.
        finished_before: how many it found finished.
    """
    folder = reports.resolve() / study
    listed = [
        (job.title, f"{result.timing.seconds:.1f}", f"{where.device}, {where.precision}", where.worker)
        for job, result in list(new.items())[:_ROWS]
        for where in [result.environment]
    ]
    numbers = [
        (name, f"{value:.4g}" if isinstance(value, float) else str(value))
        for name, value in tables.flat(tables.read_metrics(folder)).items()
    ]
    lines = [
        f"# {study.capitalize()}",
        "",
        f"{len(new)} jobs run, {finished_before} finished before. {_places(reports.resolve(), study)}",
        "",
        *_picture(folder / "figures"),
        *_table(("metric", "value"), numbers),
        *_table(("job", "seconds", "device", "worker"), listed),
    ]
    if len(new) > _ROWS:
        lines.append(f"… and {len(new) - _ROWS} more.")
    return "\n".join(lines)


def _places(reports: Path, study: str) -> str:
    """Paths and no links: browsers open no files from a page of the web."""
    if settings.ROOT != settings.HOME:  # a copy, which DVC removes when the experiment has ended
        return (
            f"This is an experiment: in `{settings.HOME}`, `dvc exp show` lists it and `dvc exp apply` takes it over."
        )
    return f"Report: `{reports / 'index.html'}`, tables and pictures: `{reports / study}`."


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    cells = [[cell.replace("|", "\\|") for cell in row] for row in [head, ("---",) * len(head), *rows]]
    return [*(f"| {' | '.join(row)} |" for row in cells), ""]


def _picture(figures: Path) -> list[str]:
    """The study's first figure, small and inside the text: Prefect's page cannot read files."""
    found = sorted(path for path in figures.iterdir() if path.suffix in (".webp", ".png", ".jpg"))
    if not found:
        return []
    with Image.open(found[0]) as picture:
        return [f"![{found[0].stem}]({thumbnail(picture, _SIDE, quality=75).uri})", ""]
