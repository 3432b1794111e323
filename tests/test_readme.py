"""README.md and docs/ say nothing that is not so: their commands, links, settings and parameters exist."""

import functools
import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from distributed.cli import dask_scheduler, dask_worker
from dvc.cli.parser import get_main_parser
from study_support import DATA, PARAMS, ROOT

from benchmarks import __main__ as bench
from flows.settings import Settings
from nst.cli import parser
from nst.engine import styles
from nst.params import STUDIES

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
TEXTS = {str(page.relative_to(ROOT)): page.read_text("utf-8") for page in PAGES}
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = PYPROJECT["project"]["optional-dependencies"].keys()
PYTEST = PYPROJECT["tool"]["pytest"]["ini_options"]
KEYS = yaml.safe_load(PARAMS.read_text("utf-8"))
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"].keys()
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))["deployments"]
BY_HAND = {".", "cd", "cp", "export", "$EDITOR", "pre-commit"}
"""What nothing of ours defines."""


def _commands() -> Iterator[tuple[str, list[str]]]:
    """Every command in the shell blocks, without its comment, and its page."""
    for page, text in TEXTS.items():
        for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if words := shlex.split(line, comments=True):
                    yield page, words


def _parameter(name: str) -> None:
    """DVC changes what stands in params.yaml, whatever defaults the model has."""
    section, _, field = name.rpartition(".")
    assert field in (KEYS[section] if section else KEYS), f"params.yaml has no {name}"


def check_make(arguments: list[str]) -> None:
    for argument in arguments:
        variable, is_variable, value = argument.partition("=")
        if is_variable:
            assert f"$({variable})" in MAKEFILE
        else:
            assert re.search(rf"^{argument}:", MAKEFILE, flags=re.MULTILINE), f"make has no {argument}"
        if variable == "BENCH" and value != "--help":
            bench.parse(shlex.split(value))


def check_dvc(arguments: list[str]) -> None:
    given = get_main_parser().parse_args(arguments)  # exits, and so fails, when DVC does not know it
    for change in getattr(given, "set_param", None) or ():
        _parameter(change.lstrip("+~").split("=")[0])
    if given.cmd == "repro":
        assert set(given.targets) <= STAGES


def check_nst(arguments: list[str]) -> None:
    if arguments[-1] != "--help":
        parser().parse_args(arguments)
        pictures = [name for each in arguments if each.startswith("data/") for name, _ in styles.parse(each)]
        assert all((DATA.parent / name).is_file() for name in pictures)


def check_python(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1])
    else:
        assert (ROOT / arguments[0]).is_file()
    if arguments[1:2] == ["flows.study"]:
        assert arguments[2] in STUDIES


def check_pytest(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        assert arguments[1] in {marker.split(":")[0] for marker in PYTEST["markers"]}
        arguments = arguments[2:]
    assert all((ROOT / argument).exists() for argument in arguments)


def check_pip(arguments: list[str]) -> None:
    assert arguments[0] == "install"
    assert set(re.findall(r"\.\[(\w+)\]", " ".join(arguments))) <= EXTRAS
    lock = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    assert [word for word in arguments if "==" in word and word not in lock] == []


def check_uv(arguments: list[str]) -> None:
    """uv is not installed for the tests."""
    assert arguments[0] in {"sync", "run", "pip"}
    if arguments[0] == "run":
        check(arguments[1:])
    elif arguments[0] == "pip":
        check_pip(arguments[1:])
    else:
        assert {arguments[i + 1] for i, word in enumerate(arguments) if word == "--extra"} <= EXTRAS


def check_prefect(arguments: list[str]) -> None:
    words = [word for word in arguments if re.fullmatch("[a-z-]+", word)]
    command = words[: 1 if words[0] == "deploy" else 2]
    known = prefect_options(*command)
    assert {word for word in arguments if word.startswith("--")} <= known
    for deployment in DEPLOYMENTS:
        if command == ["deployment", "run"]:
            assert f"{deployment['name']}/{deployment['name']}" in arguments
            check_run(deployment, [arguments[i + 1] for i, word in enumerate(arguments) if word == "--param"])
        if command == ["deploy"]:
            assert "--all" in arguments or deployment["name"] in arguments


@functools.cache
def prefect_options(*command: str) -> set[str]:
    told = subprocess.run(
        [sys.executable, "-m", "prefect", *command, "--help"], capture_output=True, text=True, check=True
    )
    return set(re.findall(r"--[a-z-]+", told.stdout))


def check_run(deployment: dict[str, Any], given: list[str]) -> None:
    for text in given:
        name, _, value = text.partition("=")
        assert name in deployment["parameters"]
        values = yaml.safe_load(value)  # as JSON
        assert type(values) is type(deployment["parameters"][name])
        if name == "params":
            for parameter in values:
                _parameter(parameter)
        if name == "stages":
            assert set(values) <= STAGES


def check_dask(arguments: list[str]) -> None:
    command = {"worker": dask_worker.main, "scheduler": dask_scheduler.main}[arguments[0]]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in arguments if word.startswith("--")} <= options


