"""Jobs: their digests, and what they are called."""

import dataclasses
import json
from typing import Any

import pytest
from engine_support import make_job

from nst.engine.jobs import Job

JOB = make_job(init="noise", seed=3)


def test_a_job_survives_json() -> None:
    job = make_job(frames=3, run=1)
    assert Job.from_dict(json.loads(json.dumps(job.to_dict()))) == job
    assert hash(Job.from_dict(job.to_dict())) == hash(job)


def test_a_field_that_is_added_later_keeps_the_digests() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Later(Job):
        momentum: float = 0.5

    fields = {field.name: getattr(JOB, field.name) for field in dataclasses.fields(JOB)}
    assert Later(**fields).digest == JOB.digest
    assert Later(**fields, momentum=0.6).digest != JOB.digest


def test_digests_are_those_of_the_first_jobs_that_were_stored() -> None:
    """A field that changes them would have everything computed again."""
    job = Job(task="transfer", size=192, iterations=40, content="egeskov", style="great_wave",
              content_layers=("conv4_2",), style_layers=("conv1_1", "conv1_2"), seed=1)  # fmt: skip
    assert job.digest == "d05a538582724cf605050000205dfa6ed4e29dfae4903e1bd013765d729871e0"


def test_equal_jobs_have_equal_digests_and_others_have_not() -> None:
    assert dataclasses.replace(JOB, tv_weight=0.0).digest == JOB.digest
    assert dataclasses.replace(JOB, seed=4).digest != JOB.digest
    assert len(JOB.digest) == 64


def test_what_must_be_said_has_no_default() -> None:
    assert Job(task="reconstruct", size=48, iterations=4).digest
    with pytest.raises(TypeError, match="missing 3 required"):
        Job()  # type: ignore[call-arg]


def test_titles_say_what_is_done() -> None:
    assert JOB.title == "transfer · egeskov × great_wave · conv3_1 | 1,3 · from noise 3"
    assert make_job("reconstruct").title == "reconstruct · egeskov · conv3_1 · from noise 0"
    assert make_job("synthesize", run=2).title == "synthesize · great_wave · 1,3 · from noise 0 · run 2"
    assert make_job("synthesize", style_weight=3.5).title.endswith("from noise 0 · style_weight 3.5")
    assert make_job(init="adain").title.endswith("from adain")


def test_names_tell_jobs_apart() -> None:
    assert JOB.name == "egeskov_great_wave_conv3_1_1,3_noise3_48px_4it"
    changes: list[dict[str, Any]] = [
        {"seed": 4}, {"init": "content"}, {"size": 64}, {"content_layers": ("conv1_1",)}, {"run": 1}, {"frames": 4},
        {"iterations": 5}, {"tv_weight": 0.5}, {"optimizer": "lbfgs"}, {"weights": "a/own.pth"}, {"weights": "own.pth"},
    ]  # fmt: skip
    names = {dataclasses.replace(JOB, **change).name for change in changes}
    assert len(names | {JOB.name}) == len(changes) + 1


def test_a_name_is_a_file_name() -> None:
    assert make_job(weights="/my own/vgg.pth").name.endswith("48px_4it_weights--my-own-vgg.pth")
