"""What a study leaves on Prefect's page."""

import base64
import io
import re
from pathlib import Path

import pytest
from engine_support import finished, make_job
from PIL import Image

from flows import artifact, settings
from nst.params import Params
from nst.studies import tables


def cells(line: str) -> list[str]:
    """Of a row in Markdown."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_prefects_page_has_the_numbers_the_jobs_and_a_picture(tiny: tuple[Params, Path]) -> None:
    _, reports = tiny
    job = make_job()
    result = finished(job)
    text = artifact.markdown("transfer", {job: result}, 3, reports)
    assert "1 jobs run, 3 finished before." in text
    index, folder = re.findall(r"`(/[^`]+)`", text)
    assert (index, Path(folder).is_dir()) == (str(reports / "index.html"), True)
    assert "file:" not in text  # no browser opens such a link

    rows = {row[0]: row[1:] for row in map(cells, text.splitlines()) if row}
    metrics = tables.read_metrics(reports / "transfer")
    assert rows["best"] == [metrics["best"]], "with the | of its name"
    assert rows["compared"] == [metrics["compared"]]
    where = result.environment
    assert rows[job.title] == [f"{result.timing.seconds:.1f}", f"{where.device}, {where.precision}", where.worker]

    (shown,) = re.findall(r"!\[\w+\]\(data:image/webp;base64,([^)]+)\)", text)
    with Image.open(io.BytesIO(base64.b64decode(shown))) as picture:
        picture.load()
        assert max(picture.size) <= 640


def test_an_experiment_names_no_folder_that_will_be_gone(
    tiny: tuple[Params, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, reports = tiny
    monkeypatch.setattr(settings, "HOME", Path("/home/of/the/checkout"))
    text = artifact.markdown("transfer", {}, 3, reports)
    assert str(reports) not in text
    assert "in `/home/of/the/checkout`, `dvc exp show` lists it" in text
