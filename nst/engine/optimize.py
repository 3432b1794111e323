"""The loop: change starting pictures until an objective is low.  It knows nothing of layers, and prints nothing.

Pictures of a batch share the evaluation of the objective and nothing else: each has its own loss, its own state of the
optimizer and its own end.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nst.engine.jobs import LBFGS_HISTORY, LEARNING_RATE, Optimizer
from nst.engine.parametrize import Parametrization
from nst.errors import DivergedError

Objective = Callable[[Tensor, Sequence[int]], Tensor]
"""From pictures (A, 3, H, W) in [0, 1], and which of the batch they are, to a loss each, (A,); differentiable."""

PATIENCE = 10
"""Iterations in which the loss has to fall, where a tolerance is given."""
SETTLING = 20
"""Iterations in which the learning rate of Adam then falls to 0."""
_REMEDY = "lower learning_rate or the largest weight, or take precision float32"


@dataclass(frozen=True)
class State:
    """What a callback sees after an iteration of a picture."""

    number: int
    """Of the picture in the batch, from 0."""
    iteration: int
    """1 for the first."""
    of: int
    """Iterations that there will be, if none of the ends before comes first."""
    read_loss: Callable[[], float]
    picture: Callable[[], Tensor]
    """A copy of the picture as it is when this is called, (1, 3, H, W): call it in the callback."""

    @property
    def loss(self) -> float:
        """The objective before this iteration's update.  A GPU is waited for when this is read."""
        return self.read_loss()


Callback = Callable[[State], bool | None]
"""Called after each iteration of a picture.  Where it returns true, the picture ends there."""


@dataclass(frozen=True)
class Outcome:
    """What the loop ends with, for one picture."""

    picture: Tensor
    """(1, 3, H, W)."""
    losses: tuple[float, ...]
    """losses[i]: after i updates."""
    elapsed: tuple[float, ...]
    """Seconds of the picture's time until losses[i] was known."""
    seconds: float
    """The picture's time: of the time that a batch takes, each picture that is still in it has an equal share."""
    evaluations: int
    """Of the objective with its gradient."""

    def then(self, later: "Outcome") -> "Outcome":
        """This and what it was continued with."""
        return Outcome(
            picture=later.picture,
            losses=self.losses + later.losses,
            elapsed=self.elapsed + tuple(self.seconds + seconds for seconds in later.elapsed),
            seconds=self.seconds + later.seconds,
            evaluations=self.evaluations + later.evaluations,
        )


