"""Starting pictures of noise."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nst.engine.init import noise
from nst.engine.jobs import Noise

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
