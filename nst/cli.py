"""`nst transfer photo.jpg painting.jpg -o out.png`: pictures, for people.

The only module of this package that reads options, prints and exits.
"""

import argparse
import difflib
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args, get_origin

from nst import api, film, output, painter
from nst.engine import images, malloc
from nst.errors import CapacityError, ImageError, NSTError, OptionError, OutputError, one_line

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from tqdm import tqdm

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
        "content": "the picture that says what is seen; several are painted one after another",
        "style": "the picture that says how it is painted",
    },
    "reconstruct": {"content": "the picture to reconstruct, or several"},
    "synthesize": {"style": "the picture whose texture to make, or several"},
}
"""What each command starts from.  The first may be several pictures."""
WITHOUT_EFFECT: "dict[Task, tuple[str, ...]]" = {"reconstruct": ("style_weight",), "synthesize": ("content_weight",)}
ALIASES = {"content_layers": ("--content-layer",)}
FAILED, WRONG_INPUT, INTERRUPTED = 1, 2, 128 + signal.SIGINT


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
        print(f"error: {arguments.spelled.get(error.option, error.option)}: {one_line(error.problem)}", file=sys.stderr)
        return WRONG_INPUT
    except NSTError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_INPUT
    except OSError as error:  # of what is said here: nobody reads it, or it goes to a disk that is full
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nstopped; nothing was written", file=sys.stderr)
        return INTERRUPTED
    return code


def _paint(arguments: argparse.Namespace) -> int:
    """One picture, or several."""
    malloc.keep_freed_memory()
    given = dict(arguments.options)
    place, moving = given.pop("output"), given.pop("film", None)
    if moving:
        given.setdefault("frames", film.FRAMES)
    options = api.options(arguments.task, given)
    orders = _orders(arguments, options, place, moving)
    wanted = orders if len(orders) == 1 else [order for order in orders if not order.is_done]
    if len(wanted) < len(orders):
        print(f"{len(orders) - len(wanted)} of {len(orders)} pictures are there already", file=sys.stderr)
    failed = []
    with painter.stoppable() as stop, _progress(len(wanted), options, quiet=arguments.quiet) as bar:
        for order in wanted:
            try:
                _paint_one(order, options, stop, bar, quiet=arguments.quiet, moving=moving)
            except (ImageError, CapacityError) as error:
                if len(orders) == 1:
                    raise
                failed.append(next(iter(order.pictures.values())))
                bar.write(f"error: {error}", file=sys.stderr)
            if stop.signal is not None:
                return 128 + stop.signal
    if failed:
        names = ", ".join(map(str, failed))
        print(one_line(f"error: {len(failed)} of {len(orders)} pictures failed: {names}"), file=sys.stderr)
    return FAILED if failed else 0


def _paint_one(
    order: painter.Order, options: api.Options, stop: painter.Stop, bar: "tqdm[NoReturn]", *, quiet: bool,
    moving: str | None,
) -> None:  # fmt: skip
    """Says above the bar what became of it."""
    began = time.perf_counter()

    def show(state: "State") -> None:
        bar.set_postfix(loss=f"{state.loss:.4f}", refresh=False)
        bar.update()
        if stop.signal is not None:
            bar.write("stopping: the picture is saved as it is; Ctrl-C again ends at once", file=sys.stderr)

    for note in () if quiet else painter.notes(order, options):
        bar.write(one_line(note), file=sys.stderr)
    result = painter.paint(order, options, show, stop)
    done = len(result.losses)
    stopped = f"stopped after {done} of {options.iterations} iterations, " if stop.signal is not None else ""
    said = f"{order.output}: {stopped}{_summary(result, time.perf_counter() - began)}"
    bar.write(one_line(said), file=sys.stdout)
    if moving:
        film.save((*result.frames, result.png), Path(moving))


def _orders(arguments: argparse.Namespace, options: api.Options, place: str, moving: str | None) -> list[painter.Order]:
    """What is to be made, each in a place that can be written."""
    kinds = list(PICTURES[options.task])
    first, others = getattr(arguments, kinds[0]), [getattr(arguments, kind) for kind in kinds[1:]]
    typed = [word for name, words in arguments.typed.items() if name != "output" for word in words]
    with _blaming("output"):
        orders = painter.orders(options.task, kinds, first, others, place=place, typed=typed)
        if len(orders) > 1 or place.endswith("/"):
            painter.make_folder(Path(place))
        for order in orders:
            painter.check(order, options)
    with _blaming("film"):
        if moving and len(orders) > 1:
            raise OutputError("several pictures have no film; give one picture")
        if moving:
            film.check(Path(moving), options.size**2 * options.frames, [*first, *others, orders[0].output])
    for path in others if len(orders) > 1 else ():
        images.read(path)  # found bad now, it costs one line, not one for each picture
    return orders


