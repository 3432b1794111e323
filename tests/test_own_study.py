"""`nst init`: a folder in which the studies run on a user's own pictures."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from dvc.utils.serialize import modify_yaml
from flows_support import TINY, Checkout, set_params
from PIL import Image
from study_support import DATA, PARAMS, ROOT, needs_defaults

from nst import cli, own_study, params
from nst.params import STUDIES


def picture(path: Path, size: tuple[int, int] = (80, 60)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise(size, 64).convert("RGB").save(path)
    return path


def init(folder: Path, contents: Sequence[Path], styles: Sequence[Path]) -> int:
    return cli.main(["init", str(folder), "--content", *map(str, contents), "--style", *map(str, styles)])


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return picture(tmp_path / "my photo.png")


@pytest.fixture
def painting(tmp_path: Path) -> Path:
    return picture(tmp_path / "painting.jpg")


def test_the_folder_passes_the_check(
    tmp_path: Path, photo: Path, painting: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert init(tmp_path / "own", [photo], [painting]) == 0
    assert f"cd {tmp_path}/own && nst check && dvc repro" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path / "own")
    assert Path("data/content/my photo.png").read_bytes() == photo.read_bytes()
    assert Path("data/style/painting.jpg").read_bytes() == painting.read_bytes()
    assert cli.main(["check"]) == 0
    assert "params.yaml and its pictures can be used" in capsys.readouterr().out


def test_an_empty_folder_will_do(tmp_path: Path, photo: Path, painting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path / "own")
    assert init(Path(), [photo], [painting]) == 0
    assert Path("params.yaml").is_file()


class TestParams:
    @needs_defaults
    def test_the_repository_s_pictures_give_the_repository_s_words(self) -> None:
        """But for the pairs, which it chose by hand."""
        text = own_study.params_text(["egeskov", "chelsea"], ["great_wave", "cafe_terrace"])
        ours, repository = (
            [line for line in each.splitlines() if not line.lstrip().startswith("- ")]
            for each in (text, (ROOT / "params.yaml").read_text("utf-8"))
        )
        differ = {line.split(":")[0].strip() for line, other in zip(ours, repository, strict=True) if line != other}
        assert differ <= {"pairs", "favourites", "pair", "styles"}

    def test_no_picture_of_the_repository_is_left_and_nothing_else_is_changed(self, tmp_path: Path) -> None:
        path = tmp_path / "params.yaml"
        path.write_text(own_study.params_text(["a", "b"], ["1-5", "yes", 'so "called"']), encoding="utf-8")
        names = {file.stem for file in DATA.rglob("*.jpg")}
        assert [name for name in names if name in path.read_text("utf-8")] == []
        found, default = params.load(path), params.load(PARAMS)
        assert found.reconstruction.contents == ("a", "b")
        assert found.synthesis.styles == ("1-5", "yes", 'so "called"')
        assert found.transfer.finalists.pairs == (("a", "1-5"), ("b", "yes"), ("a", 'so "called"'))
        for study in STUDIES:
            ours, theirs = getattr(found, study).model_dump(), getattr(default, study).model_dump()
            changed = {name for name in ours if ours[name] != theirs[name]}
            assert changed <= {"contents", "styles", "content", "style", "pairs", "favourites", "finalists", "film"}

    def test_dvc_changes_one_line_of_it_and_no_other(self, tmp_path: Path) -> None:
        """`dvc exp run -S` writes the file anew."""
        path = tmp_path / "params.yaml"
        before = own_study.params_text([f"a photograph {number}" for number in range(9)], ["painting", "another"])
        path.write_text(before, encoding="utf-8")
        with modify_yaml(path) as values:
            values["transfer"]["init"] = "content"
        changed = [
            line
            for line, old in zip(path.read_text("utf-8").splitlines(), before.splitlines(), strict=True)
            if line != old
        ]
        assert [line.split("#")[0].strip() for line in changed] == ["init: content"]
        assert params.load(path).gallery.favourites[8] == ("a photograph 8", "painting")

    def test_comments_stand_where_they_stood(self) -> None:
        def columns(text: str) -> list[int]:
            lines = [line for line in text.splitlines() if not line.lstrip().startswith("- ")]
            return [line.find("#") for line in lines if "pairs" not in line and "favourites" not in line]

        assert columns(own_study.params_text(["a"], ["b"])) == columns(PARAMS.read_text("utf-8"))


def test_the_pipeline_is_the_repository_s_without_its_code() -> None:
    ours, theirs = (
        yaml.safe_load(text)["stages"] for text in (own_study.pipeline_text(), (ROOT / "dvc.yaml").read_text("utf-8"))
    )
    assert list(ours) == list(theirs)
    for name, stage in theirs.items():
        stage["deps"] = [each for each in stage["deps"] if not each.startswith(("nst/", "flows/"))]
        assert ours[name] == stage


@pytest.mark.parametrize(
    ("contents", "styles", "message"),
    [
        (["nothing.jpg"], ["painting.jpg"], "nothing.jpg: no such picture"),
        (["my photo.png"], ["text.png"], "text.png: not a picture that can be read"),
        (["my photo.png", "other/my photo.jpg"], ["painting.jpg"], "my photo.jpg: my photo.png has the same name"),
        (["photo.avif"], ["painting.jpg"], "photo.avif: studies look for .jpg"),
        (["narrow.png"], ["painting.jpg"], "data/content/narrow.png: 400×40 px becomes 192×19 px"),
        (["back\\slash.png"], ["painting.jpg"], "no name of a picture"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("photo", "painting")
def test_pictures_that_cannot_be_studied_are_told_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *,
    contents: list[str], styles: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in ("other/my photo.jpg", "photo.avif", "back\\slash.png"):
        picture(Path(name))
    picture(Path("narrow.png"), (400, 40))
    Path("text.png").write_text("no picture")
    assert init(Path("own"), [Path(name) for name in contents], [Path(name) for name in styles]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not Path("own").exists()


@pytest.mark.parametrize("place", ["folder", "file", "link", "dangling", "loop"])
def test_nothing_is_overwritten(
    tmp_path: Path, photo: Path, painting: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    picture(tmp_path / "folder" / "there.png")
    (tmp_path / "file").write_text("mine")
    for link, target in (("link", "folder"), ("dangling", "nowhere"), ("loop", "loop")):
        (tmp_path / link).symlink_to(target)
    before = sorted(tmp_path.rglob("*"))
    assert init(tmp_path / place, [photo], [painting]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / place}: there is something already; name a new folder\n"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("place", ["/proc/own", "x" * 300, "my photo.png/own"])
def test_a_folder_that_cannot_be_made(
    tmp_path: Path, photo: Path, painting: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *,
    place: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert init(Path(place), [photo], [painting]) == 2
    assert f"error: {place}: no folder can be made there (" in capsys.readouterr().err


def test_dvc_takes_the_folder_in_git_and_without(tmp_path: Path, photo: Path, painting: Path) -> None:
    inside = tmp_path / "repository"
    inside.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=inside, check=True)
    for folder in (tmp_path / "own", inside / "own"):
        assert init(folder, [photo], [painting]) == 0
        said = Checkout(folder).run(sys.executable, "-m", "dvc", "status")
        assert "transfer:" in said and "deleted:" in said


def test_finished_jobs_are_kept_in_the_folder(tmp_path: Path, photo: Path, painting: Path) -> None:
    """Wherever the code is; a command that runs elsewhere keeps them in the checkout."""
    assert init(tmp_path / "own", [photo], [painting]) == 0
    code = "from flows.settings import load; print(load().cache)"
    for folder, kept in ((tmp_path / "own", tmp_path / "own"), (tmp_path, ROOT)):
        said = Checkout(folder, {"PYTHONPATH": str(ROOT), "NST_CACHE": ""}).run(sys.executable, "-c", code)
        assert said == f"{kept}/.cache/jobs\n"


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_the_first_run(tmp_path: Path) -> None:
    """With one picture of each kind, from the folder to the page; all that is kept lies in the folder."""
    content, style = DATA / "content" / "egeskov.jpg", DATA / "style" / "great_wave.jpg"
    assert init(tmp_path / "own", [content], [style]) == 0
    own = Checkout(tmp_path / "own", {"PYTHONPATH": str(ROOT)})
    set_params(own, {**TINY, "gallery": {"favourite_size": 48, "gram_layers": ["conv1_1"]}})
    assert "Running stage 'report'" in own.run("dvc", "repro", timeout=550)
    assert (own.path / "reports" / "index.html").is_file()
    assert own.finished()
    assert "up to date" in own.run("dvc", "repro")
