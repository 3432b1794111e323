"""Starting pictures of noise; the other starts are the content picture, and `nst.engine.adain`."""

import torch
from torch import Tensor

from nst.engine.jobs import Noise
from nst.engine.parametrize import Fourier


def noise(form: Noise, height: int, width: int, seed: int) -> Tensor:
    """A noise picture (1, 3, H, W) in [0, 1], drawn on the CPU so that every device gets the same.

    "uniform": independent pixels in [0, 1].  "normal": 0.5 + 0.1 × standard normal.  "pink": amplitudes that fall with
    frequency, in the colours of natural images, standard deviation 0.05 (like the start of Olah et al. 2017).
    """
    generator = torch.Generator().manual_seed(seed)
    if form == "uniform":
        return torch.rand((1, 3, height, width), generator=generator)
    if form == "normal":
        return (0.5 + 0.1 * torch.randn((1, 3, height, width), generator=generator)).clamp(0, 1)
    coefficients = torch.randn((1, 3, height, width // 2 + 1, 2), generator=generator)
    logits = Fourier(height, width).values(coefficients)
    # A standard deviation of 0.2 in the logits is one of 0.05 in pixels about mid-grey.
    return torch.sigmoid(logits * (0.2 / logits.std()))
