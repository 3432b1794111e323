"""`nst transfer photo.jpg painting.jpg -o out.png`: one picture, for people.

The only module of this package that reads options, prints and exits.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from nst.engine import malloc
from nst.errors import NSTError, ParamsError

if TYPE_CHECKING:
    from nst.engine.inputs import Inputs
    from nst.engine.jobs import Job
    from nst.engine.results import Result

DEFAULT_SIZE = 512
DEFAULT_STEPS = {"transfer": (40, 0.1), "reconstruct": (120, 0.03), "synthesize": (100, 0.05)}
"""Iterations and learning rate, as params.yaml has them: one loss alone takes more steps, and smaller ones."""
DEFAULT_CONTENT_LAYERS = "conv4_2"
DEFAULT_STYLE_LAYERS = "conv1_1,conv2_1,conv3_1,conv4_1,conv5_1"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when the picture is written, 2 when something in the input is wrong."""
    options = _parser().parse_args(argv)
    try:
        _run(options)
    except NSTError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; nothing was written", file=sys.stderr)
        return 130
    return 0


def command() -> NoReturn:
    """`main` as a process of its own, which ends at once: torch's libraries take 0.3 s and 0.1 GB to take leave."""
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(options: argparse.Namespace) -> None:
    began = time.perf_counter()
    malloc.keep_freed_memory()
    output = _writable(options.output)
    job, inputs = _prepare(options)
    _check_memory(job, inputs)
    result = _with_progress(job, inputs, options.threads, quiet=options.quiet)
    _save(result.png, output)
    quality = result.quality
    parts = [f"{output}: {time.perf_counter() - began:.1f} s ({result.timing.seconds:.1f} s optimising)"]
    if quality.content_distance is not None:
        parts.append(f"content distance {quality.content_distance:.4f}")
    if quality.style_distance is not None:
        parts.append(f"style distance {quality.style_distance:.4f}")
    if job.task == "reconstruct":
        parts.append(f"PSNR {quality.psnr:.1f} dB")
    print(", ".join(parts))


def _prepare(options: argparse.Namespace) -> "tuple[Job, Inputs]":
    """The job and its pictures; everything that can be wrong with them is found here, before the weights are read."""
    from nst.engine import images
    from nst.engine.inputs import Inputs
    from nst.engine.layers import parse_layers
    from nst.params import Settings, settings

    chosen = settings(**{name: getattr(options, name) for name in Settings.model_fields if hasattr(options, name)})
    pictures = {
        kind: images.to_png(images.fit(images.read(path), chosen.size, str(path)))
        for kind in ("content", "style")
        if (path := getattr(options, kind, None)) is not None
    }
    layers: dict[str, Any] = {}
    for kind in ("content", "style"):
        text = getattr(options, f"{kind}_layers", None)
        if text is not None:
            try:
                layers[f"{kind}_layers"] = parse_layers([part for part in text.split(",") if part.strip()])
            except ParamsError as error:
                raise ParamsError(f"--{kind}-layers: {error}") from None
    job = chosen.job(
        options.task,
        content=options.content.stem if "content" in pictures else None,
        style=options.style.stem if "style" in pictures else None,
        init=getattr(options, "init", "noise"),
        seed=options.seed,
        **layers,
    )
    return job, Inputs(pictures.get("content"), pictures.get("style"))


def _check_memory(job: "Job", inputs: "Inputs") -> None:
    """Better told now than ended by the system in the middle."""
    from nst.engine import images, memory
    from nst.engine.machine import machine, precision_of

    if machine().device == "cpu":
        width, height = images.from_png(inputs.shape).size
        memory.check(job, height, width, precision_of(job, machine()), memory.available())


def _with_progress(job: "Job", inputs: "Inputs", threads: int | None, *, quiet: bool) -> "Result":
    from tqdm import tqdm

    from nst.engine.run import run_job

    bar: tqdm[NoReturn]
    with tqdm(total=job.iterations, desc=job.task, unit="it", file=sys.stderr, disable=quiet or None) as bar:

        def show(state: Any) -> None:
            bar.set_postfix(loss=f"{state.loss:.4f}", refresh=False)
            bar.update()

        return run_job(job, inputs, threads=threads, on_iteration=show, pixel_metrics=job.task == "reconstruct")


