"""The loop: turn starting pictures until an objective is low.  It knows nothing of layers, and prints nothing.

Pictures of a batch share the evaluation of the objective and nothing else: each has its own loss, its own state of the
optimiser and its own end.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from nst.engine.jobs import LEARNING_RATE, Optimizer
from nst.engine.lbfgs import Descent, Point, descend
from nst.engine.parametrize import Parametrization

Objective = Callable[[Tensor, Sequence[int]], Tensor]
"""From pictures (A, 3, H, W) in [0, 1], and which of the batch they are, to a loss each, (A,); differentiable."""

PATIENCE = 10
"""Iterations in which the loss has to fall, where a tolerance is given."""


@dataclass(frozen=True)
class State:
    """What a callback sees after an iteration of a picture."""

    number: int
    """Of the picture in the batch, from 0."""
    iteration: int
    """1 for the first."""
    loss: float
    """The objective before this iteration's update."""
    seconds: float
    """Of this picture's time, until that loss was known."""
    evaluations: int
    picture: Callable[[], Tensor]
    """A copy of the picture as it is when this is called, (1, 3, H, W): call it in the callback."""


@dataclass(frozen=True)
class Outcome:
    """What the loop ends with, for one picture."""

    picture: Tensor
    """(1, 3, H, W)."""
    losses: tuple[float, ...]
    """losses[i]: after i updates."""
    elapsed: tuple[float, ...]
    """Of the picture's time, when losses[i] was known."""
    seconds: float
    """The picture's time: of the time that a batch takes, each picture that is still in it has an equal share."""
    evaluations: int


def minimize(
    objective: Objective,
    starts: Tensor,
    parametrization: Parametrization,
    *,
    iterations: int,
    optimizer: Optimizer = "adam",
    learning_rate: float = LEARNING_RATE,
    tolerance: float = 0.0,
    on_iteration: Callable[[State], None] | None = None,
) -> list[Outcome]:
    """Lower `objective` from the pictures `starts` (B, 3, H, W), which are cut to [0, 1]; so is every picture after.

    Adam (see `_Adam`) with the given learning rate at first, or L-BFGS (`lbfgs`), which finds its own steps and
    stops before `iterations` where it finds no lower point.  L-BFGS needs a parametrization
    that is in [0, 1] everywhere.

    Args:
        tolerance: a picture ends where its lowest loss fell by less than this share in the last `PATIENCE` iterations;
            0 means that it goes on.
    """
    variables = parametrization.encode(starts.clamp(0, 1).contiguous()).contiguous()
    stepper: _Stepper
    if optimizer == "adam":
        stepper = _Adam(variables, learning_rate, iterations, parametrization.project_)
    else:
        stepper = _LBFGS(variables)
    records = [_Record() for _ in starts]
    outcomes: dict[int, Outcome] = {}
    live = list(range(len(records)))
    synchronize(starts.device)
    clock = time.perf_counter()

    def share_time() -> None:
        nonlocal clock
        now = time.perf_counter()
        for number in live:
            records[number].seconds += (now - clock) / len(live)
        clock = now

    while live:
        points = stepper.points().detach().requires_grad_()
        pictures = parametrization.decode(points)
        # Gradients in another layout would be rounded in another way, and the layout may depend on the batch's size.
        pictures.register_hook(Tensor.contiguous)  # type: ignore[no-untyped-call]
        losses = objective(pictures, live)
        (gradients,) = torch.autograd.grad(losses.sum(), points)
        values = losses.tolist()
        share_time()
        ended = stepper.tell(values, gradients, [records[number].seconds for number in live])
        finished = []
        for place, (number, end) in enumerate(zip(live, ended, strict=True)):
            record = records[number]
            record.evaluations += 1
            if end is None:
                continue
            record.losses.append(end.loss)
            record.elapsed.append(end.seconds)
            if end.moved and on_iteration is not None:
                on_iteration(record.state(number, lambda place=place: _picture(parametrization, stepper, place)))  # type: ignore[misc]
            if end.over or len(record.losses) == iterations or _levelled(record.losses, tolerance):
                finished.append(place)
        if finished:
            synchronize(starts.device)
            share_time()
            for place in finished:
                number = live[place]
                outcomes[number] = records[number].outcome(_picture(parametrization, stepper, place))
            places = [place for place in range(len(live)) if place not in finished]
            live = [live[place] for place in places]
            stepper.keep(places)
    return [outcomes[number] for number in range(len(records))]


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished what was asked of it, so that a clock read afterwards is true."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass
class _Record:
    """What is known of one picture."""

    losses: list[float] = field(default_factory=list)
    elapsed: list[float] = field(default_factory=list)
    seconds: float = 0.0
    evaluations: int = 0

    def state(self, number: int, picture: Callable[[], Tensor]) -> State:
        return State(number, len(self.losses), self.losses[-1], self.elapsed[-1], self.evaluations, picture)

    def outcome(self, picture: Tensor) -> Outcome:
        return Outcome(picture, tuple(self.losses), tuple(self.elapsed), self.seconds, self.evaluations)


def _picture(parametrization: Parametrization, stepper: "_Stepper", place: int) -> Tensor:
    return parametrization.decode(stepper.variable(place)).clone()


