"""Run jobs: from a `Job` and its pictures to a `Result`, one job alone or several as a batch."""

import functools
import hashlib
import json
import platform as machine
import resource
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nst.engine import batches, images, malloc, weights
from nst.engine.jobs import Job, Pooling, Precision
from nst.engine.results import Environment, Quality, Result, Timing

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor

    from nst.engine.objective import Objective
    from nst.engine.optimize import Outcome, State
    from nst.engine.targets import Targets
    from nst.engine.vgg import Encoder

ENGINE = (
    "batches", "fused", "images", "init", "jobs", "layers", "lbfgs", "losses", "metrics", "objective", "optimize",
    "parametrize", "results", "run", "style_metrics", "targets", "vgg", "weights",
)  # fmt: skip
"""The modules that a result depends on: a change in one of them makes results stale."""


@dataclass(frozen=True)
class Inputs:
    """A job's pictures at the job's size, as PNG files, so that they can travel to any worker."""

    content: bytes | None
    style: bytes | None

    @property
    def shape(self) -> bytes:
        """The picture whose size the result has: the content, or the style when synthesizing."""
        picture = self.style if self.content is None else self.content
        assert picture is not None, "a job names a content, a style, or both"
        return picture


@dataclass(frozen=True)
class Platform:
    """The kind of machine a job runs on, as far as its result depends on it."""

    device: str
    """"cpu" or "cuda"."""
    precision: str
    """"bfloat16" or "float32"; never "auto"."""
    processor: str
    """Architecture and the instructions torch uses, like "x86_64 AVX512": other ones sum in another order."""


def platform(precision: Precision = "auto") -> Platform:
    """What this machine has.  "auto" means bfloat16 where the hardware accelerates it, else float32."""
    import torch

    if torch.cuda.is_available():
        device, accelerated = "cuda", torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        features = torch.cpu.get_capabilities()
        device, accelerated = (
            "cpu",
            any(features.get(name) for name in ("amx_bf16", "avx512_bf16", "arm_bf16", "bf16")),
        )
    if precision == "auto":
        precision = "bfloat16" if accelerated else "float32"
    return Platform(device, precision, f"{machine.machine()} {torch.backends.cpu.get_cpu_capability()}")


def inputs(job: Job, data: Path) -> Inputs:
    """The pictures a job names, from `data`/content and `data`/style, at the job's size.

    Raises:
        ImageError: a picture is missing, unreadable, or too small or too narrow.
    """
    return Inputs(
        content=_fitted(data / "content", job.content, job.size) if job.content else None,
        style=_fitted(data / "style", job.style, job.size) if job.style else None,
    )


