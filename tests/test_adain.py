"""Feed-forward stylisation of Huang & Belongie (2017): against the published network in torch's own modules."""

import pytest
import torch
from engine_support import CAFFE_MEANS_BGR, picture, relative_error
from torch import Tensor, nn

from nst.engine import metrics
from nst.engine.adain import AdaIN, _match_statistics
from nst.engine.init import noise
from nst.engine.weights import Convolution, VGGWeights, adain_decoder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> AdaIN:
    return AdaIN(torch.float32, CPU)


def reflected(convolution: Convolution) -> nn.Sequential:
    """A 3×3 convolution with mirrored edges, and a ReLU."""
    out, into = convolution.weight.shape[:2]
    module = nn.Conv2d(into, out, 3, padding=1, padding_mode="reflect")
    module.weight.data, module.bias.data = convolution.weight, convolution.bias  # type: ignore[union-attr]
    return nn.Sequential(module, nn.ReLU())


def reference(weights: VGGWeights) -> tuple[nn.Sequential, nn.Sequential]:
    """Encoder, for mean-subtracted BGR, and decoder, as the authors publish them: the first pools with ceil_mode."""
    layers = [reflected(each) for each in weights.convolutions[:9]]
    for index in (8, 4, 2):  # before conv4_1, conv3_1 and conv2_1
        layers.insert(index, nn.Sequential(nn.MaxPool2d(2, 2, ceil_mode=True)))
    decoding = [reflected(each) for each in adain_decoder()]
    decoding[-1] = decoding[-1][:1]
    for index in (7, 5, 1):
        decoding.insert(index, nn.Sequential(nn.Upsample(scale_factor=2)))
    return nn.Sequential(*layers), nn.Sequential(*decoding)


def bgr(shown: Tensor) -> Tensor:
    return shown.flip(1) * 255 - torch.tensor(CAFFE_MEANS_BGR)[:, None, None]


SIZES = [(64, 64), (40, 64), (37, 61), (67, 51)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_is_the_published_network(weights: VGGWeights, network: AdaIN, height: int, width: int) -> None:
    """At sizes that are no multiple of 8 too: nothing is stretched, and what is beyond the content is cut off."""
    content, style = picture("content", "chelsea", 128)[..., :height, :width], picture("style", "great_wave", 75)
    encoder, decoder = reference(weights)
    with torch.no_grad():
        f, g = encoder(bgr(content)), encoder(bgr(style))
        assert f.shape[-2:] == (-(-height // 8), -(-width // 8))
        assert relative_error(network.encode(content), f) < 1e-4
        deviation, mean = torch.std_mean(f, (2, 3), keepdim=True)
        target_deviation, target_mean = torch.std_mean(g, (2, 3), keepdim=True)
        x = (f - mean) / (deviation**2 + 1e-5).sqrt() * (target_deviation**2 + 1e-5).sqrt() + target_mean
        expected = decoder(x)[..., :height, :width].clamp(0, 1)
    assert relative_error(network(content, [(style, 1.0)]), expected) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fused_kernels_give_what_the_plain_ones_do(dtype: torch.dtype) -> None:
    content, style = picture("content", "chelsea", 64), picture("style", "great_wave", 64)
    fused, plain = (AdaIN(dtype, CPU, fused=choice)(content, [(style, 1.0)]) for choice in (True, False))
    assert relative_error(fused, plain) < (1e-5 if dtype == torch.float32 else 0.01)


def test_bfloat16_gives_nearly_the_same_picture(network: AdaIN) -> None:
    content, style = picture("content", "chelsea", 96), picture("style", "great_wave", 96)
    rough = AdaIN(torch.bfloat16, CPU)(content, [(style, 1.0)])
    assert rough.dtype == torch.float32
    assert metrics.psnr(rough, network(content, [(style, 1.0)])) > 35


class TestStatistics:
    """AdaIN itself."""

    def test_gives_the_content_the_styles_statistics(self) -> None:
        generator = torch.Generator().manual_seed(0)
        content = torch.rand(1, 4, 7, 9, generator=generator)
        style = 3 * torch.rand(1, 4, 5, 6, generator=generator) + torch.arange(4.0)[None, :, None, None]
        found = _match_statistics(content, style)
        torch.testing.assert_close(found.mean((2, 3)), style.mean((2, 3)))
        torch.testing.assert_close(found.std((2, 3)), style.std((2, 3)), rtol=1e-3, atol=0)
        # The pattern stays the content's.
        for before, after in zip(content[0], found[0], strict=True):
            both = torch.stack([before.flatten(), after.flatten()])
            assert torch.corrcoef(both)[0, 1] > 0.9999

    def test_by_hand(self) -> None:
        # Content 1, 3 (mean 2, deviation √2); style 10, 14 (mean 12, deviation √8): twice as far from the mean.
        found = _match_statistics(torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[10.0, 14.0]]]]))
        torch.testing.assert_close(found, torch.tensor([[[[10.0, 14.0]]]]), atol=1e-3, rtol=0)


class TestPicture:
    """What the decoder makes of it."""

    @pytest.mark.parametrize(("height", "width"), [(32, 32), (37, 61), (64, 40)])
    def test_has_the_contents_shape_and_stays_in_gamut(self, network: AdaIN, height: int, width: int) -> None:
        content = noise("normal", height, width, 0)
        found = network(content, [(picture("style", "great_wave"), 1.0)])
        assert found.shape == content.shape
        assert found.min() >= 0
        assert found.max() <= 1
        assert not found.requires_grad

    def test_with_itself_gives_back_the_picture_roughly(self, network: AdaIN) -> None:
        content = picture("content", "chelsea", 192)
        assert metrics.ssim(network(content, [(content, 1.0)]), content) > 0.35

    def test_is_nearer_to_the_style_than_the_content_is(self, network: AdaIN) -> None:
        content, style = picture("content", "chelsea", 96), picture("style", "great_wave", 96)
        found = network(content, [(style, 1.0)])
        before = metrics.style_distance(content, style, "normalised")
        assert metrics.style_distance(found, style, "normalised") < 0.6 * before
        assert metrics.content_distance(found, content, "normalised") < 1
