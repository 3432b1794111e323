"""How fast it is on a GPU: ``python -m benchmarks.gpu`` or ``make bench-gpu``, in about eight minutes on an H100.

Each part writes its numbers when it is done, so a run that is cut off keeps what it has; one that fails is named, and
the others go on.  The last that is printed is a short table of what was to be reached.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import yaml

from benchmarks import gpu_steps, machine, pairs, precision, study, table
from benchmarks.command import chosen, commit
from benchmarks.pairs import PAIRS
from benchmarks.table import Cell, Results, Section, Spread, Taken, Target
from flows.processes import Stopped, stop_on_sigterm
from flows.settings import ROOT
from nst.errors import NSTError

if TYPE_CHECKING:
    from nst.report import compare

RESULTS = ROOT / "benchmarks" / "gpu.json"
PARTS = ("ceilings", "steps", "transfer", "parity", "study")
SECONDS = {"transfer": {1024: 8.0}, "study": {192: 60.0, 512: 120.0}}
"""Targets by longest side, px."""
BUSY = 70.0
"""% of the wall time of a study at 512 px that the GPU is to be busy."""
LARGEST = 680
"""px; as large as our originals are: the gallery's favourites are no larger."""
LOWEST = 60.0
"""Seconds that a study gets, however late it is."""
COPIED = (".dvc/config", ".dvcignore", "data", "data.dvc", "dvc.yaml", "flows", "nst", "params.yaml")
"""What a study needs of the checkout."""


@dataclass(frozen=True)
class Arguments:
    """What the command line asks for."""

    parts: tuple[str, ...]
    output: Path
    minutes: float
    device: str
    sizes: tuple[int, ...]
    batches: tuple[int, ...]
    transfers: tuple[int, ...]
    studies: tuple[int, ...]
    parity: int
    iterations: int | None
    params: Path


def parse(argv: Sequence[str] | None = None) -> Arguments:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description="Measures how fast this is on a GPU, beside the bare network and what the GPU can do.",
        epilog="Exit codes: 0 done, whether targets were met or not; 1 a part failed or was left out; 2 there is no "
        "GPU, or wrong input.  With --device cpu and small numbers it can be tried out where there is none.",
    )
    add = parser.add_argument
    add("--parts", type=_parts, default=PARTS, metavar="PART[,…]", help=f"of {', '.join(PARTS)} (default: all)")
    add("--output", type=Path, default=RESULTS, metavar="FILE", help="JSON file (default: benchmarks/gpu.json)")
    add("--minutes", type=float, default=8.0, help="after which no part begins (default: %(default)s)")
    add("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: only to try this out")
    for name, default, what in (
        ("sizes", "192,512,1024", "of steps, px"),
        ("batches", "1,2,4,8,16,32,64", "of steps"),
        ("transfers", "512,1024,2048", "sizes of whole `nst transfer` processes, px"),
        ("studies", "192,512", "sizes of whole studies, px"),
    ):
        add(f"--{name}", type=_numbers, default=_numbers(default), metavar="N[,…]", help=f"{what} (default: {default})")
    add("--parity", type=int, default=pairs.SIZE, metavar="N", help="size for parity, px (default: %(default)s)")
    add("--iterations", type=int, metavar="N", help="of transfers and parity (default: as `nst transfer`)")
    add("--params", type=Path, default=ROOT / "params.yaml", metavar="FILE", help="what is studied, to try this out")
    return Arguments(**vars(parser.parse_args(argv)))


def _parts(text: str) -> tuple[str, ...]:
    return chosen(text, PARTS, "part")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


Say = Callable[[str], None]
Measure = Callable[[Say, float], Section]
"""Measures, in about so many seconds at most."""


def sections(arguments: Arguments) -> Iterator[tuple[str, Measure]]:
    """What is measured, in this order."""
    for part in arguments.parts:
        match part:
            case "ceilings":
                yield part, lambda _say, _limit: gpu_steps.measure_ceilings(arguments.device)
            case "steps":
                for size in arguments.sizes:
                    yield f"steps {size}", _steps(arguments, size)
            case "transfer":
                yield part, lambda say, _limit: transfers(arguments, say)
            case "parity":
                yield part, lambda say, _limit: parity(arguments, say)
            case "study":
                for size in arguments.studies:
                    yield f"study {size}", _study(arguments, size)


def _steps(arguments: Arguments, size: int) -> Measure:
    return lambda say, _limit: gpu_steps.measure(size, arguments.batches, arguments.device, say)


def _study(arguments: Arguments, size: int) -> Measure:
    return lambda say, limit: whole_study(arguments, size, say, limit)