def _fitted(folder: Path, name: str, size: int) -> bytes:
    path = images.find(folder, name)
    stat = path.stat()
    return _fitted_file(path, size, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _fitted_file(path: Path, size: int, _bytes: int, _modified: int) -> bytes:
    return images.to_png(images.fit(images.read(path), size, str(path)))


def key(job: Job, inputs: Inputs, platform: Platform, alone: bool, threads: int = 1) -> str:
    """What a stored result is filed under: a digest of everything that the result depends on.

    Args:
        platform: of the machine that the job runs on, which need not be this one.
        alone: the job is timed with nothing beside it, so a result timed in company will not do.
        threads: of the job; another number sums in another order, which changes the last bits.
    """
    import torch

    parts = {
        "job": job.digest,
        "pictures": [hashlib.sha256(png).hexdigest() if png else None for png in (inputs.content, inputs.style)],
        "weights": weights.checksum(job.weights),
        "engine": engine_digest(),
        "torch": torch.__version__,
        "platform": [platform.device, platform.precision, platform.processor],
        "threads": threads,
        "alone": alone,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@functools.lru_cache
def engine_digest() -> str:
    """Of the code that a result depends on."""
    digest = hashlib.sha256()
    for name in ENGINE:
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()


def run_job(job: Job, inputs: Inputs, **options: Any) -> Result:
    """Optimise one picture as `job` says; the options are those of `run_jobs`."""
    return run_jobs([job], [inputs], **options)[0]


def run_jobs(
    jobs: Sequence[Job],
    inputs: Sequence[Inputs],
    *,
    threads: int | None = None,
    warm_up: bool = False,
    on_iteration: "Callable[[State], None] | None" = None,
    pixel_metrics: bool = True,
) -> list[Result]:
    """Optimise one picture for each job, as a batch that shares forward and backward passes.

    The bytes of a picture depend on its job, its originals, the weights, the kind of machine and the number of
    threads; not on what ran before or runs beside it.  On a CPU, not on the rest of the batch either; a GPU may choose
    another way to sum for another size, so that last bits differ.

    Args:
        jobs: of one kind, as `nst.engine.batches.kind` says.
        inputs: their pictures at the jobs' size, from `inputs`.
        threads: torch's threads in this process; None leaves them as they are.
        warm_up: where this process has not made such starts or steps yet, do so first (of steps two), so that the
            times hold no first-use costs.  Later ones have none: their times are the same with and without.
        on_iteration: called after each iteration of a picture.
        pixel_metrics: PSNR and SSIM too; the library that computes them takes two seconds to import.

    Raises:
        ValueError: the jobs are of more than one kind.
        WeightsError: the weights are missing or altered.
    """
    import torch

    if len({batches.kind(job, given.shape) for job, given in zip(jobs, inputs, strict=True)}) != 1:
        raise ValueError("the jobs of a batch must be of one kind: see nst.engine.batches.kind")
    if threads is not None:
        torch.set_num_threads(threads)
    began = time.perf_counter()
    first = jobs[0]
    where = platform(first.precision)
    device = _device(where)
    objective = _objective(jobs, inputs, where)
    optimise = _optimiser(first, inputs[0], objective, device)
    if warm_up:
        _warm_up(jobs, inputs, device, optimise)

    films = [_Film(job) for job in jobs]

    def watch(state: "State") -> None:
        films[state.number].see(state.iteration, state.picture)
        if on_iteration is not None:
            on_iteration(state)

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    starts = _starts(jobs, inputs, device)
    for film, start in zip(films, starts, strict=True):
        film.see(0, lambda start=start: start.picture)  # type: ignore[misc]
    outcomes = optimise(_pictures(starts), iterations=first.iterations, tolerance=first.tolerance, on_iteration=watch)
    shared = (time.perf_counter() - began) / len(jobs)
    environment = _environment(first, where)
    results = []
    for number, (job, outcome) in enumerate(zip(jobs, outcomes, strict=True)):
        began = time.perf_counter()
        saved = decode(outcome.picture)
        png = images.to_png(saved)
        made = time.perf_counter()
        quality = _quality(
            job, saved, inputs[number], objective, number=number, device=device, pixel_metrics=pixel_metrics
        )
        ended = time.perf_counter()
        timing = Timing(
            seconds=starts[number].seconds + outcome.seconds,
            start_seconds=starts[number].seconds,
            all_seconds=shared + ended - began,
            measuring_seconds=ended - made,
            iterations=len(outcome.losses),
            evaluations=outcome.evaluations,
            peak_memory_mb=_peak_memory_mb(device),
            elapsed=tuple(starts[number].seconds + seconds for seconds in outcome.elapsed),
            batch=len(jobs),
        )
        results.append(Result(job, png, tuple(films[number].frames), outcome.losses, quality, timing, environment))
    return results


def _device(where: Platform) -> "torch.device":
    """Ready for work that gives the same bytes every time."""
    import torch

    if where.device == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # metrics are in float32, not nearly so
        torch.backends.cudnn.deterministic = True
    return torch.device(where.device)


def _objective(jobs: Sequence[Job], inputs: Sequence[Inputs], where: Platform) -> "Objective":
    from nst.engine.objective import Objective

    encoder, targets = _network(jobs[0].weights, jobs[0].pooling, where)
    contents = targets.contents([given.content for given in inputs], [job.content_layers for job in jobs])
    styles = targets.styles([given.style for given in inputs], [job.style_layers for job in jobs])
    return Objective(jobs, encoder, contents, styles)


def _optimiser(
    job: Job, given: Inputs, objective: "Objective", device: "torch.device"
) -> "Callable[..., list[Outcome]]":
    """`nst.engine.optimize.minimize` as jobs of this kind want it."""
    from nst.engine.optimize import minimize
    from nst.engine.parametrize import Fourier, Parametrization, Pixels, Sigmoid

    width, height = images.png_size(given.shape)
    parametrization: Parametrization
    if job.parametrization == "fourier":
        parametrization = Fourier(height, width, device, smooth=job.optimizer == "lbfgs")
    else:
        parametrization = Pixels() if job.optimizer == "adam" else Sigmoid()
    return functools.partial(
        minimize, objective, parametrization=parametrization, optimizer=job.optimizer, learning_rate=job.learning_rate
    )


_warm: set[Hashable] = set()
"""What this process has done once: steps and starts, as `_kinds` names them."""


def _warm_up(
    jobs: Sequence[Job], inputs: Sequence[Inputs], device: "torch.device", optimise: "Callable[..., list[Outcome]]"
) -> None:
    steps, starts = _kinds(jobs, inputs)
    if steps in _warm and starts in _warm:
        return
    pictures = _pictures(_starts(jobs, inputs, device))
    if steps not in _warm:
        optimise(pictures, iterations=2)
    _warm.update((steps, starts))


def _kinds(jobs: Sequence[Job], inputs: Sequence[Inputs]) -> tuple[Hashable, Hashable]:
    """What decides which operations, on which shapes, the steps of a batch take; and which its starts."""
    import torch

    kind = batches.kind(jobs[0], inputs[0].shape), torch.get_num_threads()
    layers = tuple((job.content_layers, job.style_layers) for job in jobs)
    starts = {(job.init, given.style and images.png_size(given.style)) for job, given in zip(jobs, inputs, strict=True)}
    return (*kind, layers), (*kind, frozenset(starts))


class _Film:
    """Pictures of the process, at about equal distances, as many as the job asks for."""

    def __init__(self, job: Job) -> None:
        self._wanted = {round(i * job.iterations / job.frames) for i in range(job.frames)} if job.frames else set()
        self.frames: list[bytes] = []

    def see(self, iteration: int, picture: "Callable[[], Tensor]") -> None:
        if iteration in self._wanted:
            self.frames.append(images.to_png(decode(picture())))


class _Start(NamedTuple):
    """Where a job begins."""

    picture: "Tensor"
    """(1, 3, H, W)."""
    seconds: float
    """That it took to make, from the originals in memory."""


def _starts(jobs: Sequence[Job], inputs: Sequence[Inputs], device: "torch.device") -> list[_Start]:
    starts = []
    for job, given in zip(jobs, inputs, strict=True):
        content, style = (_tensor(png, device) if png else None for png in (given.content, given.style))
        began = time.perf_counter()
        picture = _start(job, content, style)
        starts.append(_Start(picture, time.perf_counter() - began))
    return starts


def _pictures(starts: Sequence[_Start]) -> "Tensor":
    """(B, 3, H, W)."""
    import torch

    return torch.cat([start.picture for start in starts])


def _start(job: Job, content: "Tensor | None", style: "Tensor | None") -> "Tensor":
    from nst.engine import init
    from nst.engine.optimize import synchronize

    shape = style if content is None else content
    assert shape is not None, "a job names a content, a style, or both"
    if job.init == "noise":
        return init.noise(job.noise, shape.shape[-2], shape.shape[-1], job.seed).to(shape.device)
    assert content is not None, "a content or AdaIN start needs a content picture"
    if job.init == "content":
        return content.clone()
    assert style is not None, "an AdaIN start needs a style picture"
    start = init.adain(content, style, _reflecting_encoder(shape.device), weights.adain_decoder())
    synchronize(start.device)
    malloc.give_back()
    return start


@functools.lru_cache(maxsize=1)
def _network(source: str, pooling: Pooling, where: Platform) -> "tuple[Encoder, Targets]":
    """The encoder, and what it made of the pictures of the jobs before."""
    import torch

    from nst.engine.targets import Targets
    from nst.engine.vgg import Encoder

    dtype = {"bfloat16": torch.bfloat16, "float32": torch.float32}[where.precision]
    device = torch.device(where.device)
    encoder = Encoder(weights.vgg19(source), pooling=pooling, dtype=dtype, device=device)
    malloc.give_back()  # of the weights, which were laid out anew
    return encoder, Targets(encoder, lambda png: _tensor(png, device))


@functools.lru_cache(maxsize=1)
def _reflecting_encoder(device: "torch.device") -> "Encoder":
    from nst.engine.init import ADAIN_LAYER
    from nst.engine.vgg import Encoder

    return Encoder(weights.vgg19(weights.NORMALISED), ADAIN_LAYER, device=device, padding="reflect")


def _quality(
    job: Job,
    saved: "Image.Image",
    inputs: Inputs,
    objective: "Objective",
    *,
    number: int,
    device: "torch.device",
    pixel_metrics: bool,
) -> Quality:
    """Of the picture `number` of the batch that `objective` is of."""
    import torch

    from nst.engine import metrics

    picture = metrics.as_tensor(saved).to(device)
    content = _tensor(inputs.content, device) if pixel_metrics and inputs.content else None
    with torch.no_grad():
        tally = objective.tally(picture, number)
        shared = tally.layers if job.pooling == "max" else ()  # the network that distances are measured in
        distances = metrics.distances(picture, inputs.content, inputs.style, job.weights, also=shared, see=tally.add)
        final_loss = tally.loss if shared else objective(picture, [number]).item()
    return Quality(
        content_distance=distances.content,
        style_distance=distances.style,
        sliced_wasserstein=distances.sliced_wasserstein,
        colour_distance=distances.colour,
        psnr=None if content is None else metrics.psnr(picture, content),
        ssim=None if content is None else metrics.ssim(picture, content),
        final_loss=final_loss,
    )


@functools.lru_cache(maxsize=2)
def _tensor(png: bytes, device: "torch.device") -> "Tensor":
    """(1, 3, H, W); not to be altered, as the next job may have the same pictures."""
    from nst.engine.metrics import as_tensor

    return as_tensor(images.from_png(png)).to(device)


def decode(tensor: "Tensor") -> "Image.Image":
    """(1, 3, H, W) in [0, 1] rounded to 8 bit."""
    from PIL import Image

    array = (tensor[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(array)


def _environment(job: Job, where: Platform) -> Environment:
    import torch

    return Environment(
        device=torch.cuda.get_device_name() if where.device == "cuda" else f"cpu ({machine.machine()})",
        precision=where.precision,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        weights_sha256=weights.checksum(job.weights),
        worker=machine.node(),
    )


def _peak_memory_mb(device: "torch.device") -> float:
    """Of the GPU, or the resident peak of this process."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
