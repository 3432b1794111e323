"""What the studies wrote, as read from their tables; and what the pages are drawn from: sections, figures, tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nst.report.wording import number, plus_minus
from nst.studies.choices import cell_name
from nst.studies.initialization import ALL_PAIRS
from nst.studies.originals import pair_name


@dataclass(frozen=True)
class Run:
    """One row of a study's quality.csv with its row of timing.csv."""

    job: str
    content: str | None
    style: str | None
    content_layer: str | None
    style_layers: str | None
    init: str
    seed: int
    size: int
    iterations: int
    optimizer: str
    content_distance: float | None
    style_distance: float | None
    sliced_wasserstein: float | None
    colour_distance: float | None
    psnr: float | None
    ssim: float | None
    final_loss: float
    image: str
    seconds: float
    seconds_per_iteration: float
    evaluations: int
    peak_memory_mb: float
    device: str
    precision: str

    @property
    def pair(self) -> str:
        """Its pictures, where it has two."""
        return pair_name(str(self.content), str(self.style))

    @property
    def cell(self) -> str:
        """Its place in the transfer grid."""
        return cell_name(str(self.content_layer), str(self.style_layers))


@dataclass(frozen=True)
class StudyResults:
    """What a study wrote."""

    name: str
    metrics: Mapping[str, Any]
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Start:
    """One row of starts.csv with its row of speed.csv: a start, over the runs of one pair or of all."""

    pair: str
    init: str
    runs: int
    values: Mapping[str, float]

    def mean(self, quantity: str) -> float:
        """Over the runs."""
        return self.values[quantity]

    def deviation(self, quantity: str) -> float:
        """Standard deviation over the runs."""
        return self.values[f"{quantity}_sd"]

    def shown(self, quantity: str) -> str:
        """Mean ± standard deviation."""
        return plus_minus(self.mean(quantity), self.deviation(quantity))


@dataclass(frozen=True)
class Results:
    """What all studies wrote."""

    studies: Mapping[str, StudyResults]
    starts: tuple[Start, ...]

    @property
    def inits(self) -> list[str]:
        """The starts that were compared, as params name them."""
        return list(dict.fromkeys(start.init for start in self.starts))

    @property
    def pairs(self) -> list[str]:
        """The pairs of pictures that the starts were compared on."""
        return [pair for pair in dict.fromkeys(start.pair for start in self.starts) if pair != ALL_PAIRS]

    def start(self, init: str, pair: str = ALL_PAIRS) -> Start:
        """The row of this start and pair."""
        return next(start for start in self.starts if (start.init, start.pair) == (init, pair))


@dataclass(frozen=True)
class Figure:
    """A picture file of a study, with what it shows in words."""

    path: str
    """Relative to the folder of reports."""
    alt: str
    caption: str
    least_width: int = 0
    """px under which it cannot be read; narrower screens scroll it."""
    place: Literal["open", "folded", "readme"] = "open"
    """Folded: shown on demand.  Readme: the page has something better than this file."""


@dataclass(frozen=True)
class Column:
    """Head of a table's column."""

    title: str
    note: str = ""
    """Unit, or which direction is better."""
    numeric: bool = True


@dataclass(frozen=True)
class Cell:
    """One entry of a table."""

    text: str
    value: float | None = None
    """What to sort by, if that is not the text."""
    href: str | None = None
    """Relative to the folder of reports."""


@dataclass(frozen=True)
class Table:
    """Numbers in rows and columns."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Chosen:
    """A choice that a study made."""

    what: str
    winner: str
    because: str
    """The winner's numbers."""
    rule: str
    runner_up: str
    """With its numbers."""
    margin: str
    """How much one number would have to change for the runner-up to win."""
    certainty: str
    """What the spread of repeated runs says about it."""


@dataclass(frozen=True)
class Section:
    """What the report says of one study."""

    name: str
    title: str
    question: str
    method: tuple[str, ...]
    findings: tuple[str, ...]
    chosen: Chosen | None
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Quantity:
    """Something that starts are compared by."""

    key: str
    label: str
    unit: str = ""
    less: str = "lower"
    more: str = "higher"
    digits: int = 3
    lower_is_better: bool = True

    def shown(self, value: float) -> str:
        """A value with its unit."""
        return f"{number(value, self.digits)}{self.unit}"
