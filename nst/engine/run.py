"""Run jobs: from a `Job` and its pictures to a `Result`, one job alone or several as a batch."""

import dataclasses
import functools
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psutil
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from nst.engine import adain, batches, images, init, ladder, malloc, memory, metrics, recolour, targets, tiles, weights
from nst.engine.inputs import Inputs
from nst.engine.jobs import Job
from nst.engine.layers import LAYERS
from nst.engine.machine import machine, precision_of
from nst.engine.metrics import as_tensor
from nst.engine.objective import Objective
from nst.engine.optimize import Callback, Outcome, State, minimize, synchronize
from nst.engine.parametrize import Fourier, Parametrization, Pixels, Sigmoid
from nst.engine.results import Environment, Quality, Result, Timing
from nst.engine.tiled import TiledObjective
from nst.engine.vgg import Encoder


def run_job(job: Job, inputs: Inputs, **options: Any) -> Result:
    """Optimise one picture as `job` says; the options are those of `run_jobs`."""
    return run_jobs([job], [inputs], **options)[0]


def run_jobs(
    jobs: Sequence[Job],
    inputs: Sequence[Inputs],
    *,
    threads: int | None = None,
    on_iteration: Callback = lambda _state: None,
    on_picture: Callable[[Tensor], None] = lambda _picture: None,
    pixel_metrics: bool = True,
) -> list[Result]:
    """Optimise one picture for each job, as a batch that shares forward and backward passes.

    A picture has the same bytes whatever ran before or runs beside it, for the same originals, weights, kind of machine
    and number of threads; on a GPU also the same batch, as it may sum in another way for another size.

    Args:
        jobs, inputs: of one kind, as `nst.engine.batches.kind` says, and their pictures, from `nst.engine.inputs`.
        threads: of torch in this process, from here on; None means `default_threads`.
        on_iteration: called after each iteration, with the picture as it would be saved; true ends that picture.
        on_picture: called with each job's picture (1, 3, H, W) in [0, 1], before it is rounded to 8 bit.
        pixel_metrics: PSNR and SSIM too; the library that computes them takes two seconds to import.

    Raises:
        ValueError: the jobs are of more than one kind.
        WeightsError: the weights are missing or altered.
    """
    if len({batches.kind(job, given.shape) for job, given in zip(jobs, inputs, strict=True)}) != 1:
        raise ValueError("the jobs of a batch must be of one kind: see nst.engine.batches.kind")
    torch.set_num_threads(default_threads() if threads is None else threads)
    if any(given.content for given in inputs):
        weights.st_lpips()  # missing weights of a metric are told before the work, not after
    began = time.perf_counter()
    device = torch_device()
    aims = [recoloured(job, given) for job, given in zip(jobs, inputs, strict=True)]
    if jobs[0].timed:  # the starts and two steps first, so that times hold no first-use costs
        _climb(jobs, aims, _starts(jobs, aims, device)[0], lambda _state: None, iterations=2)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    finish = [_finish(job, given, device) for job, given in zip(jobs, inputs, strict=True)]
    starts, start_seconds = _starts(jobs, aims, device)
    frames, watch = _recorder(jobs, starts, finish, on_iteration)
    climbed = _climb(jobs, aims, starts, watch)
    shared = (time.perf_counter() - began) / len(jobs)
    environment = _environment(jobs[0], climbed.encoder)
    saved = [
        _rounded(finished(outcome.picture).clamp(0, 1), on_picture)
        for finished, outcome in zip(finish, climbed.outcomes, strict=True)
    ]
    results = []
    with ThreadPoolExecutor() as pool:  # compressing lets other threads run, which on a GPU measure meanwhile
        files = [pool.submit(images.to_png, picture) for picture in saved]
        for number, (job, outcome) in enumerate(zip(jobs, climbed.outcomes, strict=True)):
            began = time.perf_counter()
            png = files[number].result()
            made = time.perf_counter()
            quality = _quality(
                job, saved[number], inputs[number], climbed.objective, number=number, device=device,
                pixel_metrics=pixel_metrics,
            )  # fmt: skip
            ended = time.perf_counter()
            timing = _timing(
                outcome, start_seconds[number], everything=shared + ended - began, measuring=ended - made,
                batch=len(jobs),
            )  # fmt: skip
            results.append(Result(job, png, tuple(frames[number]), outcome.losses, quality, timing, environment))
    return results


