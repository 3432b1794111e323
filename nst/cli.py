"""`nst transfer photo.jpg painting.jpg -o out.png`: pictures, for people.

What its commands do is in `nst.commands`.  No other module of this package prints.
"""

import argparse
import difflib
import shlex
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args, get_origin

from nst import api, commands, film
from nst.errors import NSTError, OptionError, one_line

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from nst.engine.jobs import Task

HELP: "dict[Task, str]" = {
    "transfer": "paint the content of one picture in the style of another",
    "reconstruct": "make a picture again, from noise, out of what layers keep of it",
    "synthesize": "make a texture, from noise, with the style of a picture",
}
PICTURES: "dict[Task, dict[str, str]]" = {
    "transfer": {
        "content": "the picture that says what is seen; several are painted one after another",
        "style": "the picture that says how it is painted; or several with weights: a.jpg:2,b.jpg:1",
    },
    "reconstruct": {"content": "the picture to reconstruct, or several"},
    "synthesize": {"style": "the picture whose texture to make, or several"},
}
"""What each command starts from.  The first may be several pictures."""
ALIASES = {"content_layers": ("--content-layer",)}
WRONG_INPUT, INTERRUPTED = 2, 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 when all pictures are written, 1 when some of several could not be made, 2 when something in the input is
        wrong, 130 when stopped by Ctrl-C and 143 by SIGTERM.

    Raises:
        SystemExit: after --help and --version, and with 2 where the command line cannot be read.
    """
    arguments = _parse(argv)
    try:
        code: int = arguments.run(arguments)
    except OptionError as error:
        print(f"error: {_spelled(arguments, error.option)}: {one_line(error.problem)}", file=sys.stderr)
        return WRONG_INPUT
    except NSTError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_INPUT
    except OSError as error:  # of what is said here: nobody reads it, or it goes to a disk that is full
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return commands.FAILED
    except KeyboardInterrupt:
        print("\nstopped; nothing was written", file=sys.stderr)
        return INTERRUPTED
    return code


def _spelled(arguments: argparse.Namespace, option: str) -> str:
    """An option as it was typed, from its name or that of a value in it ("style_layer_weights.2")."""
    name, *place = option.split(".")
    return ".".join([arguments.spelled.get(name, name), *place])


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_INPUT, f"error: {one_line(message)}; see `{self.prog} --help`\n")


class _Option(argparse.Action):
    """Keeps the value as it was typed, which `api.options` validates, and how the option was spelled, for errors."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        namespace.options[self.dest] = values
        namespace.spelled[self.dest] = option_string
        namespace.typed[self.dest] = [option_string, values]


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line.

    Raises:
        SystemExit: it cannot be read; an option that does not exist is told with the nearest that does.
    """
    whole = parser()
    arguments, unknown = whole.parse_known_args(argv)
    if unknown:
        names = [f"--{name.replace('_', '-')}" for name in (*arguments.names, "output", "quiet", "help")]
        close = difflib.get_close_matches(unknown[0].split("=")[0], names, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        whole.prog += f" {arguments.task}"  # whose help has the options
        whole.error(f"unrecognized arguments: {shlex.join(unknown)}{hint}")
    return arguments


def parser() -> argparse.ArgumentParser:
    """The command line: one command a task, whose options are the fields of its `nst.api.Options`."""
    parser = _Parser(
        prog="nst",
        description="Neural style transfer, with the normalised VGG-19.",
        epilog="Layers go by name (conv4_2), number (10 of 1 … 16) or range (1-5), several with commas.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nst {metadata.version('nst-studies')}")
    subparsers = parser.add_subparsers(dest="task", required=True, metavar="COMMAND")
    for task, model in api.OPTIONS.items():
        command = subparsers.add_parser(task, help=HELP[task], description=parser.epilog, allow_abbrev=False)
        names = api.option_names(task)
        command.set_defaults(
            run=commands.paint,
            kinds=list(PICTURES[task]),
            names=[*names, "bits", "film"],
            options={},
            spelled={},
            typed={},
        )
        for number, (kind, text) in enumerate(PICTURES[task].items()):
            several = "+" if number == 0 else None
            command.add_argument(kind, type=Path, nargs=several, metavar=kind.upper(), help=text)
        command.add_argument(
            "-o", "--output", action=_Option, required=True, metavar="OUT.png",
            help="the picture to write; for several, a folder",
        )  # fmt: skip
        for name in names:
            _add_option(command, name, model.model_fields[name])
        command.add_argument(
            "--bits",
            action=_Option,
            choices=("8", "16"),
            help="of each channel of the file (default: 8); 16: PNG, TIFF",
        )
        command.add_argument(
            "--film", action=_Option, metavar="OUT.gif", help=f"the process as a GIF or MP4, of {film.FRAMES} frames"
        )
        command.add_argument("-q", "--quiet", action="store_true", help="no progress bar, and no notes on the pictures")
    command = subparsers.add_parser("show", help="print the command that made a picture", allow_abbrev=False)
    command.add_argument("picture", type=Path, metavar="PICTURE", help="a picture that nst wrote")
    command.set_defaults(run=commands.show, names=[], spelled={})
    command = subparsers.add_parser(
        "check", help="look for mistakes in params.yaml, and say what its studies take", allow_abbrev=False
    )
    command.add_argument("params", type=Path, nargs="?", default=Path("params.yaml"), metavar="PARAMS.yaml")
    for name, text in (("data", "the folder of pictures"), ("reports", "the folder of what studies found")):
        command.add_argument(f"--{name}", type=Path, default=Path(name), help=f"{text} (default: {name})")
    command.set_defaults(run=commands.check, names=["data", "reports"], spelled={})
    command = subparsers.add_parser(
        "init", help="make a folder in which the studies run on pictures of yours", allow_abbrev=False,
        usage="nst init DIR --content photo.jpg … --style painting.jpg …",
        description="Copies the pictures to DIR/data and writes DIR/params.yaml, which says what is studied, with a "
        "comment on each line, and DIR/dvc.yaml.  Then, in DIR: `nst check` says what the studies take, `dvc repro` "
        "runs them, and reports/index.html shows what they found.",
    )  # fmt: skip
    command.add_argument("folder", type=Path, metavar="DIR", help="a new folder, or an empty one")
    for name, example, text in (
        ("content", "photo.jpg", "the pictures that say what is seen, one or more"),
        ("style", "painting.jpg", "the pictures that say how it is painted, one or more"),
    ):
        command.add_argument(f"--{name}", type=Path, nargs="+", required=True, metavar=example, help=text)
    command.set_defaults(run=commands.init, names=["content", "style"], spelled={})
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
