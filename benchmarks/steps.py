"""Per iteration: one optimisation step of ours, beside the bare network and beside a plain float32 step.

All take turns in one process, a few steps each, so that a machine that gets slower or faster does so for all; ratios
are taken turn by turn.  Ours is `nst.engine.run.run_job` itself: the others run in its callback, between two of its
steps.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import pairs
from benchmarks.pairs import PAIRS
from benchmarks.process import FailedError
from benchmarks.table import Cell, Section, Spread, Target
from flows.settings import cores
from nst.engine.layers import CLASSIC

if TYPE_CHECKING:
    from torch import Tensor

    from nst.engine.inputs import Inputs
    from nst.engine.jobs import Job, Precision
    from nst.engine.vgg import Encoder

ROUNDS = {256: 8, 512: 5}
"""Turns that count, after one that warms up, by size."""
CONTENT_LAYERS = ("conv4_2",)
STYLE_LAYERS = CLASSIC
DEEPEST = "conv5_1"
OVER_BARE = 1.25
BELOW_FLOAT32 = 5.0
STEPS = {"bfloat16": 3, "float32": 1}
"""Of a turn, that count, after one that does not; by precision."""

OURS, BARE, FUSED, PLAIN = "whole step, ours", "network alone, plain", "network alone, ours", "whole step, plain"


@dataclass(frozen=True)
class Contender:
    """What takes turns with ours."""

    what: str
    precision: str
    layout: str
    run: "Callable[[], object]"
    steps: int
    """Of a turn, that count."""


@dataclass
class Turns:
    """A callback of `run_job` that times its steps and, after every few, gives the others their turn."""

    others: Sequence[Contender]
    steps: int
    """Of ours in a turn, that count."""
    synchronize: Callable[[], None] = lambda: None
    times: dict[str, list[list[float]]] = field(default_factory=dict)
    """Seconds a step, by contender (`OURS` or its number) and turn."""
    _turn: list[float] = field(default_factory=list)
    _left: float | None = None

    def __call__(self, _state: object) -> None:
        """After a step of ours."""
        self.synchronize()
        now = time.perf_counter()
        if self._left is not None:
            self._turn.append(now - self._left)
        if len(self._turn) == 1 + self.steps:
            self._keep(OURS, self._turn)
            self._turn = []
            for index, other in enumerate(self.others):
                self._keep(str(index), [self._time(other.run) for _ in range(1 + other.steps)])
        self._left = time.perf_counter()

    def _time(self, run: Callable[[], object]) -> float:
        began = time.perf_counter()
        run()
        self.synchronize()
        return time.perf_counter() - began

    def _keep(self, name: str, turn: list[float]) -> None:
        self.times.setdefault(name, []).append(turn[1:])


def measure(say: Callable[[str], None]) -> Section:
    """All sizes with all cores; the smallest also with one thread, as in a study.

    Raises:
        FailedError: a job ended before its last step.
    """
    from nst.engine.machine import machine

    fast: Precision = machine().precision  # type: ignore[assignment]
    rows: list[tuple[Cell, ...]] = []
    targets: list[Target] = []
    for size, rounds in ROUNDS.items():
        for threads in sorted({cores(), 1} if size == min(ROUNDS) else {cores()}, reverse=True):
            say(f"{size}×{size}, {fast}, {threads} thread{'s' * (threads > 1)}")
            found = _compare(size, threads, fast, rounds, plain_step=True)
            rows += found.rows(size, threads)
            targets += found.targets(f"{size}×{size}, {threads} thread{'s' * (threads > 1)}")
        if fast != "float32":
            say(f"{size}×{size}, float32, {cores()} threads")
            rows += _compare(size, cores(), "float32", 3, plain_step=False).rows(size, cores())
    columns = ("picture", "threads", "what", "precision", "layout", "ms", "ours is × this")
    notes = (
        f"Content {CONTENT_LAYERS[0]}, style {STYLE_LAYERS[0]} … {DEEPEST}.  *Whole step*: features, losses, gradient, "
        "update, cut to gamut.  *Network alone*: forward and backward up to the same layer.  *Plain*: conv2d, relu "
        "and max_pool2d with autograd; *ours*: `nst`.",
    )
    return Section("Per iteration", columns, tuple(rows), tuple(targets), notes)


@dataclass(frozen=True)
class Comparison:
    """What the turns of ours and of the others took."""

    precision: str
    others: tuple[Contender, ...]
    times: Mapping[str, Sequence[Sequence[float]]]
    """As in `Turns`, without the turn that warmed up."""

    def rows(self, size: int, threads: int) -> list[tuple[Cell, ...]]:
        """Ours, then the others."""
        first = (f"{size}×{size}", threads)
        table: list[tuple[Cell, ...]] = [(*first, OURS, self.precision, "channels_last", self._milliseconds(OURS), "")]
        for index, other in enumerate(self.others):
            name = str(index)
            row = (other.what, other.precision, other.layout, self._milliseconds(name), self._ratio(name))
            table.append((*first, *row))
        return table

    def targets(self, where: str) -> list[Target]:
        """Against the bare network in the same precision and layout, and against the plain float32 step."""
        found = []
        for index, other in enumerate(self.others):
            ratio = self._ratio(str(index))
            if (other.what, other.precision, other.layout) == (BARE, self.precision, "channels_last"):
                found.append(Target(f"{where}: step, of the bare network", OVER_BARE, ratio, "×"))
            if other.what == PLAIN:
                inverse = Spread(1 / ratio.median, 1 / ratio.high, 1 / ratio.low, ratio.count)
                what = f"{where}: times faster than plain float32"
                found.append(Target(what, BELOW_FLOAT32, inverse, "×", at_least=True))
        return found

    def _milliseconds(self, name: str) -> Spread:
        return Spread.of(1000 * seconds for turn in self.times[name] for seconds in turn)

    def _ratio(self, name: str) -> Spread:
        """Ours by the other, turn by turn."""
        both = zip(self.times[OURS], self.times[name], strict=True)
        return Spread.of(median(ours) / median(other) for ours, other in both)


def _compare(size: int, threads: int, precision: "Precision", rounds: int, *, plain_step: bool) -> Comparison:
    import torch

    from nst.engine import metrics, run
    from nst.engine.images import from_png
    from nst.engine.optimize import synchronize

    job, inputs = prepare(size, precision, iterations=(1 + rounds) * (1 + STEPS[precision]) + 1)
    device = run.torch_device()
    assert inputs.content, "a transfer has a content"
    content, style = (metrics.as_tensor(from_png(png)).to(device) for png in (inputs.content, inputs.styles[0][0]))
    torch.set_num_threads(threads)
    others = _floors(job, content, precision)
    if plain_step:
        others.append(_plain_step(job, content, style))
    turns = Turns(others, STEPS[precision], lambda: synchronize(device))
    run.run_job(job, inputs, threads=threads, on_iteration=turns, pixel_metrics=False)
    if len(turns.times.get(OURS, [])) != 1 + rounds:
        raise FailedError(
            f"a job of {job.iterations} steps took fewer, so steps cannot be timed: see {__name__}.prepare"
        )
    times = {name: found[1:] for name, found in turns.times.items()}
    return Comparison(precision, tuple(turns.others), times)


def prepare(size: int, precision: "Precision", iterations: int) -> "tuple[Job, Inputs]":
    """A transfer of the usual pictures, cut square."""
    from nst.engine import images
    from nst.engine.inputs import Inputs
    from nst.params import settings

    pair = PAIRS[0]
    content, style = (images.to_png(pairs.square(images.read(path), size)) for path in pair.paths)
    job = settings(size=size, precision=precision, iterations=iterations).job(
        "transfer",
        content=pair.content,
        style=pair.style,
        content_layers=CONTENT_LAYERS,
        style_layers=STYLE_LAYERS,
        init="content",
    )
    return job, Inputs(content, ((style, 1.0),))


def _floors(job: "Job", content: "Tensor", precision: str) -> list[Contender]:
    """The network alone: plain, ours, and plain in the other layout."""
    import torch

    from benchmarks import plain
    from nst.engine.vgg import Encoder
    from nst.engine.weights import vgg19

    dtype: torch.dtype = getattr(torch, precision)
    weights = vgg19(job.weights)

    def bare(layout: str, form: torch.memory_format) -> Contender:
        network = plain.PlainVGG(weights, DEEPEST, dtype, form, content.device)
        return Contender(
            BARE, precision, layout, plain.forward_and_backward(network, content, DEEPEST), STEPS[precision]
        )

    encoder = Encoder(weights, DEEPEST, pooling=job.pooling, dtype=dtype, device=content.device)
    return [
        bare("channels_last", torch.channels_last),
        Contender(FUSED, precision, "channels_last", _forward_and_backward(encoder, content), STEPS[precision]),
        bare("contiguous", torch.contiguous_format),
    ]


def _forward_and_backward(encoder: "Encoder", picture: "Tensor") -> Callable[[], object]:
    import torch

    picture = picture.clone().requires_grad_()
    with torch.no_grad():
        direction = torch.ones_like(encoder(picture, [DEEPEST])[DEEPEST])

    def once() -> None:
        picture.grad = None
        torch.autograd.backward(encoder(picture, [DEEPEST])[DEEPEST], direction)

    return once


def _plain_step(job: "Job", content: "Tensor", style: "Tensor") -> Contender:
    import torch

    from benchmarks import plain
    from nst.engine.weights import vgg19

    network = plain.PlainVGG(vgg19(job.weights), DEEPEST, torch.float32, torch.contiguous_format, content.device)
    return Contender(PLAIN, "float32", "contiguous", plain.step(network, job, content, style), STEPS["float32"])
