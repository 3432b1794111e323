"""`nst transfer photo.jpg painting.jpg -o out.png`: one picture, for people.

The only module of this package that reads options, prints and exits.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args, get_origin

from nst import api
from nst.engine import malloc
from nst.errors import NSTError, OptionError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from nst.engine.jobs import Task
    from nst.engine.optimize import State
    from nst.engine.results import Result

HELP: "dict[Task, str]" = {
    "transfer": "paint the content of one picture in the style of another",
    "reconstruct": "make a picture again, from noise, out of what layers keep of it",
    "synthesize": "make a texture, from noise, with the style of a picture",
}
PICTURES: "dict[Task, dict[str, str]]" = {
    "transfer": {
        "content": "the picture that says what is seen",
        "style": "the picture that says how it is painted",
    },
    "reconstruct": {"content": "the picture to reconstruct"},
    "synthesize": {"style": "the picture whose texture to make"},
}
WITHOUT_EFFECT: "dict[Task, tuple[str, ...]]" = {
    "reconstruct": ("style_weight", "style_layer_weights", "style_loss", "style_scale", "colour"),
    "synthesize": ("content_weight", "content_layer_weights", "style_scale", "colour"),
}
ALIASES = {"content_layers": ("--content-layer",)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 when the picture is written, 2 when something in the input is wrong, 130 when stopped by Ctrl-C.

    Raises:
        SystemExit: after --help and --version, and with 2 where the command line cannot be read.
    """
    arguments = parser().parse_args(argv)
    try:
        _run(arguments)
    except OptionError as error:
        print(f"error: {_spelled(arguments, error.option)}: {error.problem}", file=sys.stderr)
        return 2
    except NSTError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; nothing was written", file=sys.stderr)
        return 130
    return 0


def command() -> NoReturn:
    """`main` as a process that ends at once: unloading torch's libraries would take 0.3 s."""
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(arguments: argparse.Namespace) -> None:
    began = time.perf_counter()
    malloc.keep_freed_memory()
    given = dict(arguments.options)
    output = _writable(Path(given.pop("output")))
    options = api.options(arguments.task, given)
    pictures = {kind: getattr(arguments, kind) for kind in PICTURES[options.task]}
    with _progress(options, quiet=arguments.quiet) as show:
        result = api.run(options, pictures, show)
    _save(result.png, output)
    print(f"{output}: {_summary(result, time.perf_counter() - began)}")


def _spelled(arguments: argparse.Namespace, option: str) -> str:
    """An option as it was typed, from its name or that of a value in it ("style_layer_weights.2")."""
    name, *place = option.split(".")
    return ".".join([arguments.spelled.get(name, name), *place])


def _summary(result: "Result", seconds: float) -> str:
    quality = result.quality
    parts = [f"{seconds:.1f} s ({result.timing.seconds:.1f} s optimising)"]
    if quality.content_distance is not None:
        parts.append(f"content distance {quality.content_distance:.4f}")
    if quality.style_distance is not None:
        parts.append(f"style distance {quality.style_distance:.4f}")
    if quality.psnr is not None:
        parts.append(f"PSNR {quality.psnr:.1f} dB")
    return ", ".join(parts)


@contextmanager
def _progress(options: api.Options, *, quiet: bool) -> "Iterator[Callable[[State], None]]":
    """A progress bar, and what moves it on after an iteration.  Shown on terminals alone."""
    from tqdm import tqdm

    bar: tqdm[NoReturn]
    with tqdm(total=options.iterations, desc=options.task, unit="it", file=sys.stderr, disable=quiet or None) as bar:

        def show(state: "State") -> None:
            bar.set_postfix(loss=f"{state.loss:.4f}", refresh=False)
            bar.update()

        yield show


def _writable(path: Path) -> Path:
    """The output path, checked before minutes are spent on what could not be saved."""
    from PIL import Image

    if path.suffix.lower() not in Image.registered_extensions():
        raise OptionError("output", f"{path}: give a name that ends in .png, .jpg or .webp")
    if not path.parent.is_dir():
        raise OptionError("output", f"{path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise OptionError("output", f"{path}: is a folder; give a file name in it")
    return path


def _save(png: bytes, path: Path) -> None:
    from nst.engine import images

    try:
        if path.suffix.lower() == ".png":
            path.write_bytes(png)
        else:
            images.from_png(png).save(path, quality=95)
    except (OSError, ValueError) as error:
        raise OptionError("output", f"{path}: cannot be written ({error})") from None


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see `{self.prog} --help`\n")


class _Option(argparse.Action):
    """Keeps the value as it was typed, which `api.options` validates, and how the option was spelled, for errors."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        namespace.options[self.dest] = values
        namespace.spelled[self.dest] = option_string


def parser() -> argparse.ArgumentParser:
    """The command line: one command a task, whose options are the fields of its `nst.api.Options`."""
    parser = _Parser(
        prog="nst",
        description="Neural style transfer of one picture, with the normalised VGG-19.",
        epilog="Layers go by name (conv4_2), number (10 of 1 … 16) or range (1-5), several with commas.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nst {metadata.version('nst-studies')}")
    commands = parser.add_subparsers(dest="task", required=True, metavar="COMMAND")
    for task, model in api.OPTIONS.items():
        command = commands.add_parser(task, help=HELP[task], description=parser.epilog, allow_abbrev=False)
        command.set_defaults(options={}, spelled={})
        for kind, text in PICTURES[task].items():
            command.add_argument(kind, type=Path, metavar=kind.upper(), help=text)
        command.add_argument(
            "-o", "--output", action=_Option, required=True, metavar="OUT.png", help="the picture to write"
        )
        for name, field in model.model_fields.items():
            if name not in WITHOUT_EFFECT.get(task, ()):
                _add_option(command, name, field)
        command.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    return parser


def _add_option(command: argparse.ArgumentParser, name: str, field: "FieldInfo") -> None:
    default = ",".join(field.default) or None if isinstance(field.default, tuple) else field.default
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    command.add_argument(
        f"--{name.replace('_', '-')}",
        *ALIASES.get(name, ()),
        action=_Option,
        metavar=f"{{{','.join(choices)}}}" if choices else name.rsplit("_", maxsplit=1)[-1].upper(),
        help=f"{field.description}" + ("" if default is None else f" (default: {default})"),
    )


if __name__ == "__main__":
    command()
