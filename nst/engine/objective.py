"""What the jobs of a batch minimise: each picture has the layers, the targets and the weights of its own job."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nst.engine.jobs import Job
from nst.engine.losses import content_loss, gram_distance, total_variation
from nst.engine.targets import Layers
from nst.engine.vgg import Encoder


class Objective:
    """content_weight × content loss + style_weight × style loss + tv_weight × total variation, for each picture.

    The content loss is the mean over the job's content layers, the style loss over its style layers.

    Args:
        jobs: one for each picture of the batch.
        contents, styles: what each job aims at, from `nst.engine.targets`.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        encoder: Encoder,
        contents: Sequence[Layers],
        styles: Sequence[Layers],
    ) -> None:
        self._jobs = jobs
        self._encoder = encoder
        self._contents = contents
        self._styles = styles
        self._numbers: tuple[int, ...] = ()
        self._terms: list[_Term] = []

    def __call__(self, pictures: Tensor, numbers: Sequence[int]) -> Tensor:
        """The losses (A,) of pictures (A, 3, H, W), which are those of the batch that `numbers` names."""
        if tuple(numbers) != self._numbers:
            self._numbers, self._terms = tuple(numbers), self._make_terms(numbers)
        found = self._encoder(pictures, {term.layer for term in self._terms})
        losses = pictures.new_zeros(len(numbers))
        for term in self._terms:
            losses = losses + term(found[term.layer])
        return losses + self._variation(pictures, numbers)

    def tally(self, picture: Tensor, number: int) -> "Tally":
        """The same for one picture (1, 3, H, W), to be given its activations."""
        return Tally(self._make_terms([number]), self._variation(picture, [number]))

    def _variation(self, pictures: Tensor, numbers: Sequence[int]) -> "Tensor | float":
        weights = [self._jobs[number].tv_weight for number in numbers]
        return pictures.new_tensor(weights) * total_variation(pictures) if any(weights) else 0.0

    def _make_terms(self, numbers: Sequence[int]) -> "list[_Term]":
        terms = []
        for distance, all_targets, weight in (
            (content_loss, self._contents, "content_weight"),
            (gram_distance, self._styles, "style_weight"),
        ):
            targets = [all_targets[number] for number in numbers]
            for layer in sorted({layer for each in targets for layer in each}):  # an order that no batch changes
                places = [place for place, each in enumerate(targets) if layer in each]
                weights = [getattr(self._jobs[numbers[place]], weight) / len(targets[place]) for place in places]
                stacked = _stack([targets[place][layer] for place in places])
                terms.append(_Term(layer, distance, tuple(places), stacked, stacked.new_tensor(weights).float()))
        return terms


@dataclass(frozen=True, eq=False)
class _Term:
    """What one loss at one layer adds to the losses of those pictures that have it."""

    layer: str
    distance: Callable[[Tensor, Tensor], Tensor]
    places: tuple[int, ...]
    targets: Tensor
    weights: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """(A,) of activations (A, C, H, W)."""
        if len(self.places) == len(features):
            return self.weights * self.distance(features, self.targets)
        losses = self.weights * self.distance(_Select.apply(features, self.places), self.targets)
        return losses.new_zeros(len(features)).index_add(0, torch.tensor(self.places, device=losses.device), losses)


class Tally:
    """The loss of one picture, from its activations layer by layer, whoever computes them."""

    def __init__(self, terms: Sequence[_Term], rest: "Tensor | float") -> None:
        self._terms = terms
        self._loss = rest

    @property
    def layers(self) -> Collection[str]:
        """Those it wants."""
        return {term.layer for term in self._terms}

    @property
    def loss(self) -> float:
        """Of the layers so far, and of what takes none."""
        return float(self._loss)

    def add(self, layer: str, features: Tensor) -> None:
        """Activations (1, C, H, W)."""
        for term in self._terms:
            if term.layer == layer:
                self._loss = self._loss + term(features)


class _Select(torch.autograd.Function):
    """Some pictures of a batch.  Indexing would do, but would change the layout to one that later steps are slow in."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, places: tuple[int, ...]) -> Tensor:
        ctx.of, ctx.places = features.shape[0], places
        return torch.cat([features[place : place + 1] for place in places])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (given,) = gradients
        parts = {place: given[index : index + 1] for index, place in enumerate(ctx.places)}
        nothing = torch.zeros_like(given[:1])
        return torch.cat([parts.get(place, nothing) for place in range(ctx.of)]), None


def _stack(targets: Sequence[Tensor]) -> Tensor:
    """(M, …) of M times (1, …); where all are the same tensor, no copy."""
    first = targets[0]
    if all(target is first for target in targets):
        return first.expand(len(targets), *first.shape[1:])
    return torch.cat(list(targets))
