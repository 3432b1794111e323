"""L-BFGS with a line search for the strong Wolfe conditions, as a conversation: it says where it wants the objective,
and is told.  So pictures whose searches are at different places can share one evaluation, each with a history of its
own.

Nocedal & Wright (2006), "Numerical Optimization": algorithms 7.4 (two-loop recursion), 3.5 and 3.6 (line search).
"""

import math
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

HISTORY = 20
"""Steps that the curvature is estimated from."""
_DECREASE = 1e-4
"""c₁: the share of the decrease that the slope at the start promises."""
_CURVATURE = 0.9
"""c₂: the share of that slope which may be left."""
_EVALUATIONS = 25
"""That one line search may take."""


@dataclass(frozen=True, eq=False)
class Point:
    """The objective at a point."""

    variable: Tensor
    loss: float
    gradient: Tensor
    seconds: float
    """When this was known."""


Descent = Generator[Tensor | Point, Point | None, None]
"""Yields a tensor: send it the `Point` there.  Yields a `Point`: one iteration ended there; send None."""


def descend(start: Tensor) -> Descent:
    """From `start` to ever lower points; ends where none is found."""
    here = yield start
    assert here is not None
    history: list[_Pair] = []
    while True:
        direction = _direction(here.gradient, history)
        # Before anything is known of the curvature, a step that moves the variable by 1 in all.
        step = 1.0 if history else min(1.0, 1 / max(here.gradient.abs().sum().item(), 1e-12))
        lower = yield from _search(here, direction, step)
        if lower is None:
            return
        history = [*history, *_pair(here, lower)][-HISTORY:]
        here = lower
        yield here


class _Pair(NamedTuple):
    """How the variable and the gradient changed in one step."""

    moved: Tensor
    turned: Tensor
    product: Tensor
    """Of the two."""


def _pair(before: Point, after: Point) -> Iterable[_Pair]:
    moved, turned = after.variable - before.variable, after.gradient - before.gradient
    product = _dot(moved, turned)
    return [_Pair(moved, turned, product)] if product.item() > 1e-10 else []


def _direction(gradient: Tensor, history: list[_Pair]) -> Tensor:
    """−H g, with the inverse Hessian H that the history implies: algorithm 7.4."""
    direction = -gradient
    shares = []
    for pair in reversed(history):
        share = _dot(pair.moved, direction) / pair.product
        shares.append(share)
        direction = direction - share * pair.turned
    if history:
        last = history[-1]
        direction = direction * (last.product / _dot(last.turned, last.turned))
    for pair, share in zip(history, reversed(shares), strict=True):
        direction = direction + pair.moved * (share - _dot(pair.turned, direction) / pair.product)
    return direction


class _Trial(NamedTuple):
    """A step along the direction."""

    step: float
    point: Point
    slope: float
    """Of the objective along the direction."""


def _search(start: Point, direction: Tensor, step: float) -> Generator[Tensor, Point | None, Point | None]:
    """A lower point along `direction` that meets the strong Wolfe conditions, or the lowest seen; None if none is."""
    origin = _Trial(0.0, start, _dot(start.gradient, direction).item())
    if not origin.slope < 0:
        return None
    reach = direction.abs().max().item()
    low, high = origin, None  # the minimum lies between them, once there is a high
    for evaluation in range(_EVALUATIONS):
        if high is not None:
            if abs(high.step - low.step) * reach < 1e-9:
                break
            step = _between(low, high)
        point = yield start.variable + step * direction
        assert point is not None
        trial = _Trial(step, point, _dot(point.gradient, direction).item())
        promised = start.loss + _DECREASE * step * origin.slope
        if not point.loss <= promised or (point.loss >= low.point.loss and (high is not None or evaluation)):
            high = trial  # too far, or not a number
            continue
        if abs(trial.slope) <= -_CURVATURE * origin.slope:
            return point
        if high is None:
            if trial.slope >= 0:
                high, low = low, trial
            else:
                step, low = _beyond(low, trial), trial
        else:
            if trial.slope * (high.step - low.step) >= 0:
                high = low
            low = trial
    return low.point if low is not origin else None


def _between(low: _Trial, high: _Trial) -> float:
    """A step between two, not too near to either."""
    left, right = sorted((low.step, high.step))
    margin = 0.1 * (right - left)
    return min(max(_cubic(low, high), left + margin), right - margin)


def _beyond(before: _Trial, trial: _Trial) -> float:
    """A longer step, where the objective still falls."""
    found = _cubic(before, trial)
    longest = 10 * trial.step
    if not found > trial.step:
        return longest
    return min(max(found, trial.step + 0.01 * (trial.step - before.step)), longest)


def _cubic(a: _Trial, b: _Trial) -> float:
    """Where the cubic with the losses and slopes of both is lowest: equation 3.59; half-way where it has no minimum."""
    d1 = a.slope + b.slope - 3 * (a.point.loss - b.point.loss) / (a.step - b.step)
    square = d1 * d1 - a.slope * b.slope
    if not (math.isfinite(square) and square >= 0):
        return (a.step + b.step) / 2
    d2 = math.copysign(math.sqrt(square), b.step - a.step)
    below = b.slope - a.slope + 2 * d2
    if not below:
        return (a.step + b.step) / 2
    return b.step - (b.step - a.step) * (b.slope + d2 - d1) / below


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a.flatten(), b.flatten())
