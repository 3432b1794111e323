"""What `nst.transfer`, `nst.reconstruct`, `nst.synthesize` and the `nst` command share: their options, and one run."""

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

from pydantic import BeforeValidator, Field, ValidationInfo

from nst import params
from nst.engine import styles
from nst.engine.jobs import Init, Task
from nst.engine.layers import CLASSIC, parse_layers
from nst.errors import ImageError, OptionError, ParamsError
from nst.params import Settings

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from nst.engine.inputs import Inputs
    from nst.engine.jobs import Job
    from nst.engine.optimize import State
    from nst.engine.results import Result

Picture: TypeAlias = "str | os.PathLike[str] | Image.Image"
"""The path of a picture file, or a picture in memory."""
Styles: TypeAlias = "Picture | Sequence[tuple[Picture, float]]"
"""A picture, or several with weights; several paths may also be in one string: ``a.jpg:2,b.jpg:1``."""


def _typed_layers(value: Any, info: ValidationInfo) -> tuple[str, ...]:
    """Layers as `parse_layers` reads them, or several in one string with commas.

    With layer weights they must be given in the order of depth, so that it is clear whose a weight is.
    """
    items = [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    layers = parse_layers(items)
    weights = f"{str(info.field_name).removesuffix('s')}_weights"
    if info.data.get(weights) and isinstance(items, Iterable):
        given = [name for item in items for name in parse_layers(item)]
        if given != list(layers):
            raise ParamsError(f"with {weights}, give the layers in the order of depth: {','.join(layers)}")
    return layers


Layers = Annotated[tuple[str, ...], BeforeValidator(_typed_layers)]
PROBE = 192
"""Longest side of the picture from which the time of a larger one is guessed, px."""
PROBED = 4
"""Iterations of a job that is timed."""
CONTENT_LAYERS: Layers = ("conv4_2",)
STYLE_LAYERS: Layers = CLASSIC


class Options(Settings):
    """What all three have in common.  Defaults are those of params.yaml, but for the size."""

    task: ClassVar[Task]

    size: int = Field(512, ge=32, le=params.LARGEST, description="longest side of the picture, px")
    seed: int = Field(0, ge=0, lt=2**63, description="of the noise, where the start is noise")
    threads: int | None = Field(
        None, ge=1, le=4 * (os.cpu_count() or 1), description="CPU threads of this process (default: one a core)"
    )
    frames: int = Field(0, ge=0, le=500, description="how many pictures of the process to keep, for a film")


class TransferOptions(Options):
    """Both losses."""

    task = "transfer"

    content_layers: Layers = Field(CONTENT_LAYERS, description="where the content is compared")
    style_layers: Layers = Field(STYLE_LAYERS, description="where the style is compared")
    init: Init = Field("content", description="the starting picture")


class ReconstructOptions(Options):
    """Content loss alone, which takes more steps, and smaller ones."""

    task = "reconstruct"

    iterations: int = Field(60, ge=1, le=100_000, description="steps of the optimiser")
    learning_rate: float = Field(0.05, gt=0, le=10, description="of Adam at the start, from where it falls to 0")
    content_layers: Layers = Field(CONTENT_LAYERS, description="where the content is compared")


class SynthesizeOptions(Options):
    """Style loss alone, which takes more steps, and smaller ones."""

    task = "synthesize"

    iterations: int = Field(45, ge=1, le=100_000, description="steps of the optimiser")
    learning_rate: float = Field(0.07, gt=0, le=10, description="of Adam at the start, from where it falls to 0")
    style_layers: Layers = Field(STYLE_LAYERS, description="where the style is compared")


OPTIONS: dict[Task, type[Options]] = {
    model.task: model for model in (TransferOptions, ReconstructOptions, SynthesizeOptions)
}


WITHOUT_EFFECT: dict[Task, tuple[str, ...]] = {
    "reconstruct": ("style_weight", "style_layer_weights", "style_loss", "style_scale", "colour"),
    "synthesize": ("content_weight", "content_layer_weights", "style_scale", "colour"),
}
"""Settings that are no options of a task."""


def option_names(task: Task) -> list[str]:
    """Of all options that a task has."""
    return [name for name in OPTIONS[task].model_fields if name not in WITHOUT_EFFECT.get(task, ())]


def options(task: Task, values: Mapping[str, Any]) -> Options:
    """The options of a task, from those that are given.

    Raises:
        OptionError: there is no such option, or its value cannot be used.
    """
    for name in values:
        if name in WITHOUT_EFFECT.get(task, ()):
            raise OptionError(name, f"of no effect when pictures are made by {task}; leave it out")
    return params.options(OPTIONS[task], values)


def run(
    options: Options,
    pictures: Mapping[str, Styles],
    on_iteration: "Callable[[State], bool | None] | None" = None,
    on_picture: "Callable[[Tensor], None]" = lambda _picture: None,
) -> "Result":
    """Make one picture.

    Args:
        pictures: "content", "style" or both, as the task needs.
        on_iteration: called after each iteration; where it returns true, the picture ends there.
        on_picture: called with the picture (1, 3, H, W) in [0, 1], before it is rounded to 8 bit.

    Raises:
        ImageError: a picture is missing, unreadable, or too small or too narrow.
        CapacityError: the job needs more memory than is free.
        WeightsError: the weights are missing or altered.
    """
    from nst.engine.run import run_job

    job, inputs = _prepared(options, pictures)
    # PSNR and SSIM say something of a reconstruction alone, and their library takes two seconds to import.
    return run_job(
        job,
        inputs,
        threads=options.threads,
        on_iteration=on_iteration or (lambda _state: None),
        on_picture=on_picture,
        pixel_metrics=options.task == "reconstruct",
    )


def forecast(options: Options, pictures: Mapping[str, Styles]) -> tuple[float, float]:
    """About how many seconds and how many bytes of memory a picture will take, from a few iterations of a small one.

    Raises:
        NSTError: as `run` does.
    """
    import time

    from nst.engine import batches, images, memory
    from nst.engine.ladder import scaled
    from nst.engine.machine import machine, precision_of

    job, inputs = _prepared(options, pictures)
    width, height = images.png_size(inputs.shape)
    small = scaled(inputs, min(1.0, PROBE / max(width, height)))
    rate, measuring = speed(job, small, threads=options.threads, clock=time.perf_counter, pixel_metrics=False)
    seconds = rate * batches.cost(job, inputs.shape) + measuring * width * height
    return seconds, memory.estimate(job, height, width, precision_of(job, machine()))


def speed(
    job: "Job", inputs: "Inputs", *, threads: int | None, clock: Callable[[], float], pixel_metrics: bool = True
) -> tuple[float, float]:
    """Seconds of an iteration for each unit of `nst.engine.batches.cost`, and of measuring for each pixel, from a few
    iterations of a job like this one with these pictures.

    Args:
        threads, pixel_metrics: as for `nst.engine.run.run_jobs`.
    """
    import dataclasses

    from nst.engine import batches, images
    from nst.engine.run import run_job

    short = dataclasses.replace(job, iterations=PROBED, ladder=0, frames=0, tolerance=0.0, stop_loss=0.0)
    times: list[float] = []
    for _ in range(2):  # the first finds the weights, and warms up
        times.clear()
        run_job(
            short,
            inputs,
            threads=threads,
            on_iteration=lambda _state: times.append(clock()),
            pixel_metrics=pixel_metrics,
        )
    measuring = clock() - times[-1]
    iteration = (times[-1] - times[0]) / (PROBED - 1)
    return iteration * PROBED / batches.cost(short, inputs.shape), measuring / math.prod(images.png_size(inputs.shape))


def parts(picture: Styles) -> list[tuple[Any, float]]:
    """The pictures that are given as one style or several, each with its share.

    Raises:
        ImageError: they cannot be told apart, or a weight cannot be used.
    """
    if isinstance(picture, str | os.PathLike):
        if os.path.exists(picture):  # noqa: PTH110  (False for what is no name; a name may have a comma)
            return [(picture, 1.0)]
        found: Sequence[Any] = _said(styles.parse, os.fspath(picture))
        return [(type(picture)(name), share) for name, share in found]  # type: ignore[call-arg]
    if not isinstance(picture, list | tuple):
        return [(picture, 1.0)]
    if not picture or not all(isinstance(part, tuple | list) and len(part) == 2 for part in picture):
        several = "or several as [(picture, weight), …]"
        raise ImageError(f"style: give the path of a picture or a PIL image, not {picture!r:.60}; {several}")
    shares = _said(styles.shares, [weight for _, weight in picture])
    return [(part, share) for (part, _), share in zip(picture, shares, strict=True)]


def _said(parse: Callable[[Any], Any], value: Any) -> Any:
    try:
        return parse(value)
    except ValueError as error:
        raise ImageError(f"style: {error}") from None


def _prepared(options: Options, pictures: Mapping[str, Styles]) -> "tuple[Job, Inputs]":
    """The job and its pictures, when there is memory for it."""
    from nst.engine.inputs import Inputs

    job = _job(options, pictures)
    found = parts(pictures["style"]) if job.style else []
    inputs = Inputs(
        content=_png(pictures["content"], "content", job.size) if job.content else None,
        styles=tuple((_png(each, "style", job.style_size, job.style_scale), share) for each, share in found),
    )
    _check_memory(job, inputs)
    return job, inputs


def _job(options: Options, pictures: Mapping[str, Styles]) -> "Job":
    names = {kind: _name(picture, kind) for kind, picture in pictures.items()}
    own: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("content_layers", "style_layers", "init")
        if name in type(options).model_fields
    }
    own |= {"seed": options.seed, "frames": options.frames}
    return options.job(options.task, content=names.get("content"), style=names.get("style"), **own)


