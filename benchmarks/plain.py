"""The textbook way: VGG-19 and one optimisation step in nothing but `torch.nn.functional` and autograd.

What ours is measured against, written without any of its shortcuts; it computes the same numbers.
"""

from collections.abc import Callable, Collection, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from nst.engine.jobs import Job
from nst.engine.layers import BLOCK_ENDS, LAYERS
from nst.engine.weights import VGGWeights


class PlainVGG:
    """VGG-19 up to one layer.  `prepare` brings pictures to what it takes: mean taken off, its precision and layout."""

    def __init__(
        self, weights: VGGWeights, deepest: str, dtype: torch.dtype, layout: torch.memory_format, device: torch.device
    ) -> None:
        self._layers = LAYERS[: LAYERS.index(deepest) + 1]
        self._dtype, self._layout = dtype, layout
        self._mean = -torch.linalg.solve(weights.scale, weights.shift)[:, None, None].to(device)
        self._kernels: list[Tensor] = []
        self._biases: list[Tensor] = []
        for index, convolution in enumerate(weights.convolutions[: len(self._layers)]):
            kernel = convolution.weight
            if index == 0:
                kernel = torch.einsum("oihw,ij->ojhw", kernel, weights.scale)
            self._kernels.append(kernel.to(device, dtype).contiguous(memory_format=layout))
            self._biases.append(convolution.bias.to(device, dtype))

    def prepare(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1] as `__call__` takes them."""
        prepared: Tensor = (pictures - self._mean).to(self._dtype)
        return prepared.contiguous(memory_format=self._layout)

    def __call__(self, x: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """The activations of `layers`."""
        features = {}
        for name, kernel, bias in zip(self._layers, self._kernels, self._biases, strict=True):
            x = F.relu_(F.conv2d(x, kernel, bias, padding=1))
            if name in layers:
                features[name] = x
            if name in BLOCK_ENDS and name != self._layers[-1]:
                x = F.max_pool2d(x, 2)
        return features


def forward_and_backward(network: PlainVGG, picture: Tensor, deepest: str) -> Callable[[], object]:
    """The floor: the network alone, from a picture to its deepest layer and a gradient back to the picture."""
    x = network.prepare(picture).requires_grad_()
    with torch.no_grad():
        direction = torch.ones_like(network(x, {deepest})[deepest])

    def once() -> None:
        x.grad = None
        torch.autograd.backward(network(x, {deepest})[deepest], direction)

    return once


def step(network: PlainVGG, job: Job, content: Tensor, style: Tensor) -> Callable[[], float]:
    """One step of `job` on pixels with Adam, from the content picture on; returns the loss before it."""
    layers = {*job.content_layers, *job.style_layers}
    with torch.no_grad():
        kept = network(network.prepare(content), set(job.content_layers))
        grams = {name: _gram(f) for name, f in network(network.prepare(style), set(job.style_layers)).items()}
    picture = content.clone().requires_grad_()
    adam = torch.optim.Adam([picture], lr=job.learning_rate)

    def once() -> float:
        adam.zero_grad()
        found = network(network.prepare(picture), layers)
        content_loss = _mean_distance(found, kept)
        style_loss = _mean_distance({name: _gram(found[name]) for name in grams}, grams)
        loss = job.content_weight * content_loss + job.style_weight * style_loss
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        with torch.no_grad():
            picture.clamp_(0, 1)
        return loss.item()

    return once


def _gram(features: Tensor) -> Tensor:
    rows = features.flatten(2)
    return rows @ rows.transpose(1, 2) / rows.shape[2]


def _mean_distance(found: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Mean over the layers of |v − t|² / |t|²."""
    return torch.stack([(found[n] - t).square().sum() / t.square().sum() for n, t in targets.items()]).mean()
