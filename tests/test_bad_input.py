"""Bad input, systematically: one line and an error, or a right picture; never a traceback or a hang."""

import copy
import functools
import io
import os
import re
import struct
import subprocess
import sys
import tempfile
import types
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
import pytest
import yaml
from engine_support import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import BaseModel
from study_support import PARAMS

from nst import api, cli, output, params
from nst.engine import images
from nst.engine.jobs import Task
from nst.errors import ImageError, OptionError, ParamsError
from nst.params import Params, Settings

NUMBERS = (
    "", "nan", "-inf", "1e309", "-1", "-0.5", "9" * 30, "9" * 5000, "0x10", "1,5", "²", "big", "None", "[]", "é😀",
    "\n\x1b[31m",
)  # fmt: skip
"""What people, scripts and other languages write where a number is wanted; most is none, some is out of range."""


def exit_code(*typed: str) -> object:
    """Of the command, whether it returns or ends."""
    try:
        return cli.main(typed)
    except SystemExit as ended:
        return ended.code


class TestOptions:
    """Each option of each command with each of `NUMBERS`: none gets as far as a picture."""

    @pytest.mark.parametrize(
        ("task", "option"), [(task, name) for task, model in api.OPTIONS.items() for name in model.model_fields]
    )
    def test_one(self, task: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        if option in api.WITHOUT_EFFECT.get(task, ()):  # type: ignore[call-overload]
            pytest.skip("not an option of this command")
        spelled = f"--{option.replace('_', '-')}"
        pictures = ["nowhere.jpg"] * len(cli.PICTURES[task])  # type: ignore[index]
        for value in NUMBERS:
            code = exit_code(task, *pictures, "-o", str(tmp_path / "out.png"), f"{spelled}={value}")
            said = capsys.readouterr()
            assert (code, said.out) == (2, ""), value
            assert re.fullmatch(r"error: [^\n]+\n", said.err), value
            assert said.err.isprintable() or said.err[:-1].isprintable(), value
            told = (f"error: {spelled}: ", f"error: {spelled}.")
            # Where the value will do, a name of weights or "1,5" for layers, the picture is what is wrong.
            may_do = option == "weights" or option.endswith(("_layers", "_layer_weights"))
            assert said.err.startswith((*told, "error: nowhere.jpg: no such picture") if may_do else told), value
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("task", "option"), [(task, name) for task, model in api.OPTIONS.items() for name in model.model_fields]
    )
    def test_one_in_python(self, task: Task, option: str) -> None:
        for value in (float("nan"), float("inf"), -1, 10**40, {}, {"a": 1}, [[]], object(), "nothing of the kind"):
            if option == "weights" and isinstance(value, str):
                continue  # a path, which is looked for later
            with pytest.raises(OptionError) as caught:
                api.options(task, {option: value})
            assert caught.value.option.split(".")[0] == option
            assert str(caught.value).isprintable()

    @pytest.mark.parametrize(
        ("typed", "message"),
        [
            (["--bits", "12"], "argument --bits: invalid choice: '12'"),
            (["--bits", "nan"], "argument --bits: invalid choice: 'nan'"),
            (["--film", "é😀"], "--film: é😀: give a name that ends in .gif or .mp4"),
            (["--film", ""], "--film: .: give a name that ends in .gif or .mp4"),
        ],
    )
    def test_options_of_the_file(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: list[str], message: str
    ) -> None:
        assert exit_code("synthesize", "nowhere.jpg", "-o", str(tmp_path / "out.png"), *typed) == 2
        assert capsys.readouterr().err.startswith(f"error: {message}")
        assert list(tmp_path.iterdir()) == []

    @given(st.text(max_size=40), st.sampled_from(["--size", "--style-layers", "--learning-rate", "--init", "--ouput"]))
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_text(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str, option: str) -> None:
        pictures = ["nowhere.jpg", "nowhere.png"]
        assert exit_code("transfer", *pictures, "-o", str(tmp_path / "out.png"), f"{option}={value}") == 2
        assert re.fullmatch(r"error: [^\n]+\n", capsys.readouterr().err)


VALUES: dict[str, Any] = yaml.safe_load(PARAMS.read_text("utf-8"))
STRANGE: tuple[Any, ...] = (
    None, True, "", "nothing of the kind", "é😀\n", -1, 10**40, float("nan"), float("inf"), [], [[]], {}, {"a": 1},
    [None], "../../etc/passwd", "9" * 5000,
)  # fmt: skip


