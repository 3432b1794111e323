"""What the `nst` command does: pictures, the command that made one, what studies would take, a folder for one's own.

Each function does one of its commands and returns the exit code.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from nst import api, film, output, own_study, painter
from nst import check as studies_check
from nst.engine import images, malloc
from nst.errors import CapacityError, DivergedError, ImageError, OptionError, OutputError, one_line

if TYPE_CHECKING:
    from tqdm import tqdm

    from nst.engine.optimize import State
    from nst.engine.results import Result

FAILED = 1
"""Exit code where some of several pictures could not be made."""


def paint(arguments: argparse.Namespace) -> int:
    """One picture, or several."""
    malloc.keep_freed_memory()
    given = dict(arguments.options)
    place, moving, bits = given.pop("output"), given.pop("film", None), int(given.pop("bits", 8))
    if moving is not None:
        given.setdefault("frames", film.FRAMES)
    options = api.options(arguments.task, given)
    orders = _orders(arguments, options, place, moving, bits)
    wanted = orders if len(orders) == 1 else [order for order in orders if not order.is_done]
    if len(wanted) < len(orders):
        print(f"{len(orders) - len(wanted)} of {len(orders)} pictures are there already", file=sys.stderr)
    failed, told = [], arguments.quiet
    with painter.stoppable() as stop, _progress(len(wanted), options, quiet=arguments.quiet) as bar:
        for order in wanted:
            try:
                if not told and (expected := painter.forecast(order, options)):
                    bar.write(expected, file=sys.stderr)
                told = True
                _paint_one(order, options, stop, bar, quiet=arguments.quiet, moving=moving)
            except (ImageError, CapacityError, DivergedError, OutputError) as error:
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
        bar.total = max(bar.total or 0, bar.n - state.iteration + 1 + state.of)  # rungs of a ladder add some
        if state.iteration % 10 == 1 or state.iteration == state.of:  # a GPU is waited for when the loss is read
            bar.set_postfix(loss=f"{state.loss:.4f}", refresh=False)
        bar.update()
        if stop.signal is not None:
            bar.write("stopping: the picture is saved as it is; Ctrl-C again ends at once", file=sys.stderr)

    for note in () if quiet else painter.notes(order, options):
        bar.write(one_line(note), file=sys.stderr)
    result, stopped = painter.paint(order, options, show, stop)
    said = f"{order.output}: {stopped}{', ' if stopped else ''}{_summary(result, time.perf_counter() - began)}"
    bar.write(one_line(said), file=sys.stdout)
    if moving is not None:
        film.save((*result.frames, result.png), Path(moving))


def _orders(
    arguments: argparse.Namespace, options: api.Options, place: str, moving: str | None, bits: int
) -> list[painter.Order]:
    """What is to be made, each in a place that can be written."""
    first, *others = (getattr(arguments, kind) for kind in arguments.kinds)
    typed = [word for name, words in arguments.typed.items() if name != "output" for word in words]
    with _blaming("output"):
        orders = painter.orders(options.task, arguments.kinds, first, others, place=place, typed=typed, bits=bits)
        if len(orders) > 1 or place.endswith("/"):
            painter.make_folder(Path(place))
        for order in orders:
            painter.check(order, options)
    with _blaming("film"):
        if moving is not None and len(orders) > 1:
            raise OutputError("several pictures have no film; give one picture")
        if moving is not None:
            given = [path for _, path in orders[0].files]
            film.check(Path(moving), options.size**2 * options.frames, [*given, orders[0].output])
    for kind, path in orders[0].files if len(orders) > 1 and others else ():
        if kind == "style":
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


def show(arguments: argparse.Namespace) -> int:
    """The command that made a picture."""
    said = output.command_of(arguments.picture)
    if said is None:
        raise ImageError(
            f"{arguments.picture}: does not say how it was made; `nst` notes it in PNG, JPEG, WebP, TIFF and AVIF"
        )
    print(one_line(said))
    return 0


def check(arguments: argparse.Namespace) -> int:
    """What the studies of a params.yaml take, when nothing is wrong with it."""
    plans = studies_check.plans(arguments.params, arguments.data, arguments.reports)
    workers = studies_check.cores()
    estimates = studies_check.estimates(plans, workers)
    print(f"{arguments.params} and its pictures can be used.  About, on this machine:\n")
    print(f"{'study':16}{'jobs':>5}{'longest side':>14}{'time':>10}{'memory of a job':>17}")
    for each in estimates:
        size, memory = f"{each.size} px", f"{each.memory / 1e9:.1f} GB"
        print(f"{each.plan.study:16}{len(each.plan.jobs):5}{size:>14}{_about(each.seconds):>10}{memory:>17}")
    jobs, seconds = sum(len(each.plan.jobs) for each in estimates), sum(each.seconds for each in estimates)
    print(f"{'all':16}{jobs:5}{'':14}{_about(seconds):>10}")
    if assumed := [each.plan.study for each in estimates if each.plan.assumed]:
        print(f"\n{', '.join(assumed)}: with classic layers, as those are not known that the transfer study will find.")
    print(
        f"\nFor {workers} workers at this machine's present speed; start-up and figures are not counted, nor that jobs "
        "may be finished already."
    )
    return 0


def init(arguments: argparse.Namespace) -> int:
    """A folder for studies of a user's own pictures."""
    folder = arguments.folder
    own_study.make(folder, arguments.content, arguments.style)
    print(one_line(f"{folder}: made; its params.yaml says what is studied"))
    print(f"next: cd {shlex.quote(one_line(str(folder)))} && nst check && dvc repro")
    return 0


def _about(seconds: float) -> str:
    minutes = round(seconds / 60)
    return "< 1 min" if seconds < 60 else f"{minutes} min" if minutes < 90 else f"{seconds / 3600:.1f} h"
