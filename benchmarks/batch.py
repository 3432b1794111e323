"""Batching: features, losses and gradient of one, two and four pictures at once, at the size of the study."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks import steps
from benchmarks.table import Cell, Section, Spread
from flows.settings import cores

if TYPE_CHECKING:
    from torch import Tensor

    from nst.vgg import Encoder

COUNTS = (1, 2, 4)
SIZE = 192
ROUNDS = 12
"""Turns that count, after one that warms up."""


def measure(say: Callable[[str], None]) -> Section:
    """All batch sizes, taking turns, with one thread and with all cores."""
    import torch

    from nst import metrics, run
    from nst.images import from_png
    from nst.optimize import synchronize
    from nst.vgg import Encoder
    from nst.weights import vgg19

    job, inputs = steps.prepare(SIZE, "auto", iterations=1)
    where = run.platform(job.precision)
    device = torch.device(where.device)
    encoder = Encoder(vgg19(job.weights), steps.DEEPEST, dtype=getattr(torch, where.precision), device=device)
    assert inputs.content is not None
    picture = metrics.as_tensor(from_png(inputs.content)).to(device)
    batches = {count: _step(encoder, picture.repeat(count, 1, 1, 1)) for count in COUNTS}
    rows: list[tuple[Cell, ...]] = []
    for threads in sorted({1, cores()}):
        say(f"{threads} thread{'s' * (threads > 1)}")
        torch.set_num_threads(threads)
        times: dict[int, list[float]] = {count: [] for count in COUNTS}
        for _ in range(1 + ROUNDS):
            for count, step in batches.items():
                began = time.perf_counter()
                step()
                synchronize(device)
                times[count].append((time.perf_counter() - began) / count)
        for count, found in times.items():
            counted = found[1:]
            rows.append(
                (
                    count,
                    threads,
                    Spread.of(1000 * seconds for seconds in counted),
                    Spread.of(1 / seconds for seconds in counted),
                )
            )
    columns = ("pictures at once", "threads", "ms a picture", "pictures a second")
    notes = (f"{SIZE}×{SIZE} px, {where.precision}, to {steps.DEEPEST}: features, losses and gradient of one step.",)
    return Section("Batching", columns, tuple(rows), notes=notes)


def _step(encoder: "Encoder", pictures: "Tensor") -> Callable[[], object]:
    import torch

    from nst.losses import content_loss, gram_matrix, style_loss

    layers = {*steps.CONTENT_LAYERS, *steps.STYLE_LAYERS}
    with torch.no_grad():
        kept = encoder(pictures, layers)
        grams = {name: gram_matrix(kept[name]) for name in steps.STYLE_LAYERS}
        contents = {name: kept[name] for name in steps.CONTENT_LAYERS}
    moved = (pictures * 0.9).requires_grad_()

    def once() -> None:
        moved.grad = None
        found = encoder(moved, layers)
        content = sum(content_loss(found[name], target).sum() for name, target in contents.items())
        (content + style_loss(found, grams).sum()).backward()  # type: ignore[no-untyped-call]

    return once
