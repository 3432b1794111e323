"""Two runs side by side on one page: what was changed, what it did to the numbers, and the pictures of both.

A run is a folder with params.yaml and reports/, as a checkout has them.  What was measured is compared row by row, and
sorted so that the largest change comes first.
"""

import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from nst.errors import NSTError
from nst.params import STUDIES
from nst.report.page.pictures import Picture, thumbnail
from nst.report.templating import render
from nst.report.wording import NOTHING, count, listing, number
from nst.studies import figures, tables

MOST_ROWS = 100
"""Rows of a table; the changes after these are smaller."""
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


@dataclass(frozen=True)
class Difference:
    """One value that is not the same in both runs; None where a run does not have it."""

    where: str
    """Row: a parameter, or a picture."""
    what: str
    """Column: the metric, or nothing."""
    before: Any
    after: Any

    @property
    def change(self) -> float | None:
        """(after − before) / |before| of two numbers; infinite from 0."""
        if not (_is_number(self.before) and _is_number(self.after)):
            return None
        if self.before == 0:
            return math.copysign(math.inf, self.after)
        return float((self.after - self.before) / abs(self.before))

    @property
    def size(self) -> float:
        """To sort by: what is no number, or is in one run alone, comes first."""
        return math.inf if self.change is None else abs(self.change)

    @property
    def texts(self) -> tuple[str, str, str, str, str]:
        """The cells of its row."""
        change = NOTHING
        if self.change is not None:
            percent = 100 * self.change
            digits = "+.0f" if abs(percent) > 99 else "+.2g"  # without an exponent
            change = "from 0" if math.isinf(self.change) else f"{percent:{digits}} %".replace("-", "−")
        return self.where, self.what, _shown(self.before), _shown(self.after), change


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
    metrics: tuple[Difference, ...]
    quality: tuple[Difference, ...]
    only_before: tuple[str, ...]
    """Jobs that the other run does not have."""
    only_after: tuple[str, ...]
    jobs: int
    """That both have."""
    seconds: tuple[float, float]
    """Of all jobs."""
    figures: tuple[Pair, ...]
    pictures: tuple[Pair, ...]
    notes: tuple[str, ...]
    """What is not shown, and why."""


def write(before: Side, after: Side, page: Path) -> tuple[Comparison, ...]:
    """Write a page, self-contained, that sets `after` beside `before`; returns what it shows.

    Raises:
        CompareError: a run has no parameters, or has no study in common with the other, or its tables are damaged.
    """
    params = differences(parameters(before), parameters(after))
    names = [name for name in STUDIES if all(_has(side, name) for side in (before, after))]
    if not names:
        missing = before if not any(_has(before, name) for name in STUDIES) else after
        raise CompareError(f"{missing.label}: there are no reports to compare; run `make repro` there and commit them")
    found = tuple(compare(name, before, after) for name in names)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(
        render(
            "compare.html.j2",
            {
                "before": before.label,
                "after": after.label,
                "params": params,
                "studies": found,
                "missing": [name for name in STUDIES if name not in names],
                "most_rows": MOST_ROWS,
            },
        ),
        "utf-8",
    )
    return found


def _has(side: Side, study: str) -> bool:
    return all((side.study(study) / name).is_file() for name in tables.TABLES)


def parameters(side: Side) -> dict[str, Any]:
    """params.yaml, flattened: ``transfer.style_weight``.

    As it is written, not as it is understood today: an older one may have keys that are gone.
    """
    path = side.folder / "params.yaml"
    try:
        return tables.flat(yaml.safe_load(path.read_text("utf-8")))
    except (OSError, yaml.YAMLError):
        raise CompareError(f"{side.label}: has no params.yaml that can be read") from None


