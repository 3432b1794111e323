"""Time to quality: `nst transfer` beside pastiche, each a process of its own with its default settings.

pastiche (github.com/dstein64/pastiche) is what `pip install` gives people today: Gatys' objective at the same layers
with VGG-19, L-BFGS, 1000 steps, float32.  It gets the same files and the same longest side.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from benchmarks import machine, pairs, process
from benchmarks.pairs import PAIRS, Pair
from benchmarks.table import Cell, Section, Spread, Target
from flows.settings import ROOT

FASTER = 60
SIZE = 512
"""Longest side, px."""
COMPARED = PAIRS[:2]
"""The peer takes about 20 minutes for one."""
RUNS = 5
"""Of ours, after one more that warms the disk's cache up; of the peer one, which takes minutes."""
KEPT = ROOT / ".cache" / "bench" / "peer"
"""Where a run of the peer is kept, for `--peer-results`."""


@dataclass(frozen=True)
class Outcome:
    """One way to a picture."""

    seconds: Spread
    peak_mb: float
    distances: pairs.Distances


def measure(say: Callable[[str], None], kept: Path | None = None) -> Section:
    """Both on the pairs of `COMPARED`.

    Args:
        kept: a folder with results of an earlier run of the peer on this machine, to be used again.

    Raises:
        FailedError: a command failed, or `kept` holds results of another machine or not all that are needed.
    """
    rows: list[tuple[Cell, ...]] = []
    targets: list[Target] = []
    for pair in COMPARED:
        say(f"{pair.title}: nst transfer")
        ours = _ours(pair)
        say(f"{pair.title}: {'pastiche, from an earlier run' if kept else 'pastiche, about 20 minutes'}")
        peer = _kept(pair, kept) if kept else _peer(pair)
        for name, outcome in (("nst transfer", ours), (f"pastiche {version()}", peer)):
            found = outcome.distances
            distances = found.content, found.style, found.sliced_wasserstein
            rows.append((pair.title, name, outcome.seconds, *distances, round(outcome.peak_mb)))
        targets += _targets(pair, ours, peer)
    notes: tuple[str, ...] = (
        f"Both at {SIZE} px with default settings; distances of the saved pictures by `nst.engine.metrics`.",
    )
    if kept:
        notes += ("pastiche's times and pictures are of an earlier run on this machine.",)
    measured = "content distance", "style distance", "sliced Wasserstein distance"
    columns = ("pair", "program", "s", *measured, "peak memory, MB")
    return Section("Time to quality: whole processes", columns, tuple(rows), tuple(targets), notes)


def version() -> str:
    """Of the peer.

    Raises:
        FailedError: it is not installed.
    """
    try:
        return metadata.version("pastiche")
    except metadata.PackageNotFoundError:
        raise process.FailedError("pastiche is not installed; `make bench` installs it") from None


def _targets(pair: Pair, ours: Outcome, peer: Outcome) -> list[Target]:
    speed = Spread.of([peer.seconds.median / ours.seconds.median])
    found, other = ours.distances, peer.distances
    shares = {
        "content distance": found.content / other.content,
        "style distance": found.style / other.style,
        "sliced Wasserstein distance (neither optimises it)": found.sliced_wasserstein / other.sliced_wasserstein,
    }
    return [
        Target(f"{pair.title} at {SIZE} px: times faster than pastiche", FASTER, speed, "×", at_least=True),
        *(
            Target(f"{pair.title} at {SIZE} px: {name}, of pastiche's", 1.0, Spread.of([share]), "×")
            for name, share in shares.items()
        ),
    ]


def _ours(pair: Pair) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "ours.png"
        runs = [pairs.transfer(*pair.paths, picture, "--size", str(SIZE)) for _ in range(1 + RUNS)][1:]
        seconds = Spread.of(run.seconds for run in runs)
        return Outcome(seconds, max(run.peak_mb for run in runs), pairs.judge(picture, pair, SIZE))


def _peer(pair: Pair) -> Outcome:
    KEPT.mkdir(parents=True, exist_ok=True)
    picture = KEPT / f"{pair.name}.png"
    content, style = map(str, pair.paths)
    command = ("--content", content, "--styles", style, "--size", str(SIZE), "--output", str(picture))
    finished = process.run(sys.executable, "-m", "pastiche", *command)
    _keep(pair, finished, KEPT)
    return _kept(pair, KEPT)


def _keep(pair: Pair, finished: process.Finished, folder: Path) -> None:
    values = {"seconds": finished.seconds, "peak_mb": finished.peak_mb, "on": _where()}
    (folder / f"{pair.name}.json").write_text(json.dumps(values), "utf-8")


def _kept(pair: Pair, folder: Path) -> Outcome:
    path = folder / f"{pair.name}.json"
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, json.JSONDecodeError):
        raise process.FailedError(f"{path}: no results of pastiche; run without --peer-results once") from None
    if values["on"] != _where():
        raise process.FailedError(f"{path}: of another machine ({values['on']}); run without --peer-results")
    return Outcome(Spread.of([values["seconds"]]), values["peak_mb"], pairs.judge(path.with_suffix(".png"), pair, SIZE))


def _where() -> str:
    return f"{machine.describe()}, pastiche {version()}"
