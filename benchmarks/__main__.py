"""``python -m benchmarks``: measures, prints the tables, and writes them as JSON, docs/benchmarks.md and README.md."""

import argparse
import functools
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import batch, machine, memory, peer, precision, steps, study, table
from benchmarks.command import chosen, commit
from benchmarks.process import FailedError
from benchmarks.table import Results, Section, Taken
from flows.processes import Stopped, stop_on_sigterm
from flows.settings import ROOT
from nst.errors import NSTError

RESULTS = ROOT / "benchmarks" / "results.json"
TABLES = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"


@dataclass(frozen=True)
class Part:
    """A section that can be asked for."""

    what: str
    minutes: float
    """About, on two cores with bfloat16."""


PARTS = {
    "steps": Part("one optimisation step beside the bare network and plain float32", 5),
    "batch": Part("pictures a second in batches of one, two and four", 1),
    "peer": Part("whole processes beside pastiche, the peer", 40),
    "precision": Part("distances of pictures made in bfloat16 and in float32", 3),
    "memory": Part("peak memory at 512 and 1024 px", 1),
    "study": Part("make repro in a fresh clone, then changed, then up to date", 10),
}


@dataclass(frozen=True)
class Arguments:
    """What the command line asks for."""

    only: tuple[str, ...]
    output: Path
    peer_results: Path | None
    params: Path | None
    show: bool


def parse(argv: Sequence[str] | None = None) -> Arguments:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures how fast this is, beside a peer and beside the bare network, and writes the tables. "
        "Needs a machine with nothing else to do: it refuses when other processes use more than "
        f"{machine.QUIET} cores, before or while it measures.",
        epilog="Sections: "
        + "; ".join(f"{name} ({part.what}, about {part.minutes:g} min)" for name, part in PARTS.items())
        + ".  Exit codes: 0 done, whether targets were met or not; 1 the machine is busy or a command failed; "
        "2 wrong input.",
    )
    parser.add_argument(
        "--only",
        type=_sections,
        default=tuple(PARTS),
        metavar="SECTION[,…]",
        help="measure these sections; the others stay as they are in the file",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=RESULTS,
        metavar="FILE",
        help="JSON file of the results (default: benchmarks/results.json; docs/benchmarks.md and README.md are written "
        "with this one alone)",
    )
    parser.add_argument(
        "--peer-results",
        type=Path,
        metavar="FOLDER",
        help="use the peer's times and pictures of an earlier run on this machine; the last are in "
        f"{peer.KEPT.relative_to(ROOT)}",
    )
    parser.add_argument(
        "--params", type=Path, metavar="FILE", help="run the study with another params.yaml, to try this out"
    )
    parser.add_argument("--show", action="store_true", help="measure nothing: show the results that are there")
    return Arguments(**vars(parser.parse_args(argv)))


def _sections(text: str) -> tuple[str, ...]:
    return chosen(text, PARTS, "section")


def run(arguments: Arguments) -> None:
    """Measures what is asked for, one section after the other, and keeps each as soon as it is done.

    Raises:
        BusyError: the machine was busy; sections finished before are kept.
        FailedError: a command failed.
        ValueError: a file cannot be used.
    """
    results = table.read(arguments.output) if arguments.output.exists() else Results(machine.describe(), {})
    if not arguments.show:
        results = _measure(arguments, results)
    print(table.markdown(results))
    if arguments.output == RESULTS:
        table.insert(table.markdown(results), TABLES)
        table.insert(table.summary(results), README)


def _measure(arguments: Arguments, results: Results) -> Results:
    minutes = sum(PARTS[name].minutes for name in arguments.only)
    _say(f"about {minutes:g} minutes: {', '.join(f'{name} {PARTS[name].minutes:g}' for name in arguments.only)}")
    if results.machine != machine.describe():
        results = Results(machine.describe(), {})  # times of two machines do not belong in one table
    taken_at = commit()
    machine.wait_until_quiet()
    for name in arguments.only:
        taken = watched(functools.partial(_section, name, arguments), taken_at)
        both = {**results.sections, name: taken}
        results = Results(results.machine, {name: both[name] for name in PARTS if name in both})
        table.write(results, arguments.output)
    return results


def watched(section: Callable[[], Section], commit: str) -> Taken:
    """Measures a section, and refuses what came of it if the machine was busy meanwhile.

    Raises:
        BusyError: it was.
    """
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    began = time.monotonic()
    with machine.Watch() as watch:
        found = section()
    assert watch.load is not None
    watch.load.check()
    return Taken(found, date, commit, round(time.monotonic() - began, 1), round(watch.load.cores, 3))


def _section(name: str, arguments: Arguments) -> Section:
    def say(what: str) -> None:
        _say(f"{name}: {what}")

    match name:
        case "peer":
            return peer.measure(say, arguments.peer_results)
        case "study":
            return study.measure(say, arguments.params)
        case "steps":
            return steps.measure(say)
        case "batch":
            return batch.measure(say)
        case "memory":
            return memory.measure(say)
        case _:
            return precision.measure(say)


def _say(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    arguments = parse(argv)
    stop_on_sigterm()
    try:
        run(arguments)
    except (machine.BusyError, FailedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (ValueError, OSError, NSTError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped:
        return 143
    except KeyboardInterrupt:
        print("\nstopped; finished sections are kept", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
