"""Peak memory of one picture, resident, of the whole process."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import pairs
from benchmarks.pairs import PAIRS
from benchmarks.table import Cell, Section, Spread, Target

LIMITS_GB = {512: 1.2, 1024: 3.0}
ITERATIONS = 10
"""After the first few nothing more is kept."""


def measure(say: Callable[[str], None]) -> Section:
    """`nst transfer` at each size, of a picture as it is (3:2) and of its square middle.

    Raises:
        FailedError: a command failed.
    """
    from nst.engine import images

    content, style = PAIRS[0].paths
    rows: list[tuple[Cell, ...]] = []
    targets: list[Target] = []
    with tempfile.TemporaryDirectory() as folder:
        square = Path(folder) / "square.png"
        picture = images.read(content)
        pairs.square(picture, min(picture.size)).save(square)
        for size, limit in LIMITS_GB.items():
            for shape, path in (("3:2", content), ("square", square)):
                say(f"{size} px, {shape}")
                options = ("--size", str(size), "--iterations", str(ITERATIONS))
                run = pairs.transfer(path, style, Path(folder) / "out.png", *options)
                peak = run.peak_mb * 2**20 / 1e9
                width, height = images.read(Path(folder) / "out.png").size
                rows.append((f"{width}×{height}", peak, run.seconds))
                if path == content:
                    targets.append(Target(f"peak memory at {size} px", limit, Spread.of([peak]), "GB"))
    columns = ("picture, px", "peak memory, GB", f"s ({ITERATIONS} iterations)")
    return Section("Memory: whole processes", columns, tuple(rows), tuple(targets))
