"""What the optimizer changes: pixels, or Fourier coefficients.  All of them keep the picture in [0, 1].

* `Pixels`: the values themselves, clamped to [0, 1] after every step (projected gradient).  For Adam.
* `Sigmoid`: the pixel is sigmoid(v).  For L-BFGS, which would leave the gamut, and whose estimate of the curvature
  clamping would spoil.
* `Fourier`: the picture is the inverse FFT of coefficients × a scale that falls with frequency, with decorrelated
  colours (Olah, Mordvintsev & Schubert 2017, "Feature Visualization", Preconditioning).  Every scale of the picture
  then learns equally fast, and noise starts give clean pictures.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

_MARGIN = 0.5 / 255
"""Distance that pixels are kept from 0 and 1 before the sigmoid is inverted: half a step of 8 bits."""


class Parametrization(Protocol):
    """A map between pictures (B, 3, H, W) in [0, 1] and the real tensor that is optimised."""

    def encode(self, pictures: Tensor) -> Tensor:
        """The variable that decodes to `pictures`."""

    def decode(self, variable: Tensor) -> Tensor:
        """The pictures of a variable; differentiable."""

    def project_(self, variable: Tensor) -> None:
        """Bring a variable back to where its pictures are in gamut, in place, after a step."""


class Pixels:
    """The picture itself."""

    def encode(self, pictures: Tensor) -> Tensor:
        return pictures.clone()

    def decode(self, variable: Tensor) -> Tensor:
        return variable

    def project_(self, variable: Tensor) -> None:
        variable.clamp_(0, 1)


class Sigmoid:
    """The logit of each pixel."""

    def encode(self, pictures: Tensor) -> Tensor:
        return torch.logit(pictures.clamp(_MARGIN, 1 - _MARGIN))

    def decode(self, variable: Tensor) -> Tensor:
        return torch.sigmoid(variable)

    def project_(self, variable: Tensor) -> None:
        pass


class _Clamp(torch.autograd.Function):
    """Clamp to [0, 1], with the identity's gradient but where a step would lead further out (projected gradient)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        return values.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (values,) = ctx.saved_tensors
        (gradient,) = gradients
        outward = ((values > 1) & (gradient < 0)) | ((values < 0) & (gradient > 0))
        return gradient.masked_fill(outward, 0)


class Fourier:
    """Colour-decorrelated Fourier coefficients of the pixels, each divided by a scale: (B, 3, H, W // 2 + 1, 2), real.

    Two deviations from the paper, each measured at 192 px:

    * Values are clamped to [0, 1] (`_Clamp`); the paper has a sigmoid.  Near black and white a sigmoid hardly has a
      slope: areas that ran there in the first iterations stayed, and content reconstructions of conv1_1 were 8 dB
      worse.  `smooth=True` has the sigmoid, for L-BFGS, whose line search needs a slope that changes smoothly.
    * The scale falls as frequency^-1.5, and is the same for all waves longer than 67 px; the paper's falls as
      1/frequency down to one wave a picture.  The steeper fall leaves less of the start's noise (2 dB at conv1_1 and
      conv2_2) and hardly a checkerboard.
    """

    _EXPONENT = 1.5
    _LOWEST = 0.015  # cycles a pixel
    _UNIT = 0.146  # the frequency (cycles a pixel) whose coefficients are not scaled

    # Square root of the covariance of RGB in natural images, largest singular value 1 (Lucid, Olah et al. 2017).
    _COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))

    def __init__(self, height: int, width: int, device: torch.device | str = "cpu", *, smooth: bool = False) -> None:
        self._size = (height, width)
        self._smooth = smooth
        down = torch.fft.fftfreq(height, device=device)[:, None]
        across = torch.fft.rfftfreq(width, device=device)[None, :]
        frequency = torch.sqrt(down**2 + across**2).clamp_min(self._LOWEST)
        self._scale = (height * width) ** 0.5 * (frequency / self._UNIT) ** -self._EXPONENT
        colours = torch.tensor(self._COLOURS, device=device)
        self._colours = colours / torch.linalg.matrix_norm(colours, 2)
        self._decorrelate = torch.linalg.inv(self._colours)

    def encode(self, pictures: Tensor) -> Tensor:
        values = Sigmoid().encode(pictures) if self._smooth else pictures - 0.5
        spectrum = torch.fft.rfft2(torch.einsum("ij,bjhw->bihw", self._decorrelate, values))
        return torch.view_as_real(spectrum / self._scale).contiguous()

    def decode(self, variable: Tensor) -> Tensor:
        values = self.values(variable)
        return Sigmoid().decode(values) if self._smooth else _Clamp.apply(0.5 + values)

    def values(self, variable: Tensor) -> Tensor:
        """The pictures before they are brought into gamut, centred on 0: linear in the variable."""
        channels = torch.fft.irfft2(torch.view_as_complex(variable) * self._scale, s=self._size)
        return torch.einsum("ij,bjhw->bihw", self._colours, channels).contiguous()

    def project_(self, variable: Tensor) -> None:
        pass
