"""What bfloat16 costs in quality: the same pictures made in float32."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import pairs
from benchmarks.pairs import PAIRS, SIZE
from benchmarks.table import Cell, Section, Spread, Target

DIFFERENCE = 3.0
"""% that a distance may differ."""


def measure(say: Callable[[str], None]) -> Section:
    """`nst transfer` in both precisions on all pairs.

    Raises:
        FailedError: a command failed.
    """
    rows: list[tuple[Cell, ...]] = []
    targets: list[Target] = []
    for pair in PAIRS:
        found = {}
        for precision in ("bfloat16", "float32"):
            say(f"{pair.title}: {precision}")
            with tempfile.TemporaryDirectory() as folder:
                picture = Path(folder) / "picture.png"
                run = pairs.transfer(*pair.paths, picture, "--size", str(SIZE), "--precision", precision)
                found[precision] = pairs.judge(picture, pair)
            rows.append((pair.title, precision, found[precision].content, found[precision].style, run.seconds))
        ours, exact = found["bfloat16"], found["float32"]
        for kind, a, b in (("content", ours.content, exact.content), ("style", ours.style, exact.style)):
            what = f"{pair.title}: {kind} distance, bfloat16 against float32"
            targets.append(Target(what, DIFFERENCE, Spread.of([difference(a, b)]), "% apart"))
    columns = ("pair", "precision", "content distance", "style distance", "s")
    return Section("Quality of bfloat16", columns, tuple(rows), tuple(targets))


def difference(found: float, exact: float) -> float:
    """How far apart, % of `exact`."""
    return abs(found - exact) / exact * 100