def _levelled(losses: Sequence[float], tolerance: float) -> bool:
    """Whether the lowest loss has hardly fallen of late."""
    if not tolerance or len(losses) <= PATIENCE:
        return False
    before = min(losses[:-PATIENCE])
    return before - min(losses[-PATIENCE:]) < tolerance * before


class _Ended(NamedTuple):
    """An iteration of one picture."""

    loss: float
    """Before it."""
    seconds: float
    """Of the picture's time, when that was known."""
    moved: bool
    """Whether the variable changed."""
    over: bool
    """Whether nothing lower can be found from where it is."""


class _Stepper(Protocol):
    """An optimiser of several variables at once, each by itself."""

    def points(self) -> Tensor:
        """Where the objective is wanted next, (A, …)."""

    def tell(self, losses: Sequence[float], gradients: Tensor, seconds: Sequence[float]) -> "Sequence[_Ended | None]":
        """What the objective is there, and each picture's time; returns the iterations that ended with it."""

    def variable(self, place: int) -> Tensor:
        """Where one of the variables has got to, (1, …)."""

    def keep(self, places: Sequence[int]) -> None:
        """Forget all other variables."""


class _Adam:
    """Kingma & Ba (2015), algorithm 1, with three deviations, as runs have some tens of steps and not thousands:

    * Each gradient is divided by its norm first.  Gradients shrink by orders of magnitude as a picture gets better, and
      now and then one is far too large; either would rule the second moment, and so the steps, for long after.
    * The rate falls in a straight line to 0 at the end, so that the last steps settle what the first have stirred up.
    * β₁ = 0.8 and β₂ = 0.99, not 0.9 and 0.999.

    Together they end, after 30 steps of a transfer from noise, a fifth lower than 30 of the best constant rate without
    the first two; and pictures made in bfloat16 and in float32 are alike, as chance has less of a say.

    torch's own gives the same numbers, and takes a second longer to import.
    """

    _BETA_1 = 0.8
    _BETA_2 = 0.99
    _EPSILON = 1e-8

    def __init__(
        self, variables: Tensor, learning_rate: float, iterations: int, project_: Callable[[Tensor], None]
    ) -> None:
        self._variables = variables
        self._rate = learning_rate
        self._iterations = iterations
        self._project_ = project_
        self._steps = 0
        self._mean = torch.zeros_like(variables)
        self._square = torch.zeros_like(variables)

    def points(self) -> Tensor:
        return self._variables

    def tell(self, losses: Sequence[float], gradients: Tensor, seconds: Sequence[float]) -> Sequence[_Ended]:
        rate = self._rate * (1 - self._steps / self._iterations)
        self._steps += 1
        gradients = torch.stack([gradient / gradient.norm().clamp_min(1e-30) for gradient in gradients])
        self._mean.lerp_(gradients, 1 - self._BETA_1)
        self._square.mul_(self._BETA_2).addcmul_(gradients, gradients, value=1 - self._BETA_2)
        deviation = (self._square / (1 - self._BETA_2**self._steps)).sqrt_().add_(self._EPSILON)
        self._variables.addcdiv_(self._mean, deviation, value=-rate / (1 - self._BETA_1**self._steps))
        self._project_(self._variables)
        return [_Ended(loss, when, moved=True, over=False) for loss, when in zip(losses, seconds, strict=True)]

    def variable(self, place: int) -> Tensor:
        return self._variables[place : place + 1]

    def keep(self, places: Sequence[int]) -> None:
        self._variables, self._mean, self._square = (
            values[list(places)] for values in (self._variables, self._mean, self._square)
        )


class _LBFGS:
    """A descent for each variable."""

    def __init__(self, variables: Tensor) -> None:
        self._descents = [_Descending(variable.clone()) for variable in variables]

    def points(self) -> Tensor:
        return torch.stack([descent.asked for descent in self._descents])

    def tell(self, losses: Sequence[float], gradients: Tensor, seconds: Sequence[float]) -> Sequence[_Ended | None]:
        told = zip(self._descents, losses, gradients, seconds, strict=True)
        return [descent.tell(*each) for descent, *each in told]

    def variable(self, place: int) -> Tensor:
        return self._descents[place].reached[None]

    def keep(self, places: Sequence[int]) -> None:
        self._descents = [self._descents[place] for place in places]


class _Descending:
    """A descent on its way."""

    def __init__(self, start: Tensor) -> None:
        self._descent: Descent = descend(start)
        self._here: Point | None = None
        self.reached = start
        """Where the last iteration ended."""
        self.asked = self._asked(None)
        """Where the objective is wanted."""

    def tell(self, loss: float, gradient: Tensor, seconds: float) -> _Ended | None:
        """What it is there; returns the iteration that ended with it."""
        # A copy lies in memory as that of a picture alone does, and is summed likewise.
        point = Point(self.asked, loss, gradient.clone(), seconds)
        before = self._here = self._here or point
        try:
            answer = self._descent.send(point)
            if isinstance(answer, Tensor):
                self.asked = answer
                return None
            self._here, self.reached = answer, answer.variable
            self.asked = self._asked(None)
        except StopIteration:
            return _Ended(before.loss, before.seconds, moved=self._here is not before, over=True)
        return _Ended(before.loss, before.seconds, moved=True, over=False)

    def _asked(self, point: Point | None) -> Tensor:
        answer = self._descent.send(point)
        assert isinstance(answer, Tensor)
        return answer
