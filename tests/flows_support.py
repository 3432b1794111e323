"""A checkout to try the flows in, real processes and all."""

import functools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from study_support import PARAMS, PICTURES, ROOT

from nst.engine.jobs import Job
from nst.engine.results import Environment, Quality, Result, Timing

UNSET = ("NST_OWNER", "NST_SUPERVISOR", "DVC_STAGE", "DVC_ROOT", "MAKEFLAGS", "MAKELEVEL")


def make_result(job: Job, loss: float = 2.0) -> Result:
    """A result that nobody computed."""
    return Result(
        job=job,
        png=b"a picture",
        frames=(),
        losses=(loss, 1.0),
        quality=Quality(
            content_distance=0.5,
            style_distance=0.25,
            own_style_distance=0.25,
            gram_errors=(0.25,) * 16,
            sliced_wasserstein=0.2,
            colour_distance=0.1,
            cfsd=0.3,
            st_lpips=0.4,
            arrangement=0.1,
            psnr=12.0,
            ssim=0.5,
            final_loss=1.0,
        ),
        timing=Timing(1.5, 0.0, 1.75, 0.25, 2, 2, 100.0, (0.0, 1.5)),
        environment=Environment("cpu", "float32", "plain", 1, "2.14.1", "0" * 64, "here"),
    )