def _rounded(picture: Tensor, on_picture: Callable[[Tensor], None]) -> Image.Image:
    on_picture(picture)
    return decode(picture)


def default_threads() -> int:
    """As many as this process has cores to run on; hyper-threads do not count."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, psutil.cpu_count(logical=False) or allowed)


def decode(tensor: Tensor) -> Image.Image:
    """(1, 3, H, W) in [0, 1] rounded to 8 bit: the inverse of `nst.engine.metrics.as_tensor`."""
    array = (tensor[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(array)


def torch_device() -> torch.device:
    """Where jobs run, set up so that the same work gives the same bytes every time."""
    if machine().device == "cpu":
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = False  # metrics are in float32, not nearly so
    torch.backends.cudnn.deterministic = True  # nor is the fastest algorithm looked for: it may be another each time
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    return torch.device("cuda")


_Finish = Callable[[Tensor], Tensor]


@functools.lru_cache(maxsize=4)
def recoloured(job: Job, given: Inputs) -> Inputs:
    """The originals in the colours that the job aims at, rounded to 8 bit as all pictures are.

    Metrics compare with the originals as they are, so that jobs of different colours compare.
    """
    if job.recoloured not in ("luminance", "matched"):
        return given
    assert given.content is not None and given.styles, "a transfer has both"
    content = as_tensor(images.from_png(given.content))
    is_matched = job.recoloured == "matched"
    match = recolour.match_colours if is_matched else recolour.match_luminance
    styles = [(match(as_tensor(images.from_png(png)), content), share) for png, share in given.styles]
    return Inputs(
        given.content if is_matched else images.to_png(decode(recolour.grey(content))),
        tuple((images.to_png(decode(style)), share) for style, share in styles),
    )


def _finish(job: Job, given: Inputs, device: torch.device) -> _Finish:
    """What makes the job's picture of what is optimised, on whichever rung."""
    width, height = images.png_size(given.shape)
    recolours = job.recoloured in ("content", "luminance")
    content = _tensor(given.content, device) if recolours and given.content else None

    def finish(picture: Tensor) -> Tensor:
        picture = _resized(picture, height, width)
        return picture if content is None else recolour.with_colours_of(content, picture)

    return finish


def _resized(picture: Tensor, height: int, width: int) -> Tensor:
    if picture.shape[-2:] == (height, width):
        return picture
    return F.interpolate(picture, (height, width), mode="bicubic", align_corners=False).clamp(0, 1)


@dataclass
class _Climbed:
    """Jobs that have been optimised, rung by rung."""

    outcomes: list[Outcome]
    objective: Objective
    encoder: Encoder
    """Both of the last rung."""


