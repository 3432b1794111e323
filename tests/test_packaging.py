"""What is installed: one source of versions, and a wheel that works outside a checkout."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
OURS = "nst-studies"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCKED = {
    package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))["package"]
}  # each once: no two platforms need two versions of one package


def _exported() -> dict[str, Requirement]:
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in wanted}


def _marker(requirement: Requirement) -> str:
    return str(requirement.marker or "").replace('"', "'")


def _needed(package: dict[str, Any], extras: list[str]) -> Iterator[dict[str, Any]]:
    """What uv.lock says that a package with these extras needs directly."""
    yield from package.get("dependencies", [])
    for extra in extras:
        yield from package.get("optional-dependencies", {}).get(extra, [])


def _everything_needed() -> set[str]:
    """By the project with its extra `dev`, on any platform."""
    waiting, seen = [(OURS, ("dev",))], set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        waiting += [(one["name"], tuple(one.get("extra", ()))) for one in _needed(LOCKED[name], list(extras))]
    return {name for name, _ in seen} - {OURS}


def test_pip_installs_what_uv_installs() -> None:
    exported = _exported()
    assert exported.keys() == _everything_needed(), "run `make lock`"
    for name, requirement in exported.items():
        assert str(requirement.specifier) == f"=={LOCKED[name]['version']}", "run `make lock`"


def test_the_lock_is_of_this_pyproject() -> None:
    """As `uv lock --check` does, without uv."""
    wanted = [Requirement(text) for text in PROJECT["dependencies"]]
    for extra, texts in PROJECT["optional-dependencies"].items():
        wanted += [Requirement(f"{text}; extra == '{extra}'") for text in texts]
    recorded = LOCKED[OURS]["metadata"]["requires-dist"]

    def plain(name: str, extras: Any, specifier: str, marker: str) -> tuple[str, tuple[str, ...], frozenset[str], str]:
        parts = frozenset(filter(None, specifier.replace(" ", "").split(",")))
        return canonicalize_name(name), tuple(sorted(extras)), parts, marker.replace('"', "'")

    assert {plain(one.name, one.extras, str(one.specifier), _marker(one)) for one in wanted} == {
        plain(one["name"], one.get("extras", ()), one.get("specifier", ""), one.get("marker", "")) for one in recorded
    }, "run `make lock`"


def test_the_lock_names_public_addresses_only() -> None:
    text = (ROOT / "uv.lock").read_text("utf-8")
    assert set(re.findall(r'registry = "([^"]*)"', text)) == {"https://pypi.org/simple"}
    assert set(re.findall(r'url = "(https?://[^/"]*|[^"]*)', text)) == {"https://files.pythonhosted.org"}
    assert "://" not in (ROOT / "requirements.lock").read_text("utf-8")


def test_without_cuda_make_installs_all_but_cuda() -> None:
    """What `TORCH=cpu` would run; PyTorch's index is not asked."""
    command = ["make", "--dry-run", "--always-make", "install", "TORCH=cpu"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    first = said.index("--index-url https://download.pytorch.org/whl/cpu")
    pattern = re.search(r"grep -vE '([^']*)'", said)
    assert pattern and first < pattern.start() < said.index("--editable")
    left_out = {name for name in _exported() if re.match(pattern[1], name)}
    linux_only = {name for name, one in _exported().items() if "sys_platform == 'linux'" in _marker(one)}
    assert left_out == linux_only, "the wheels that are for Linux alone are those of CUDA"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what our wheel puts into site-packages, and no checkout near it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("nst", "flows"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = f"from setuptools import build_meta; print(build_meta.build_wheel({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(folder / "site")
    shutil.rmtree(source)
    return folder / "site"


def test_the_wheel_has_every_file_of_the_packages(installed: Path) -> None:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "nst", "flows"]
    tracked = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    there = {str(path.relative_to(installed)) for top in ("nst", "flows") for path in (installed / top).rglob("*")}
    assert [name for name in tracked if (ROOT / name).exists() and name not in there] == []


def test_the_command_runs_outside_a_checkout(installed: Path, tmp_path: Path) -> None:
    (entry,) = installed.glob("*.dist-info/entry_points.txt")
    module, function = re.search(r"^nst = ([\w.]+):(\w+)$", entry.read_text(), flags=re.MULTILINE).groups()  # type: ignore[union-attr]
    run = f"import sys, {module} as it; print(it.__file__, file=sys.stderr); it.{function}()"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    for arguments, expected in ((["transfer", "--help"], "--style-layers"), (["--version"], PROJECT["version"])):
        command = [sys.executable, "-c", run, *arguments]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert str(installed) in ended.stderr
        assert ended.returncode == 0, ended.stderr
        assert expected in ended.stdout


# ── Other machines ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_image_leaves_out_what_git_ignores() -> None:
    """A key in `.env` or an environment of another machine has no place in an image."""

    def entries(name: str) -> set[str]:
        lines = (ROOT / name).read_text("utf-8").splitlines()
        return {line.removeprefix("**/").strip("/") for line in lines if line and not line.startswith("#")}

    assert entries(".gitignore") <= entries(".dockerignore")
    assert {f".dvc/{entry}" for entry in entries(".dvc/.gitignore")} <= entries(".dockerignore")


def test_the_workflow_runs_what_ci_runs_on_every_python_that_is_promised() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    job = workflow["jobs"]["test"]
    assert ".ci/run" in [step.get("run") for step in job["steps"]]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert PROJECT["requires-python"] == f">={job['strategy']['matrix']['python'][0]}"


def test_hooks_run_tools_of_the_environment() -> None:
    """Nothing is fetched, and the versions are those of the lock."""
    (source,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert source["repo"] == "local"
    names = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in source["hooks"]}
    assert names <= _exported().keys()