def _name(picture: Styles, kind: str) -> str:
    """What the job calls it: the name of the file, or of each."""
    if kind == "content":
        return _stem(picture, kind)
    found = parts(picture)
    names = [re.sub("[:,]", "-", _stem(each, kind)) for each, _ in found]
    if len(names) == 1:
        return names[0]
    return ",".join(f"{name}:{share:.4g}" for name, (_, share) in zip(names, found, strict=True))


def _stem(picture: Any, kind: str) -> str:
    return Path(picture).stem if isinstance(picture, str | os.PathLike) else kind


def _png(picture: Any, kind: str, size: int, scale: float = 1.0) -> bytes:
    """The picture at a size, which is `scale` × the job's."""
    from PIL import Image

    from nst.engine import images
    from nst.engine.inputs import label

    if isinstance(picture, Image.Image):
        try:
            return images.to_png(images.fit(images.rgb(picture, kind), size, label(kind, scale)))
        except OSError as error:  # it was opened but not read until now
            raise ImageError(f"{kind}: damaged or cut off ({error})") from None
    if isinstance(picture, str | os.PathLike):
        return images.to_png(images.fit(images.read(Path(picture)), size, label(str(picture), scale)))
    raise ImageError(f"{kind}: give the path of a picture or a PIL image, not {picture!r:.60}")


def _check_memory(job: "Job", inputs: "Inputs") -> None:
    """Refuses what does not fit before it starts; otherwise the system would kill this process in the middle."""
    from nst.engine import images, memory
    from nst.engine.machine import machine, precision_of

    if machine().device == "cpu":
        width, height = images.png_size(inputs.shape)
        memory.check(job, height, width, precision_of(job, machine()), memory.available())