@dataclass(frozen=True)
class Checkout:
    """A copy of the working tree with what git would take, as a repository of its own."""

    path: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        """Where finished jobs are."""
        return self.path / ".cache" / "jobs"

    def finished(self) -> dict[str, int]:
        """The files of finished jobs and when each was written; a job that runs again is written again."""
        return {path.name: path.stat().st_mtime_ns for path in self.cache.glob("*.json")}

    def environ(self, **more: str) -> dict[str, str]:
        """The environment for a command in here; an empty value removes a variable."""
        inherited = _inherited()
        path = f"{Path(sys.executable).parent}{os.pathsep}{inherited['PATH']}"
        both = {**inherited, "PATH": path, "NST_WORKERS": "2", **self.environment, **more}
        return {name: value for name, value in both.items() if value}

    def start(self, command: Sequence[str], **more: str) -> "subprocess.Popen[str]":
        """A command, in a process group of its own."""
        return subprocess.Popen(
            command,
            cwd=self.path,
            env=self.environ(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=_heed_ctrl_c,  # noqa: PLW1509  (it only sets a signal)
        )

    def run(self, *command: str, code: int = 0, timeout: float = 400, **more: str) -> str:
        """Runs a command to its end, checks the exit code, and returns all it printed."""
        process = self.start(command, **more)
        try:
            output, _ = process.communicate(timeout=timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        assert process.returncode == code, f"{command} ended with {process.returncode}:\n{output}"
        return output

    def study(self, name: str, code: int = 0, **more: str) -> str:
        """Runs one study."""
        return self.run(sys.executable, "-m", "flows.study", name, code=code, **more)


def _inherited() -> dict[str, str]:
    """Our environment without what would lead a checkout to services or files of ours.

    What runs in the tests' own process sets PREFECT_HOME, for one, to this checkout's.
    """
    return {name: value for name, value in os.environ.items() if name not in UNSET and not name.startswith("PREFECT_")}


def _heed_ctrl_c() -> None:
    """As in a terminal: what a script runs in the background ignores Ctrl-C, and so would all it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def make_checkout(path: Path, environment: Mapping[str, str] | None = None) -> Checkout:
    """Copies what git would take, uncommitted files too, but parameters and pictures, which are those of study_support.

    What was computed is left out: reports and dvc.lock.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("reports/") and name != "dvc.lock":
            target = path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    shutil.copy(PARAMS, path / "params.yaml")
    shutil.copy(PICTURES, path / "data.dvc")
    checkout = Checkout(path, environment or {})
    checkout.run("git", "init", "-q")
    checkout.run("git", "add", "-A")
    checkout.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-q", "-m", "start")
    checkout.run("dvc", "pull", "-q", "data")
    (path / ".prefect").mkdir()
    (path / ".prefect" / "prefect.db").write_bytes(_empty_database())
    return checkout


@functools.cache
def _empty_database() -> bytes:
    """As `make install` lays it out."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
        environment = {**_inherited(), "PREFECT_HOME": home, "DO_NOT_TRACK": "1"}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return (Path(home) / "prefect.db").read_bytes()


TINY = {
    "size": 48,
    "iterations": 2,
    "reconstruction": {"iterations": 2, "layers": [1, 3]},
    "synthesis": {"windows": ["1-2", "2-3"]},
    "transfer": {
        "iterations": 2,
        # With the classic layers, which are always a column, four cells; the finalists are two of these.
        "content_layers": ["conv2_2", "conv4_2"],
        "style_windows": ["1-2"],
        "finalists": {
            "count": 1,
            "iterations": 2,
            "style_weights": [10],
            "pairs": [["egeskov", "great_wave"]],
            "seeds": [0],
        },
    },
    "initialization": {
        "iterations": 2,
        "long_iterations": 3,
        "pairs": [["egeskov", "great_wave"]],
        "seeds": [0],
        "style_layers": "1-2",
    },
    "parameters": {"pairs": [["egeskov", "great_wave"]], "vary": {"style_weight": [1, 10]}},
    "gallery": {"favourites": [["chelsea", "great_wave"]], "favourite_size": 48, "gram_layers": ["conv1_1"]},
}
"""Changes to params.yaml that leave every study whole but small."""


def set_params(checkout: Checkout, changes: Mapping[str, Any]) -> None:
    """Changes params.yaml; a section keeps what is not named."""
    path = checkout.path / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        if isinstance(value, Mapping):
            params[key].update(value)
        else:
            params[key] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False))


@contextmanager
def planted(checkout: Checkout, file: str, code: str, before: str) -> Iterator[None]:
    """A file of the checkout with these lines, indented as those are that they come before."""
    source = checkout.path / file
    whole = source.read_text()
    head, found, tail = whole.partition(before)
    assert found
    indentation = before[: len(before) - len(before.lstrip())]
    try:
        source.write_text(head + textwrap.indent(textwrap.dedent(code), indentation) + before + tail)
        yield
    finally:
        source.write_text(whole)


def with_a_bad_picture(checkout: Checkout) -> AbstractContextManager[None]:
    """One job of the tiny transfer study gets half a picture, which no check of the input sees."""
    fault = """\
        if job.layers == "conv2_2 | 1-2":
            given = type(given)(given.content[:99], given.styles)
    """
    return planted(checkout, "flows/study.py", fault, before="        return Order(job, given")


def with_other_losses(checkout: Checkout) -> AbstractContextManager[None]:
    """The engine's code is another."""
    return planted(checkout, "nst/engine/losses.py", "ANOTHER = 1\n", before="import torch\n")


def wait_for(condition: Callable[[], bool], seconds: float = 200, every: float = 0.1) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def alive(processes: Sequence[psutil.Process]) -> list[str]:
    """The command lines of those that still run."""
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.NoSuchProcess:
            continue
    return found


@contextmanager
def killed_at_the_end(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Leaves nothing of the process behind, however the test ends."""
    try:
        yield
    finally:
        for member in family(process.pid):
            member.kill()
        process.communicate()


def written(folder: Path) -> dict[str, bytes]:
    """All files of a study but the one with times, and the one that DVC may add."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("timing.csv", ".gitignore")
    }


@dataclass(frozen=True)
class HandMade:
    """A scheduler and workers as a person starts them, each in a folder of its own."""

    address: str
    workers: tuple["subprocess.Popen[bytes]", ...]


@contextmanager
def hand_made_cluster(
    folder: Path, workers: int, *options: str, again: bool = False, **more: str
) -> Iterator[HandMade]:
    """`dask scheduler` and `dask worker` on 127.0.0.1; they know nothing of the checkout that will use them.

    Args:
        again: a worker that has ended is started again, as a service manager does.
    """
    code = {"PYTHONPATH": str(ROOT)}  # that of the tests, whichever checkout is installed
    environment = {**_inherited(), **code, **more}
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]

    def start(name: str, *words: str) -> "subprocess.Popen[bytes]":
        place = folder / name
        place.mkdir()
        with (place / "log").open("wb") as log:
            command = [*dask, *words]
            if again and name != "scheduler":
                command = ["sh", "-c", f"while :; do {shlex.join(command)}; done"]
            return subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=log)

    started = [
        start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0",
              "--scheduler-file", str(file))
    ]  # fmt: skip
    try:
        assert wait_for(file.exists)
        address = json.loads(file.read_text())["address"]
        words = ["worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--preload", "flows.worker", *options]
        started += [start(f"worker{number}", *words) for number in range(workers)]
        yield HandMade(address, tuple(started[1:]))
    finally:
        members = [member for process in started for member in family(process.pid)]
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        for process in started:
            process.wait()
