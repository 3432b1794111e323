"""The machine that jobs run on, and the key that a finished job is stored under."""

import dataclasses
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_support import DATA, ROOT, make_job, run

from nst.engine.inputs import Inputs, inputs
from nst.engine.jobs import Job
from nst.engine.machine import Machine, engine_digest, key, machine, precision_of

JOB = make_job(init="noise", seed=3)
HERE = Machine("cpu", "x86_64 AVX2", "float32", "2.14.1", "engine")
ENGINE = ROOT / "nst" / "engine"


class TestMachine:
    """What results depend on."""

    def test_is_plain_data(self) -> None:
        found = dataclasses.asdict(machine())
        assert {type(value) for value in found.values()} == {str}
        assert Machine(**found) == machine()
        assert found["precision"] in ("bfloat16", "float32")
        assert found["engine"] == engine_digest()

    def test_reads_well(self) -> None:
        processor = Machine("cpu", "x86_64 AVX512 amx_bf16", "bfloat16", "2.14.1", "0123456789")
        assert str(processor) == "cpu (x86_64 AVX512 amx_bf16), bfloat16, torch 2.14.1, engine 01234567"
        gpu = Machine("NVIDIA H100 80GB HBM3 sm_90", "", "bfloat16", "2.11.0", "0123456789")
        assert str(gpu) == "NVIDIA H100 80GB HBM3 sm_90, bfloat16, torch 2.11.0, engine 01234567"

    @pytest.mark.parametrize(
        ("features", "expected"),
        [
            ({"avx2": True}, "float32"),
            ({"avx512_bf16": True}, "bfloat16"),
            ({"amx_bf16": True}, "bfloat16"),
            ({"amx_bf16": False}, "float32"),
            ({}, "float32"),
        ],
    )
    def test_a_processor(self, monkeypatch: pytest.MonkeyPatch, features: dict[str, bool], expected: str) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
        monkeypatch.setattr("platform.machine", lambda: "abacus")
        found = machine.__wrapped__()
        words = ["abacus", torch.backends.cpu.get_cpu_capability(), *(name for name in features if "bf16" in name)]
        assert (found.device, found.precision) == ("cpu", expected)
        assert found.processor == " ".join(words if expected == "bfloat16" else words[:2])

    def test_a_gpu_whose_host_does_not_matter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {
            "is_available": True,
            "get_device_name": "NVIDIA T4",
            "get_device_capability": (7, 5),
            "is_bf16_supported": False,
        }.items():
            monkeypatch.setattr(torch.cuda, name, lambda value=value, **_: value)
        found = machine.__wrapped__()
        assert (found.device, found.processor, found.precision) == ("NVIDIA T4 sm_75", "", "float32")

    def test_auto_is_what_the_machine_is_good_at(self) -> None:
        for precision in ("bfloat16", "float32"):
            here = dataclasses.replace(machine(), precision=precision)
            assert precision_of(JOB, here) == precision
            for given in ("bfloat16", "float32"):
                assert precision_of(dataclasses.replace(JOB, precision=given), here) == given  # type: ignore[arg-type]