def minimize(
    objective: Objective,
    starts: Tensor,
    parametrization: Parametrization,
    *,
    iterations: int,
    optimizer: Optimizer = "adam",
    learning_rate: float = LEARNING_RATE,
    tolerance: float = 0.0,
    stop_loss: float = 0.0,
    timed: bool = False,
    graph: bool = True,
    on_iteration: Callback = lambda _state: None,
) -> list[Outcome]:
    """Lower `objective` from the pictures `starts` (B, 3, H, W), which are cut to [0, 1]; so is every picture after.

    With Adam (see `_Adam`) all pictures of the batch take their steps together; with L-BFGS they run one after another.

    Args:
        optimizer: "adam", or "lbfgs" (see `_lbfgs`), which needs a parametrization that is in [0, 1]
            everywhere and ends before `iterations` where it finds no lower point.
        learning_rate: of Adam, at the start.
        tolerance: a picture is near its end where its lowest loss fell by less than this share in the last `PATIENCE`
            iterations.  L-BFGS ends there; Adam after `SETTLING` more, in which its rate falls to 0, as the rate of a
            whole run does: at a high rate the loss is level because each step stirs up what it gains.  A transfer of
            64 px with 0.01 takes 66 to 96 of 300 iterations and ends 9 to 10 % above all 300, lower than a run of as
            many from the start, where it would have ended 22 to 27 % above without settling.  0: it goes on.
        stop_loss: a picture ends with the iteration that finds its loss at or below this.
        timed: a GPU is waited for after each step, so that `Outcome.elapsed` is measured.  Else it is only where a
            tolerance or a stop_loss has to know the loss, and the time until each step is an equal share of the whole.
        graph: on a GPU, record Adam's step once as a CUDA graph and replay it, instead of launching its some hundred
            kernels one by one each time.

    Raises:
        DivergedError: a loss, or a picture at its end, is not finite.
    """
    starts = starts.clamp(0, 1).contiguous()
    options: dict[str, Any] = {
        "iterations": iterations, "tolerance": tolerance, "stop_loss": stop_loss, "on_iteration": on_iteration,
    }  # fmt: skip
    if optimizer == "adam":
        return _adam(
            objective, starts, parametrization, learning_rate=learning_rate, timed=timed, graph=graph, **options
        )
    return [
        _lbfgs(objective, starts[number : number + 1], parametrization, number=number, **options)
        for number in range(len(starts))
    ]


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished its work, so that a clock read afterwards is true."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _adam(
    objective: Objective,
    starts: Tensor,
    parametrization: Parametrization,
    *,
    iterations: int,
    learning_rate: float,
    tolerance: float,
    stop_loss: float,
    timed: bool,
    graph: bool,
    on_iteration: Callback,
) -> list[Outcome]:
    """All pictures (B, 3, H, W) at once; what is computed for one does not depend on the others."""
    on_gpu = starts.device.type == "cuda"
    waits = not on_gpu or timed or tolerance > 0 or stop_loss > 0
    adam = _Adam(objective, starts, parametrization, iterations=iterations, learning_rate=learning_rate)
    records = [_Record() for _ in starts]
    outcomes: dict[int, Outcome] = {}
    clock = _Clock(starts.device)
    take_step = _captured(adam) if on_gpu and graph and iterations > 2 * _WARM_UP else adam.step_
    for step in range(1, iterations + 1):
        take_step()
        if waits:
            losses, seconds = adam.losses[step - 1].tolist(), clock.lap() / len(adam.live)
            for number, loss in zip(adam.live, losses, strict=True):
                records[number].add(loss, seconds)
                if records[number].levelled(tolerance):
                    adam.settle(number, step)
        stopped = [on_iteration(adam.state(index, step)) for index in range(len(adam.live))]
        ended = [
            index
            for index, number in enumerate(adam.live)
            if step == adam.schedules[number].last or (waits and losses[index] <= stop_loss) or stopped[index]
        ]
        if not ended:
            continue
        synchronize(starts.device)
        seconds = clock.lap() / len(adam.live)
        for index, number in enumerate(adam.live):
            if waits:
                records[number].seconds += seconds
            elif index in ended:
                records[number].add_all(adam.losses[:step, index].tolist(), clock.total / len(starts))
            if index in ended:
                outcomes[number] = records[number].outcome(adam.picture(index)())
        if len(ended) == len(adam.live):
            break
        adam.keep([index for index in range(len(adam.live)) if index not in ended])
        take_step = adam.step_  # a graph has the shapes it was recorded with
    return [outcomes[number] for number in range(len(records))]


BETA_1, BETA_2, EPSILON = 0.8, 0.99, 1e-8
"""Adam's β₁, β₂ and ε."""


@dataclass
class _Schedule:
    """The learning rate of a picture: in a straight line from its first to 0 after `last` steps."""

    highest: float
    last: int
    since: int = 0
    """The step after which the rate was `highest`."""

    def rate(self, step: int) -> float:
        return self.highest * (1 - (step - 1 - self.since) / (self.last - self.since))

    def settle(self, step: int) -> bool:
        """From the rate that the step after this one would have, down to 0 in `SETTLING` steps, unless it is there by
        then anyway, or on the way.  Returns whether that changes anything."""
        if self.since > 0 or step + SETTLING >= self.last:
            return False
        self.highest, self.since, self.last = self.rate(step + 1), step, step + SETTLING
        return True