def differences(before: Mapping[str, Any], after: Mapping[str, Any], where: str | None = None) -> list[Difference]:
    """The entries that differ, the largest change first.

    Args:
        where: the row they all belong to; else each is a row of its own.
    """
    names = [*before, *(name for name in after if name not in before)]
    changed = [
        Difference(where or name, name if where else "", before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    ]
    return _largest_first(changed)


def compare(study: str, before: Side, after: Side) -> Comparison:
    """One study of two runs."""
    old, new = (_rows(side, study, "quality.csv") for side in (before, after))
    both = [job for job in old if job in new]
    columns = [_columns(rows) for rows in (old, new)]
    by_job = {job: differences(_only(old[job], columns[1]), _only(new[job], columns[0]), where=job) for job in both}
    seconds = [sum(row["seconds"] for row in _rows(side, study, "timing.csv").values()) for side in (before, after)]
    most_changed = sorted(both, key=lambda job: -max((each.size for each in by_job[job]), default=0.0))
    pictures, notes = _pictures(study, before, after, [(job, str(new[job]["image"])) for job in most_changed], by_job)
    return Comparison(
        study,
        metrics=tuple(differences(_metrics(before, study), _metrics(after, study))),
        quality=tuple(_largest_first(each for found in by_job.values() for each in found)),
        only_before=tuple(job for job in old if job not in new),
        only_after=tuple(job for job in new if job not in old),
        jobs=len(both),
        seconds=(seconds[0], seconds[1]),
        figures=_figures(study, before, after),
        pictures=pictures,
        notes=(*_measured_once(columns), *notes),
    )


def _columns(rows: Mapping[str, Mapping[str, Any]]) -> set[str]:
    return {name for row in rows.values() for name in row}


def _only(row: Mapping[str, Any], columns: set[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name in columns}


def _measured_once(columns: Sequence[set[str]]) -> list[str]:
    """Metrics that came or went with the code: no row of theirs has changed."""
    before, after = columns
    sides = (("before", before - after), ("after", after - before))
    return [f"Only {label}: {listing(sorted(names))}." for label, names in sides if names]


def _largest_first(found: Iterable[Difference]) -> list[Difference]:
    return sorted(found, key=lambda each: -each.size)


def _metrics(side: Side, study: str) -> dict[str, Any]:
    try:
        return tables.flat(tables.read_metrics(side.study(study)))
    except json.JSONDecodeError as error:
        raise CompareError(f"{side.label}: {study}/metrics.json cannot be read ({error})") from None


def _rows(side: Side, study: str, table: str) -> dict[str, dict[str, Any]]:
    """A table's rows by job, numbers as numbers."""
    rows = tables.read_csv(side.study(study) / table)
    try:
        return {row.pop("job"): {name: _value(text) for name, text in row.items()} for row in rows}
    except (KeyError, TypeError):
        raise CompareError(f"{side.label}: {study}/{table} is not a table of jobs") from None


def _value(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text or None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    if value is None:
        return NOTHING
    if _is_number(value):
        return number(value if isinstance(value, int) else float(value), 4)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple) else str(value)


# ── Pictures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _figures(study: str, before: Side, after: Side) -> tuple[Pair, ...]:
    """Those figures of a study that are not the same in both."""
    folders = [side.study(study) / figures.FOLDER for side in (before, after)]
    names = sorted({path.name for folder in folders if folder.is_dir() for path in folder.iterdir()})
    pairs = []
    for name in names:
        old, new = (_bytes(folder / name) for folder in folders)
        if old != new:
            pairs.append(Pair(name, "", *(_smaller(content, FIGURE) for content in (old, new))))
    return tuple(pairs)


def _pictures(
    study: str,
    before: Side,
    after: Side,
    jobs: Sequence[tuple[str, str]],
    by_job: Mapping[str, Sequence[Difference]],
) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Those single pictures that are not the same in both, and why the others are not shown."""
    pairs: list[Pair] = []
    same = more = 0
    absent = dict.fromkeys((before.label, after.label), 0)
    for job, image in jobs:
        contents = {side.label: _bytes(side.study(study) / image) for side in (before, after)}
        for label, content in contents.items():
            absent[label] += content is None
        old, new = contents.values()
        if old is None or new is None:
            continue
        if old == new:
            same += 1
        elif len(pairs) == MOST_PICTURES:
            more += 1
        else:
            note = ", ".join(f"{each.what} {each.texts[-1]}" for each in by_job[job] if each.change is not None)
            pairs.append(Pair(job, note, _smaller(old, PICTURE), _smaller(new, PICTURE)))
    told = [f"{count(same, 'picture')} {'is' if same == 1 else 'are'} the same in both."] if same else []
    told += [f"{count(more, 'picture')} that changed less {'is' if more == 1 else 'are'} not shown."] if more else []
    told += [
        f"{label}: {count(missing, 'picture')} {'is' if missing == 1 else 'are'} not in DVC's cache, nor in a remote."
        for label, missing in absent.items()
        if missing
    ]
    return tuple(pairs), tuple(told)


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _smaller(content: bytes | None, longest: int) -> Picture | None:
    """As the page shows it; of a film the last picture."""
    if content is None:
        return None
    with Image.open(io.BytesIO(content)) as opened:
        opened.seek(getattr(opened, "n_frames", 1) - 1)
        return thumbnail(opened.convert("RGB"), longest)