def places(model: type[BaseModel] = Params, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every field of params.yaml, also those of sections, by the keys that lead to it."""
    for name, field in model.model_fields.items():
        yield (*before, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from places(field.annotation, (*before, name))


def with_value(place: Sequence[str | int], value: Any) -> dict[str, Any]:
    """The parameters of params.yaml with another value at a place, given by the keys that lead to it."""
    values = copy.deepcopy(VALUES)
    section: Any = values
    for key in place[:-1]:
        section = section[key]
    section[place[-1]] = value
    return values


MAY_BE_EMPTY = ("content_layer_weights", "style_layer_weights", "curves")
"""Lists that mean something without entries."""


def takes_any_text(place: tuple[str, ...]) -> bool:
    """Whether the field is a name, which only the pictures or the file system can tell to be wrong."""
    model: Any = Params
    for name in place:
        field = model.model_fields[name]
        model = field.annotation
    kinds = {model, *get_args(model)} if get_origin(model) in (types.UnionType, tuple) else {model}
    return str in kinds


class TestParams:
    """Each field of params.yaml with each of `STRANGE`."""

    @pytest.mark.parametrize("place", list(places()), ids=".".join)
    def test_one(self, place: tuple[str, ...]) -> None:
        for value in STRANGE:
            values = with_value(place, value)
            try:
                params.options(Params, values)  # what `params.load` does with a file's content
            except ParamsError as error:
                assert str(error).isprintable() and str(error).startswith(".".join(place)), value
            else:
                none = value == [] and place[-1] in MAY_BE_EMPTY
                assert none or (isinstance(value, str) and takes_any_text(place)), value

    @pytest.mark.parametrize("name", Settings.model_fields)
    def test_one_that_the_parameters_study_varies(self, name: str) -> None:
        for value in STRANGE:
            values = with_value(["parameters", "vary"], {name: [value]})
            try:
                params.options(Params, values)
            except ParamsError as error:
                assert str(error).isprintable() and f"vary.{name}" in str(error), value
            else:
                none = value == [] and name in MAY_BE_EMPTY
                assert none or (name == "weights" and isinstance(value, str)), value

    @pytest.mark.parametrize(
        "name", ["../a", "/etc/passwd", "a/b", "..", ".", "a\\b", "a\0", "../../etc/passwd", "a\n"]
    )
    @pytest.mark.parametrize(
        "place",
        [
            "reconstruction.contents.0", "synthesis.styles.0", "transfer.content", "transfer.style",
            "transfer.finalists.pairs.0.0", "transfer.finalists.pairs.0.1", "initialization.pairs.0.1",
            "parameters.pairs.0.0", "gallery.contents.0", "gallery.styles.0", "gallery.favourites.0.1",
            "gallery.film.pair.0",
        ],
    )  # fmt: skip
    def test_names_that_lead_out_of_the_folder_of_pictures(self, place: str, name: str) -> None:
        values = with_value([int(key) if key.isdecimal() else key for key in place.split(".")], name)
        with pytest.raises(ParamsError, match=rf"^{re.escape(place)}: .* is no name of a picture"):
            params.options(Params, values)

    @given(
        st.sampled_from(list(places())),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20) | st.dates(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=6,
        ),
    )
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_anything_anywhere(self, tmp_path: Path, place: tuple[str, ...], value: Any) -> None:
        values = with_value(place, value)
        refusal(tmp_path, yaml.safe_dump(values, allow_unicode=True))

    @given(st.binary(max_size=60))
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_bytes(self, tmp_path: Path, content: bytes) -> None:
        assert refusal(tmp_path, content) is not None

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (f"size: {'9' * 5000}", "not valid YAML (Exceeds the limit"),
            ("size: 2024-13-45", "not valid YAML (month must be in 1..12)"),
            ("[" * 1500, "not valid YAML (maximum recursion depth"),
            ("size: &a [*a]", "size: Input should be a valid integer"),
            ("1: 2", "reconstruction: missing"),
            ("<<: 3", "line 1: not valid YAML"),
            ("a: 1\n---\nb: 2", "line 2: not valid YAML"),
            ("size: !!python/object/apply:os.system [exit]", "line 1: not valid YAML"),
        ],
    )
    def test_files_made_to_harm(self, tmp_path: Path, text: str, message: str) -> None:
        told = refusal(tmp_path, text)
        assert told is not None and told.startswith(message)

    def test_aliases_that_would_fill_the_memory(self, tmp_path: Path) -> None:
        lines = ["size: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
        told = refusal(tmp_path, "\n".join(lines))
        assert told is not None and len(told) < 300

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "loop").symlink_to("loop")
        for place in (tmp_path, tmp_path / "pipe", tmp_path / "loop", Path("/dev/zero"), Path("a" * 300), Path("\0")):
            with pytest.raises(ParamsError, match=r"cannot be read \("):
                params.load(place)


def refusal(folder: Path, content: str | bytes) -> str | None:
    """What is said to params of this content; None where they are taken."""
    path = folder / "params.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    try:
        params.load(path)
    except ParamsError as error:
        told = str(error)
        assert told.isprintable() and len(told) < 2000
        return told.removeprefix(f"{path}: ")
    return None


SUFFIXES = ("jpg", "png", "webp", "tif", "gif", "bmp", "ppm", "avif", "tga")
WHOLE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
"""Noise, of which each part of a file is needed."""


@functools.cache
def encoded(suffix: str) -> bytes:
    buffer = io.BytesIO()
    WHOLE.save(buffer, Image.registered_extensions()[f".{suffix}"])
    return buffer.getvalue()


HEADS = [b"", *(encoded(suffix)[:16] for suffix in SUFFIXES), b"%!PS-Adobe-3.0 EPSF-3.0\n", b"8BPS"]


class TestPictures:
    """Files: a picture of 8-bit RGB, or one line."""

    @pytest.mark.parametrize("suffix", SUFFIXES)
    @pytest.mark.parametrize("tenth", range(10))
    def test_cut_off(self, tmp_path: Path, suffix: str, tenth: int) -> None:
        whole, path = encoded(suffix), tmp_path / f"a.{suffix}"
        path.write_bytes(whole)
        assert images.read(path).size == (64, 48)
        path.write_bytes(whole[: len(whole) * tenth // 10])
        with pytest.raises(ImageError, match=r"^[^\n]*a\.[a-z]+: (the file is empty|not a picture|damaged or cut)"):
            images.read(path)

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_a_wrong_suffix_does_not_matter(self, tmp_path: Path, suffix: str) -> None:
        for other in SUFFIXES:
            (tmp_path / f"a.{other}").write_bytes(encoded(suffix))
            assert images.read(tmp_path / f"a.{other}").size == (64, 48)

    @given(st.sampled_from(SUFFIXES), st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=9))
    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_altered_bytes(self, tmp_path: Path, suffix: str, changes: list[tuple[float, int]]) -> None:
        content = bytearray(encoded(suffix))
        for place, flip in changes:
            content[round(place * (len(content) - 1))] ^= flip
        (tmp_path / "a").write_bytes(content)
        assert_a_picture_or_a_line(tmp_path / "a")

    @given(st.sampled_from(HEADS), st.binary(max_size=200))
    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_bytes_after_a_head(self, tmp_path: Path, head: bytes, rest: bytes) -> None:
        (tmp_path / "a").write_bytes(head + rest)
        assert_a_picture_or_a_line(tmp_path / "a")

    @pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (20_000, 40), (40, 20_000), (31, 31)])
    def test_shapes_that_cannot_be_used(self, tmp_path: Path, size: tuple[int, int]) -> None:
        Image.new("RGB", size).save(tmp_path / "a.png")
        with pytest.raises(ImageError, match=r"shorter side") as caught:
            images.fit(images.read(tmp_path / "a.png"), 512, "a.png")
        assert str(caught.value).isprintable()

    def test_more_pixels_than_a_picture_has(self, tmp_path: Path) -> None:
        """Beyond what Pillow warns of, and what it refuses; the files are of some hundred bytes."""
        for side in (10_000, 20_000):
            path = tmp_path / "a.png"
            Image.new("1", (32, 32)).save(path)
            content = bytearray(path.read_bytes())
            content[16:24] = struct.pack(">II", side, side)  # the size, in the file's head
            content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
            path.write_bytes(content)
            with pytest.raises(ImageError, match=r"a\.png: more than [\d,]+ pixels; scale it down first"):
                images.read(path)

    @pytest.mark.parametrize("suffix", ["gif", "webp", "tif", "png"])
    def test_the_first_of_several_pictures_is_taken(self, tmp_path: Path, suffix: str) -> None:
        first, *others = (Image.new("RGB", (64, 64), (level, 0, 0)) for level in (200, 100, 0))
        path = tmp_path / f"a.{suffix}"
        first.save(path, save_all=True, append_images=others)
        red, *_ = images.read(path).getpixel((32, 32))  # type: ignore[misc]
        assert red == pytest.approx(200, abs=4)
        assert "the first of its 3 pictures is used" in images.notes(path, 64, size_is_chosen=True)

    def test_20000_px(self, tmp_path: Path) -> None:
        Image.new("L", (20_000, 1_300), 77).save(tmp_path / "a.png")
        fitted = images.fit(images.read(tmp_path / "a.png"), 512)
        assert fitted.size == (512, 33)
        assert fitted.getpixel((256, 16)) == (77, 77, 77)

    @pytest.mark.parametrize(
        "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "I;16", "F"]
    )
    def test_every_mode_that_tiff_holds(self, tmp_path: Path, mode: str) -> None:
        bands = len(Image.new(mode, (1, 1)).getbands())
        Image.new(mode, (40, 40), 0 if bands == 1 else (0,) * bands).save(tmp_path / "a.tif")
        found = images.read(tmp_path / "a.tif")
        # Black; no ink is white, and so is what is transparent; and YCbCr and L*a*b* have other zeros.
        expected = {"CMYK": 255, "RGBA": 255, "LA": 255, "PA": 255}.get(mode, 0)
        assert found.mode == "RGB"
        if mode not in ("YCbCr", "LAB"):
            assert found.getpixel((20, 20)) == (expected,) * 3


def assert_a_picture_or_a_line(path: Path) -> None:
    try:
        found = images.read(path)
    except ImageError as error:
        assert str(error).isprintable() and str(error).startswith(str(path))
    else:
        assert found.mode == "RGB"


NAMES = (
    "two words.jpg",
    "-o.jpg",
    "line\nfeed.jpg",
    "\x1b[31mred.jpg",
    "é😀.jpg",
    b"\xff\xfe.jpg",
    "%s{0}.jpg",
    "'.jpg",
)


@contextmanager
def somebody(folder: Path) -> Iterator[None]:
    """Who may not read everything, as root may, and owns the folder."""
    if os.geteuid() != 0:
        yield
        return
    nobody = 65534
    os.chown(folder, nobody, nobody)
    os.seteuid(nobody)
    try:
        yield
    finally:
        os.seteuid(0)


class TestNames:
    """Of pictures, to the command."""

    @pytest.mark.parametrize("name", NAMES, ids=repr)
    def test_strange_names_are_read_and_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str | bytes
    ) -> None:
        monkeypatch.chdir(tmp_path)
        path = Path(os.fsdecode(name))
        WHOLE.save(path, "PNG")
        assert images.read(path).size == (64, 48)
        path.write_bytes(b"nothing")
        assert cli.main(["synthesize", "-o", "out.png", "--", str(path)]) == 2
        told = capsys.readouterr().err
        assert told[:-1].isprintable() and ": not a picture that can be read" in told

    @pytest.mark.parametrize(
        "name", ["", ".", "/", "~", "\0", "a" * 300, "/dev/zero", "/dev/stdin", "/proc/self/mem", "pipe"]
    )
    def test_what_is_no_picture(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        os.mkfifo("pipe")
        for typed in (["synthesize", name, "-o", "o.png"], ["transfer", name, name, "-o", "o.png"], ["show", name]):
            assert cli.main(typed) == 2
            assert re.fullmatch(r"error: [^\n]+\n", capsys.readouterr().err)

    def test_unreadable(self) -> None:
        with tempfile.TemporaryDirectory() as folder, somebody(Path(folder)):
            WHOLE.save(Path(folder) / "a.png")
            (Path(folder) / "a.png").chmod(0)
            with pytest.raises(ImageError, match=r"a\.png: may not be read; change its permissions"):
                images.read(Path(folder) / "a.png")


class TestProcesses:
    """The same in processes of their own."""

    def run(self, folder: Path, *typed: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "nst", *typed]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
        return subprocess.run(
            command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, timeout=100, check=False, **options
        )

    def test_a_pipe_does_not_hang_and_a_terminal_may_be_plain(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe 😀")
        ended = self.run(tmp_path, "synthesize", "pipe 😀", "-o", "out.png")
        assert (ended.returncode, ended.stderr) == (
            2, "error: pipe \\U0001f600: a pipe, not a file; save the picture to a file first\n"
        )  # fmt: skip

    def test_nobody_reads_what_is_said(self, tmp_path: Path) -> None:
        output.save(encoded("png"), tmp_path / "a.png", "nst synthesize b.png -o a.png")
        with Path("/dev/full").open("w") as full:
            ended = self.run(tmp_path, "show", "a.png", stdout=full)
        assert ended.returncode == 1
        assert ended.stderr in ("", "error: [Errno 28] No space left on device\n")  # as Python buffers it or not

    def test_weights_that_would_run_code(self, tmp_path: Path) -> None:
        code = "cos\nmkdir\n(S'sprung'\ntR."  # a pickle that makes a folder
        (tmp_path / "a.pth").write_text(code)
        WHOLE.save(tmp_path / "a.png")
        ended = self.run(tmp_path, "synthesize", "a.png", "-o", "out.png", "--weights", "a.pth", "-q")
        assert ended.returncode == 2
        assert re.fullmatch(r"error: a.pth: not a weights file that torch can read [^\n]+\n", ended.stderr)
        assert not (tmp_path / "sprung").exists()
