"""The loop: turn a starting picture until an objective is low.  It knows nothing of layers, and prints nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from nst.jobs import LEARNING_RATE, Optimizer
from nst.parametrize import Parametrization

_LINE_SEARCH = 25
"""Evaluations that a line search of L-BFGS may take."""

Objective = Callable[[Tensor], Tensor]
"""From pictures (B, 3, H, W) in [0, 1] to a scalar; differentiable."""


@dataclass(frozen=True)
class State:
    """What a callback sees after an iteration."""

    iteration: int
    """1 for the first."""
    loss: float
    """The objective before this iteration's update."""
    seconds: float
    """Since the loop began, until that loss was known."""
    evaluations: int
    picture: Callable[[], Tensor]
    """A copy of the picture as it is when this is called, (B, 3, H, W): call it in the callback."""


@dataclass(frozen=True)
class Outcome:
    """What the loop ends with."""

    picture: Tensor
    losses: tuple[float, ...]
    """losses[i]: after i updates."""
    elapsed: tuple[float, ...]
    """Seconds since the loop began when losses[i] was known."""
    seconds: float
    evaluations: int


def minimize(
    objective: Objective,
    start: Tensor,
    parametrization: Parametrization,
    *,
    iterations: int,
    optimizer: Optimizer = "adam",
    learning_rate: float = LEARNING_RATE,
    on_iteration: Callable[[State], None] | None = None,
) -> Outcome:
    """Lower `objective` from the picture `start` (B, 3, H, W), which must be in [0, 1]; so is every picture after it.

    Adam (Kingma & Ba 2015, with β₁ = 0.8 and β₂ = 0.99) with the given learning rate, or L-BFGS with a strong Wolfe
    line search, which finds its own steps.  L-BFGS stops before `iterations` when it finds no lower point.
    """
    # torch's L-BFGS needs a contiguous variable.
    variable = parametrization.encode(start.clamp(0, 1)).contiguous().requires_grad_()
    losses: list[float] = []
    elapsed: list[float] = []
    evaluations = 0
    synchronize(start.device)
    began = time.perf_counter()

    def evaluate() -> Tensor:
        nonlocal evaluations
        evaluations += 1
        variable.grad = None
        loss = objective(parametrization.decode(variable))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    stepper: _Stepper = _Adam(variable, learning_rate) if optimizer == "adam" else _LBFGS(variable)
    for iteration in range(1, iterations + 1):
        loss, now, moved = stepper.step(evaluate)
        losses.append(loss)
        elapsed.append(now - began)
        if not moved:
            break
        with torch.no_grad():
            parametrization.project_(variable)
        if on_iteration is not None:
            on_iteration(
                State(
                    iteration,
                    loss,
                    elapsed[-1],
                    evaluations,
                    lambda: parametrization.decode(variable.detach()).clone(),
                )
            )
    synchronize(start.device)
    seconds = time.perf_counter() - began
    picture = parametrization.decode(variable.detach()).clone()
    return Outcome(picture, tuple(losses), tuple(elapsed), seconds, evaluations)


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished what was asked of it, so that a clock read afterwards is true."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class _Stepper(Protocol):
    def step(self, evaluate: Callable[[], Tensor]) -> tuple[float, float, bool]:
        """One iteration: the loss before it, when that was known (`time.perf_counter`), and whether the variable
        moved."""


class _Adam:
    """Kingma & Ba (2015), algorithm 1.  torch's own gives the same numbers, and takes a second longer to import."""

    # Shorter memories than the paper's 0.9 and 0.999: runs have some tens of steps, not thousands.  With 0.8 instead of
    # 0.9, and twice the learning rate, 40 steps of a transfer get lower than 60.
    _BETA_1 = 0.8
    _BETA_2 = 0.99
    _EPSILON = 1e-8

    def __init__(self, variable: Tensor, learning_rate: float) -> None:
        self._variable = variable
        self._rate = learning_rate
        self._steps = 0
        self._mean = torch.zeros_like(variable, requires_grad=False)
        self._square = torch.zeros_like(variable, requires_grad=False)

    def step(self, evaluate: Callable[[], Tensor]) -> tuple[float, float, bool]:
        loss = evaluate().item()
        now = time.perf_counter()
        gradient = self._variable.grad
        assert gradient is not None
        self._steps += 1
        self._mean.lerp_(gradient, 1 - self._BETA_1)
        self._square.mul_(self._BETA_2).addcmul_(gradient, gradient, value=1 - self._BETA_2)
        deviation = (self._square / (1 - self._BETA_2**self._steps)).sqrt_().add_(self._EPSILON)
        with torch.no_grad():
            self._variable.addcdiv_(self._mean, deviation, value=-self._rate / (1 - self._BETA_1**self._steps))
        return loss, now, True


class _LBFGS:
    """torch's L-BFGS, one iteration a call.

    torch evaluates the starting point anew in every call; where that is the point the last line search ended at, its
    loss and gradient are given from memory.
    """

    def __init__(self, variable: Tensor) -> None:
        self._variable = variable
        self._lbfgs = torch.optim.LBFGS(
            [variable],
            max_iter=1,
            max_eval=_LINE_SEARCH + 1,  # with the starting point; torch's default would leave the line search none
            history_size=20,
            line_search_fn="strong_wolfe",
            tolerance_grad=0,
            tolerance_change=0,
        )
        self._known: tuple[Tensor, Tensor, Tensor] | None = None

    def step(self, evaluate: Callable[[], Tensor]) -> tuple[float, float, bool]:
        first: tuple[float, float] | None = None
        before = self._variable.detach().clone()

        def closure() -> Tensor:
            nonlocal first
            if self._known is not None and torch.equal(self._known[0], self._variable):
                _, loss, gradient = self._known
                self._variable.grad = gradient.clone()
            else:
                loss = evaluate()
                assert self._variable.grad is not None
                self._known = (self._variable.detach().clone(), loss, self._variable.grad.clone())
            if first is None:
                first = (loss.item(), time.perf_counter())
            return loss

        self._lbfgs.step(closure)  # type: ignore[no-untyped-call]
        assert first is not None
        with torch.no_grad():
            if not self._variable.isfinite().all():  # where hardly anything has a slope, a step can be endless
                self._variable.copy_(before)
            return *first, not torch.equal(before, self._variable)