@contextmanager
def _blaming(option: str) -> Iterator[None]:
    try:
        yield
    except OutputError as error:
        raise OptionError(option, str(error)) from None


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
def _progress(pictures: int, options: api.Options, *, quiet: bool) -> "Iterator[tqdm[NoReturn]]":
    """A progress bar for all pictures.  Shown on terminals alone."""
    from tqdm import tqdm

    name = options.task if pictures == 1 else f"{options.task} {pictures} pictures"
    total = pictures * options.iterations
    with tqdm(total=total, desc=name, unit="it", file=sys.stderr, disable=quiet or None) as bar:
        yield bar


def _show_command(arguments: argparse.Namespace) -> int:
    said = output.command_of(arguments.picture)
    if said is None:
        raise ImageError(f"{arguments.picture}: does not say how it was made; `nst` notes it in what it writes")
    print(one_line(said))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from nst import check

    plans = check.plans(arguments.params, arguments.data, arguments.reports)
    workers = check.cores()
    print(f"{arguments.params} and its pictures can be used.  About, on this machine:\n")
    print(f"{'study':16}{'jobs':>5}{'longest side':>14}{'time':>10}{'memory of a job':>17}")
    estimates = check.estimates(plans, workers)
    for each in estimates:
        if each.plan.waits:
            print(f"{each.plan.study:16}waits for the transfer study, whose layers it uses")
            continue
        size, memory = f"{each.size} px", f"{each.memory / 1e9:.1f} GB"
        print(f"{each.plan.study:16}{len(each.plan.jobs):5}{size:>14}{_about(each.seconds):>10}{memory:>17}")
    jobs, seconds = sum(len(each.plan.jobs) for each in estimates), sum(each.seconds for each in estimates)
    print(f"{'all':16}{jobs:5}{'':14}{_about(seconds):>10}")
    print(
        f"\nFor {workers} workers with nothing beside them, no job finished before, start-up and figures not counted."
    )
    return 0


def _about(seconds: float) -> str:
    minutes = round(seconds / 60)
    return "< 1 min" if seconds < 60 else f"{minutes} min" if minutes < 90 else f"{seconds / 3600:.1f} h"


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
    commands = parser.add_subparsers(dest="task", required=True, metavar="COMMAND")
    for task, model in api.OPTIONS.items():
        command = commands.add_parser(task, help=HELP[task], description=parser.epilog, allow_abbrev=False)
        names = [name for name in model.model_fields if name not in WITHOUT_EFFECT.get(task, ())]
        command.set_defaults(run=_paint, names=[*names, "film"], options={}, spelled={}, typed={})
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
            "--film", action=_Option, metavar="OUT.gif", help=f"the process as a GIF or MP4, of {film.FRAMES} frames"
        )
        command.add_argument("-q", "--quiet", action="store_true", help="no progress bar, and no notes on the pictures")
    command = commands.add_parser("show", help="print the command that made a picture", allow_abbrev=False)
    command.add_argument("picture", type=Path, metavar="PICTURE", help="a picture that nst wrote")
    command.set_defaults(run=_show_command, names=[], spelled={})
    command = commands.add_parser(
        "check", help="look for mistakes in params.yaml, and say what its studies take", allow_abbrev=False
    )
    command.add_argument("params", type=Path, nargs="?", default=Path("params.yaml"), metavar="PARAMS.yaml")
    for name, text in (("data", "the folder of pictures"), ("reports", "the folder of what studies found")):
        command.add_argument(f"--{name}", type=Path, default=Path(name), help=f"{text} (default: {name})")
    command.set_defaults(run=_check, names=["data", "reports"], spelled={})
    return parser


def _add_option(command: argparse.ArgumentParser, name: str, field: "FieldInfo") -> None:
    default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    command.add_argument(
        f"--{name.replace('_', '-')}",
        *ALIASES.get(name, ()),
        action=_Option,
        metavar=f"{{{','.join(choices)}}}" if choices else name.rsplit("_", maxsplit=1)[-1].upper(),
        help=f"{field.description}" + ("" if default is None else f" (default: {default})"),
    )