class TestKey:
    """It changes with all that the result depends on, and with nothing else."""

    given = Inputs(b"content", ((b"style", 1.0),))

    def key(self, **changes: Any) -> str:
        return key(**{"job": JOB, "inputs": self.given, "machine": HERE, **changes})

    @pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Job) if field.name != "weights"])
    def test_changes_with_every_field_of_the_job(self, field: str) -> None:
        value = getattr(JOB, field)
        other = (
            value + 1 if isinstance(value, int | float) else (*value, "conv5_4") if isinstance(value, tuple) else "x"
        )
        assert self.key(job=dataclasses.replace(JOB, **{field: other})) != self.key()

    def test_changes_with_the_weights(self, tmp_path: Path) -> None:
        path = tmp_path / "vgg.pth"
        keys = set()
        for content in (b"one", b"two"):
            path.write_bytes(content)
            keys.add(self.key(job=dataclasses.replace(JOB, weights=str(path))))
        assert len(keys | {self.key()}) == 3

    @pytest.mark.parametrize(
        "change",
        [
            {"inputs": Inputs(b"another", ((b"style", 1.0),))},
            {"inputs": Inputs(b"content", ((b"another", 1.0),))},
            {"inputs": Inputs(b"style", ((b"content", 1.0),))},
            {"inputs": Inputs(None, ((b"style", 1.0),))},
            {"threads": 2},
            *({"machine": dataclasses.replace(HERE, **{field.name: "other"})} for field in dataclasses.fields(Machine)),
        ],
        ids=str,
    )
    def test_changes_with_pictures_and_machine(self, change: dict[str, Any]) -> None:
        assert self.key(**change) != self.key()

    def test_a_precision_that_the_job_names_is_not_the_machines(self) -> None:
        exact = dataclasses.replace(JOB, precision="float32")
        fast = dataclasses.replace(HERE, precision="bfloat16")
        assert self.key(job=exact, machine=fast) == self.key(job=exact)

    def test_does_not_change_with_what_ran_before(self) -> None:
        before = self.key()
        torch.manual_seed(0)
        run(make_job("reconstruct"))
        assert self.key() == before

    def test_depends_on_what_pictures_show_not_on_their_files(self, tmp_path: Path) -> None:
        def from_files() -> str:
            return self.key(inputs=inputs(JOB, tmp_path))

        shutil.copytree(DATA, tmp_path, dirs_exist_ok=True)
        photo, before = tmp_path / "content" / "egeskov.jpg", self.key(inputs=inputs(JOB, DATA))
        assert from_files() == before
        os.utime(photo, (1, 1))
        assert from_files() == before
        (tmp_path / "content" / "unused.jpg").write_bytes(b"")
        assert from_files() == before
        shutil.copy(tmp_path / "content" / "chelsea.jpg", photo)  # also one that this process has read before
        assert from_files() != before

    def test_is_computed_without_torch(self) -> None:
        """In the driver of a study, for any machine; importing torch takes seconds."""
        code = f"""
            import sys
            from pathlib import Path
            from nst.engine.inputs import inputs
            from nst.engine.jobs import Job
            from nst.engine.machine import Machine, key
            job = Job.from_dict({JOB.to_dict()})
            print(key(job, inputs(job, Path({str(DATA)!r})), {HERE!r}))
            assert "torch" not in sys.modules
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == self.key(inputs=inputs(JOB, DATA))


class TestEngineDigest:
    """Of what the engine computes, not of what is written about it."""

    @pytest.fixture
    def copy(self, tmp_path: Path) -> Path:
        shutil.copytree(ENGINE, tmp_path / "engine", ignore=shutil.ignore_patterns("__pycache__"))
        return tmp_path / "engine"

    def test_words_do_not_count(self, copy: Path) -> None:
        path = copy / "losses.py"
        text = path.read_text(encoding="utf-8")
        for old, new in (
            ('"""Losses as plain', '"""Another text'),  # a module
            ("    # Row by row first", "    # Another comment"),
            ('    """Σ v² of each picture', '    """'),  # a function
            ("\n\n\ndef", "\n\ndef"),
        ):
            assert old in text
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
        fields = copy / "jobs.py"
        text = fields.read_text(encoding="utf-8")
        assert '"""Longest side of the pictures, px."""' in text
        fields.write_text(text.replace('    """Longest side of the pictures, px."""\n', ""), encoding="utf-8")
        assert engine_digest(copy) == engine_digest()

    def test_code_counts(self, copy: Path) -> None:
        path = copy / "losses.py"
        text = path.read_text(encoding="utf-8")
        assert "1, 2" in text
        path.write_text(text.replace("1, 2", "2, 1", 1), encoding="utf-8")
        assert engine_digest(copy) != engine_digest()

    @pytest.mark.parametrize("change", ["new", "renamed", "gone", "deeper"])
    def test_every_module_counts(self, copy: Path, change: str) -> None:
        if change == "new":
            (copy / "added.py").write_text("X = 1\n")
        elif change == "renamed":
            (copy / "losses.py").rename(copy / "gains.py")
        elif change == "gone":
            (copy / "losses.py").unlink()
        else:
            (copy / "style_losses" / "gram.py").unlink()
        assert engine_digest(copy) != engine_digest()
