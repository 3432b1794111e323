"""A job's pictures: at which sizes they are read, and what is said of those that will not do."""

import shutil
from pathlib import Path

import pytest
from engine_support import DATA, make_job, run
from PIL import Image

import nst
from nst.engine import memory
from nst.engine.images import from_png, png_size
from nst.engine.inputs import inputs
from nst.errors import ImageError, OptionError
from nst.params import Settings

CONTENT, STYLE = DATA / "content" / "egeskov.jpg", DATA / "style" / "great_wave.jpg"


class TestStyleScale:
    """The style picture at a multiple of the content's longest side."""

    @pytest.mark.parametrize(("scale", "longest"), [(1.0, 64), (0.75, 48), (2.0, 128)])
    def test_is_that_of_the_longest_side(self, scale: float, longest: int) -> None:
        given = inputs(make_job(size=64, style_scale=scale), DATA)
        assert given.content is not None
        assert max(png_size(given.content)) == 64
        assert max(png_size(given.styles[0][0])) == longest
        assert given.shape == given.content

    def test_changes_the_picture_and_the_style_that_it_is_measured_by(self) -> None:
        """Distances are to the style at its scale: it is what was asked for."""
        job = make_job(size=64, style_scale=0.75, iterations=2)
        alike = make_job(size=64, iterations=2)
        given = inputs(job, DATA)
        assert run(job, given).png == run(alike, given).png
        assert run(job, given).quality == run(alike, given).quality
        assert run(alike).png != run(job, given).png

    def test_is_the_same_in_python(self, data: Path) -> None:
        options = {"size": 64, "iterations": 2, "threads": 1}
        found = nst.transfer(CONTENT, STYLE, style_scale=0.75, **options)  # type: ignore[arg-type]
        assert found.job.style_size == 48
        assert run(found.job).png == found.png

    def test_of_a_texture_is_of_no_effect(self) -> None:
        job = make_job("synthesize", size=64, style_scale=0.5)
        assert max(png_size(inputs(job, DATA).shape)) == 64

    def test_too_small(self, data: Path) -> None:
        """With its name, as the size of the style picture is not what was typed."""
        with pytest.raises(ImageError, match=r"great_wave\.jpg \(style_scale 0\.5\): .* becomes 32×22 px at size 32"):
            inputs(make_job(size=64, style_scale=0.5), DATA)
        with Image.open(STYLE) as style, pytest.raises(ImageError, match=r"style \(style_scale 0\.5\): .* 32×22 px"):
            nst.transfer(CONTENT, style, size=64, style_scale=0.5)

    def test_too_large(self) -> None:
        with pytest.raises(OptionError, match="style_scale: 8 × size 1024 px is more than 4096 px; lower one of them"):
            Settings(size=1024, style_scale=8).job("transfer", content="a", style="b")

    def test_a_large_style_is_part_of_the_memory_that_is_estimated(self) -> None:
        small, large = (make_job(size=512, style_scale=scale) for scale in (1.0, 8.0))
        assert memory.estimate(large, 512, 341, "bfloat16") > 2 * memory.estimate(small, 512, 341, "bfloat16")


def test_a_picture_that_changed_is_read_again(tmp_path: Path) -> None:
    shutil.copytree(DATA / "content", tmp_path / "content")
    job = make_job("reconstruct")
    before = inputs(job, tmp_path).shape
    Image.new("RGB", (64, 64), "red").save(tmp_path / "content" / "egeskov.jpg")
    assert from_png(inputs(job, tmp_path).shape).size == (48, 48)
    assert inputs(job, tmp_path).shape != before
