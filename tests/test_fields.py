"""Each setting works in `nst transfer`, in Python, in params.yaml, as an axis of the parameters study and in the
documentation.

A field that is added to `Settings` needs a value here.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from engine_support import DATA, ROOT, pixels
from study_support import PARAMS

import nst
from nst import cli, params
from nst.engine.layers import LAYERS
from nst.params import STUDIES, Settings
from nst.studies import parameters

CONTENT, STYLE = str(DATA / "content" / "egeskov.jpg"), str(DATA / "style" / "great_wave.jpg")
BASE: dict[str, Any] = {"size": 72, "iterations": 2, "threads": 1, "init": "noise", "content_layers": "conv2_1,conv2_2"}
VALUES: dict[str, Any] = {
    "size": 64,
    "iterations": 3,
    "tolerance": 0.5,
    "optimizer": "lbfgs",
    "learning_rate": 0.2,
    "precision": "float32",
    "pooling": "average",
    "parametrization": "pixels",
    "noise": "uniform",
    "content_weight": 3.0,
    "style_weight": 30.0,
    "tv_weight": 0.5,
    "content_layer_weights": (1.0, 0.5),
    "style_layer_weights": (1.0, 0.5, 0.25, 0.125, 0.0),
    "style_loss": "moments",
    "style_scale": 1.5,
    "ladder": 60,
    "colour": "matched",
    "weights": "nowhere.pth",
}
"""Another than the default."""
FIELDS = [name for name in Settings.model_fields if name != "weights"]
SAME_HERE = {"tolerance", "precision"}
"""Of no effect on so short a job, or on some processors."""


def typed(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@pytest.fixture(scope="module")
def default() -> bytes:
    return nst.transfer(CONTENT, STYLE, **BASE).png


def test_each_field_has_a_value_here() -> None:
    assert set(VALUES) == set(Settings.model_fields)
    assert [name for name, field in Settings.model_fields.items() if field.default == VALUES[name]] == []


@pytest.mark.parametrize("name", FIELDS)
def test_the_command_makes_the_picture_that_python_makes(name: str, default: bytes, tmp_path: Path) -> None:
    options = {**BASE, name: VALUES[name]}
    result = nst.transfer(CONTENT, STYLE, **options)
    assert getattr(result.job, name) == VALUES[name]
    assert name in SAME_HERE or result.png != default
    arguments = [f"--{option.replace('_', '-')}={typed(value)}" for option, value in options.items()]
    assert cli.main(["transfer", CONTENT, STYLE, "-o", str(tmp_path / "out.png"), *arguments]) == 0
    np.testing.assert_array_equal(pixels((tmp_path / "out.png").read_bytes()), pixels(result.png))


def test_weights_reach_the_network_both_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The other published ones would have to be downloaded."""
    with pytest.raises(nst.NSTError, match=r"nowhere\.pth"):
        nst.transfer(CONTENT, STYLE, **BASE, weights=VALUES["weights"])
    assert cli.main(["transfer", CONTENT, STYLE, "-o", str(tmp_path / "out.png"), "--weights", "nowhere.pth"]) == 2
    assert "nowhere.pth" in capsys.readouterr().err


@pytest.mark.parametrize("name", Settings.model_fields)
def test_params_yaml_takes_it_for_all_studies_and_for_one(name: str, tmp_path: Path) -> None:
    values = yaml.safe_load(PARAMS.read_text("utf-8"))
    for section in (values, *(values[study] for study in STUDIES)):
        section.pop(name, None)
    value = list(VALUES[name]) if isinstance(VALUES[name], tuple) else VALUES[name]
    everywhere, once = copy.deepcopy(values), copy.deepcopy(values)
    everywhere[name], once["gallery"][name] = value, value
    path = tmp_path / "params.yaml"
    layers: dict[str, Any] = {"content_layers": ("conv2_1", "conv2_2"), "style_layers": LAYERS[:5]}
    for text, changed in ((everywhere, set(STUDIES)), (once, {"gallery"})):
        path.write_text(yaml.safe_dump(text), "utf-8")
        loaded = params.load(path)
        for study in STUDIES:
            job = getattr(loaded, study).job("transfer", content="a", style="b", **layers)
            assert (getattr(job, name) == VALUES[name]) == (study in changed)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_parameters_study_varies_it(name: str, tmp_path: Path) -> None:
    values = yaml.safe_load(PARAMS.read_text("utf-8"))
    value = (2.0,) if name == "content_layer_weights" else VALUES[name]  # it has one content layer
    given = list(value) if isinstance(value, tuple) else value
    layers = {"content_layer": "conv4_2", "style_layers": "classic", "curves": []}
    values["parameters"] |= {**layers, "vary": {name: [Settings.model_fields[name].default, given]}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values), "utf-8")
    jobs = parameters.jobs(params.load(tmp_path / "params.yaml"), {})
    pairs = len(values["parameters"]["pairs"])
    assert [getattr(job, name) for job in jobs].count(value) == pairs
    assert len(jobs) == 2 * pairs


@pytest.mark.parametrize("name", Settings.model_fields)
def test_it_is_documented(name: str) -> None:
    assert f"\n| `{name}` | " in (ROOT / "docs" / "parameters.md").read_text("utf-8")
    line = next(line for line in PARAMS.read_text("utf-8").splitlines() if line.startswith(f"{name}:"))
    assert " # " in line