def _climb(
    jobs: Sequence[Job],
    aims: Sequence[Inputs],
    starts: Sequence[Tensor],
    on_iteration: Callback,
    *,
    iterations: int = 0,
) -> _Climbed:
    """Optimise the jobs' pictures on each rung of their ladder, which most have one of.

    Args:
        aims, starts: of each job, from `recoloured` and `_starts`.
        iterations: of each rung, where it is not 0.
    """
    first, rungs, device = jobs[0], ladder.rungs(jobs[0], images.png_size(aims[0].shape)), starts[0].device
    total = sum(rung.iterations for rung in rungs)
    pictures = list(starts)
    outcomes: dict[int, Outcome] = {}
    stopped: set[int] = set()
    for rung in rungs:
        going = [number for number in range(len(jobs)) if number not in stopped]
        if not going and rung is not rungs[-1]:
            continue
        here = [ladder.scaled(aim, rung.scale) for aim in aims]
        objective, encoder = _objective(jobs, here, device)
        if not going:
            break
        width, height = images.png_size(here[0].shape)

        def watch(state: State) -> bool | None:
            number = going[state.number]  # noqa: B023  (called in this turn of the loop alone)
            before = len(outcomes[number].losses) if number in outcomes else 0
            told = dataclasses.replace(state, number=number, iteration=before + state.iteration, of=total)
            if on_iteration(told):
                stopped.add(number)
            return number in stopped

        found = minimize(
            lambda points, places: objective(points, [going[place] for place in places]),  # noqa: B023
            torch.cat([_resized(pictures[number], height, width) for number in going]),
            _parametrization(first, height, width, device),
            iterations=iterations or rung.iterations,
            optimizer=first.optimizer,
            learning_rate=rung.learning_rate,
            tolerance=first.tolerance,
            stop_loss=first.stop_loss if rung is rungs[-1] else 0.0,
            timed=first.timed,
            on_iteration=watch,
        )
        for number, outcome in zip(going, found, strict=True):
            outcomes[number] = outcomes[number].then(outcome) if number in outcomes else outcome
            pictures[number] = outcome.picture
        if rung is not rungs[-1]:
            malloc.trim()  # its blocks fit no other rung
    return _Climbed([outcomes[number] for number in range(len(jobs))], objective, encoder)


def _parametrization(job: Job, height: int, width: int, device: torch.device) -> Parametrization:
    if job.parametrization == "fourier":
        return Fourier(height, width, device, smooth=job.optimizer == "lbfgs")
    return Pixels() if job.optimizer == "adam" else Sigmoid()


def _objective(jobs: Sequence[Job], inputs: Sequence[Inputs], device: torch.device) -> tuple[Objective, Encoder]:
    network = targets.Network(jobs[0].weights, jobs[0].pooling, _dtype(jobs[0]), device)
    contents, styles = [], []
    for job, given in zip(jobs, inputs, strict=True):
        contents.append(targets.content(given.content, job.content_layers, network) if given.content else {})
        size = images.png_size(given.shape)
        styles.append(targets.style(given.styles, job.style_layers, network, job.style_loss, size))
    encoder = targets.encoder(network)
    width, height = images.png_size(inputs[0].shape)
    in_tiles = device.type == "cpu" and memory.in_tiles(jobs[0], height, width)
    kind = TiledObjective if in_tiles else Objective
    return kind(jobs, encoder, contents, styles), encoder


def _dtype(job: Job) -> torch.dtype:
    """Of the networks that make the picture."""
    dtype: torch.dtype = getattr(torch, precision_of(job, machine()))
    return dtype


def _starts(jobs: Sequence[Job], inputs: Sequence[Inputs], device: torch.device) -> tuple[list[Tensor], list[float]]:
    """The pictures (1, 3, H, W) that the jobs begin with, on their first rung, and how many seconds each took from the
    originals."""
    starts, seconds = [], []
    for job, whole in zip(jobs, inputs, strict=True):
        given = ladder.scaled(whole, ladder.rungs(job, images.png_size(whole.shape))[0].scale)
        content = _tensor(given.content, device) if given.content else None
        styles = [(_tensor(png, device), share) for png, share in given.styles]
        began = time.perf_counter()
        starts.append(_start(job, content, styles))
        synchronize(device)
        seconds.append(time.perf_counter() - began)
    return starts, seconds


def _start(job: Job, content: Tensor | None, styles: Sequence[tuple[Tensor, float]]) -> Tensor:
    shape = styles[0][0] if content is None else content
    if job.init == "noise":
        return init.noise(job.noise, shape.shape[-2], shape.shape[-1], job.seed).to(shape.device)
    assert content is not None, "a content or AdaIN start needs a content picture"
    if job.init == "content":
        return content
    assert styles, "an AdaIN start needs a style picture"
    return adain.load(_dtype(job), shape.device)(content, styles)


