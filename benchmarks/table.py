"""What a benchmark ends in: sections of rows and targets, as JSON, as tables, and in five lines."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SHORT = {
    "egeskov × great_wave at 512 px: times faster than pastiche": "speed of `nst transfer` at 512 px, from start to "
    "file: {} that of [pastiche](https://pypi.org/project/pastiche/)",
    "256×256, 2 threads: step, of the bare network": "time of one step: {} that of the network alone, forward and back",
    "peak memory at 512 px": "memory for a picture at 512 px: {}",
    "make repro with nothing to do": "`make repro` with nothing to do: {}",
}
"""What is said in a few lines: the name of a target, and its sentence."""

_BEGIN, _END = "<!-- benchmarks: written by `make bench` -->", "<!-- benchmarks: end -->"


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one thing."""

    median: float
    low: float
    """The lower quartile, or the lowest of fewer than five."""
    high: float
    """The upper quartile, or the highest of fewer than five."""
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Of at least one measurement."""
        found = sorted(values)
        low, high = found[0], found[-1]
        if len(found) >= 5:
            low, _, high = statistics.quantiles(found, n=4, method="inclusive")
        return cls(statistics.median(found), low, high, len(found))

    def __str__(self) -> str:
        if self.count == 1:
            return number(self.median)
        return f"{number(self.median)} ({number(self.low)}–{number(self.high)})"


Cell = str | int | float | Spread


@dataclass(frozen=True)
class Target:
    """What was to be reached, and what was."""

    what: str
    limit: float
    measured: Spread
    unit: str
    at_least: bool = False
    """The limit is a lower one."""

    @property
    def met(self) -> bool:
        """Whether the median keeps to the limit."""
        return self.measured.median >= self.limit if self.at_least else self.measured.median <= self.limit


@dataclass(frozen=True)
class Section:
    """One part of the benchmark."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    targets: tuple[Target, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Taken:
    """A section, with when and how it was measured."""

    section: Section
    date: str
    """UTC, to the minute."""
    commit: str
    seconds: float
    """How long measuring took."""
    others: float
    """Cores that other processes kept busy meanwhile."""


@dataclass(frozen=True)
class Results:
    """All there is to show."""

    machine: str
    sections: Mapping[str, Taken]


def number(value: float) -> str:
    """Three digits that count; whole numbers from 1000 on."""
    if abs(value) >= 1000:
        return f"{value:.0f}"
    digits = f"{value:#.3g}"
    return f"{value:.3f}" if "e" in digits else digits.rstrip(".")


def markdown(results: Results) -> str:
    """Every target, then every section's rows."""
    parts = [
        f"Medians, with quartiles (or lowest and highest, of fewer than five), on {results.machine}.",
        targets(results),
    ]
    for taken in results.sections.values():
        section = taken.section
        taken_on = (
            f"{taken.date}, commit {taken.commit}, {taken.seconds / 60:.1f} min, others used {taken.others:.2f} cores"
        )
        notes = " ".join([*section.notes, f"Measured {taken_on}."])
        parts.append("\n\n".join([f"## {section.title}", rows(section), notes]))
    return "\n\n".join(parts)


def targets(results: Results) -> str:
    """Every target, and whether it was met."""
    return _table([("", "target", "measured", "met"), *map(_target_row, _targets(results))])


def rows(section: Section) -> str:
    """What was measured."""
    return _table([section.columns, *(tuple(map(_text, row)) for row in section.rows)])


def write(results: Results, path: Path) -> None:
    """As JSON."""
    path.write_text(json.dumps(_encode(results), indent=2, ensure_ascii=False) + "\n", "utf-8")


def read(path: Path) -> Results:
    """Inverse of `write`.

    Raises:
        ValueError: this is no such file.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
        return Results(values["machine"], {name: _decode(taken) for name, taken in values["sections"].items()})
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: no results of `make bench` ({error!r}); remove it and measure again") from None


def summary(results: Results) -> str:
    """A few of the targets, a line each, with the machine."""
    measured = {target.what: f"{target.measured} {target.unit}".strip() for target in _targets(results)}
    lines = [f"- {sentence.format(measured[what])}" for what, sentence in SHORT.items() if what in measured]
    return "\n".join([f"On {results.machine}:", "", *lines])


def insert(text: str, path: Path) -> None:
    """Put a text between the two marks of a Markdown file.

    Raises:
        ValueError: the marks are missing.
    """
    whole = path.read_text("utf-8")
    before, begin, rest = whole.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"{path}: the lines {_BEGIN} and {_END}, which say where the table goes, are missing")
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", "utf-8")


def _targets(results: Results) -> list[Target]:
    return [target for taken in results.sections.values() for target in taken.section.targets]


def _target_row(target: Target) -> tuple[str, ...]:
    sign = "≥" if target.at_least else "≤"
    limit, measured = f"{target.limit:g} {target.unit}", f"{target.measured} {target.unit}"
    return target.what, f"{sign} {limit.strip()}", measured.strip(), "yes" if target.met else "**no**"


def _text(cell: Cell) -> str:
    return number(cell) if isinstance(cell, float) else str(cell)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Aligned, so that it reads well as text too."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _encode(results: Results) -> dict[str, Any]:
    values = asdict(results)
    for name, taken in results.sections.items():
        section = values["sections"][name]["section"]
        section["rows"] = [dict(zip(taken.section.columns, row, strict=True)) for row in section["rows"]]
        for target, kept in zip(taken.section.targets, section["targets"], strict=True):
            kept["met"] = target.met
    return values


def _decode(values: Mapping[str, Any]) -> Taken:
    section = values["section"]
    return Taken(
        **{
            **values,
            "section": Section(
                title=section["title"],
                columns=tuple(section["columns"]),
                rows=tuple(tuple(map(_cell, row.values())) for row in section["rows"]),
                targets=tuple(map(_target, section["targets"])),
                notes=tuple(section["notes"]),
            ),
        }
    )


def _target(values: Mapping[str, Any]) -> Target:
    fields = {name: value for name, value in values.items() if name != "met"}
    return Target(**{**fields, "measured": Spread(**values["measured"])})


def _cell(value: Any) -> Cell:
    return Spread(**value) if isinstance(value, Mapping) else value
