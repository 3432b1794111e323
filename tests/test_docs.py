"""docs/method.md and docs/parameters.md say nothing that is not so."""

import ast
import dataclasses
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from engine_support import ROOT
from study_support import PARAMS

from nst import api, parameters
from nst.cli import parser
from nst.engine.results import Quality

QUALITY = [field.name for field in dataclasses.fields(Quality) if field.name != "gram_errors"]
METHOD = (ROOT / "docs" / "method.md").read_text("utf-8")
PARAMETERS = (ROOT / "docs" / "parameters.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"\[`([^`]+)`\]\(\.\./([^)]+\.py)\)", METHOD)))


@pytest.mark.parametrize(("name", "path"), NAMED, ids=str)
def test_what_the_method_names_is_in_the_file_that_it_links(name: str, path: str) -> None:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


METRICS = ("content_distance", "style_distance", "sliced_wasserstein", "colour_distance", "arrangement", "psnr", "ssim")
METRIC_MODULES = ("nst/engine/cfsd.py", "nst/engine/st_lpips.py")


def test_the_method_names_every_metric() -> None:
    names, paths = zip(*NAMED, strict=True)
    assert set(METRICS) <= set(names)
    assert set(METRIC_MODULES) <= set(paths)
    others = {name.removesuffix("_distance") for name in QUALITY} - {name.removesuffix("_distance") for name in METRICS}
    # The style distance at a job's own layers is made of the same errors, and two metrics have a module each.
    assert others == {"own_style", "cfsd", "st_lpips", "final_loss"}


def test_the_method_names_most_of_the_engine_and_every_choice_of_what_is_computed() -> None:
    assert len(NAMED) > 20
    fields = api.TransferOptions.model_fields
    for name in ("style_loss", "colour", "parametrization", "init"):
        assert [choice for choice in get_args(fields[name].annotation) if choice not in METHOD.lower()] == [], name


@pytest.mark.parametrize("page", ["method", "parameters"])
def test_pages_are_short_and_their_links_lead_somewhere(page: str) -> None:
    path = ROOT / "docs" / f"{page}.md"
    text = path.read_text("utf-8")
    assert len(text.splitlines()) < 150
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", text)
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_settings_that_the_method_names_exist() -> None:
    keys = set(yaml.safe_load(PARAMS.read_text("utf-8")))
    named = set(re.findall(r"`([a-z_]+): [a-z]+`", METHOD))
    assert named
    assert named <= keys


class TestParameters:
    def test_the_page_is_what_the_models_say(self) -> None:
        strips = re.findall(r"^### (\w+)$", PARAMETERS, flags=re.MULTILINE)
        assert parameters.markdown(strips) == PARAMETERS, "run `make docs`"
        names = {name for model in api.OPTIONS.values() for name in model.model_fields}
        assert set(strips) == names - set(parameters.WITHOUT_PICTURE)
        assert [name for name in strips if not (ROOT / parameters.STRIPS / f"{name}.webp").is_file()] == []

    def test_it_has_each_option_of_the_command_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        rows = re.findall(r"^\| `(\w+)` \|.*\| ([\w, ]+) \|$", PARAMETERS, flags=re.MULTILINE)
        assert len(rows) == len(dict(rows))
        for task in api.OPTIONS:
            with pytest.raises(SystemExit):
                parser().parse_args([task, "--help"])
            shown = capsys.readouterr().out
            for name, commands in rows:
                here = commands == "all" or task in commands.split(", ")
                assert here == (f"--{name.replace('_', '-')} " in shown), (task, name)
            assert set(api.option_names(task)) <= set(dict(rows))

    def test_pictures_of_what_a_parameter_does_are_linked_where_they_are(self, tmp_path: Path) -> None:
        page, figures = tmp_path / "docs" / "parameters.md", tmp_path / parameters.STRIPS
        page.parent.mkdir()
        parameters.write(page)
        assert "![" not in page.read_text("utf-8")
        figures.mkdir(parents=True)
        for name in ("style_scale", "unknown"):
            (figures / f"{name}.webp").write_bytes(b"")
        parameters.write(page)
        (link,) = re.findall(r"!\[style_scale\]\((.*)\)", page.read_text("utf-8"))
        assert (page.parent / link).is_file()
        assert "unknown" not in page.read_text("utf-8")
