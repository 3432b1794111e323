"""The first screen: the starts beside each other, the recommended layers, one picture to look at."""

from dataclasses import dataclass
from pathlib import Path

from nst.params import Params
from nst.report.findings.initialization import CONTENT, ITERATIONS, SECONDS_TO_TARGET, STYLE
from nst.report.findings.phrases import start_name
from nst.report.findings.records import Results
from nst.report.page import sources
from nst.report.page.gallery import favourites
from nst.report.page.pictures import Shown
from nst.report.page.starts import painted
from nst.report.wording import same

QUANTITIES = ((SECONDS_TO_TARGET, "s"), (ITERATIONS, ""), (CONTENT, ""), (STYLE, ""))
"""What the first screen says of each start, with the unit."""


@dataclass(frozen=True)
class Measured:
    """A number of a start, over all runs."""

    label: str
    shown: str
    unit: str
    best: bool
    """No start has a better one."""


@dataclass(frozen=True)
class StartCard:
    """A start: what came of it, and what it cost."""

    name: str
    number: int
    """Which colour it has."""
    picture: Shown
    measured: tuple[Measured, ...]


def start_cards(params: Params, results: Results, reports: Path) -> tuple[StartCard, ...]:
    """One a start, with its picture of the first pair and its means over all runs."""
    study = results.studies["initialization"]
    content, style = params.initialization.pairs[0]
    cards = []
    for position, init in enumerate(results.inits):
        run = next(run for run in study.runs if (run.content, run.style, run.init) == (content, style, init))
        cards.append(
            StartCard(
                start_name(init),
                position,
                painted(reports, run),
                tuple(
                    Measured(
                        quantity.label,
                        results.start(init).shown(quantity.key),
                        unit,
                        _is_best(results, init, quantity.key),
                    )
                    for quantity, unit in QUANTITIES
                ),
            )
        )
    return tuple(cards)


def _is_best(results: Results, init: str, key: str) -> bool:
    """All quantities of the first screen are better when lower."""
    value, least = results.start(init).mean(key), min(results.start(each).mean(key) for each in results.inits)
    return len(results.inits) > 1 and (value == least or same(value, least))


def hero(params: Params, results: Results, reports: Path, data: Path) -> tuple[Shown, ...]:
    """The first favourite after the two pictures that it was made of."""
    return (*sources.pair(data, *params.gallery.favourites[0]), favourites(results, reports)[0])