def _writable(path: Path) -> Path:
    """The output path, checked before minutes are spent on what could not be saved."""
    from PIL import Image

    if path.suffix.lower() not in Image.registered_extensions():
        raise ParamsError(f"-o {path}: give a name that ends in .png, .jpg or .webp")
    if not path.parent.is_dir():
        raise ParamsError(f"-o {path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise ParamsError(f"-o {path}: is a folder; give a file name in it")
    return path


def _save(png: bytes, path: Path) -> None:
    from nst.engine import images

    try:
        if path.suffix.lower() == ".png":
            path.write_bytes(png)
        else:
            images.from_png(png).save(path, quality=95)
    except (OSError, ValueError) as error:
        raise ParamsError(f"-o {path}: cannot be written ({error})") from None


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but not that a switch is off."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default not in (None, False) else action.help


def _defaults() -> dict[str, Any]:
    from nst.params import Settings

    return {name: field.default for name, field in Settings.model_fields.items()}


def _parser() -> argparse.ArgumentParser:
    default = _defaults()
    parser = argparse.ArgumentParser(
        prog="nst",
        description="Neural style transfer of one picture, with the normalised VGG-19.",
        epilog="Layers go by name (conv4_2), number (10 of 1 … 16) or range (1-5), several with commas.",
    )
    commands = parser.add_subparsers(dest="task", required=True, metavar="COMMAND")

    transfer = commands.add_parser(
        "transfer",
        help="paint the content of one picture in the style of another",
        formatter_class=_Help,
    )
    transfer.add_argument("content", type=Path, metavar="CONTENT", help="the picture that says what is seen")
    transfer.add_argument("style", type=Path, metavar="STYLE", help="the picture that says how it is painted")
    transfer.add_argument(
        "--init", choices=["content", "noise", "adain"], default="content", help="the starting picture"
    )

    reconstruct = commands.add_parser(
        "reconstruct",
        help="make a picture anew, from noise, out of what layers keep of it",
        formatter_class=_Help,
    )
    reconstruct.add_argument("content", type=Path, metavar="CONTENT", help="the picture to reconstruct")

    synthesize = commands.add_parser(
        "synthesize",
        help="make a texture, from noise, with the style of a picture",
        formatter_class=_Help,
    )
    synthesize.add_argument("style", type=Path, metavar="STYLE", help="the picture whose texture to make")

    for command in (transfer, reconstruct):
        command.add_argument(
            "--content-layer",
            dest="content_layers",
            default=DEFAULT_CONTENT_LAYERS,
            metavar="LAYER[,LAYER…]",
            help="where the content is compared",
        )
    for command in (transfer, synthesize):
        command.add_argument(
            "--style-layers",
            dest="style_layers",
            default=DEFAULT_STYLE_LAYERS,
            metavar="LAYER[,LAYER…]",
            help="where the style is compared",
        )
    transfer.add_argument(
        "--content-weight", type=float, metavar="W", default=default["content_weight"], help="of the content loss"
    )
    transfer.add_argument(
        "--style-weight", type=float, metavar="W", default=default["style_weight"], help="of the style loss"
    )
    for task, command in commands.choices.items():
        _add_common(command, default, *DEFAULT_STEPS[task])
    return parser


def _add_common(
    command: argparse.ArgumentParser, default: dict[str, Any], iterations: int, learning_rate: float
) -> None:
    command.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.png", help="the picture to write")
    command.add_argument("--size", type=int, default=DEFAULT_SIZE, metavar="PX", help="longest side of the picture")
    command.add_argument("--iterations", type=int, default=iterations, metavar="N", help="optimiser's steps")
    command.add_argument(
        "--tolerance",
        type=float,
        default=default["tolerance"],
        metavar="SHARE",
        help="end early where the loss falls by less than this share in 10 iterations; 0: never",
    )
    command.add_argument("--seed", type=int, default=0, help="of the noise, where the start is noise")
    command.add_argument("--optimizer", choices=["adam", "lbfgs"], default=default["optimizer"], help="the optimiser")
    command.add_argument(
        "--learning-rate", type=float, default=learning_rate, metavar="RATE", help="of Adam, at the start"
    )
    command.add_argument(
        "--tv-weight", type=float, default=default["tv_weight"], metavar="W", help="of the total variation; 0.1 smooths"
    )
    command.add_argument("--pooling", choices=["max", "average"], default=default["pooling"], help="of VGG-19")
    command.add_argument(
        "--parametrization",
        choices=["fourier", "pixels"],
        default=default["parametrization"],
        help="what the optimiser turns",
    )
    command.add_argument(
        "--noise", choices=["pink", "normal", "uniform"], default=default["noise"], help="kind of noise"
    )
    command.add_argument(
        "--precision",
        choices=["auto", "bfloat16", "float32"],
        default=default["precision"],
        help="auto: bfloat16 where it is fast",
    )
    command.add_argument("--weights", default=default["weights"], help="of VGG-19: normalised, torchvision, or a file")
    command.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: as many as cores)")
    command.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


if __name__ == "__main__":
    command()
