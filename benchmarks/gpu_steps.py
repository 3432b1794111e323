"""One step on a GPU, by size and batch: as a CUDA graph and eager, beside the bare network and what the GPU can do.

`torch.compile` is left out: it takes tens of seconds for each shape, so minutes for these, and what it could fuse
(bias, ReLU, pooling, the small operations of a step) a graph already launches without waiting.
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import plain, steps
from benchmarks.table import Cell, Section, Spread, Target
from flows.worker import is_out_of_memory
from nst.engine import batches
from nst.engine.layers import multiplications

if TYPE_CHECKING:
    from torch import Tensor

    from nst.engine.objective import Objective

OVER_BARE, PICTURE_MS, SMALL_MS = 1.3, 1.6, 2.0
"""Targets: a step in the best batch at 512 px, of the bare network and for a picture; one of one picture at 192 px."""
KEPT = 320
"""Values for each pixel that layers and poolings give, up to conv5_1."""
PASSES = 5
"""How often each of them is read or written at least: made, used, used on the way back; its gradient made, used."""
COLUMNS = (
    "px", "batch", "graph, ms", "eager, ms", "bare, ms", "roofline, ms", "a picture, ms", "of bare",
    "of the bf16 product", "memory, GB", "its model, GB",
)  # fmt: skip
_FEW = 5
"""Steps whose time is taken off, with all that comes before the first: enough for a graph to be captured in."""
_TURN, _TURNS = 0.25, 2
"""Seconds of steps that count in a turn, about; and turns."""


@dataclass(frozen=True)
class Ceilings:
    """What the device reaches in practice, a second."""

    operations: float
    """Additions and multiplications of a bfloat16 matrix product."""
    traffic: float
    """Bytes read and written by a copy."""


@functools.cache
def ceilings(device: str) -> Ceilings:
    """Both, measured."""
    import torch

    side, size = (8192, 2**30) if device == "cuda" else (256, 2**24)
    factor = torch.randn(side, side, device=device).bfloat16()
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product = seconds(lambda: factor @ factor, device).median
    copy = seconds(lambda: target.copy_(source), device).median
    return Ceilings(2 * side**3 / product, 2 * size / copy)


def measure_ceilings(device: str) -> Section:
    """Both as a table."""
    found = ceilings(device)
    rows = (("bfloat16 matrix product, TFLOP/s", found.operations / 1e12), ("copy, GB/s", found.traffic / 1e9))
    return Section("Ceilings", ("what", "measured"), rows)


def seconds(run: Callable[[], object], device: str) -> Spread:
    """Of one call, in turns of as many as take about `_TURN`."""
    for _ in range(3):
        run()
    count = max(1, min(200, int(_TURN / _clock(run, 1, device))))
    return Spread.of(_clock(run, count, device) / count for _ in range(_TURNS))


def _clock(run: Callable[[], object], count: int, device: str) -> float:
    """Seconds of so many calls, on the GPU's own clock where there is one."""
    import torch

    if device != "cuda":
        began = time.perf_counter()
        for _ in range(count):
            run()
        return time.perf_counter() - began
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    first.record()
    for _ in range(count):
        run()
    last.record()
    torch.cuda.synchronize()
    return float(first.elapsed_time(last)) / 1000


def roofline(size: int, batch: int, found: Ceilings) -> float:
    """Seconds that a step takes at least: its multiplications forward and back, or its traffic."""
    pixels = size**2 * batch
    operations = 2 * 2 * multiplications(steps.DEEPEST) * pixels
    return max(operations / found.operations, PASSES * KEPT * 2 * pixels / found.traffic)


def ways(device: str) -> Mapping[str, Mapping[str, bool]]:
    """How a step can be run, and the options of `minimize` for it."""
    return {"graph": {}, "eager": {"graph": False}} if device == "cuda" else {"eager": {}}


