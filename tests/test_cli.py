"""The `nst` command: what it writes, and the one line it says where something is wrong."""

import os
import pty
import re
import resource
import select
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import tifffile
from engine_support import DATA, ROOT, pixels
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

import nst
from nst import __main__, cli, output, painter
from nst.engine import images
from nst.errors import OutputError

CONTENT, STYLE = str(DATA / "content" / "egeskov.jpg"), str(DATA / "style" / "great_wave.jpg")
TINY = ["--size", "48", "--iterations", "2", "--threads", "1"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path) -> np.ndarray:
    return pixels((folder / "out.png").read_bytes())


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


@contextmanager
def almost_full_disk() -> Iterator[None]:
    """No file gets larger than 100 kB, as on a disk with so many bytes left."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestPictures:
    """What it writes."""

    def test_the_same_picture_as_the_library(self, here: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        options = {"size": 48, "iterations": 2, "threads": 1}
        assert cli.main(["transfer", CONTENT, STYLE, "-o", "out.png", *TINY]) == 0
        assert capsys.readouterr().out.startswith("out.png: ")
        assert np.array_equal(written(here), pixels(nst.transfer(CONTENT, STYLE, **options).png))

        assert cli.main(["reconstruct", CONTENT, "--output", "out.png", *TINY, "--content-layer", "conv2_1"]) == 0
        assert " PSNR " in capsys.readouterr().out
        expected = nst.reconstruct(CONTENT, content_layers="conv2_1", **options)
        assert np.array_equal(written(here), pixels(expected.png))

        assert cli.main(["synthesize", STYLE, "-o", "out.png", *TINY, "--style-layers", "1-2,conv3_1"]) == 0
        expected = nst.synthesize(STYLE, style_layers=[1, 2, 5], **options)
        assert np.array_equal(written(here), pixels(expected.png))

    def test_other_formats_by_suffix(self, here: Path, data: Path) -> None:
        assert cli.main(["synthesize", STYLE, "-o", "texture.webp", *TINY]) == 0
        with Image.open(here / "texture.webp") as opened:
            assert (opened.format, max(opened.size)) == ("WEBP", 48)

    def test_as_a_process_of_its_own(self, here: Path, data: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "nst", "synthesize", STYLE, "-o", "texture.png", *TINY],
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
            (["--sise", "48"], "unrecognized arguments: --sise 48; did you mean --size?; see `nst transfer --help`"),
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
            ("out.gig", "out.gig: give a name that ends in .png, .jpg, .webp, .tif or .avif"),
            ("out", "out: give a name that ends in .png, .jpg, .webp, .tif or .avif"),
            ("nowhere/out.png", "nowhere/out.png: there is no folder nowhere; make it first"),
            ("folder.png", "folder.png: is a folder; give a file name in it"),
            ("out.psd", "out.psd: give a name that ends in .png, .jpg, .webp, .tif or .avif"),
            ("out.ico", "out.ico: give a name that ends in .png, .jpg, .webp, .tif or .avif"),  # would be cut to 256 px
            ("loop.png", "loop.png: a symbolic link that leads to itself; give another name"),
            ("pipe.png", "pipe.png: a pipe; give the name of a file"),
            ("null.png", "null.png: a device; give the name of a file"),
            ("photo.jpg", "photo.jpg: is one of the pictures to start from; give another name"),
            ("folder.png/out.psd", "folder.png/out.psd: give a name"),
            ("photo.jpg/out.png", "photo.jpg/out.png: photo.jpg is no folder; give another place"),
            ("/proc/out.png", "/proc/out.png: cannot be written ("),
            (f"{'a' * 300}.png", f"{'a' * 300}.png: cannot be written (File name too long); give another name"),
            ("line\nfeed/\x1b.png", r"line\nfeed/\x1b.png: there is no folder line\nfeed; make it first"),
        ],
    )
    def test_an_output_that_cannot_be_written(
        self, capsys: pytest.CaptureFixture[str], here: Path, option: str, output: str, message: str
    ) -> None:
        (here / "folder.png").mkdir()
        (here / "loop.png").symlink_to("loop.png")
        os.mkfifo(here / "pipe.png")
        (here / "null.png").symlink_to("/dev/null")
        (here / "photo.jpg").symlink_to(CONTENT)
        before = sorted(here.iterdir())
        assert refusal(capsys, "transfer", CONTENT, STYLE, option, output).startswith(f"{option}: {message}")
        assert sorted(here.iterdir()) == before

    def test_a_disk_that_is_full_is_found_before_anything_runs(
        self, capsys: pytest.CaptureFixture[str], here: Path
    ) -> None:
        with almost_full_disk():
            said = refusal(capsys, "transfer", CONTENT, STYLE, "-o", "out.png", "--size", "512")
        assert said == "-o: out.png: cannot be written (File too large); give another place"
        assert list(here.iterdir()) == []

    def test_trying_a_place_takes_no_memory(self, here: Path) -> None:
        """A film may take gigabytes, of which the disk has to know."""
        tracemalloc.start()
        try:
            with almost_full_disk(), pytest.raises(OutputError, match="File too large"):
                output.check(here / "out.gif", 8 * 10**9)
            assert tracemalloc.get_traced_memory()[1] < 10**7
        finally:
            tracemalloc.stop()

    def test_a_small_picture_fits_on_a_disk_that_is_almost_full(self, here: Path) -> None:
        with almost_full_disk():
            output.check(here / "out.png", 3 * 48**2)

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


class TestBatches:
    """Several pictures with one command."""

    def test_one_after_another_and_what_is_there_is_left_alone(
        self, here: Path, data: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (here / "broken.jpg").write_bytes(Path(CONTENT).read_bytes()[:9000])
        batch = ["transfer", CONTENT, "broken.jpg", str(DATA / "content" / "chelsea.jpg"), STYLE, "-o", "out", *TINY]
        assert cli.main(batch) == 1
        said = capsys.readouterr()
        assert [line.split(": ")[0] for line in said.out.splitlines()] == [
            "out/egeskov_great_wave.png", "out/chelsea_great_wave.png",
        ]  # fmt: skip
        *_, failed, last = said.err.splitlines()
        assert failed.startswith("error: broken.jpg: damaged or cut off (")
        assert last == "error: 1 of 3 pictures failed: broken.jpg"
        expected = nst.transfer(CONTENT, STYLE, size=48, iterations=2, threads=1)
        assert np.array_equal(pixels((here / "out/egeskov_great_wave.png").read_bytes()), pixels(expected.png))

        made = {path: path.stat().st_mtime_ns for path in (here / "out").iterdir()}
        batch.remove("broken.jpg")
        assert cli.main(batch) == 0
        assert capsys.readouterr().err == "2 of 2 pictures are there already\n"
        assert {path: path.stat().st_mtime_ns for path in (here / "out").iterdir()} == made
        assert cli.main([*batch, "--seed", "1"]) == 0  # another command, other pictures
        assert all(path.stat().st_mtime_ns > before for path, before in made.items())

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["a/x.jpg", "b/x.jpg", STYLE, "-o", "out"], "-o: two pictures would be written to out/x_great_wave.png"),
            ([CONTENT, CONTENT, "no.jpg", "-o", "out"], "-o: two pictures would be written to out/egeskov_no.png"),
            ([CONTENT, "x.jpg", STYLE, "-o", "out.png"], "-o: out.png: several pictures need a folder; give one"),
            ([CONTENT, "x.jpg", STYLE, "-o", "no/where"], "-o: no/where: there is no folder no; make it first"),
            ([CONTENT, "x.jpg", STYLE, "-o", "file"], "-o: file: no folder can be made there (File exists)"),
            ([CONTENT, "x.jpg", "no.jpg", "-o", "out"], "no.jpg: no such picture"),
            ([CONTENT, "x.jpg", STYLE, "-o", "out", "--film", "f.gif"], "--film: several pictures have no film"),
            ([CONTENT, "a.jpg:1e308,b.jpg:1e308", "-o", "out.png"], "style: weights of styles are numbers above 0"),
        ],
    )
    def test_what_cannot_be_done(
        self, capsys: pytest.CaptureFixture[str], here: Path, arguments: list[str], message: str
    ) -> None:
        (here / "file").touch()
        assert refusal(capsys, "transfer", *arguments, *TINY).startswith(message)


class TestFilm:
    """--film."""

    def test_gif(self, here: Path, data: Path) -> None:
        film = ["--film", "process.gif", "--frames", "3"]
        assert cli.main(["synthesize", STYLE, "-o", "out.png", *TINY, "--iterations", "6", *film]) == 0
        with Image.open(here / "process.gif") as opened:
            assert (opened.n_frames, max(opened.size)) == (4, 48)
            opened.seek(3)
            last = np.asarray(opened.convert("RGB")).astype(int)
        assert np.abs(last - written(here)).mean() < 12  # 128 colours

    @pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="there is no ffmpeg")
    def test_mp4(self, here: Path, data: Path) -> None:
        assert cli.main(["synthesize", STYLE, "-o", "out.png", *TINY, "--film", "process.mp4"]) == 0
        assert (here / "process.mp4").read_bytes()[4:8] == b"ftyp"

    @pytest.mark.parametrize(
        ("film", "message"),
        [
            ("out.webm", "out.webm: give a name that ends in .gif or .mp4"),
            ("out.mp4", "out.mp4: an MP4 needs ffmpeg, which is not installed; install it, or give a .gif"),
            ("no/out.gif", "no/out.gif: there is no folder no; make it first"),
        ],
    )
    def test_what_cannot_be_written(
        self, capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch, film: str, message: str
    ) -> None:
        monkeypatch.setenv("PATH", str(here))
        assert refusal(capsys, "synthesize", STYLE, "-o", "out.png", "--film", film) == f"--film: {message}"
        assert list(here.iterdir()) == []


class TestSixteenBit:
    """--bits 16."""

    @pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities:DeprecationWarning")
    @pytest.mark.parametrize(
        ("suffix", "more"),
        [
            ("png", ["--optimizer", "lbfgs"]),
            ("png", ["--ladder", "34", "--colour", "content"]),
            ("tif", ["--tolerance", "0.5"]),  # ends before the last iteration
        ],
    )
    def test_the_same_picture_with_finer_steps(
        self, here: Path, data: Path, capsys: pytest.CaptureFixture[str], suffix: str, more: list[str]
    ) -> None:
        content = here / "a 'content' ×😀.jpg"
        content.symlink_to(CONTENT)
        command = ["transfer", content.name, STYLE, "-o", f"out.{suffix}", *TINY, "--iterations", "15", *more]
        assert cli.main([*command, "--bits", "16"]) == 0
        deep = here / f"out.{suffix}"
        if suffix == "tif":
            values = tifffile.imread(deep)
        else:
            values = decode_image(str(deep), ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy()
        assert values.dtype == np.uint16
        # The 8-bit picture is the same values, rounded once more.
        command[command.index("-o") + 1] = "eight.png"
        assert cli.main(command) == 0
        eight = np.asarray(Image.open(here / "eight.png")).astype(float)
        assert np.abs(values / 257 - eight).max() <= 0.5 + 0.5 / 257
        assert np.mean(values % 257 != 0) > 0.9

        capsys.readouterr()
        assert cli.main(["show", str(deep)]) == 0
        first = deep.read_bytes()
        assert cli.main(shlex.split(capsys.readouterr().out)[1:]) == 0
        assert deep.read_bytes() == first

    def test_is_refused_where_it_cannot_be_had(self, capsys: pytest.CaptureFixture[str], here: Path) -> None:
        said = refusal(capsys, "synthesize", STYLE, "-o", "out.jpg", *TINY, "--bits", "16")
        assert said == "-o: out.jpg: JPEG has 8 bits a channel; give a name that ends in .png or .tif"
        said = refusal(capsys, "synthesize", STYLE, "-o", "out.png", *TINY, "--bits", "12")
        assert said.startswith("argument --bits: invalid choice: '12' (choose from ")
        assert list(here.iterdir()) == []


class TestShow:
    """How a picture was made, from its own file."""

    @pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif"])
    def test_the_command_makes_the_picture_again(
        self, here: Path, data: Path, capsys: pytest.CaptureFixture[str], suffix: str
    ) -> None:
        style = here / "a 'style' ×😀.jpg"
        style.symlink_to(STYLE)
        assert cli.main(["synthesize", style.name, "--output", f"out.{suffix}", *TINY, "-q"]) == 0
        capsys.readouterr()
        assert cli.main(["show", f"out.{suffix}"]) == 0
        shown = capsys.readouterr().out
        assert shlex.split(shown) == ["nst", "synthesize", style.name, "-o", f"out.{suffix}", *TINY]
        first = (here / f"out.{suffix}").read_bytes()
        assert cli.main(shlex.split(shown)[1:]) == 0
        assert (here / f"out.{suffix}").read_bytes() == first

    def test_pictures_of_others(self, here: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert refusal(capsys, "show", CONTENT).endswith(
            "egeskov.jpg: does not say how it was made; `nst` notes it in PNG, JPEG, WebP, TIFF and AVIF"
        )
        assert refusal(capsys, "show", "no.png").startswith("no.png: no such picture")


class TestNotes:
    """What happens to a picture is said in a line of its own."""

    def test_said_unless_quiet(self, here: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        Image.new("RGB", (40, 36)).save("small.png")
        assert cli.main(["transfer", CONTENT, "small.png", "-o", "out.png", *TINY]) == 0
        assert capsys.readouterr().err == "small.png: only 40×36 px, enlarged to 48\n"
        assert cli.main(["transfer", CONTENT, "small.png", "-o", "out.png", *TINY, "-q"]) == 0
        assert capsys.readouterr().err == ""


class TestLargePictures:
    """Those that are painted from coarse to fine."""

    def test_say_what_they_take_before_they_start(
        self, here: Path, data: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        large = ("--size", "64", "--ladder", "48", "--iterations", "3")
        assert cli.main(["transfer", CONTENT, STYLE, "-o", "out.png", *large]) == 0
        said = capsys.readouterr()
        assert re.search(r"^64 px: about 0\.\d GB of memory and \d+ s$", said.err, re.MULTILINE)
        assert said.out.startswith("out.png: ")
        assert cli.main(["transfer", CONTENT, STYLE, "-o", "out.png", *large, "-q"]) == 0
        assert "about" not in capsys.readouterr().err

    def test_of_several_the_first_that_can_be_read_says_it(
        self, here: Path, data: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        typed = ["--size", "64", "--ladder", "48", "--iterations", "2"]
        assert cli.main(["transfer", "missing.jpg", CONTENT, STYLE, "-o", "out", *typed]) == 1
        assert len(re.findall(r"^64 px: about ", capsys.readouterr().err, re.MULTILINE)) == 1

    def test_say_it_without_a_ladder_too(self, here: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        typed = ["--size", "520", "--ladder", "0", "--iterations", "1"]
        assert cli.main(["synthesize", STYLE, "-o", "out.png", *typed]) == 0
        assert re.search(r"^520 px: about \d\.\d GB of memory and \d+ s$", capsys.readouterr().err, re.MULTILINE)


class TestStopping:
    """Ctrl-C and SIGTERM, by real signals."""

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_the_picture_is_saved_as_it_is(self, here: Path, data: Path, number: int, code: int) -> None:
        watched, terminal = pty.openpty()  # the bar says when the first iteration is done
        termios.tcsetwinsize(terminal, (24, 100))
        command = ["synthesize", STYLE, "-o", "out.png", *TINY, "--iterations", "90000"]
        with subprocess.Popen(
            [sys.executable, "-m", "nst", *command],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=terminal, text=True,
        ) as process:  # fmt: skip
            os.close(terminal)
            seen = b""
            try:
                while b"loss=" not in seen and select.select([watched], [], [], 100)[0]:
                    seen += os.read(watched, 1000)
                process.send_signal(number)
                out, _ = process.communicate(timeout=100)
            finally:
                process.kill()
        os.close(watched)
        assert process.returncode == code
        assert re.fullmatch(r"out\.png: stopped after \d+ of 90000 iterations, .* style distance [\d.]+\n", out)
        assert [path.name for path in here.iterdir()] == ["out.png"]
        assert max(written(here).shape) == 48
        noted = output.command_of(here / "out.png")
        assert noted and re.search(r"  # stopped after \d+ of 90000 iterations$", noted)
        assert [path.name for path in here.iterdir()] == ["out.png"]

    def test_the_second_one_ends_the_process_at_once(self) -> None:
        before = signal.getsignal(signal.SIGINT)
        with painter.stoppable() as stop:
            stop.listen()
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.signal == signal.SIGINT
            assert signal.getsignal(signal.SIGINT) is signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is before

    def test_before_the_first_iteration_nothing_is_written(
        self, here: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(images, "fit", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        assert cli.main(["synthesize", STYLE, "-o", "out.png", *TINY]) == 130
        assert capsys.readouterr().err.endswith("\nstopped; nothing was written\n")
        assert list(here.iterdir()) == []


class TestBusyMachines:
    """Threads sleep while they wait, where another process needs a core."""

    @pytest.mark.parametrize(("cores", "expected"), [(0.1, None), (float("inf"), "passive")])
    def test_the_policy(self, monkeypatch: pytest.MonkeyPatch, cores: float, expected: str | None) -> None:
        for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(os, "environ", dict(os.environ))
        __main__._wait_passively_if_busy(cores)
        assert os.environ.get("OMP_WAIT_POLICY") == expected

    def test_what_the_user_has_set_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OMP_WAIT_POLICY", "active")
        __main__._wait_passively_if_busy(float("inf"))
        assert os.environ["OMP_WAIT_POLICY"] == "active"

    @pytest.mark.skipif(sys.platform != "linux", reason="torch's OpenMP is GNU's on Linux alone")
    @pytest.mark.parametrize(("cores", "sleeps"), [(0.0, False), (float("inf"), True)])
    def test_it_is_set_before_torch_is_loaded(self, cores: float, sleeps: bool) -> None:
        """OpenMP says what it was loaded with."""
        code = f"""if True:
            import sys
            from nst import __main__, cli
            assert "torch" not in sys.modules
            __main__._wait_passively_if_busy(float("{cores}"))
            import torch"""
        unset = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**environment, "PYTHONPATH": str(ROOT), "OMP_DISPLAY_ENV": "VERBOSE"},
        )  # fmt: skip
        spins = re.search(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
        assert spins and (int(spins[1]) == 0) == sleeps


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