def check_docker(arguments: list[str]) -> None:
    """No engine is needed for this: only what is ours is checked."""
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    for i, word in enumerate(arguments):
        if word == "--build-arg":
            assert re.search(rf"^ARG {arguments[i + 1].split('=')[0]}=", dockerfile, flags=re.MULTILINE)
        if word in {"--volume", "cp"}:
            inside = re.findall(r":(/home[^ ]*)", arguments[i + 1])
            assert all(path.startswith("/home/nst/studies/") for path in inside)
    images = [
        i for i, word in enumerate(arguments) if re.fullmatch("nst(:[a-z]+)?", word) and arguments[i - 1][:2] != "--"
    ]
    if arguments[0] == "run" and arguments[images[0] + 1 :]:
        check(arguments[images[0] + 1 :])


CHECKS = {
    "make": check_make, "dvc": check_dvc, "nst": check_nst, "python": check_python, "pytest": check_pytest,
    "pip": check_pip, "uv": check_uv, "prefect": check_prefect, "dask": check_dask, "docker": check_docker,
}  # fmt: skip


def check(words: list[str]) -> None:
    while "=" in words[0]:  # variables for this command alone
        words = words[1:]
    if words[0] in BY_HAND:
        return
    assert words[0] in CHECKS, f"a command that nothing checks: {words}"
    CHECKS[words[0]](words[1:])


@pytest.mark.parametrize(
    ("page", "words"), list(_commands()), ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_command_exists(page: str, words: list[str]) -> None:
    check(words)


def test_there_are_commands_to_check() -> None:
    assert CHECKS.keys() <= {word for _, words in _commands() for word in words}


@pytest.mark.parametrize(
    "wrong",
    [
        "make everything",
        "make repro TORTCH=cpu",
        "dvc repro nothing",
        "dvc exp run -S transfer.style_wait=3",
        "nst transfer data/content/no.jpg data/style/great_wave.jpg -o out.png",
        "python -m flows.study nothing",
        "prefect deployment run regenerate/regenerate --param 'params={\"transfer.style_wait\": 3}'",
        "dask worker --threads 1",
        "docker build --build-arg TORTCH=cpu .",
        "pip install '.[gpu]'",
        "pytest -m tpu",
        "uv sync --extra gpu",
    ],
)
def test_what_does_not_exist_is_found(wrong: str) -> None:
    with pytest.raises((AssertionError, SystemExit)):
        check(shlex.split(wrong))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_index_has_every_page() -> None:
    linked = set(re.findall(r"\]\((\w[\w-]*\.md)\)", TEXTS["docs/README.md"]))
    assert linked == {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_pages_are_short() -> None:
    lines = {page: len(text.splitlines()) for page, text in TEXTS.items()}
    assert lines["README.md"] <= 110
    assert {page: count for page, count in lines.items() if count >= 150} == {}


def test_the_table_has_every_setting_once() -> None:
    rows = re.findall(r"^\| `NST_([A-Z_]+)` \|", TEXTS["docs/cluster.md"], flags=re.MULTILINE)
    assert sorted(rows) == sorted(name.upper() for name in Settings.model_fields)


def test_variables_are_settings() -> None:
    named = set(re.findall(r"\bNST_([A-Z_]+)", "".join(TEXTS.values()))) - {"ROOT"}  # prefect.yaml's
    assert named
    assert named <= {name.upper() for name in Settings.model_fields}
