"""Jobs and pictures for tests, and a second VGG-19 to compare ours with."""

import functools
import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from study_support import DATA, PARAMS, ROOT
from torch import Tensor, nn

from nst.engine import images
from nst.engine.inputs import Inputs, inputs
from nst.engine.jobs import Job
from nst.engine.metrics import as_tensor
from nst.engine.results import Result
from nst.engine.run import run_job
from nst.engine.weights import VGGWeights
from nst.params import Settings

__all__ = ["DATA", "PARAMS", "ROOT"]


CAFFE_MEANS_BGR = (103.939, 116.779, 123.68)
"""What Simonyan & Zisserman subtracted from their training images."""


def make_job(task: str = "transfer", **changes: Any) -> Job:
    """A small job: 48 px, 4 iterations."""
    parts: dict[str, Any] = {"init": "content" if task == "transfer" else "noise"}
    if task in ("transfer", "reconstruct"):
        parts |= {"content": "egeskov", "content_layers": ("conv3_1",)}
    if task in ("transfer", "synthesize"):
        parts |= {"style": "great_wave", "style_layers": ("conv1_1", "conv2_1")}
    return Settings(size=48, iterations=4).job(task, **{**parts, **changes})  # type: ignore[arg-type]


@functools.cache
def finished(job: Job) -> Result:
    """The job's result; each job is run once in a test session."""
    return run_job(job, inputs(job, DATA), threads=1)


def run(job: Job, given: Inputs | None = None, **options: Any) -> Result:
    """The job's result, computed now."""
    return run_job(job, given or inputs(job, DATA), threads=1, **options)


def picture(kind: str, name: str, size: int = 48) -> Tensor:
    """(1, 3, H, W) of one of the repository's pictures."""
    return as_tensor(images.fit(images.read(images.find(DATA / kind, name)), size))


def pixels(png: bytes) -> np.ndarray:
    """(H, W, 3), 0 … 255."""
    with Image.open(io.BytesIO(png)) as opened:
        return np.asarray(opened.convert("RGB"))


class ReferenceVGG19(nn.Module):
    """VGG-19 once more, from torchvision's list of layers and with plain autograd: nothing in it is ours."""

    def __init__(self, weights: VGGWeights, dtype: torch.dtype = torch.float32, *, average: bool = False) -> None:
        super().__init__()
        from torchvision.models.vgg import cfgs, make_layers

        self.body = make_layers(cfgs["E"])
        convolutions = [module for module in self.body if isinstance(module, nn.Conv2d)]
        for module, convolution in zip(convolutions, weights.convolutions, strict=True):
            module.weight.data = convolution.weight.clone()
            module.bias.data = convolution.bias.clone()
        for index, module in enumerate(self.body):
            if average and isinstance(module, nn.MaxPool2d):
                self.body[index] = nn.AvgPool2d(2)
        self.body.to(dtype).requires_grad_(False)
        self.dtype = dtype

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """All 16 layers' activations, for RGB in [0, 1]."""
        bgr = pictures.flip(1) * 255 - torch.tensor(CAFFE_MEANS_BGR)[:, None, None]
        x = bgr.to(self.dtype)
        features: dict[str, Tensor] = {}
        block, number = 1, 0
        for module in self.body:
            x = module(x)
            if isinstance(module, nn.ReLU):
                number += 1
                features[f"conv{block}_{number}"] = x
            elif isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
                block, number = block + 1, 0
        return features


def relative_error(found: Tensor, expected: Tensor) -> float:
    """|found − expected| / |expected|."""
    found, expected = found.double(), expected.double()
    return ((found - expected).norm() / expected.norm()).item()
