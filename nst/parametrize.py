"""What the optimiser turns: pixels, or Fourier coefficients.  All of them keep the picture in [0, 1].

* `Pixels`: the values themselves, cut to [0, 1] after every step (projected gradient).  For Adam.
* `Sigmoid`: the pixel is sigmoid(v).  For L-BFGS, which would leave the gamut and whose curvature estimate a cut
  would spoil.
* `Fourier`: the picture is sigmoid(inverse FFT of coefficients × 1/frequency), with decorrelated colours (Olah,
  Mordvintsev & Schubert 2017, "Feature Visualization", Preconditioning).  Every scale of the picture then learns
  equally fast, and noise starts give clean pictures.
"""

from typing import Protocol

import torch
from torch import Tensor

_MARGIN = 0.5 / 255
"""How far pixels are kept from 0 and 1 before the sigmoid is inverted: half a step of 8 bits."""


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


class Fourier:
    """Colour-decorrelated Fourier coefficients of the logits, each divided by a scale; (B, 3, H, W // 2 + 1, 2), real.

    The scale falls as frequency^-1.5, and is the same for all waves longer than 67 px.  The paper's falls as
    1/frequency down to one wave a picture.  Measured at 192 px, the steeper fall leaves less of the start's noise (2
    dB at conv1_1 and conv2_2) and hardly a checkerboard; the limit keeps large areas from running into black and
    white in the first iterations.
    """

    _EXPONENT = 1.5
    _LOWEST = 0.015  # cycles a pixel
    _UNIT = 0.146  # the frequency (cycles a pixel) whose coefficients are not scaled

    # Square root of the covariance of RGB in natural images, largest singular value 1 (Lucid, Olah et al. 2017).
    _COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))

    def __init__(self, height: int, width: int, device: torch.device | str = "cpu") -> None:
        self._size = (height, width)
        down = torch.fft.fftfreq(height, device=device)[:, None]
        across = torch.fft.rfftfreq(width, device=device)[None, :]
        frequency = torch.sqrt(down**2 + across**2).clamp_min(self._LOWEST)
        self._scale = (height * width) ** 0.5 * (frequency / self._UNIT) ** -self._EXPONENT
        colours = torch.tensor(self._COLOURS, device=device)
        self._colours = colours / torch.linalg.matrix_norm(colours, 2)
        self._decorrelate = torch.linalg.inv(self._colours)

    def encode(self, pictures: Tensor) -> Tensor:
        logits = Sigmoid().encode(pictures)
        spectrum = torch.fft.rfft2(torch.einsum("ij,bjhw->bihw", self._decorrelate, logits))
        return torch.view_as_real(spectrum / self._scale).contiguous()

    def decode(self, variable: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(variable))

    def logits(self, variable: Tensor) -> Tensor:
        """The pictures before the sigmoid: linear in the variable."""
        channels = torch.fft.irfft2(torch.view_as_complex(variable) * self._scale, s=self._size)
        return torch.einsum("ij,bjhw->bihw", self._colours, channels)

    def project_(self, variable: Tensor) -> None:
        pass