def measure(size: int, counts: Sequence[int], device: str, say: Callable[[str], None]) -> Section:
    """All batches at one size; those that do not fit into memory are left out, and named."""
    rows: list[tuple[Cell, ...]] = []
    notes: tuple[str, ...] = (
        f"Content {steps.CONTENT_LAYERS[0]}, style {steps.STYLE_LAYERS[0]} … {steps.DEEPEST}, bfloat16 where it is "
        "fast.  *Bare*: the plain network forward and back, eager.  *Roofline*: the larger of its multiplications at "
        "the measured matrix product and of its traffic at the measured copy.  *Model*: `nst.engine.batches.memory`, "
        "for pictures with targets of their own; these share theirs.",
    )
    targets: list[Target] = []
    best: tuple[float, float] | None = None
    for count in counts:
        say(f"{size} px, batch of {count}")
        try:
            found = _measure(size, count, device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            notes += (f"A batch of {count} does not fit into memory.",)
            break
        rows.append(found.row)
        step = found.steps[next(iter(ways(device)))]
        best = min(best or (float("inf"), 0.0), (1000 * step.median / count, step.median / found.bare.median))
        if (size, count) == (192, 1):
            targets.append(Target("step at 192 px, one picture", SMALL_MS, found.milliseconds(step), "ms"))
        _free(device)
    _free(device)  # of a batch that did not fit
    if best and size == 512:
        targets.append(Target("step at 512 px in the best batch, a picture", PICTURE_MS, Spread.of([best[0]]), "ms"))
        targets.append(Target("the same, of the bare network", OVER_BARE, Spread.of([best[1]]), "×"))
    return Section(f"Steps at {size} px", COLUMNS, tuple(rows), tuple(targets), notes)


@dataclass(frozen=True)
class Measured:
    """One size and batch."""

    size: int
    batch: int
    steps: Mapping[str, Spread]
    """Seconds by way."""
    bare: Spread
    floor: float
    """Seconds of the roofline."""
    operations: float
    """A second, of the matrix product."""
    memory: float | None
    """Bytes; None on a CPU."""
    model: float
    """Bytes."""

    @staticmethod
    def milliseconds(of: Spread) -> Spread:
        """Of seconds."""
        return Spread(1000 * of.median, 1000 * of.low, 1000 * of.high, of.count)

    @property
    def row(self) -> tuple[Cell, ...]:
        """As `COLUMNS` say."""
        fastest = self.steps.get("graph") or self.steps["eager"]
        operations = 4 * multiplications(steps.DEEPEST) * self.size**2 * self.batch / fastest.median
        return (
            self.size,
            self.batch,
            *(self.milliseconds(self.steps[way]) if way in self.steps else "" for way in ("graph", "eager")),
            self.milliseconds(self.bare),
            1000 * self.floor,
            1000 * fastest.median / self.batch,
            f"{fastest.median / self.bare.median:.2f} ×",
            f"{100 * operations / self.operations:.0f} %",
            "" if self.memory is None else self.memory / 1e9,
            self.model / 1e9,
        )


def _measure(size: int, count: int, device: str) -> Measured:
    import torch

    from nst.engine import run
    from nst.engine.images import from_png
    from nst.engine.machine import machine, precision_of
    from nst.engine.metrics import as_tensor
    from nst.engine.weights import vgg19

    run.torch_device()  # sets it up as for jobs
    job, inputs = steps.prepare(size, "auto", iterations=_FEW)
    precision = precision_of(job, machine())
    assert inputs.content is not None
    pictures = as_tensor(from_png(inputs.content)).to(device).expand(count, -1, -1, -1).contiguous()
    network = plain.PlainVGG(
        vgg19(job.weights), steps.DEEPEST, getattr(torch, precision), torch.channels_last, pictures.device
    )
    bare = seconds(plain.forward_and_backward(network, pictures, steps.DEEPEST), device)
    del network
    _free(device)

    before = torch.cuda.memory_allocated() if device == "cuda" else 0
    objective, _ = run._objective([job] * count, [inputs] * count, pictures.device)
    peak, taken = None, {}
    for way, options in ways(device).items():
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        taken[way] = _step(objective, pictures, options, about=bare.median)
        if device == "cuda":
            peak = max(peak or 0.0, float(torch.cuda.max_memory_allocated() - before))
    found = ceilings(device)
    model = count * batches.memory(job, inputs.shape, precision)
    return Measured(size, count, taken, bare, roofline(size, count, found), found.operations, peak, model)


def _step(objective: "Objective", starts: "Tensor", options: Mapping[str, Any], *, about: float) -> Spread:
    """Seconds of a step: what a long run takes more than a short one, so that nothing counts that is done once.

    Args:
        about: how long a step takes at least.
    """
    from nst.engine.optimize import minimize, synchronize
    from nst.engine.parametrize import Fourier

    height, width = starts.shape[-2:]
    more = max(_FEW, min(200, int(_TURN / about)))

    def run(count: int) -> float:
        began = time.perf_counter()
        minimize(objective, starts, Fourier(height, width, starts.device), iterations=count, **options)
        synchronize(starts.device)
        return time.perf_counter() - began

    run(_FEW)
    return Spread.of(max(run(_FEW + more) - run(_FEW), 1e-9) / more for _ in range(_TURNS))


def _free(device: str) -> None:
    """Memory that torch keeps for itself, so that the next batch and other processes have it."""
    import gc

    import torch

    if device == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
