"""Two runs side by side on one page: what was changed, what it did to the numbers, and the pictures of both.

A run is a folder with params.yaml and reports/, as a checkout has them.  First comes what the runs chose and found,
from verdicts.json: two machines should agree on it.  What was measured is compared row by row, and sorted so that the
largest change comes first.
"""

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from PIL import Image

from nst.errors import NSTError
from nst.params import STUDIES
from nst.report.build import VERDICTS
from nst.report.differences import MOST_ROWS, change_text, differences, flat, texts
from nst.report.numbers import NOTHING
from nst.report.pictures import Picture, thumbnail
from nst.report.run import Frame, ReportError, read_table
from nst.report.templating import render
from nst.studies import figures
from nst.studies.tables import FOLDER, TABLES

MOST_PICTURES = 60
"""Single pictures shown of a study, those that changed most."""
PICTURE = 192
FIGURE = 900
"""Longest sides, px."""


class CompareError(NSTError):
    """One of the two runs cannot be read."""


@dataclass(frozen=True)
class Side:
    """One of the two runs."""

    label: str
    folder: Path
    """Holds params.yaml and reports/."""

    def study(self, name: str) -> Path:
        """The folder of a study."""
        return self.folder / "reports" / name

    def table(self, study: str, name: str) -> Path:
        """A table of a study; before tables had a folder of their own, they lay in the study's."""
        folder = self.study(study)
        return next((path for path in (folder / FOLDER / name, folder / name) if path.exists()), folder / FOLDER / name)


@dataclass(frozen=True)
class Verdicts:
    """Which choices and verdicts differ between two runs."""

    changed: tuple[tuple[str, str, str], ...]
    """What was chosen or claimed, what came of it before, and after."""
    same: int
    """How many do not differ."""
    unknown: tuple[str, ...]
    """Labels of runs that have no verdicts.json; then nothing is compared."""

    def lines(self) -> tuple[str, ...]:
        """The same as text, a line each."""
        if self.unknown:
            return tuple(f"{label}: has no reports/{VERDICTS}, so what it chose is not known" for label in self.unknown)
        count = f"{len(self.changed)} choices and verdicts changed, {self.same} are the same"
        return (count, *(f"{what} {before} → {after}" for what, before, after in self.changed))


@dataclass(frozen=True)
class Pair:
    """A picture of both runs; None where one does not have it."""

    title: str
    note: str
    before: Picture | None
    after: Picture | None


@dataclass(frozen=True)
class Comparison:
    """What differs between two runs of one study."""

    study: str
    metrics: Frame
    """See `differences`."""
    quality: Frame
    """The same, of each job and metric that both have."""
    only_before: tuple[str, ...]
    """Jobs that the other run does not have."""
    only_after: tuple[str, ...]
    jobs: int
    """That both have."""
    seconds: tuple[float, float]
    """Of all jobs."""
    figures: tuple[Pair, ...]
    pictures: tuple[Pair, ...]
    facts: tuple[tuple[str, str], ...]
    """What is not shown, and why."""


def write(before: Side, after: Side, page: Path) -> tuple[Comparison, ...]:
    """Write a page, self-contained, that sets `after` beside `before`; returns what it shows.

    Raises:
        CompareError: a run has no parameters, or has no study in common with the other, or its tables are damaged.
    """
    params = differences(parameters(before), parameters(after))
    has = {side.label: [name for name in STUDIES if _has(side, name)] for side in (before, after)}
    names = [name for name in STUDIES if all(name in found for found in has.values())]
    if not names:
        missing = next((label for label, found in has.items() if not found), after.label)
        raise CompareError(f"{missing}: there are no reports to compare; run `make repro` there and commit them")
    found = tuple(compare(name, before, after) for name in names)
    page.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "before": before.label,
        "after": after.label,
        "params": params,
        "verdicts": verdicts(before, after),
        "studies": found,
        "missing": [name for name in STUDIES if name not in names],
        "most_rows": MOST_ROWS,
        "texts": texts,
    }
    page.write_text(render("compare.html.j2", values), "utf-8")
    return found


def verdicts(before: Side, after: Side) -> Verdicts:
    """What the two runs chose and found; of a choice, also what the run could not tell from it.

    Raises:
        CompareError: a run's verdicts.json is damaged.
    """
    found = {side.label: _verdicts(side) for side in (before, after)}
    old, new = (found[side.label] for side in (before, after))
    if old is None or new is None:
        return Verdicts((), 0, tuple(label for label, values in found.items() if values is None))
    names = list(dict.fromkeys([*new, *old]))
    differ = [name for name in names if old.get(name) != new.get(name)]
    changed = tuple((name, old.get(name, NOTHING), new.get(name, NOTHING)) for name in differ)
    return Verdicts(changed, len(names) - len(differ), ())