def run(arguments: Arguments) -> bool:
    """Measures what is asked for and prints it; whether nothing failed.

    Raises:
        ValueError: the file of results cannot be used.
    """
    end = time.monotonic() + 60 * arguments.minutes
    here = describe(arguments.device)
    results = table.read(arguments.output) if arguments.output.exists() else Results(here, {})
    if results.machine != here:
        results = Results(here, {})  # times of two machines do not belong in one table
    failed = False
    print(here)
    for name, measure in sections(arguments):
        if time.monotonic() > end:
            failed = True
            print(f"\n{name}: left out, as {arguments.minutes:g} minutes are over (--minutes)")
            continue
        say = _sayer(name)
        began, date = time.monotonic(), datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
        try:
            section = measure(say, max(LOWEST, end - began))
        except Exception as error:  # whatever it is, the other parts tell something
            failed = True
            section = Section(f"{name}: failed", ("why",), ((" ".join(f"{type(error).__name__}: {error}".split()),),))
        taken = Taken(section, date, _commit(), round(time.monotonic() - began, 1), 0.0)
        results = Results(here, {**results.sections, name: taken})
        table.write(results, arguments.output)
        print("\n".join(["", f"{section.title} ({taken.seconds:.0f} s)", table.rows(section), *section.notes]))
    print("\n" + table.targets(results), flush=True)
    return not failed


def describe(device: str) -> str:
    """One line: GPU, driver, versions, host."""
    import torch

    if device == "cpu":
        return f"no GPU, to try this out: {machine.describe()}"
    about = torch.cuda.get_device_properties(0)
    parts = [
        f"{torch.cuda.device_count()} × {about.name}",
        f"{about.total_memory / 2**30:.0f} GB",
        f"driver {_driver()}",
        f"CUDA {torch.version.cuda}",
        f"cuDNN {torch.backends.cudnn.version()}",  # type: ignore[no-untyped-call]
        machine.describe(),
    ]
    return ", ".join(parts)


def _driver() -> str:
    with suppress(OSError, subprocess.CalledProcessError):
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
    return "unknown"


def _commit() -> str:
    """ "unknown" where there is no repository, as in a copy."""
    with suppress(OSError, subprocess.CalledProcessError):
        return commit()
    return "unknown"


def _sayer(name: str) -> Say:
    return lambda what: print(f"{datetime.now():%H:%M:%S} {name}: {what}", file=sys.stderr, flush=True)


def transfers(arguments: Arguments, say: Say) -> Section:
    """`nst transfer` as a whole process: Python, torch, CUDA, the picture, its file."""
    rows: list[tuple[Cell, ...]] = []
    targets: list[Target] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.transfers:
            say(f"{size} px")
            done = pairs.transfer(*PAIRS[0].paths, Path(folder) / "out.png", *_options(arguments, size))
            rows.append((size, done.seconds, done.peak_mb))
            if limit := SECONDS["transfer"].get(size):
                targets.append(Target(f"nst transfer at {size} px", limit, Spread.of([done.seconds]), "s"))
    return Section("Whole processes: nst transfer", ("px", "s", "memory of the host, MB"), tuple(rows), tuple(targets))


def _options(arguments: Arguments, size: int) -> tuple[str, ...]:
    iterations = ("--iterations", str(arguments.iterations)) if arguments.iterations else ()
    return ("--size", str(size), *iterations)


def parity(arguments: Arguments, say: Say) -> Section:
    """The GPU's float32 beside the CPU's, and its bfloat16 beside its float32: distances of saved pictures.

    All are measured by one judge, on the CPU.
    """
    rows: list[tuple[Cell, ...]] = []
    apart: dict[str, list[float]] = {}
    size = arguments.parity
    no_gpu = {"CUDA_VISIBLE_DEVICES": ""}
    kinds = (("the CPU, float32", "float32", no_gpu), ("float32", "float32", None), ("bfloat16", "bfloat16", None))
    for pair in PAIRS:
        found = {}
        for name, kind, more in kinds:
            say(f"{pair.title}: {name}")
            with tempfile.TemporaryDirectory() as folder:
                picture = Path(folder) / "picture.png"
                options = (*_options(arguments, size), "--precision", kind)
                done = pairs.transfer(*pair.paths, picture, *options, more=more)
                found[name] = pairs.judge(picture, pair, size)
            rows.append((pair.title, name, found[name].content, found[name].style, done.seconds))
        for ours, exact in (("float32", "the CPU, float32"), ("bfloat16", "float32")):
            for kind in ("content", "style"):
                difference = precision.difference(getattr(found[ours], kind), getattr(found[exact], kind))
                apart.setdefault(f"{kind} distance, {ours} against {exact}: worst pair", []).append(difference)
    targets = tuple(
        Target(what, precision.DIFFERENCE, Spread.of([max(each)]), "% apart") for what, each in apart.items()
    )
    columns = ("pair", "where", "content distance", "style distance", "s")
    return Section(f"Parity at {size} px", columns, tuple(rows), targets)


