"""What jobs aim at is computed once, and is what it would be alone."""

from collections.abc import Collection, Iterator

import pytest
import torch
from engine_support import DATA, make_job, run
from torch import Tensor

from nst.engine import images, targets
from nst.engine import run as module
from nst.engine.jobs import Job
from nst.engine.losses import gram_matrix
from nst.engine.metrics import as_tensor
from nst.engine.run import inputs, platform
from nst.engine.targets import Targets
from nst.engine.vgg import Encoder
from nst.engine.weights import VGGWeights

SHALLOW = ("conv1_1", "conv2_1")
DEEPER = ("conv2_1", "conv3_1")


class Watched(Encoder):
    """Keeps what it was asked for."""

    asked: list[set[str]]

    def walk(self, pictures: Tensor, layers: Collection[str]) -> Iterator[tuple[str, Tensor]]:
        self.asked = [*getattr(self, "asked", []), set(layers)]
        return super().walk(pictures, layers)


def read(png: bytes) -> Tensor:
    return as_tensor(images.from_png(png))


def original(name: str = "egeskov") -> bytes:
    return inputs(make_job(content=name), DATA).shape


@pytest.fixture
def encoder(weights: VGGWeights) -> Watched:
    return Watched(weights, "conv3_1", dtype=torch.bfloat16)


def test_they_are_those_of_the_encoder(encoder: Watched) -> None:
    found = Targets(encoder, read)
    expected = encoder(read(original()), DEEPER)
    contents = found.contents([original(), None, original()], [DEEPER, ("conv1_1",), SHALLOW])
    assert [list(each) for each in contents] == [list(DEEPER), [], list(SHALLOW)]
    assert torch.equal(contents[0]["conv3_1"], expected["conv3_1"])
    assert contents[0]["conv2_1"] is contents[2]["conv2_1"]
    (styles,) = found.styles([original()], [DEEPER])
    assert torch.equal(styles["conv2_1"], gram_matrix(expected["conv2_1"]))
    assert styles["conv2_1"].shape == (1, 128, 128)


def test_a_picture_is_not_encoded_again(encoder: Watched) -> None:
    found = Targets(encoder, read)
    for of in (found.contents, found.styles):
        encoder.asked = []
        (first,) = of([original()], [SHALLOW])
        (again,) = of([bytes(bytearray(original()))], [SHALLOW])
        assert all(again[name] is first[name] for name in SHALLOW)
        assert encoder.asked == [set(SHALLOW)]


def test_one_pass_finds_the_layers_that_are_lacking(encoder: Watched) -> None:
    found = Targets(encoder, read)
    found.styles([original()], [SHALLOW])
    (later,) = found.styles([original()], [DEEPER])
    (fresh,) = Targets(encoder, read).styles([original()], [DEEPER])
    assert encoder.asked == [set(SHALLOW), {"conv3_1"}, set(DEEPER)]
    assert all(torch.equal(later[name], fresh[name]) for name in DEEPER)


def test_the_latest_pictures_are_kept(encoder: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    of_one = 4 * 64**2 + 4 * 128**2
    monkeypatch.setattr(targets, "KEPT_BYTES", 2 * of_one)
    found = Targets(encoder, read)
    for name in ("egeskov", "chelsea", "egeskov", "eilean_donan"):  # egeskov is the later one of the first two
        found.styles([original(name)], [SHALLOW])
    encoder.asked = []
    found.styles([original("egeskov")], [SHALLOW])
    assert not encoder.asked
    found.styles([original("chelsea")], [SHALLOW])
    assert encoder.asked


def test_what_is_too_large_is_given_and_not_kept(encoder: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Targets(encoder, read)
    monkeypatch.setattr(targets, "KEPT_BYTES", 1)
    for _ in range(2):
        (contents,) = found.contents([original()], [SHALLOW])
        assert set(contents) == set(SHALLOW)
    assert len(encoder.asked) == 2


def test_a_job_finds_what_the_one_before_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a grid, each job has another layer or window of the same pictures."""
    before, job = make_job(style_layers=SHALLOW), make_job(style_layers=DEEPER, content_layers=("conv1_1", "conv3_1"))
    alone = _from_nothing(job)
    _from_nothing(before)
    encoder, _ = module._network(job.weights, job.pooling, platform(job.precision))
    asked = []
    walk = encoder.walk
    monkeypatch.setattr(encoder, "walk", lambda picture, layers: asked.append(set(layers)) or walk(picture, layers))
    assert run(job).png == alone
    assert asked == [{"conv1_1"}, {"conv3_1"}]
    assert run(job).png == alone
    assert len(asked) == 2


def _from_nothing(job: Job) -> bytes:
    module._network.cache_clear()
    return run(job).png
