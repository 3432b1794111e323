"""What the `nst` command does with pictures: one or several, each saved where it belongs, until done or stopped."""

import dataclasses
import os
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from nst import api, output, sixteen_bit
from nst.engine import images, malloc
from nst.engine.jobs import LADDER
from nst.errors import ImageError, OutputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from nst.engine.optimize import State
    from nst.engine.results import Result


@dataclass(frozen=True)
class Order:
    """One picture to make."""

    pictures: Mapping[str, Path]
    """What it is made from: "content", "style" or both; a style as it was typed may be several files with weights."""
    output: Path
    command: str
    """What makes this one picture, as a shell takes it."""
    bits: int = 8
    """Of each channel of the file."""

    @property
    def files(self) -> list[tuple[str, Path]]:
        """What each file is, "content" or "style", and its path.

        Raises:
            ImageError: weights of styles cannot be used.
        """
        contents = [("content", path) for kind, path in self.pictures.items() if kind == "content"]
        styles = [api.parts(path) for kind, path in self.pictures.items() if kind == "style"]
        return [*contents, *(("style", Path(str(path))) for several in styles for path, _ in several)]

    @property
    def is_done(self) -> bool:
        """Whether the same command made it, from pictures that have not changed since."""
        try:
            made = self.output.stat().st_mtime
            same = output.command_of(self.output) == self.command
            return same and all(path.stat().st_mtime <= made for _, path in self.files)
        except (OSError, ValueError, ImageError):
            return False


def orders(
    task: str,
    kinds: Sequence[str],
    first: Sequence[Path],
    others: Sequence[Path],
    *,
    place: str,
    typed: Sequence[str],
    bits: int = 8,
) -> list[Order]:
    """One order for each of the `first` pictures.

    Args:
        kinds: what the first and the other pictures are.
        place: a file; or a folder, for several pictures.
        typed: the options of the command line but for the place.
        bits: of each channel of the files.

    Raises:
        OutputError: two pictures would be written to one place.
    """
    looks_like_a_file = Path(place).suffix.lower() in images.SUFFIXES
    folder = len(first) > 1 or place.endswith(os.sep) or (output.is_folder(Path(place)) and not looks_like_a_file)
    found = []
    for path in first:
        order = Order(dict(zip(kinds, (path, *others), strict=True)), Path(place), "", bits)
        names = "_".join(file.stem for _, file in order.files)
        target = Path(place) / f"{names}.png" if folder else Path(place)
        command = ["nst", task, *map(str, (path, *others)), "-o", str(target), *typed]
        found.append(dataclasses.replace(order, output=target, command=shlex.join(command)))
    for number, order in enumerate(found):
        if any(order.output == other.output for other in found[:number]):
            raise OutputError(f"two pictures would be written to {order.output}; rename one, or run the command twice")
    return found


def make_folder(place: Path) -> None:
    """The folder that several pictures go to.

    Raises:
        OutputError: it cannot be made, or looks like a file.
    """
    if not output.is_folder(place) and place.suffix.lower() in images.SUFFIXES:
        raise OutputError(f"{place}: several pictures need a folder; give one")
    try:
        place.mkdir(exist_ok=True)
    except FileNotFoundError:
        raise OutputError(f"{place}: there is no folder {place.parent}; make it first") from None
    except (OSError, ValueError) as error:
        raise OutputError(f"{place}: no folder can be made there ({getattr(error, 'strerror', error)})") from None


def check(order: Order, options: api.Options) -> None:
    """Whether its picture can be written; before it is made.

    Raises:
        OutputError: it cannot.
    """
    output.format_of(order.output, order.bits)
    output.check(order.output, 3 * options.size**2 * order.bits // 8, [path for _, path in order.files])


def notes(order: Order, options: api.Options) -> list[str]:
    """What happens to its pictures that one may not expect, a line each.

    Raises:
        ImageError: a picture cannot be read.
    """
    chosen = "size" in options.model_fields_set
    scaled = {"style": round(options.size * options.style_scale)} if options.task == "transfer" else {}
    return [
        f"{path}: {note}"
        for kind, path in order.files
        for note in images.notes(path, scaled.get(kind, options.size), size_is_chosen=chosen)
    ]


def is_large(options: api.Options) -> bool:
    """Whether a picture is larger than what is painted at once by default, or has rungs of a ladder."""
    return options.size > min(options.ladder or LADDER, LADDER)


def forecast(order: Order, options: api.Options) -> str:
    """What a large picture, or one with rungs of a ladder, takes on this machine, found by painting a small one for a
    moment; "" for others, of up to 512 px, which take a minute or so.

    Raises:
        NSTError: as `api.run` does.
    """
    if not is_large(options):
        return ""
    seconds, memory = api.forecast(options, order.pictures)
    malloc.trim()  # of a small picture, whose blocks fit no large one
    return f"{options.size} px: about {memory / 1e9:.1f} GB of memory and {_duration(seconds)}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def paint(order: Order, options: api.Options, show: "Callable[[State], None]", stop: "Stop") -> "tuple[Result, str]":
    """Make a picture and save it, as far as it came where it was stopped.

    Args:
        show: called after each iteration.

    Returns:
        The result, and "stopped after 3 of 40 iterations" or "".

    Raises:
        NSTError: as `api.run` and `output.save` do.
    """

    whole = options.iterations
    pixels: list[NDArray[np.uint16]] = []

    def watch(state: "State") -> bool:
        nonlocal whole
        whole = state.of  # rungs of a ladder add some
        stop.listen()
        show(state)
        if is_large(options):
            malloc.trim()  # else gaps between blocks grow: 4.4 GB instead of 3.9 at 2048 px, for 8 % of the time
        return stop.signal is not None

    def keep(picture: "Tensor") -> None:
        if order.bits == 16:
            pixels.append(sixteen_bit.rounded(picture))

    result = api.run(options, order.pictures, watch, keep)
    done = len(result.losses)
    stopped = f"stopped after {done} of {whole} iterations" if stop.signal is not None and done < whole else ""
    output.save(result.png, order.output, order.command + (f"  # {stopped}" if stopped else ""), *pixels)
    return result, stopped


class Stop:
    """Ctrl-C and SIGTERM: the first asks to stop after the iteration that runs, the second ends the process at once."""

    signal: int | None = None
    """The one that arrived."""

    def __init__(self) -> None:
        self._before: dict[int, object] = {}

    def listen(self) -> None:
        """From the first iteration on: before it, there is nothing that could be saved."""
        for number in () if self._before else (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.getsignal(number)
            if self._before[number] is not signal.SIG_IGN:  # as for a command in the background of a script
                signal.signal(number, self._ask)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        for each in self._before:
            signal.signal(each, signal.SIG_DFL)

    def end(self) -> None:
        """The handlers there were before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


@contextmanager
def stoppable() -> Iterator[Stop]:
    """A `Stop` that listens only inside."""
    stop = Stop()
    try:
        yield stop
    finally:
        stop.end()
