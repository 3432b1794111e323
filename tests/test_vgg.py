"""The encoder against a VGG-19 put together from torchvision's list of layers (see `ReferenceVGG19`)."""

import pytest
import torch
import torch.nn.functional as F
from engine_support import ReferenceVGG19, picture, relative_error
from torch import Tensor

from nst.engine import onednn
from nst.engine.jobs import Pooling
from nst.engine.layers import LAYERS
from nst.engine.vgg import Encoder
from nst.engine.weights import VGGWeights

TAPS = ("conv1_1", "conv2_2", "conv3_1", "conv4_2", "conv5_1")


@pytest.fixture(scope="module")
def reference(weights: VGGWeights) -> ReferenceVGG19:
    return ReferenceVGG19(weights)


@pytest.fixture(scope="module")
def photo(data: object) -> Tensor:
    return picture("content", "chelsea", 64)


def objective(features: dict[str, Tensor]) -> Tensor:
    """Something that depends on every activation of the layers, each in another way."""
    generator = torch.Generator().manual_seed(0)
    loss = torch.zeros(())
    for name in TAPS:
        activations = features[name].float()
        loss = loss + (activations * torch.rand(activations.shape, generator=generator)).mean()
        loss = loss + activations.square().mean().sqrt()
    return loss


def gradient(network: object, start: Tensor, **options: object) -> Tensor:
    variable = start.clone().requires_grad_()
    objective(network(variable, **options)).backward()  # type: ignore[operator]
    assert variable.grad is not None
    return variable.grad


def test_every_layer_is_the_full_networks(weights: VGGWeights, reference: ReferenceVGG19, photo: Tensor) -> None:
    with torch.no_grad():
        expected = reference(photo)
        found = Encoder(weights)(photo, LAYERS)
    assert list(expected) == list(found) == list(LAYERS)
    for name in LAYERS:
        assert found[name].shape == expected[name].shape
        assert relative_error(found[name], expected[name]) < 1e-5, name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cutting_the_network_off_changes_nothing(weights: VGGWeights, photo: Tensor, dtype: torch.dtype) -> None:
    with torch.no_grad():
        expected = Encoder(weights, dtype=dtype)(photo, LAYERS)
        for deepest in ("conv1_1", "conv1_2", "conv2_1", "conv3_4", "conv5_1"):
            cut = Encoder(weights, deepest, dtype=dtype)
            assert cut.layers == LAYERS[: LAYERS.index(deepest) + 1]
            found = cut(photo, cut.layers)
            assert all(torch.equal(found[name], expected[name]) for name in cut.layers)


def test_what_lies_behind_the_cut_cannot_be_asked_for(weights: VGGWeights, photo: Tensor) -> None:
    with pytest.raises(ValueError, match="ends at conv2_1: it has no conv2_2, conv3_1"):
        Encoder(weights, "conv2_1")(photo, ["conv3_1", "conv1_1", "conv2_2"])


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_the_gradient_is_that_of_plain_autograd(weights: VGGWeights, photo: Tensor, pooling: Pooling) -> None:
    """Forward and backward are one fused call a layer where the processor has one; autograd knows nothing of that."""
    exact = gradient(ReferenceVGG19(weights, average=pooling == "average"), photo)
    found = gradient(Encoder(weights, TAPS[-1], pooling=pooling), photo, layers=TAPS)
    assert relative_error(found, exact) < 1e-5


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_in_bfloat16_the_gradient_is_as_good_as_plain_autograds(
    weights: VGGWeights, photo: Tensor, pooling: str
) -> None:
    """Both are a few per cent off float32, by rounding; ours must not be further off."""
    exact, plain = (
        gradient(ReferenceVGG19(weights, dtype, average=pooling == "average"), photo)
        for dtype in (torch.float32, torch.bfloat16)
    )
    found = gradient(
        Encoder(weights, TAPS[-1], dtype=torch.bfloat16, pooling=pooling),  # type: ignore[arg-type]
        photo,
        layers=TAPS,
    )
    assert relative_error(found, exact) < 1.3 * relative_error(plain, exact) < 0.15
    assert F.cosine_similarity(found.flatten(), exact.flatten(), dim=0) > 0.99


@pytest.mark.skipif(not onednn.available(torch.float32), reason="this torch has no fused kernels")
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 0.01)])
def test_fused_and_plain_kernels_do_the_same(
    weights: VGGWeights, photo: Tensor, dtype: torch.dtype, close: float, pooling: Pooling
) -> None:
    """In bfloat16 the activations too: both round the sums of a layer once, in float32 sums of another order."""
    fused, plain = (
        Encoder(weights, TAPS[-1], dtype=dtype, pooling=pooling, kernels=kernels) for kernels in ("onednn", "plain")
    )
    assert (fused.kernels, plain.kernels) == ("onednn", "plain")
    with torch.no_grad():
        found, expected = fused(photo, TAPS), plain(photo, TAPS)
    for name in TAPS:
        assert found[name].dtype == expected[name].dtype == dtype
        assert relative_error(found[name], expected[name]) < close
    assert relative_error(gradient(fused, photo, layers=TAPS), gradient(plain, photo, layers=TAPS)) < close


