"""The examples run.

The notebook's cells are plain Python, so they are executed as such, in order and in one process, as a kernel does.
Jupyter and its forty packages would add nothing to that.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
NOTEBOOK = json.loads((EXAMPLES / "tables.ipynb").read_text("utf-8"))
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def _run(*command: str, cwd: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_script_makes_a_row_of_pictures(tmp_path: Path, data: Path) -> None:
    pictures = [str(data / "content" / "chelsea.jpg"), str(data / "style" / "great_wave.jpg")]
    options = ["--output", str(tmp_path / "row.png"), "--size", "48", "--iterations", "3"]
    said = _run(str(EXAMPLES / "api.py"), *pictures, *options, cwd=tmp_path)
    assert said.count("weight ") == 3
    with Image.open(tmp_path / "row.png") as row:
        assert row.width == 3 * 48


def test_the_notebook_reads_a_study_and_draws_it(tmp_path: Path) -> None:
    look = "print(len(grid), len(axes.collections)); figure.savefig(r'{}')".format(tmp_path / "plot.png")
    said = _run("-c", "\n".join([*CELLS, look]), cwd=EXAMPLES).split()
    with (ROOT / "reports" / "transfer" / "tables" / "cells.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    layers = {row["content_layer"] for row in rows}
    assert [int(word) for word in said] == [len(rows), len(layers)]
    with Image.open(tmp_path / "plot.png") as plot:
        assert len(plot.convert("RGB").getcolors(maxcolors=1 << 24) or ()) > len(layers)


@pytest.mark.parametrize("cell", CELLS, ids=range(len(CELLS)))
def test_cells_are_plain_python(cell: str) -> None:
    compile(cell, "cell", "exec")  # no %magic, no !command


def test_the_notebook_keeps_no_outputs() -> None:
    assert all(cell["outputs"] == [] for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code")
