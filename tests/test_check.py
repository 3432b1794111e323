"""`nst check`: what studies take, before anything runs."""

import re
from pathlib import Path

import psutil
import pytest
import yaml
from engine_support import DATA
from study_support import PARAMS

from nst import check, cli, params, studies
from nst.engine.weights import NORMALISED


def altered(folder: Path, **values: object) -> Path:
    path = folder / "params.yaml"
    content = yaml.safe_load(PARAMS.read_text("utf-8"))
    content["parameters"]["vary"] = {"style_weight": [1, 10]}  # others are too small or too large for some sizes here
    path.write_text(yaml.safe_dump({**content, **values}), encoding="utf-8")
    return path


def test_the_table(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = altered(tmp_path, size=48)
    assert cli.main(["check", str(path), "--data", str(DATA), "--reports", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{path} and its pictures can be used.")
    wanted = params.load(path)
    likely = studies.assume(wanted)
    for name in studies.STUDIES:
        jobs = studies.first_jobs(name, likely)
        size = max(job.size for job in jobs)
        assert size == (wanted.gallery.favourite_size if name == "gallery" else 48)
        assert re.search(
            rf"^{name} +{len(jobs)} +{size} px +(< 1 min|\d+ min|[\d.]+ h) +\d\.\d GB$", said, flags=re.MULTILINE
        )
    assert re.search(r"^parameters, gallery: with classic layers, as those are not known", said, flags=re.MULTILINE)
    assert wanted.weights == NORMALISED


def test_a_job_of_twice_the_iterations_takes_twice_as_long(tmp_path: Path, data: Path) -> None:
    section = yaml.safe_load(PARAMS.read_text("utf-8"))["initialization"]
    plans, longer = (
        check.plans(altered(tmp_path, size=48, initialization={**section, "iterations": count}), DATA, tmp_path)
        for count in (30, 60)
    )
    costs = [sum(check._cost(*each) for each in found[3].jobs) for found in (plans, longer)]
    assert plans[3].study == "initialization"
    assert costs[1] == 2 * costs[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 20}, "params.yaml: size: Input should be greater than or equal to 32"),
        ({"weights": "nowhere.pth"}, "weights: no file 'nowhere.pth'"),
        ({"reconstruction": {**yaml.safe_load(PARAMS.read_text("utf-8"))["reconstruction"],
                             "contents": ["egeskov", "nobody"]}}, "no picture called 'nobody'; there is chelsea"),
        ({"style_layer_weights": [1, 0.5]}, "params.yaml: synthesis.style_layer_weights: 2 of them for 5 layers; give"),
        ({"content_weight": 0, "style_weight": 0}, "params.yaml: reconstruction.content_weight: is 0: there is noth"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], values: dict[str, object], message: str
) -> None:
    assert cli.main(["check", str(altered(tmp_path, **values)), "--data", str(DATA)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err and said.err.startswith("error: ") and said.err.count("\n") == 1


def test_what_does_not_fit_into_memory(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: psutil._ntuples.svmem(4e9, *[0] * 10))
    assert cli.main(["check", str(altered(tmp_path, size=4096)), "--data", str(DATA)]) == 2
    said = capsys.readouterr()
    assert re.search(r"^error: a \w+ at 4096 px needs about \d\.\d GB of memory and \d\.\d GB", said.err)
    assert said.out == "", "not that it can be used"