@pytest.mark.skipif(not onednn.available(torch.bfloat16), reason="this torch has no fused kernels")
def test_no_number_decides_which_kernels_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes on one machine must not choose differently, so the choice may not hang on a result."""
    convolve = onednn.FusedVGG.convolve
    monkeypatch.setattr(onednn.FusedVGG, "convolve", lambda *args: convolve(*args) * torch.nan)
    assert onednn.available.__wrapped__(torch.bfloat16)


def test_fused_kernels_are_for_the_types_they_have(weights: VGGWeights) -> None:
    assert Encoder(weights, "conv1_1", dtype=torch.float64).kernels == "plain"
    assert Encoder(weights, "conv1_1", dtype=torch.bfloat16).kernels == "onednn"


def test_the_gradient_is_the_slope(weights: VGGWeights, photo: Tensor) -> None:
    """The change of the objective along the gradient, by central differences, is the gradient's length."""
    encoder = Encoder(weights, TAPS[-1])
    slope = gradient(encoder, photo, layers=TAPS)
    direction = slope / slope.norm()
    step = 0.02
    with torch.no_grad():
        ahead, behind = (objective(encoder(photo + side * step * direction, TAPS)) for side in (1, -1))
    assert ((ahead - behind) / (2 * step)).item() == pytest.approx(slope.norm().item(), rel=0.02)


def test_average_pooling(weights: VGGWeights, photo: Tensor) -> None:
    with torch.no_grad():
        expected = ReferenceVGG19(weights, average=True)(photo)
        found = Encoder(weights, pooling="average")(photo, LAYERS)
        with_max = Encoder(weights)(photo, LAYERS)
    assert all(relative_error(found[name], expected[name]) < 1e-5 for name in LAYERS)
    assert torch.equal(found["conv1_2"], with_max["conv1_2"])
    assert relative_error(found["conv2_1"], with_max["conv2_1"]) > 0.05


@pytest.mark.parametrize(("height", "width"), [(32, 32), (37, 50), (63, 33)])
def test_odd_sizes_are_halved_rounding_down(
    weights: VGGWeights, reference: ReferenceVGG19, height: int, width: int
) -> None:
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, expected = Encoder(weights)(noise, LAYERS), reference(noise)
    for name in LAYERS:
        halvings = int(name[4]) - 1
        assert found[name].shape[-2:] == (height >> halvings, width >> halvings)
        assert relative_error(found[name], expected[name]) < 1e-5


def test_one_encoder_serves_pictures_of_different_sizes(weights: VGGWeights, photo: Tensor) -> None:
    """Weights are reordered once; nothing of one size, or of an odd stride, may change another's result."""
    encoder = Encoder(weights, "conv3_1", dtype=torch.bfloat16)
    tall = photo.transpose(2, 3).contiguous()
    for pictures in (photo, tall, photo, torch.cat([photo, photo.flip(3)])):
        fresh = Encoder(weights, "conv3_1", dtype=torch.bfloat16)
        found, expected = (gradient_of_mean(e, pictures) for e in (encoder, fresh))
        assert torch.equal(found, expected)


def gradient_of_mean(encoder: Encoder, pictures: Tensor) -> Tensor:
    variable = pictures.clone().requires_grad_()
    encoder(variable, ["conv3_1"])["conv3_1"].float().mean().backward()
    assert variable.grad is not None
    return variable.grad


def test_pictures_of_a_batch_do_not_touch(weights: VGGWeights, photo: Tensor) -> None:
    encoder = Encoder(weights, "conv4_1")
    both = torch.cat([photo, photo.flip(3)])
    with torch.no_grad():
        together = encoder(both, ["conv4_1"])["conv4_1"]
        apart = torch.cat([encoder(one[None], ["conv4_1"])["conv4_1"] for one in both])
    assert relative_error(together, apart) < 1e-5


def test_a_gradient_can_be_taken_once(weights: VGGWeights, photo: Tensor) -> None:
    """What it takes is let go on the way: none of it may be missing unnoticed."""
    variable = photo.clone().requires_grad_()
    loss = objective(Encoder(weights, TAPS[-1])(variable, TAPS))
    torch.autograd.grad(loss, variable, retain_graph=True)
    if onednn.available(torch.float32):
        with pytest.raises(RuntimeError, match="call the network again"):
            torch.autograd.grad(loss, variable)


def test_the_weights_are_frozen_and_left_alone(weights: VGGWeights, photo: Tensor) -> None:
    before = [convolution.weight.clone() for convolution in weights.convolutions]
    variable = photo.clone().requires_grad_()
    objective(Encoder(weights, TAPS[-1])(variable, TAPS)).backward()
    assert torch.equal(variable.detach(), photo)
    for convolution, weight in zip(weights.convolutions, before, strict=True):
        assert not convolution.weight.requires_grad
        assert convolution.weight.grad is None
        assert torch.equal(convolution.weight, weight)


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_computing_activations_again_gives_the_same_gradient(
    weights: VGGWeights, photo: Tensor, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, pooling: Pooling
) -> None:
    """As for large pictures; to the bit, so that a size just above is no other algorithm."""
    if not onednn.available(dtype):
        pytest.skip("there are no fused kernels here")
    network = Encoder(weights, dtype=dtype, pooling=pooling)
    kept = gradient(network, photo, layers=TAPS)
    calls: list[int] = []
    convolve = onednn.FusedVGG.convolve
    monkeypatch.setattr(onednn.FusedVGG, "convolve", lambda *a: calls.append(a[1]) or convolve(*a))
    monkeypatch.setattr(onednn, "LARGE", 1)
    assert torch.equal(gradient(network, photo, layers=TAPS), kept)
    # What is tapped is kept: conv1_1, conv2_2, conv3_1, conv4_2 and conv5_1.
    assert len(calls) == 13 + 13 - 5


def test_streamed_activations_are_the_same_without_a_gradient(weights: VGGWeights, photo: Tensor) -> None:
    network = Encoder(weights)
    at_once = network(photo, TAPS)
    for name, activations in network.stream(photo.clone().requires_grad_(), TAPS):
        assert torch.is_grad_enabled()
        assert not activations.requires_grad
        assert torch.equal(activations, at_once.pop(name))
    assert not at_once