def _recorder(
    jobs: Sequence[Job], starts: Sequence[Tensor], finish: "Sequence[_Finish]", on_iteration: Callback
) -> tuple[list[list[bytes]], Callback]:
    """For each job the frames of its film, PNG files at about equal distances; and the callback that appends them."""
    frames = [
        [images.to_png(decode(finish[number](starts[number])))] if job.frames else [] for number, job in enumerate(jobs)
    ]

    def watch(state: State) -> bool | None:
        job = jobs[state.number]
        finished = dataclasses.replace(state, picture=lambda: finish[state.number](state.picture()))
        if state.iteration in {round(number * state.of / job.frames) for number in range(1, job.frames)}:
            frames[state.number].append(images.to_png(decode(finished.picture())))
        return on_iteration(finished)

    return frames, watch


def _quality(
    job: Job,
    saved: Image.Image,
    inputs: Inputs,
    objective: Objective,
    *,
    number: int,
    device: torch.device,
    pixel_metrics: bool,
) -> Quality:
    """Of the picture `number` of the batch that `objective` is of."""
    picture = as_tensor(saved).to(device)
    with torch.no_grad():
        final_loss = objective.smoothness(picture, [number])

        def add(layer: str, features: Tensor) -> None:
            nonlocal final_loss
            final_loss = final_loss + objective.at(layer, features, [number])

        # The loss comes from the pass that distances are measured in, where that is of the same picture and network.
        same = job.pooling == "max" and not objective.is_grey and not tiles.are_needed(picture)
        layers = {*job.content_layers, *job.style_layers} if same else ()
        distances = metrics.distances(picture, inputs.content, inputs.styles, job.weights, layers=layers, watch=add)
        if not same:
            final_loss = objective(picture, [number])
    content = _tensor(inputs.content, device) if pixel_metrics and inputs.content else None
    errors = distances.gram_errors
    return Quality(
        content_distance=distances.content,
        style_distance=distances.style,
        own_style_distance=metrics.mean_error(errors[LAYERS.index(name)] for name in job.style_layers)
        if errors
        else None,
        gram_errors=errors,
        sliced_wasserstein=distances.sliced_wasserstein,
        colour_distance=distances.colour,
        cfsd=distances.cfsd,
        st_lpips=distances.st_lpips,
        arrangement=distances.arrangement,
        psnr=None if content is None else metrics.psnr(picture, content),
        ssim=None if content is None else metrics.ssim(picture, content),
        final_loss=final_loss.item(),
    )


def _tensor(png: bytes, device: torch.device) -> Tensor:
    """(1, 3, H, W)."""
    return as_tensor(images.from_png(png)).to(device)


def _timing(outcome: Outcome, start: float, *, everything: float, measuring: float, batch: int) -> Timing:
    """Of a job in a batch of that size; the other arguments are seconds."""
    return Timing(
        seconds=start + outcome.seconds,
        start_seconds=start,
        all_seconds=everything,
        measuring_seconds=measuring,
        iterations=len(outcome.losses),
        evaluations=outcome.evaluations,
        peak_memory_mb=_peak_memory_mb(),
        elapsed=tuple(start + seconds for seconds in outcome.elapsed),
        batch=batch,
    )


def _peak_memory_mb() -> float:
    """Of the GPU since the batch began, or of this process, resident, since it began."""
    if machine().device != "cpu":
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _environment(job: Job, encoder: Encoder) -> Environment:
    here = machine()
    return Environment(
        device=f"cpu ({platform.machine()})" if here.device == "cpu" else torch.cuda.get_device_name(),
        precision=precision_of(job, here),
        kernels=encoder.kernels,
        threads=torch.get_num_threads(),
        torch=here.torch,
        weights_sha256=weights.checksum(job.weights),
        worker=platform.node(),
    )
