"""README.md says nothing that is not so: its commands, links and settings exist."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from dvc.cli.parser import get_main_parser

from flows.settings import Settings
from nst.cli import parser

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
CLUSTER = (ROOT / "docs" / "cluster.md").read_text("utf-8")


def _commands() -> list[list[str]]:
    """Every command in the shell blocks, without its comment."""
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_command_exists(words: list[str]) -> None:
    program, *arguments = words
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
        assert {argument for argument in arguments if "=" not in argument} <= set(targets)  # the rest are variables
    elif program == "dvc":
        get_main_parser().parse_args(arguments)  # exits, and so fails, when DVC does not know it
    elif program == "nst":
        options = parser().parse_args(arguments)
        pictures = [getattr(options, kind) for kind in ("content", "style") if hasattr(options, kind)]
        assert pictures and all((ROOT / picture).is_file() for picture in pictures)
    else:
        assert program in {".", "cp", "$EDITOR"}, f"a command that nothing checks: {words}"


def test_there_are_commands_to_check() -> None:
    assert {"make", "dvc", "nst"} <= {words[0] for words in _commands()}


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_table_has_every_setting_once() -> None:
    rows = re.findall(r"^\| `NST_([A-Z_]+)` \|", CLUSTER, flags=re.MULTILINE)
    assert sorted(rows) == sorted(name.upper() for name in Settings.model_fields)


def test_variables_are_settings() -> None:
    named = set(re.findall(r"\bNST_([A-Z_]+)", README + CLUSTER)) - {"ROOT"}  # prefect.yaml's
    assert named
    assert named <= {name.upper() for name in Settings.model_fields}


def test_parameters_named_in_commands_are_in_the_file() -> None:
    """DVC changes what stands in params.yaml, whatever defaults the model has."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    named = [words[words.index("-S") + 1].split("=")[0] for words in _commands() if "-S" in words]
    named += re.findall(r"'params=\{\"([\w.]+)\"", CLUSTER)
    assert len(named) == 2
    for name in named:
        section, field = name.split(".")
        assert field in values[section]
