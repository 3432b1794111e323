"""Pixels, logits and Fourier coefficients: each can say any picture, and nothing but pictures."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nst.engine.parametrize import Fourier, Parametrization, Pixels, Sigmoid, _Clamp

SIDES = st.integers(2, 40)
SEEDS = st.integers(0, 2**32)
NAMES = ("pixels", "sigmoid", "fourier")


def make(name: str, height: int, width: int) -> Parametrization:
    return {"pixels": Pixels, "sigmoid": Sigmoid}[name]() if name != "fourier" else Fourier(height, width)


def pictures(height: int, width: int, seed: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NAMES)
@given(SIDES, SIDES, SEEDS)
@settings(max_examples=20, deadline=None)
def test_any_picture_can_be_said(name: str, height: int, width: int, seed: int) -> None:
    parametrization, start = make(name, height, width), pictures(height, width, seed)
    start[..., 0, 0], start[..., -1, -1] = 0, 1
    found = parametrization.decode(parametrization.encode(start))
    assert found.shape == start.shape
    # Black and white are half a step of 8 bits away, where a sigmoid reaches them.
    torch.testing.assert_close(found, start, atol=0.5 / 255 + 1e-4, rtol=0)
    assert torch.equal((found * 255).round(), (start * 255).round()) or name != "pixels"


@pytest.mark.parametrize("name", NAMES)
@given(SIDES, SIDES, SEEDS, st.floats(0.1, 1e4))
@settings(max_examples=20, deadline=None)
def test_no_variable_leaves_the_gamut(name: str, height: int, width: int, seed: int, wild: float) -> None:
    parametrization = make(name, height, width)
    variable = parametrization.encode(pictures(height, width, seed))
    variable += wild * torch.randn(variable.shape, generator=torch.Generator().manual_seed(seed))
    parametrization.project_(variable)
    found = parametrization.decode(variable)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_encoding_copies(name: str) -> None:
    start = pictures(8, 8, 0)
    before = start.clone()
    make(name, 8, 8).encode(start).zero_()
    assert torch.equal(start, before)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_reaches_the_variable(name: str) -> None:
    parametrization = make(name, 9, 12)
    variable = parametrization.encode(pictures(9, 12, 0)).requires_grad_()
    weights = pictures(9, 12, 1)
    (parametrization.decode(variable) * weights).sum().backward()
    gradient = variable.grad
    assert gradient is not None
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(3):
            direction = torch.randn(variable.shape, generator=generator)
            step = 1e-3
            ahead, behind = (
                (parametrization.decode(variable + side * step * direction).double() * weights).sum()
                for side in (1, -1)
            )
            slope = ((ahead - behind) / (2 * step)).item()
            assert slope == pytest.approx((gradient * direction).sum().item(), rel=0.02, abs=0.05)


class TestFourier:
    """Coefficients of the pixels, low frequencies scaled up."""

    def test_its_variable_is_real_and_as_large_as_half_a_spectrum(self) -> None:
        assert Fourier(10, 12).encode(pictures(10, 12, 0)).shape == (1, 3, 10, 7, 2)
        assert Fourier(9, 11).encode(pictures(9, 11, 0)).shape == (1, 3, 9, 6, 2)

    def test_zero_is_mid_grey(self) -> None:
        assert torch.equal(Fourier(6, 8).decode(torch.zeros(1, 3, 6, 5, 2)), torch.full((1, 3, 6, 8), 0.5))

    def test_the_values_are_linear(self) -> None:
        fourier = Fourier(12, 10)
        a, b = (torch.randn(1, 3, 12, 6, 2, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
        torch.testing.assert_close(
            fourier.values(2 * a - 3 * b), 2 * fourier.values(a) - 3 * fourier.values(b), atol=1e-3, rtol=1e-3
        )

    def test_a_step_moves_large_shapes_more_than_small_ones(self) -> None:
        fourier = Fourier(64, 64)
        moved = []
        for waves in (0, 1, 2, 4, 8, 16, 31):
            variable = torch.zeros(1, 3, 64, 33, 2)
            variable[0, 0, waves, 0, 0] = 1
            moved.append(fourier.values(variable).square().mean().sqrt().item())
        assert moved[1:] == sorted(moved[1:], reverse=True)
        # One frequency is four times another: its waves move 4^1.5 times less.
        assert moved[3] / moved[5] == pytest.approx(4**1.5, rel=1e-3)

    def test_colours_move_together(self) -> None:
        """The first colour of the coefficients is light and dark: in pictures the three colours go with each other."""
        variable = torch.zeros(1, 3, 16, 9, 2)
        variable[0, 0, 1, 1, 0] = 1
        red, green, blue = Fourier(16, 16).values(variable)[0]
        for other in (green, blue):
            assert torch.nn.functional.cosine_similarity(red.flatten(), other.flatten(), dim=0) > 0.999

    def test_a_pixel_out_of_gamut_can_come_back_but_go_no_further(self) -> None:
        values = torch.tensor([-0.5, -0.5, 0.5, 1.5, 1.5], requires_grad=True)
        pixels = _Clamp.apply(values)
        assert pixels.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
        # A step goes against the gradient: -1 raises a value, +1 lowers it.
        pixels.backward(torch.tensor([-1.0, 1.0, 1.0, -1.0, 1.0]))
        assert values.grad is not None
        assert values.grad.tolist() == [-1.0, 0.0, 1.0, 0.0, 1.0]

    def test_a_smooth_one_has_a_slope_everywhere(self) -> None:
        fourier = Fourier(8, 8, smooth=True)
        black_and_white = torch.zeros(1, 3, 8, 8)
        black_and_white[..., 4:] = 1
        variable = fourier.encode(black_and_white)
        assert ((fourier.decode(variable) > 0) & (fourier.decode(variable) < 1)).all()
