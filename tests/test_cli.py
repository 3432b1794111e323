"""The `nst` command: what it writes, and the one line it says where something is wrong."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from engine_support import DATA, ROOT
from PIL import Image

import nst
from nst import cli

CONTENT, STYLE = str(DATA / "content" / "egeskov.jpg"), str(DATA / "style" / "great_wave.jpg")
TINY = ["--size", "48", "--iterations", "2", "--threads", "1"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says to bad arguments; must be one line, and the exit code 2."""
    try:
        code = cli.main(arguments)
    except SystemExit as ended:
        code = ended.code  # type: ignore[assignment]
    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    return said.err.removeprefix("error: ").removesuffix("\n")


class TestPictures:
    """What it writes."""

    def test_the_same_bytes_as_the_library(self, here: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        options = {"size": 48, "iterations": 2, "threads": 1}
        assert cli.main(["transfer", CONTENT, STYLE, "-o", "out.png", *TINY]) == 0
        assert capsys.readouterr().out.startswith("out.png: ")
        assert (here / "out.png").read_bytes() == nst.transfer(CONTENT, STYLE, **options).png

        assert cli.main(["reconstruct", CONTENT, "--output", "out.png", *TINY, "--content-layer", "conv2_1"]) == 0
        assert " PSNR " in capsys.readouterr().out
        assert (here / "out.png").read_bytes() == nst.reconstruct(CONTENT, content_layers="conv2_1", **options).png

        assert cli.main(["synthesize", STYLE, "-o", "out.png", *TINY, "--style-layers", "1-2,conv3_1"]) == 0
        assert (here / "out.png").read_bytes() == nst.synthesize(STYLE, style_layers=[1, 2, 5], **options).png

    def test_other_formats_by_suffix(self, here: Path, data: Path) -> None:
        assert cli.main(["synthesize", STYLE, "-o", "texture.webp", *TINY]) == 0
        with Image.open(here / "texture.webp") as opened:
            assert (opened.format, max(opened.size)) == ("WEBP", 48)

    def test_as_a_process_of_its_own(self, here: Path, data: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "nst.cli", "synthesize", STYLE, "-o", "texture.png", *TINY],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")  # no bar where nobody watches
        assert done.stdout.startswith("texture.png: ")


class TestErrors:
    """One line, which names what was typed."""

    @pytest.mark.parametrize(
        ("typed", "message"),
        [
            (["--size", "8"], "--size: Input should be greater than or equal to 32"),
            (["--size", "big"], "--size: Input should be a valid integer"),
            (["--threads", "0"], "--threads: Input should be greater than or equal to 1"),
            (["--threads", "-3"], "--threads: Input should be greater than or equal to 1"),
            (["--threads", "99999"], "--threads: Input should be less than or equal to"),
            (["--seed", "-1"], "--seed: Input should be greater than or equal to 0"),
            (["--init", "blank"], "--init: Input should be 'noise', 'content' or 'adain' (found 'blank')"),
            (["--content-layer", "conv9"], "--content-layer: no layer 'conv9'"),
            (["--content-layers", "conv9"], "--content-layers: no layer 'conv9'"),
            (["--content-layers=5-3"], "--content-layers: the range '5-3' runs backwards: write 3-5"),
            (["--style-layers", ","], "--style-layers: at least one layer is needed"),
            (["--learning-rate", "nan"], "--learning-rate: Input should be a finite number"),
            (["--sise", "48"], "unrecognized arguments: --sise 48; see `nst --help`"),
            (["--size"], "argument --size: expected one argument; see `nst transfer --help`"),
        ],
    )
    def test_an_option_that_cannot_be_used(
        self, capsys: pytest.CaptureFixture[str], here: Path, typed: list[str], message: str
    ) -> None:
        assert refusal(capsys, "transfer", CONTENT, STYLE, "-o", "out.png", *typed).startswith(message)
        assert list(here.iterdir()) == []

    @pytest.mark.parametrize("option", ["-o", "--output"])
    @pytest.mark.parametrize(
        ("output", "message"),
        [
            ("out.gig", "out.gig: give a name that ends in .png, .jpg or .webp"),
            ("out", "out: give a name that ends in .png, .jpg or .webp"),
            ("nowhere/out.png", "nowhere/out.png: there is no folder nowhere; make it first"),
            ("folder.png", "folder.png: is a folder; give a file name in it"),
        ],
    )
    def test_an_output_that_cannot_be_written(
        self, capsys: pytest.CaptureFixture[str], here: Path, option: str, output: str, message: str
    ) -> None:
        (here / "folder.png").mkdir()
        assert refusal(capsys, "transfer", CONTENT, STYLE, option, output) == f"{option}: {message}"

    def test_a_picture_that_is_missing(self, capsys: pytest.CaptureFixture[str], here: Path) -> None:
        assert refusal(capsys, "synthesize", "no.jpg", "-o", "out.png").startswith("no.jpg: no such picture")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "the following arguments are required: COMMAND; see `nst --help`"),
            (["paint"], "argument COMMAND: invalid choice: 'paint' "),
            (["transfer", CONTENT], "the following arguments are required: STYLE, -o/--output; see `nst transfer --"),
            (["reconstruct", CONTENT, "-o", "a.png", "--init", "noise"], "unrecognized arguments: --init noise"),
            (["synthesize", STYLE, "-o", "a.png", "--content-weight", "1"], "unrecognized arguments: --content-weight"),
        ],
    )
    def test_a_command_line_that_cannot_be_read(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
    ) -> None:
        assert refusal(capsys, *arguments).startswith(message)


@pytest.mark.parametrize("task", ["transfer", "reconstruct", "synthesize"])
def test_help_shows_the_options_and_their_defaults(capsys: pytest.CaptureFixture[str], task: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([task, "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--size SIZE longest side of the picture, px (default: 512)" in shown
    assert "(default: None)" not in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"nst {metadata.version('nst-studies')}\n"
