"""Starting pictures: noise, and AdaIN."""

import pytest
import torch
import torch.nn.functional as F
from engine_support import picture, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st

from nst.engine import metrics
from nst.engine.init import ADAIN_LAYER, adain, noise
from nst.engine.jobs import Noise
from nst.engine.vgg import Encoder
from nst.engine.weights import Convolution, VGGWeights, adain_decoder

FORMS: tuple[Noise, ...] = ("uniform", "normal", "pink")


@pytest.mark.parametrize("form", FORMS)
class TestNoise:
    """Each form, drawn from the job's seed alone."""

    @given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**63 - 1))
    @settings(max_examples=20, deadline=None)
    def test_is_a_picture(self, form: Noise, height: int, width: int, seed: int) -> None:
        height, width = max(height, 2), max(width, 2)
        drawn = noise(form, height, width, seed)
        assert drawn.shape == (1, 3, height, width)
        assert drawn.dtype == torch.float32
        assert drawn.min() >= 0
        assert drawn.max() <= 1

    def test_depends_on_the_seed_and_nothing_else(self, form: Noise) -> None:
        torch.manual_seed(1)
        first = noise(form, 40, 30, 7)
        torch.manual_seed(2)
        torch.rand(5)
        assert torch.equal(noise(form, 40, 30, 7), first)
        assert not torch.equal(noise(form, 40, 30, 8), first)

    def test_leaves_the_global_generator_alone(self, form: Noise) -> None:
        torch.manual_seed(1)
        expected = torch.rand(3)
        torch.manual_seed(1)
        noise(form, 40, 30, 7)
        assert torch.equal(torch.rand(3), expected)

    def test_is_drawn_on_the_cpu(self, form: Noise) -> None:
        """On any machine: a GPU's generator would draw something else."""
        assert noise(form, 40, 30, 7).device == torch.device("cpu")


@pytest.mark.parametrize(
    ("form", "deviation"), [("uniform", 12**-0.5), ("normal", 0.1), ("pink", 0.05)], ids=["uniform", "normal", "pink"]
)
def test_mean_and_deviation(form: Noise, deviation: float) -> None:
    drawn = noise(form, 192, 128, 0)
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.02)
    assert drawn.std().item() == pytest.approx(deviation, rel=0.1)


def test_pink_noise_is_stronger_at_low_frequencies_and_the_others_are_not() -> None:
    def power(form: Noise, low: float, high: float) -> float:
        drawn = noise(form, 128, 128, 0).mean(1)
        spectrum = torch.fft.rfft2(drawn - drawn.mean()).abs().square()
        frequency = torch.hypot(torch.fft.fftfreq(128)[:, None], torch.fft.rfftfreq(128)[None])
        return spectrum[0][(frequency >= low) & (frequency < high)].mean().item()

    for form in ("uniform", "normal"):
        assert power(form, 0.02, 0.06) / power(form, 0.3, 0.5) == pytest.approx(1, abs=0.5)
    # Amplitudes fall as frequency^-1.5, so power as its cube: ten times the frequency, a thousandth of the power.
    assert power("pink", 0.03, 0.05) / power("pink", 0.3, 0.5) == pytest.approx(1000, rel=0.7)


@pytest.fixture(scope="module")
def encoder(weights: VGGWeights) -> Encoder:
    return Encoder(weights, ADAIN_LAYER, padding="reflect")


@pytest.fixture(scope="module")
def decoder() -> tuple[Convolution, ...]:
    return adain_decoder()


class TestAdaIN:
    """Feed-forward stylisation of Huang & Belongie (2017)."""

    def test_gives_the_content_the_styles_statistics(self) -> None:
        from nst.engine.init import _match_statistics

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
        from nst.engine.init import _match_statistics

        # Content 1, 3 (mean 2, deviation √2); style 10, 14 (mean 12, deviation √8): twice as far from the mean.
        found = _match_statistics(torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[10.0, 14.0]]]]))
        torch.testing.assert_close(found, torch.tensor([[[[10.0, 14.0]]]]), atol=1e-3, rtol=0)

    def test_by_the_paper(self, encoder: Encoder, decoder: tuple[Convolution, ...]) -> None:
        """The decoder once more, from the published table: 9 convolutions, nearest upsampling after 1, 5 and 7."""
        content, style = picture("content", "chelsea", 64)[..., :40, :64], picture("style", "great_wave", 64)
        with torch.no_grad():
            f, g = (encoder(p, ["conv4_1"])["conv4_1"] for p in (content, style))
            deviation, mean = torch.std_mean(f, (2, 3), keepdim=True)
            target_deviation, target_mean = torch.std_mean(g, (2, 3), keepdim=True)
            x = (f - mean) / (deviation**2 + 1e-5).sqrt() * (target_deviation**2 + 1e-5).sqrt() + target_mean
            for number, convolution in enumerate(decoder, start=1):
                x = F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), convolution.weight, convolution.bias)
                x = x if number == 9 else F.relu(x)
                if number in (1, 5, 7):
                    x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        assert relative_error(adain(content, style, encoder, decoder), x.clamp(0, 1)) < 1e-4

    @pytest.mark.parametrize(("height", "width"), [(32, 32), (37, 61), (64, 40)])
    def test_has_the_contents_shape_and_stays_in_gamut(
        self, encoder: Encoder, decoder: tuple[Convolution, ...], height: int, width: int
    ) -> None:
        content = noise("normal", height, width, 0)
        found = adain(content, picture("style", "great_wave"), encoder, decoder)
        assert found.shape == content.shape
        assert found.min() >= 0
        assert found.max() <= 1
        assert not found.requires_grad

    def test_with_itself_gives_back_the_picture_roughly(
        self, encoder: Encoder, decoder: tuple[Convolution, ...]
    ) -> None:
        content = picture("content", "chelsea", 192)
        assert metrics.ssim(adain(content, content, encoder, decoder), content) > 0.35

    def test_is_nearer_to_the_style_than_the_content_is(
        self, encoder: Encoder, decoder: tuple[Convolution, ...]
    ) -> None:
        content, style = picture("content", "chelsea", 96), picture("style", "great_wave", 96)
        found = adain(content, style, encoder, decoder)
        before = metrics.style_distance(content, style, "normalised")
        assert metrics.style_distance(found, style, "normalised") < 0.6 * before
        assert metrics.content_distance(found, content, "normalised") < 1