class _Adam:
    """Adam for a batch: Kingma & Ba (2015), algorithm 1, with three deviations, as runs have some tens of steps, not
    thousands:

    * Each gradient is divided by its norm first.  Gradients shrink by orders of magnitude as a picture gets better, and
      now and then one is far too large; either would dominate the second moment, and so the steps, for long after.
    * The rate falls in a straight line to 0 at the end, so that the last steps settle what the first have stirred up.
    * β₁ = 0.8 and β₂ = 0.99, not 0.9 and 0.999.

    Together they end, after 30 steps of a transfer from noise, a fifth lower than 30 of the best constant rate without
    the first two; and pictures made in bfloat16 and in float32 are alike, as chance has less of a say.

    All that a step reads or changes is in tensors on the pictures' device, and no number goes to the device or comes
    back in it: so a step never waits for a GPU, and can be replayed as a graph.  `torch.optim.Adam` gives the same
    numbers, and takes two seconds to import.
    """

    def __init__(
        self,
        objective: Objective,
        starts: Tensor,
        parametrization: Parametrization,
        *,
        iterations: int,
        learning_rate: float,
    ) -> None:
        self._objective = objective
        self._parametrization = parametrization
        self.live = list(range(len(starts)))
        """Numbers of the pictures that are still in the batch."""
        self.schedules = [_Schedule(learning_rate, iterations) for _ in starts]
        self.variables = parametrization.encode(starts).contiguous()
        """(A, …)."""
        self._mean, self._square = torch.zeros_like(self.variables), torch.zeros_like(self.variables)
        self.losses = self.variables.new_zeros(iterations, len(starts))
        """[i, a]: of picture a, before step i."""
        self._at = torch.zeros(1, dtype=torch.long, device=starts.device)
        """The step that comes next."""
        self._rates = torch.stack([self._rates_of(schedule, iterations) for schedule in self.schedules], dim=1)
        self._corrections = self._table([1 - BETA_2 ** (step + 1) for step in range(iterations)])

    def step_(self) -> None:
        """One step of all pictures."""
        losses, gradients = _evaluate(self._objective, self._parametrization, self.variables, self.live)
        self.losses.index_copy_(0, self._at, losses[None].to(self.losses.dtype))
        gradients = gradients / self._each(_norms(gradients).clamp_min(1e-30))
        self._mean.lerp_(gradients, 1 - BETA_1)
        self._square.mul_(BETA_2).addcmul_(gradients, gradients, value=1 - BETA_2)
        deviation = (self._square / self._corrections.index_select(0, self._at)).sqrt_().add_(EPSILON)
        rates = self._each(self._rates.index_select(0, self._at)[0])
        self.variables.addcdiv_(self._mean * rates, deviation, value=-1)
        self._parametrization.project_(self.variables)
        self._at += 1

    @property
    def changing(self) -> list[Tensor]:
        """What a step changes."""
        return [self.variables, self._mean, self._square, self.losses, self._at]

    def settle(self, number: int, step: int) -> None:
        """After that step, let the rate of a picture fall to 0."""
        schedule = self.schedules[number]
        if schedule.settle(step):
            self._rates[:, self.live.index(number)] = self._rates_of(schedule, len(self._rates))

    def keep(self, indices: Sequence[int]) -> None:
        """The pictures at other places leave the batch."""
        self.live = [self.live[index] for index in indices]
        self.variables, self._mean, self._square = (
            each[indices] for each in (self.variables, self._mean, self._square)
        )
        self.losses, self._rates = self.losses[:, indices], self._rates[:, indices]

    def state(self, index: int, step: int) -> State:
        """After that step, for the picture at that place."""
        return State(self.live[index], step, len(self._rates), self.losses[step - 1, index].item, self.picture(index))

    def picture(self, index: int) -> Callable[[], Tensor]:
        """A copy (1, 3, H, W) of the picture at that place, as it is when this is called."""
        return _picture(self._parametrization, self.variables, index)

    def _rates_of(self, schedule: "_Schedule", iterations: int) -> Tensor:
        """For each step, the rate with the correction of Adam's mean."""
        return self._table([schedule.rate(step + 1) / (1 - BETA_1 ** (step + 1)) for step in range(iterations)])

    def _table(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=self.variables.dtype, device=self.variables.device)

    def _each(self, values: Tensor) -> Tensor:
        """(A,) for arithmetic with (A, …)."""
        return values.view(-1, *[1] * (self.variables.ndim - 1))


def _norms(gradients: Tensor) -> Tensor:
    """Of (A, …): (A,).  On CPUs one by one, so that threads do not split a sum by the batch's size."""
    if gradients.device.type == "cpu":
        return torch.stack([gradient.norm() for gradient in gradients])
    norms: Tensor = torch.linalg.vector_norm(gradients.flatten(1), dim=1)
    return norms


_WARM_UP = 2
"""Steps before a graph is recorded, in which libraries make their plans and take their memory."""


def _captured(adam: _Adam) -> Callable[[], None]:
    """`adam.step_` as a CUDA graph, which holds the memory of a step as long as it lives."""
    before = [each.clone() for each in adam.changing]
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            adam.step_()
    torch.cuda.current_stream().wait_stream(stream)
    for each, value in zip(adam.changing, before, strict=True):
        each.copy_(value)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):  # records, and runs nothing
        adam.step_()
    return graph.replay


