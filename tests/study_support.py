"""What tests study: parameters and pictures of their own, whatever those of this checkout are now."""

import json
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PARAMS = ROOT / "nst" / "defaults.yaml"
"""A copy of the repository's params.yaml, which `nst init` starts from."""
PICTURES = ROOT / "tests" / "study" / "pictures.yaml"
"""A copy of data.dvc; by that name DVC would take it for one of its own."""


def _pictures() -> Path:
    """A folder of the pictures that tests/study/pictures.yaml names, from the store in the repository."""

    def stored(digest: str) -> Path:
        return ROOT / "dvc-store" / "files" / "md5" / digest[:2] / digest[2:]

    (out,) = yaml.safe_load(PICTURES.read_text("utf-8"))["outs"]
    folder = ROOT / ".cache" / "tests" / out["md5"][:8]
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
            for picture in json.loads(stored(out["md5"]).read_text("utf-8")):
                target = Path(beside) / "made" / "data" / picture["relpath"]
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(stored(picture["md5"]), target)
            with suppress(OSError):  # another process was first
                (Path(beside) / "made").rename(folder)
    return folder / "data"


DATA = _pictures()

CHANGED = (ROOT / "params.yaml").read_bytes() != PARAMS.read_bytes()
needs_defaults = pytest.mark.skipif(CHANGED, reason="params.yaml is another than nst/defaults.yaml")
"""For what must hold of the repository's own parameters."""