def whole_study(arguments: Arguments, size: int, say: Say, limit: float) -> Section:
    """`dvc repro` from nothing, in a copy of the checkout with reports and finished jobs of its own."""
    own = yaml.safe_load(arguments.params.read_text("utf-8"))
    with tempfile.TemporaryDirectory(prefix="nst-bench-") as folder:
        copy = Path(folder) / "copy"
        make_copy(copy, arguments.params)
        set_size(copy / "params.yaml", size)
        say("laying out Prefect's database, as `make install` does")
        more = environment(copy)
        words = (sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes")
        subprocess.run(words, cwd=copy, env={**machine.environment(), **more}, check=True, capture_output=True)
        say(f"dvc repro from nothing, at most {limit:.0f} s")
        command = (sys.executable, "-m", "flows.up", "--", sys.executable, "-m", "dvc", "repro")
        with Busy(arguments.device) as busy:
            done = study.repro(copy, command, more, limit)
        verdicts = _verdicts(copy) if size == own["size"] and arguments.params == ROOT / "params.yaml" else None
    rows: list[tuple[Cell, ...]] = []
    for stage in done.stages:
        parts = [float(getattr(stage, part)) for part in study.PARTS]
        rows.append((stage.name, len(stage.jobs), *parts, sum(parts)))
    rows.append(("DVC, stopping", "", *[""] * len(study.PARTS), done.rest))
    jobs = sum(len(stage.jobs) for stage in done.stages)
    rows.append(("all", jobs, *map(done.total, study.PARTS), done.seconds))
    targets = []
    if seconds := SECONDS["study"].get(size):
        targets.append(Target(f"the whole study at {size} px", seconds, Spread.of([done.seconds]), "s"))
    notes = [
        f"The GPU was busy {busy.share:.0f} % of the time, by {busy.how}." if busy.seen else "Nothing says how busy."
    ]
    if busy.seen and size == 512:
        targets.append(Target("GPU busy in the study at 512 px", BUSY, Spread.of([busy.share]), "%", at_least=True))
    if verdicts is not None:
        if not verdicts.unknown:
            targets.append(Target("choices and verdicts unlike the CPU's", 0, Spread.of([len(verdicts.changed)]), ""))
        notes += verdicts.lines()
    return Section(f"The whole study at {size} px", study.COLUMNS[1:], tuple(rows), tuple(targets), tuple(notes))


def make_copy(copy: Path, params: Path) -> None:
    """What a study needs of the checkout; with no repository around it, and no DVC stage that has run."""
    for name in COPIED:
        source, target = ROOT / name, copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    (copy / "params.yaml").write_bytes(params.read_bytes())
    (copy / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n", "utf-8")


def set_size(params: Path, size: int) -> None:
    """As ``dvc exp run -S size=… -S gallery.favourite_size=…`` does."""
    values = yaml.safe_load(params.read_text("utf-8"))
    if values["size"] != size:
        values["size"] = size
        values["gallery"]["favourite_size"] = min(2 * size, LARGEST)
    params.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), "utf-8")


def environment(copy: Path) -> dict[str, str]:
    """What makes a study use the copy's code, and services and finished jobs of its own."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    code = os.pathsep.join(filter(None, [str(copy), os.environ.get("PYTHONPATH", "")]))
    own = {"NST_CACHE": ".cache/jobs", "NST_DASK_ADDRESS": "", "NST_CLUSTER": "local"}
    return {**own, "PREFECT_HOME": str(copy / ".prefect"), "PATH": path, "PYTHONPATH": code}


def _verdicts(copy: Path) -> "compare.Verdicts":
    """Which choices and verdicts differ from the committed ones."""
    from nst.report import compare

    return compare.verdicts(compare.Side("the CPU", ROOT), compare.Side("this GPU", copy))


@dataclass
class Busy:
    """Looks, in a ``with`` block, how much of the time a GPU has something to do."""

    device: str
    how: str = ""
    seen: list[float] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    @property
    def share(self) -> float:
        """% of the time."""
        return mean(self.seen)

    def __enter__(self) -> "Busy":
        self.how, look = _looker(self.device)
        self._thread = threading.Thread(target=self._keep_looking, args=[look], daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _keep_looking(self, look: Callable[[], float] | None) -> None:
        while look and not self._end.wait(0.25):
            with suppress(Exception):  # a look that fails is one less
                self.seen.append(look())


def _looker(device: str) -> tuple[str, Callable[[], float] | None]:
    """What says how busy the GPU was of late, %, and its name."""
    import torch

    if device == "cpu":
        return "", None
    with suppress(Exception):
        torch.cuda.utilization()
        return "torch.cuda.utilization (NVML)", lambda: float(torch.cuda.utilization())
    if not shutil.which("nvidia-smi"):
        return "", None
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    query = ["nvidia-smi", f"--id={first}", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    return "nvidia-smi", lambda: float(subprocess.run(query, capture_output=True, check=True).stdout)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    arguments = parse(argv)
    if arguments.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    torch.set_num_threads(1)  # as in a worker
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("error: no GPU: torch sees none; run this where there is one", file=sys.stderr)
        return 2
    stop_on_sigterm()
    try:
        return 0 if run(arguments) else 1
    except (ValueError, OSError, NSTError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped:
        return 143
    except KeyboardInterrupt:
        print("\nstopped; finished parts are kept", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