def _lbfgs(
    objective: Objective,
    start: Tensor,
    parametrization: Parametrization,
    *,
    number: int,
    iterations: int,
    tolerance: float,
    stop_loss: float,
    on_iteration: Callback,
) -> Outcome:
    """L-BFGS with a line search for the strong Wolfe conditions, for one picture (1, 3, H, W)."""
    from torch.optim import LBFGS

    variable = parametrization.encode(start).contiguous()
    # One iteration a call, so that each is seen; its line search may take 25 evaluations after the first.
    options: dict[str, Any] = {"max_iter": 1, "max_eval": 26, "tolerance_grad": 0.0, "tolerance_change": 0.0}
    lbfgs = LBFGS([variable], history_size=LBFGS_HISTORY, line_search_fn="strong_wolfe", **options)
    record, clock = _Record(), _Clock(start.device)
    point, loss = torch.empty(0), 0.0  # where the objective was evaluated last

    def closure() -> float:
        nonlocal point, loss
        if not torch.equal(point, variable):  # each call begins where the line search before it ended
            point = variable.clone()
            losses, variable.grad = _evaluate(objective, parametrization, variable, [number])
            loss = losses.item()
            record.evaluations += 1
        return loss

    for iteration in range(1, iterations + 1):
        before = variable.clone()
        loss_before = float(lbfgs.step(closure))  # type: ignore[no-untyped-call]
        record.add(loss_before, clock.lap(), evaluations=0)
        if torch.equal(variable, before):  # no lower point was found
            break
        picture = _picture(parametrization, variable, 0)
        stopped = on_iteration(State(number, iteration, iterations, lambda loss=loss_before: loss, picture))  # type: ignore[misc]
        if stopped or loss_before <= stop_loss or record.levelled(tolerance):
            break
    synchronize(start.device)
    record.seconds += clock.lap()
    return record.outcome(_picture(parametrization, variable, 0)())


def _evaluate(
    objective: Objective, parametrization: Parametrization, variables: Tensor, numbers: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """The losses (A,) of the pictures that `variables` (A, …) stand for, and the gradients of these."""
    points = variables.detach().requires_grad_()
    pictures = parametrization.decode(points)
    # Gradients in another layout would be rounded in another way, and the layout may depend on the batch's size.
    pictures.register_hook(Tensor.contiguous)  # type: ignore[no-untyped-call]
    losses = objective(pictures, numbers)
    (gradients,) = torch.autograd.grad(losses.sum(), points)
    return losses.detach(), gradients


def _picture(parametrization: Parametrization, variables: Tensor, index: int) -> Callable[[], Tensor]:
    return lambda: parametrization.decode(variables[index : index + 1]).clone()


@dataclass
class _Record:
    """What is noted of one picture on the way."""

    losses: list[float] = field(default_factory=list)
    elapsed: list[float] = field(default_factory=list)
    seconds: float = 0.0
    evaluations: int = 0

    def add(self, loss: float, seconds: float, evaluations: int = 1) -> None:
        """An iteration's loss, and the time since the last."""
        if not math.isfinite(loss):
            raise DivergedError(f"after {len(self.losses)} iterations the loss is {loss}; {_REMEDY}")
        self.seconds += seconds
        self.evaluations += evaluations
        self.losses.append(loss)
        self.elapsed.append(self.seconds)

    def add_all(self, losses: Sequence[float], seconds: float) -> None:
        """All iterations, which took so long together."""
        for loss in losses:
            self.add(loss, seconds / len(losses))

    def levelled(self, tolerance: float) -> bool:
        """Whether the lowest loss has hardly fallen of late."""
        if not tolerance or len(self.losses) <= PATIENCE:
            return False
        before = min(self.losses[:-PATIENCE])
        return before - min(self.losses[-PATIENCE:]) < tolerance * before

    def outcome(self, picture: Tensor) -> Outcome:
        if not picture.isfinite().all():
            raise DivergedError(f"after {len(self.losses)} iterations the picture is not finite; {_REMEDY}")
        return Outcome(picture, tuple(self.losses), tuple(self.elapsed), self.seconds, self.evaluations)


class _Clock:
    """Seconds since the last lap."""

    def __init__(self, device: torch.device) -> None:
        synchronize(device)
        self._first = self._last = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        return seconds

    @property
    def total(self) -> float:
        """All laps."""
        return self._last - self._first
