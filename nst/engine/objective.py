"""What the jobs of a batch minimise: each picture has the layers, the targets and the weights of its own job."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from nst.engine import style_losses
from nst.engine.jobs import Job, StyleLoss
from nst.engine.losses import content_loss, total_variation, wide
from nst.engine.recolour import grey
from nst.engine.targets import Layers
from nst.engine.vgg import Encoder


class Objective:
    """content_weight × content loss + style_weight × style loss + tv_weight × total variation, for each picture.

    The content loss is the mean over the job's content layers, the style loss over its style layers, weighted where the
    job has layer weights.

    Args:
        jobs: one for each picture of the batch; all with colour "luminance", or none.
        contents, styles: what each job aims at, from `nst.engine.targets`; {} where it has none.
    """

    def __init__(
        self, jobs: Sequence[Job], encoder: Encoder, contents: Sequence[Layers], styles: Sequence[Layers]
    ) -> None:
        self.encoder = encoder
        self._jobs = jobs
        self._contents = contents
        self._styles = styles
        self.is_grey = jobs[0].recoloured == "luminance"
        """Pictures are seen without their colours."""
        self._numbers: tuple[int, ...] = ()
        self._terms: dict[str, list[_Term]] = {}
        self._tv_weights: Tensor | None = None

    def __call__(self, pictures: Tensor, numbers: Sequence[int]) -> Tensor:
        """The losses (A,) of pictures (A, 3, H, W), which are those of the batch that `numbers` names."""
        if self.is_grey:
            pictures = grey(pictures)
        losses = self.smoothness(pictures, numbers)
        for layer, features in self.encoder(pictures, self._terms_of(numbers)).items():
            losses = losses + self.at(layer, features, numbers)
        return losses

    def at(self, layer: str, features: Tensor, numbers: Sequence[int]) -> Tensor:
        """What a layer adds to the losses (A,), by its activations (A, C, H, W), from whichever encoder."""
        losses = features.new_zeros(len(numbers), dtype=wide(features))
        for term in self._terms_of(numbers).get(layer, ()):
            losses = losses + term(features)
        return losses

    def smoothness(self, pictures: Tensor, numbers: Sequence[int]) -> Tensor:
        """What the total variation of pictures (A, 3, H, W) adds to the losses (A,)."""
        self._terms_of(numbers)
        if self._tv_weights is None:
            return pictures.new_zeros(len(numbers))
        return self._tv_weights * total_variation(pictures)

    def parts(self, number: int) -> "list[Part]":
        """What the content and the style loss of a picture of the batch are made of."""
        job = self._jobs[number]
        return [*_content_parts(job, self._contents[number]), *_style_parts(job, self._styles[number])]

    def _terms_of(self, numbers: Sequence[int]) -> "Mapping[str, list[_Term]]":
        """By layer.  Made anew only when a picture has left the batch: a step copies nothing to a GPU."""
        if tuple(numbers) != self._numbers:
            jobs = [self._jobs[number] for number in numbers]
            self._numbers, self._terms = tuple(numbers), {}
            for term in _together([self.parts(number) for number in numbers]):
                self._terms.setdefault(term.layer, []).append(term)
            weights = [job.tv_weight for job in jobs]
            self._tv_weights = torch.tensor(weights, device=self.encoder.device) if any(weights) else None
        return self._terms


_Distance = Callable[[Tensor, Tensor], Tensor]


class Part(NamedTuple):
    """What one loss at one layer adds to the loss of one picture."""

    layer: str
    name: Literal["content"] | StyleLoss
    """Of the loss."""
    distance: _Distance
    target: Tensor
    """(1, …)."""
    weight: float


def _content_parts(job: Job, targets: Layers) -> list[Part]:
    shares = _shares(job.content_weight, job.content_layers, job.content_layer_weights)
    return [Part(layer, "content", content_loss, target, shares[layer]) for layer, target in targets.items()]


def _style_parts(job: Job, targets: Layers) -> list[Part]:
    distance = style_losses.load(job.style_loss).distance
    shares = _shares(job.style_weight, job.style_layers, job.style_layer_weights)
    return [Part(layer, job.style_loss, distance, target, shares[layer]) for layer, target in targets.items()]


def _shares(weight: float, layers: Sequence[str], layer_weights: Sequence[float]) -> dict[str, float]:
    """What each layer's loss is multiplied by: they add up to `weight`."""
    layer_weights = layer_weights or [1.0] * len(layers)
    total = sum(layer_weights)
    return {layer: weight * each / total for layer, each in zip(layers, layer_weights, strict=True)}


def _together(parts: Sequence[Sequence[Part]]) -> "Iterator[_Term]":
    """The parts of each picture as few terms: one for each loss at each layer.  Their order depends on no batch."""
    groups: dict[tuple[str, str], dict[int, Part]] = {}
    for index, each in enumerate(parts):
        for part in each:
            groups.setdefault((part.layer, part.name), {})[index] = part
    for _, group in sorted(groups.items()):
        first, *_ = group.values()
        stacked = _stack([part.target for part in group.values()])
        weights = torch.tensor([part.weight for part in group.values()], dtype=torch.float32, device=stacked.device)
        indices = torch.tensor(list(group), device=stacked.device)
        yield _Term(first.layer, first.distance, tuple(group), indices, stacked, weights)


@dataclass(frozen=True, eq=False)
class _Term:
    """What one loss at one layer adds to the losses of those pictures that have it."""

    layer: str
    distance: _Distance
    indices: tuple[int, ...]
    """Of those pictures, M of A."""
    positions: Tensor
    """The same (M,), on the device."""
    targets: Tensor
    """(M, …)."""
    weights: Tensor
    """(M,)."""

    def __call__(self, features: Tensor) -> Tensor:
        """(A,) of activations (A, C, H, W)."""
        if len(self.indices) == len(features):
            return self.weights * self.distance(features, self.targets)
        losses = self.weights * self.distance(_Select.apply(features, self.indices), self.targets)
        return losses.new_zeros(len(features)).index_copy(0, self.positions, losses)


class _Select(torch.autograd.Function):
    """Some pictures of a batch.  Indexing would do, but its gradient is contiguous, which makes the next operations
    slow: they have channels_last."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, indices: tuple[int, ...]) -> Tensor:
        ctx.count, ctx.indices = len(features), indices
        return torch.cat([features[index : index + 1] for index in indices])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        parts = {index: gradient[row : row + 1] for row, index in enumerate(ctx.indices)}
        zeros = torch.zeros_like(gradient[:1])
        return torch.cat([parts.get(index, zeros) for index in range(ctx.count)]), None


def _stack(targets: Sequence[Tensor]) -> Tensor:
    """(M, …) of M times (1, …); where all are the same tensor, no copy."""
    first = targets[0]
    if all(target is first for target in targets):
        return first.expand(len(targets), *first.shape[1:])
    return torch.cat(list(targets))
