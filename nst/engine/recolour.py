"""Whose colours a stylised picture has (Gatys, Bethge, Hertzmann & Shechtman 2016, "Preserving Color in Neural Artistic
Style Transfer").

All of it on sRGB values in [0, 1] as files hold them, as in the paper.  Luminance is Y of YIQ (Rec. 601); Y + d, the
same d added to red, green and blue, changes it alone: I and Q, the colour, stay.
"""

import torch
from torch import Tensor

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114
_EPSILON = 1e-5
"""Added to the variances of colours that are matched, as a grey style has none in two directions; and the least
variance of a luminance that is matched."""


def luminance(pictures: Tensor) -> Tensor:
    """Y (B, 1, H, W) of pictures (B, 3, H, W)."""
    red, green, blue = pictures.split(1, dim=1)  # type: ignore[no-untyped-call]
    return _RED * red + _GREEN * green + _BLUE * blue  # type: ignore[no-any-return]


def grey(pictures: Tensor) -> Tensor:
    """The luminance of pictures (B, 3, H, W) in all three channels."""
    return luminance(pictures).expand_as(pictures)


def with_colours_of(content: Tensor, pictures: Tensor) -> Tensor:
    """The luminance of `pictures` with the colours of `content`, both (B, 3, H, W): their I and Q.

    Where the sum would leave [0, 1], I and Q are made smaller together until it does not.  The paper does not say what
    it does there; cutting values off would change both the luminance and the hue.
    """
    light = luminance(pictures)
    colours = content - luminance(content)
    tiny = torch.finfo(colours.dtype).tiny
    room = torch.where(colours > 0, (1 - light) / colours.clamp_min(tiny), light / (-colours).clamp_min(tiny))
    return light + colours * room.amin(1, keepdim=True).clamp(0, 1)


def match_luminance(style: Tensor, content: Tensor) -> Tensor:
    """A grey style with the mean and deviation of the content's luminance: Y' = σ_c / σ_s · (Y − μ_s) + μ_c.

    Args:
        style, content: (1, 3, H, W), of any sizes.
    """
    light, target = luminance(style), luminance(content)
    deviation = light.std().clamp_min(_EPSILON**0.5)
    return (target.std() / deviation * (light - light.mean()) + target.mean()).expand_as(style)


def match_colours(style: Tensor, content: Tensor) -> Tensor:
    """The style in colours of the content's mean and covariance: x' = A (x − μ_s) + μ_c.

    A = Σ_c^½ Σ_s^-½, the square roots symmetric ones, by eigenvectors: the paper's second solution, that of "Image
    Analogies", which moves colours less than the first, by Cholesky factors.  Values may leave [0, 1].

    Args:
        style, content: (1, 3, H, W), of any sizes.
    """
    (style_mean, style_covariance), (content_mean, content_covariance) = _statistics(style), _statistics(content)
    mapping = _power(content_covariance, 0.5) @ _power(style_covariance, -0.5)
    pixels = style[0].flatten(1).double()
    return (mapping @ (pixels - style_mean) + content_mean).to(style.dtype).reshape(style.shape)


def _statistics(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (3, 1) and covariance (3, 3) of the colours."""
    pixels = picture[0].flatten(1).double()
    return pixels.mean(1, keepdim=True), pixels.cov(correction=0) + _EPSILON * torch.eye(3).to(pixels)


def _power(covariance: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return vectors @ torch.diag(values**exponent) @ vectors.T  # type: ignore[no-any-return]
