"""`nst.transfer` and its like: the same pictures as the command, and clear errors."""

import doctest
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from engine_support import DATA, ROOT, pixels
from PIL import Image
from study_support import PARAMS

import nst
from nst import api, params
from nst.engine import memory
from nst.engine.jobs import Task
from nst.errors import CapacityError, ImageError, OptionError, ParamsError, WeightsError

CONTENT, STYLE = DATA / "content" / "egeskov.jpg", DATA / "style" / "great_wave.jpg"
TINY: dict[str, Any] = {"size": 48, "iterations": 2, "threads": 1}


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "PIL", "pydantic", "pandas", "matplotlib"}
    code = f"import sys, nst; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class TestPictures:
    """What it makes."""

    def test_has_the_size_that_was_asked_for(self, data: Path) -> None:
        result = nst.transfer(CONTENT, STYLE, **TINY)
        assert max(pixels(result.png).shape) == 48
        assert (result.job.content, result.job.style) == ("egeskov", "great_wave")
        assert result.quality.style_distance is not None

    def test_a_path_as_text_and_a_picture_in_memory_give_the_same_bytes(self, data: Path) -> None:
        expected = nst.transfer(CONTENT, STYLE, **TINY).png
        with Image.open(CONTENT) as content, Image.open(STYLE) as style:
            assert nst.transfer(content, style, **TINY).png == expected
        assert nst.transfer(str(CONTENT), str(STYLE), **TINY).png == expected

    def test_a_transparent_picture_in_memory_is_read_as_its_file_is(self, data: Path, tmp_path: Path) -> None:
        with Image.open(CONTENT) as opened:
            transparent = opened.convert("RGBA")
        transparent.putalpha(Image.linear_gradient("L").resize(transparent.size))
        transparent.save(tmp_path / "photo.png")
        options = {**TINY, "content_layers": "conv1_1"}
        assert nst.reconstruct(transparent, **options).png == nst.reconstruct(tmp_path / "photo.png", **options).png

    def test_an_option_of_another_task_is_refused(self) -> None:
        with pytest.raises(OptionError, match=r"^style_weight: of no effect when pictures are made by reconstruct"):
            nst.reconstruct(CONTENT, style_weight=3)

    def test_options_reach_the_job(self, data: Path) -> None:
        layers = {"content_layers": ["conv1_1", 3], "style_layers": "1,3-4"}
        result = nst.transfer(CONTENT, STYLE, **TINY, **layers, init="noise", seed=5, noise="normal")
        job = result.job
        assert (job.content_layers, job.init, job.seed, job.noise) == (("conv1_1", "conv2_1"), "noise", 5, "normal")
        assert job.style_layers == ("conv1_1", "conv2_1", "conv2_2")
        assert result.environment.threads == 1

    def test_the_callback_sees_every_iteration(self, data: Path) -> None:
        seen: list[int] = []
        result = nst.synthesize(STYLE, **TINY, on_iteration=lambda state: seen.append(state.iteration))
        assert seen == [1, 2]
        assert result.job.task == "synthesize"
        assert len(result.losses) == 2

    def test_the_examples_in_its_documentation_run(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "data").symlink_to(DATA)
        monkeypatch.chdir(tmp_path)
        failed, tried = doctest.testmod(nst)
        assert tried >= 9
        assert failed == 0
        assert max(Image.open("out.png").size) == 64


class TestDefaults:
    """Those of params.yaml."""

    @pytest.mark.parametrize(
        ("task", "study"), [("transfer", "gallery"), ("reconstruct", "reconstruction"), ("synthesize", "synthesis")]
    )
    def test_are_those_of_the_study_of_the_same_task(self, task: Task, study: str) -> None:
        chosen = api.options(task, {})
        section = getattr(params.load(PARAMS), study)
        for name in set(params.Settings.model_fields) - {"size"}:
            assert getattr(chosen, name) == getattr(section, name), name

    def test_every_option_is_described(self) -> None:
        for model in api.OPTIONS.values():
            assert [name for name, field in model.model_fields.items() if not field.description] == []


class TestErrors:
    """One line each."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"style_wieght": 3}, "style_wieght: unknown option; did you mean 'style_weight'?"),
            ({"xyz": 3}, "xyz: unknown option; there are size, iterations, "),
            ({"size": 8}, "size: Input should be greater than or equal to 32 (found 8)"),
            ({"size": True}, "size: no parameter is true or false"),
            ({"iterations": None}, "iterations: Input should be a valid integer (found None)"),
            ({"seed": -1}, "seed: Input should be greater than or equal to 0 (found -1)"),
            ({"seed": 2**63}, "seed: Input should be less than "),
            ({"threads": 0}, "threads: Input should be greater than or equal to 1 (found 0)"),
            ({"threads": 4 * (os.cpu_count() or 1) + 1}, "threads: Input should be less than or equal to "),
            ({"init": "blank"}, "init: Input should be 'noise', 'content' or 'adain' (found 'blank')"),
            ({"content_layers": "conv4_5"}, "content_layers: no layer 'conv4_5'"),
            ({"style_layers": []}, "style_layers: at least one layer is needed"),
            ({"style_layers": "1,1"}, "style_layers: layer conv1_1 is given twice"),
            ({"style_weight": float("nan")}, "style_weight: Input should be a finite number"),
        ],
    )
    def test_an_option_that_cannot_be_used(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(OptionError) as caught:
            nst.transfer(CONTENT, STYLE, **options)
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, ParamsError)
        assert isinstance(caught.value, nst.NSTError)

    def test_an_option_of_another_task(self) -> None:
        with pytest.raises(OptionError, match="init: unknown option"):
            nst.reconstruct(CONTENT, init="content")

    def test_pictures_that_cannot_be_used(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"nowhere\.jpg: no such picture"):
            nst.transfer(tmp_path / "nowhere.jpg", STYLE)
        with pytest.raises(ImageError, match="content: only 20×20 px"):
            nst.transfer(Image.new("RGB", (20, 20)), STYLE)
        for wrong in (None, 3, [[0.5]]):
            with pytest.raises(ImageError, match="style: give the path of a picture or a PIL image, not "):
                nst.synthesize(wrong)  # type: ignore[arg-type]

    def test_a_picture_in_memory_whose_file_is_cut_off(self, tmp_path: Path, data: Path) -> None:
        (tmp_path / "cut.jpg").write_bytes(CONTENT.read_bytes()[:5000])
        with Image.open(tmp_path / "cut.jpg") as opened, pytest.raises(ImageError, match="style: damaged or cut off"):
            nst.synthesize(opened)

    def test_weights_that_are_missing(self, data: Path) -> None:
        with pytest.raises(WeightsError, match=r"no file 'nowhere\.pth'"):
            nst.synthesize(STYLE, **TINY, weights="nowhere.pth")

    def test_more_than_fits_into_memory(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(memory, "available", lambda: 1e9)
        with pytest.raises(CapacityError, match="a synthesize at 2048 px needs about"):
            nst.synthesize(STYLE, size=2048, precision="float32")
