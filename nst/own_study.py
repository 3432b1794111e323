"""`nst init`: a folder in which the studies run on a user's own pictures."""

import json
import os
import re
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path

import yaml

from nst import check
from nst.engine import images
from nst.errors import ImageError, OutputError
from nst.params import STUDIES, Settings

DEFAULTS = Path(__file__).parent / "defaults.yaml"
"""A copy of the repository's params.yaml."""
AFTER_TRANSFER = ("parameters", "gallery")
"""Studies that use the layers which the transfer study recommends."""
PICTURES = re.compile(
    r"^( +)(contents|styles|content|style|pairs|favourites|pair):[^#\n]*(#.*)(\n +- .*)*$", flags=re.MULTILINE
)
"""What names pictures in params.yaml: indentation, key and comment; a list may have a line for each item."""


def make(folder: Path, contents: Sequence[Path], styles: Sequence[Path]) -> None:
    """Make `folder`: pictures in data/, params.yaml that names them, and what `dvc repro` needs.

    Args:
        folder: a new one, or an empty one.
        contents: pictures that say what is seen; one or more.
        styles: pictures that say how it is painted; one or more.

    Raises:
        OutputError: the folder holds something, or cannot be made.
        ImageError: a picture cannot be used.
        ParamsError: a picture has a name that params.yaml cannot hold.
    """
    is_new = not os.path.lexists(folder)
    if not is_new and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder}: there is something already; name a new folder")
    for pictures in (contents, styles):
        _check(pictures)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: no folder can be made there ({error.strerror}); give another place") from None
    try:
        for kind, pictures in (("content", contents), ("style", styles)):
            (folder / "data" / kind).mkdir(parents=True)
            for picture in pictures:
                shutil.copyfile(picture, folder / "data" / kind / picture.name)
        for name, text in _files(folder, [path.stem for path in contents], [path.stem for path in styles]).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        check.plans(folder / "params.yaml", folder / "data", folder / "reports")
    except BaseException:
        for place in folder.iterdir():
            shutil.rmtree(place) if place.is_dir() else place.unlink()
        if is_new:
            folder.rmdir()
        raise


def _check(pictures: Sequence[Path]) -> None:
    """Whether studies can find and read these pictures of one kind.

    Raises:
        ImageError: one cannot be read, is of a kind that studies do not look for, or has the name of another.
    """
    for index, path in enumerate(pictures):
        images.read(path)
        if path.suffix.lower() not in images.SUFFIXES:
            raise ImageError(f"{path}: studies look for {', '.join(images.SUFFIXES)}; save it as one of these")
        for other in pictures[:index]:
            if other.stem == path.stem:
                raise ImageError(f"{path}: {other} has the same name without its suffix; rename one of them")


def _files(folder: Path, contents: Sequence[str], styles: Sequence[str]) -> dict[str, str]:
    """Text files by their place in the folder."""
    in_git = any((parent / ".git").exists() for parent in folder.resolve().parents)
    return {
        "params.yaml": params_text(contents, styles),
        "dvc.yaml": pipeline_text(),
        ".gitignore": "/.cache/\n/.prefect/\n/.env\n",
        ".dvcignore": ".cache\n.prefect\n",
        ".dvc/config": "[core]\n    analytics = false\n    check_update = false\n"
        + ("" if in_git else "    no_scm = true\n"),
        ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    }


def params_text(contents: Sequence[str], styles: Sequence[str]) -> str:
    """The repository's params.yaml with these pictures in place of its own."""
    pairs = [
        [contents[number % len(contents)], styles[number % len(styles)]]
        for number in range(max(len(contents), len(styles)))
    ]
    values = {
        "contents": contents, "styles": styles, "content": contents[0], "style": styles[0],
        "pairs": pairs, "favourites": pairs, "pair": pairs[0],
    }  # fmt: skip

    def filled(found: re.Match[str]) -> str:
        indentation, key, comment = found[1], found[2], found[3]
        line, items = f"{indentation}{key}: {_yaml(values[key])}", ""
        if len(line) >= 80:  # DVC would break it when it changes another line
            line, items = f"{indentation}{key}:", "".join(f"\n{indentation}- {_yaml(each)}" for each in values[key])
        return f"{line:40}   {comment}{items}"

    text = PICTURES.sub(filled, DEFAULTS.read_text("utf-8"))
    return text.replace("3×3 picture", f"{len(contents) + 1}×{len(styles) + 1} picture")


def _yaml(value: str | Sequence[object]) -> str:
    """On one line, in quotation marks where YAML would take a name for something else."""
    if not isinstance(value, str):
        return f"[{', '.join(_yaml(each) for each in value)}]"  # type: ignore[arg-type]
    plain = re.fullmatch(r"[\w .-]+", value) and yaml.safe_load(f"[{value}]") == [value]
    return value if plain else json.dumps(value, ensure_ascii=False)


def pipeline_text() -> str:
    """dvc.yaml: a stage for each study, then the report.

    The repository's, without the code among the dependencies, which lies elsewhere here.
    """
    settings = _wrapped(list(Settings.model_fields), 10)
    stages = []
    for number, study in enumerate(STUDIES):
        more = ", reports/transfer/recommended.json" if study in AFTER_TRANSFER else ""
        out = "      - reports/transfer/recommended.json: *git\n" if study == "transfer" else ""
        stages.append(
            f"  {study}:\n"
            f"    cmd: python -m flows.study {study}\n"
            "    params:\n"
            f"      - params.yaml: {'*settings' if number else f'&settings   # what all studies share{settings}'}\n"
            f"      - {study}\n"
            f"    deps: [data{more}]\n"
            "    outs:\n"
            f"      - reports/{study}/images\n"
            f"      - reports/{study}/figures: {'*git' if number else '&git {cache: false}'}\n"
            f"      - reports/{study}/tables: *git\n"
            f"{out}"
            f"    metrics: [reports/{study}/headline.json: *git]\n"
        )
    reports = _wrapped(["data", "params.yaml", *(f"reports/{study}" for study in STUDIES)], 6)
    stages.append(
        "  report:\n"
        "    cmd: python -m flows.report\n"
        f"    deps:{reports}\n"
        "    outs:\n"
        "      - reports/index.html\n"
        "      - reports/jobs.html\n"
        "      - reports/README.md: *git\n"
        "      - reports/verdicts.json: *git\n"
    )
    return (
        "# One stage for each study, then the report: reports/index.html.  A stage runs again when its parameters or\n"
        "# the pictures have changed.  It does not know of a new version of nst: after an update, `dvc repro --force`\n"
        "# computes what that changed, and takes the rest from the finished jobs.\n\n"
        "stages:\n" + "\n".join(stages)
    )


def _wrapped(names: Sequence[str], indentation: int) -> str:
    """A list on lines of its own."""
    return textwrap.fill(
        f"[{', '.join(names)}]", 116, initial_indent="\n" + " " * indentation, subsequent_indent=" " * (indentation + 1)
    )
