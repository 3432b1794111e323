"""The benchmark of GPUs runs on a CPU as well, at sizes that say nothing: so that it does not fail there for the first
time."""

import os
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from study_support import ROOT

from benchmarks import gpu, gpu_steps, study, table
from benchmarks.gpu import Busy
from benchmarks.gpu_steps import Ceilings
from benchmarks.process import FailedError
from benchmarks.study import FinishedJob, Stage
from nst.engine.layers import multiplications

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a stand-in for where there is no GPU")

SMALL = ["--device", "cpu", "--sizes", "32", "--batches", "1,2", "--transfers", "64", "--parity", "64"]


@pytest.fixture(autouse=True)
def devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sets it; afterwards it is as it was."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == 2
    assert capsys.readouterr().err == "error: no GPU: torch sees none; run this where there is one\n"


def test_parts_run_and_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gpu.json"
    assert gpu.main([*SMALL, "--parts", "ceilings,steps", "--output", str(path)]) == 0
    assert gpu.main([*SMALL, "--parts", "transfer", "--iterations", "2", "--output", str(path)]) == 0
    found = table.read(path)
    assert list(found.sections) == ["ceilings", "steps 32", "transfer"]
    assert [(row[0], row[1]) for row in found.sections["steps 32"].section.rows] == [(32, 1), (32, 2)]
    shown = capsys.readouterr().out
    assert "Steps at 32 px" in shown
    assert shown.splitlines()[-1].startswith("|--")  # no targets at these sizes


def test_parity_has_a_target_for_each_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "PAIRS", gpu.PAIRS[:1])
    section = gpu.parity(gpu.parse([*SMALL, "--iterations", "2"]), lambda _: None)
    assert [row[1] for row in section.rows] == ["the CPU, float32", "float32", "bfloat16"]
    assert len(section.targets) == 4
    assert section.targets[0].what == "content distance, float32 against the CPU, float32: worst pair"


def test_a_part_that_fails_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("of two\nlines")

    monkeypatch.setattr(gpu, "transfers", fails)
    path = tmp_path / "gpu.json"
    assert gpu.main([*SMALL, "--parts", "transfer,ceilings", "--output", str(path)]) == 1
    assert table.read(path).sections["transfer"].section.rows == (("RuntimeError: of two lines",),)
    assert "copy, GB/s" in capsys.readouterr().out


def test_no_part_begins_when_the_time_is_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gpu.json"
    assert gpu.main([*SMALL, "--parts", "ceilings", "--output", str(path)]) == 0
    kept = path.read_bytes()
    assert gpu.main([*SMALL, "--parts", "ceilings", "--minutes", "0", "--output", str(path)]) == 1
    assert "ceilings: left out, as 0 minutes are over (--minutes)" in capsys.readouterr().out
    assert path.read_bytes() == kept


def test_parts_are_chosen_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.parse([]).parts == gpu.PARTS
    assert gpu.parse(["--parts", "study,steps"]).parts == ("steps", "study")
    with pytest.raises(SystemExit):
        gpu.parse(["--parts", "speed"])
    assert "no part 'speed'; there are ceilings, " in capsys.readouterr().err


class TestSteps:
    def test_the_roofline_is_the_larger_of_work_and_traffic(self) -> None:
        operations = 4 * multiplications("conv5_1") * 512**2
        assert operations == pytest.approx(0.39e12, rel=0.05)  # what is published for it
        assert gpu_steps.roofline(512, 1, Ceilings(1e12, 1e15)) == pytest.approx(operations / 1e12)
        assert gpu_steps.roofline(512, 2, Ceilings(1e15, 1e12)) == pytest.approx(2 * 512**2 * 3200 / 1e12)

    def test_batches_beyond_the_memory_are_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def measure(*_: object) -> None:
            raise torch.OutOfMemoryError("too large")

        monkeypatch.setattr(gpu_steps, "_measure", measure)
        section = gpu_steps.measure(512, [64, 128], "cpu", lambda _: None)
        assert section.rows == ()
        assert section.notes[1:] == ("A batch of 64 does not fit into memory.",)
        assert section.targets == ()


class TestStudy:
    def test_the_copy_has_what_dvc_needs_and_nothing_of_the_user(self, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        gpu.make_copy(copy, ROOT / "params.yaml")
        gpu.set_size(copy / "params.yaml", 512)
        values = yaml.safe_load((copy / "params.yaml").read_text("utf-8"))
        assert (values["size"], values["gallery"]["favourite_size"]) == (512, 680)
        assert {path.name for path in copy.iterdir()} == {name.split("/")[0] for name in gpu.COPIED}
        deps = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]["transfer"]["deps"]
        assert [name for name in deps if not (copy / name).exists()] == []

    def test_its_services_and_its_store_are_its_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NST_CACHE", "s3://somewhere/else")
        monkeypatch.setenv("PYTHONPATH", "here")
        found = gpu.environment(tmp_path)
        assert found["NST_CACHE"] == ".cache/jobs"
        assert found["PREFECT_HOME"] == str(tmp_path / ".prefect")
        assert found["PYTHONPATH"] == f"{tmp_path}{os.pathsep}here"

    def test_one_that_takes_too_long_is_ended(self, tmp_path: Path) -> None:
        (tmp_path / "flows").symlink_to(ROOT / "flows")
        (tmp_path / "nst").symlink_to(ROOT / "nst")
        command = (sys.executable, "-c", "import time; time.sleep(100)")
        began = time.monotonic()
        with pytest.raises(FailedError, match="ended with"):
            study.repro(tmp_path, command, limit=2)
        assert time.monotonic() - began < 30

    def test_jobs_of_a_batch_began_together(self) -> None:
        """Each has its share of ten seconds."""
        jobs = tuple(FinishedJob(30.0, 2.0, 2.5, 0.25, batch=4) for _ in range(4))
        stage = Stage("transfer", began=15.0, ended=31.0, jobs=jobs, workers=1)
        assert (stage.starting, stage.stepping, stage.measuring, stage.between) == (5.0, 8.0, 1.0, 0.0)


def test_how_busy_is_the_mean_of_many_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([100.0, 50.0] + [0.0] * 100)
    monkeypatch.setattr(gpu, "_looker", lambda _: ("a stand-in", lambda: next(looks)))
    with Busy("cuda") as busy:
        time.sleep(0.9)
    assert busy.how == "a stand-in"
    assert busy.seen[:2] == [100.0, 50.0]
    assert 0 < busy.share < 100


def test_without_a_gpu_nothing_says_how_busy_it_is() -> None:
    with Busy("cpu") as busy:
        pass
    assert busy.seen == []


@pytest.mark.cluster
def test_a_whole_study_is_taken_apart(tmp_path: Path) -> None:
    """`dvc repro` of all stages, tiny."""
    from flows_support import TINY

    values = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    for key, value in TINY.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(values), "utf-8")
    arguments = gpu.parse(["--device", "cpu", "--params", str(params)])
    section = gpu.whole_study(arguments, 48, lambda _: None, limit=280)
    assert [row[0] for row in section.rows][-3:] == ["report", "DVC, stopping", "all"]
