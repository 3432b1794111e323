"""Winograd's convolution against the plain one, in float64."""

import pytest
import torch
import torch.nn.functional as F
from engine_support import relative_error
from torch import Tensor

from nst.engine import winograd
from nst.engine.layers import LAYERS
from nst.engine.weights import vgg19

LARGE = (400, 400)
"""Channels between which a kernel would take much memory in the form of smaller ones."""


def drawn(*shape: int) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    return values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values


@pytest.mark.parametrize(
    ("height", "width"),
    [(4, 4), (1, 1), (3, 9), (17, 24), (40, 61), (9, 700)],  # whole blocks, less than one, several bands, a long row
)
@pytest.mark.parametrize("channels", [(12, 8), LARGE])
def test_it_is_the_zero_padded_convolution(channels: tuple[int, int], height: int, width: int) -> None:
    x, kernel, bias = drawn(2, channels[1], height, width), drawn(*channels, 3, 3), drawn(channels[0])
    turned = winograd.transformed(kernel)
    assert turned.numel() / kernel.numel() == pytest.approx(16 / 9 if channels == LARGE else 4)
    expected = F.conv2d(x.double(), kernel.double(), bias.double(), padding=1)

    assert relative_error(winograd.convolve(x, turned, bias), expected) < 3e-6
    assert relative_error(winograd.convolve(x, turned), expected - bias.double()[:, None, None]) < 3e-6
    rectified = winograd.convolve(x, turned, bias, relu=True)
    assert relative_error(rectified, expected.relu()) < 3e-6
    assert rectified.min() >= 0


def test_the_result_is_laid_out_as_the_next_layer_wants_it() -> None:
    found = winograd.convolve(drawn(2, 4, 10, 7), winograd.transformed(drawn(6, 4, 3, 3)))
    assert found.shape == (2, 6, 10, 7)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_a_picture_in_a_batch_has_the_bytes_it_has_alone() -> None:
    x, turned = drawn(3, 16, 21, 30), winograd.transformed(drawn(16, 16, 3, 3))
    together = winograd.convolve(x, turned)
    for number, one in enumerate(x):
        alone = winograd.convolve(one[None].contiguous(memory_format=torch.channels_last), turned)
        assert torch.equal(together[number], alone[0])


@pytest.mark.parametrize("channels", [(4, 4), LARGE])
def test_a_change_of_one_pixel_reaches_its_neighbours_and_no_other(channels: tuple[int, int]) -> None:
    """At a corner of four blocks of results, so that their seams are in it."""
    turned = winograd.transformed(torch.ones(*channels, 3, 3))
    x = torch.zeros(1, channels[1], 12, 12).contiguous(memory_format=torch.channels_last)
    x[0, 2, 4, 4] = 1
    expected = torch.zeros(12, 12)
    expected[3:6, 3:6] = 1
    assert torch.allclose(winograd.convolve(x, turned)[0, 1], expected, atol=1e-5)


def test_it_serves_all_of_the_network_but_the_first_layers() -> None:
    kernels = zip(LAYERS, vgg19("normalised").convolutions, strict=True)
    assert [name for name, convolution in kernels if winograd.pays(convolution.weight)] == list(LAYERS[2:])