def _verdicts(side: Side) -> dict[str, str] | None:
    """What came of each choice and claim; None where the run has no such file, as older ones."""
    path = side.folder / "reports" / VERDICTS
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        chosen = {f"{what}:": _choice(**choice) for what, choice in found["choices"].items()}
        return chosen | {str(claim): str(verdict) for claim, verdict in found["claims"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CompareError(f"{side.label}: reports/{VERDICTS} cannot be read; run `dvc repro report` there") from None


def _choice(best: str, alike: Sequence[str]) -> str:
    return f"{best} (not told from it: {', '.join(alike)})" if alike else best


def _has(side: Side, study: str) -> bool:
    return all(side.table(study, name).is_file() for name in TABLES)


def parameters(side: Side) -> "pd.Series[Any]":
    """params.yaml, flattened: ``transfer.style_weight``.

    As it is written, not as it is understood today: an older one may have keys that are gone.
    """
    try:
        return flat(yaml.safe_load((side.folder / "params.yaml").read_text("utf-8")))
    except (OSError, yaml.YAMLError):
        raise CompareError(f"{side.label}: has no params.yaml that can be read") from None


def _metrics(side: Side, study: str) -> "pd.Series[Any]":
    try:
        return flat(json.loads(side.table(study, "metrics.json").read_text("utf-8")))
    except json.JSONDecodeError as error:
        raise CompareError(f"{side.label}: {study}/metrics.json cannot be read ({error})") from None


def _table(side: Side, study: str, name: str) -> Frame:
    try:
        table = read_table(side.table(study, name))
        return table.set_index(pd.Index(_without_shared(list(table["job"])), name="job"))
    except (KeyError, ReportError):
        raise CompareError(f"{side.label}: {study}/{name} is not a table of jobs") from None


def _without_shared(names: Sequence[str]) -> list[str]:
    """Jobs' names without the settings that all of them state: so a job is found again when such a setting changed."""
    parts = [re.split(r"_(?=\d+px|\d+it|[a-z]+(?:_[a-z]+)*-)", name) for name in names]
    shared = set.intersection(*(set(settings) for _, *settings in parts)) if parts else set()
    return ["_".join([first, *(one for one in settings if one not in shared)]) for first, *settings in parts]


def _by_column(table: Frame) -> "pd.Series[Any]":
    """Each entry, by job and column."""
    entries: pd.Series[Any] = table.astype(object).stack()  # type: ignore[assignment]  # of one level of columns
    return entries


def compare(study: str, before: Side, after: Side) -> Comparison:
    """One study of two runs."""
    old, new = (_table(side, study, "quality.csv") for side in (before, after))
    jobs = old.index.intersection(new.index, sort=False)
    columns = old.columns.intersection(new.columns, sort=False)
    quality = differences(*(_by_column(table.loc[jobs, columns]) for table in (old, new)))
    seconds = [float(_table(side, study, "timing.csv")["seconds"].sum()) for side in (before, after)]
    changed = quality.index.get_level_values(0).unique()
    order = [*changed, *jobs.difference(changed, sort=False)]
    images = [(str(job), (str(old.loc[job, "image"]), str(new.loc[job, "image"]))) for job in order]
    pictures, facts = _pictures(study, before, after, images, quality)
    gone, come = (", ".join(a.columns.difference(b.columns)) for a, b in ((old, new), (new, old)))
    return Comparison(
        study,
        metrics=differences(_metrics(before, study), _metrics(after, study)),
        quality=quality,
        only_before=tuple(old.index.difference(new.index, sort=False)),
        only_after=tuple(new.index.difference(old.index, sort=False)),
        jobs=len(jobs),
        seconds=(seconds[0], seconds[1]),
        figures=_figures(study, before, after),
        pictures=pictures,
        facts=tuple((what, each) for what, each in (("Only before", gone), ("Only after", come), *facts) if each),
    )


# ── Pictures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _figures(study: str, before: Side, after: Side) -> tuple[Pair, ...]:
    """Those figures of a study that are not the same in both."""
    folders = [side.study(study) / figures.FOLDER for side in (before, after)]
    names = sorted({path.name for folder in folders if folder.is_dir() for path in folder.iterdir()})
    contents = {name: [_bytes(folder / name) for folder in folders] for name in names}
    return tuple(
        Pair(name, "", _smaller(old, FIGURE), _smaller(new, FIGURE))
        for name, (old, new) in contents.items()
        if old != new
    )


def _pictures(
    study: str, before: Side, after: Side, images: Sequence[tuple[str, tuple[str, str]]], quality: Frame
) -> tuple[tuple[Pair, ...], tuple[tuple[str, str], ...]]:
    """Those single pictures that are not the same in both, and how many others are not shown, and why.

    Args:
        images: each job, and where its picture lies on either side; those first that changed most.
    """
    pairs: list[Pair] = []
    counts: dict[str, int] = {}
    for job, places in images:
        both = zip((before, after), places, strict=True)
        old, new = contents = [_bytes(side.study(study) / place) for side, place in both]
        absent = [side.label for side, content in zip((before, after), contents, strict=True) if content is None]
        reasons = [f"Pictures of {label} neither in DVC's cache nor in a remote" for label in absent]
        if not absent and old == new:
            reasons = ["Pictures that are the same in both"]
        elif not absent and len(pairs) == MOST_PICTURES:
            reasons = ["Pictures that changed less and are not shown"]
        for reason in reasons:
            counts[reason] = counts.get(reason, 0) + 1
        if not reasons:
            pairs.append(Pair(str(job), _note(job, quality), _smaller(old, PICTURE), _smaller(new, PICTURE)))
    return tuple(pairs), tuple((reason, str(count)) for reason, count in counts.items())


def _note(job: Any, quality: Frame) -> str:
    changes = quality["change"].dropna()
    of_job: Sequence[Any] = [key for key in changes.index if key[0] == job]
    return ", ".join(f"{key[1]} {change_text(changes[key])}" for key in of_job)


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _smaller(content: bytes | None, longest: int) -> Picture | None:
    """As the page shows it; of a film the last picture."""
    if content is None:
        return None
    with Image.open(io.BytesIO(content)) as opened:
        opened.seek(getattr(opened, "n_frames", 1) - 1)
        return thumbnail(opened.convert("RGB"), longest)
