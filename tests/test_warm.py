"""Studies in forked processes: `python -m flows study` under `flows.up`, with real signals."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from flows_support import TINY, Checkout, alive, family, killed_at_the_end, make_checkout, set_params, wait_for, written

UP = [sys.executable, "-m", "flows.up", "--"]
STUDY = [sys.executable, "-m", "flows", "study", "transfer"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which nothing has run."""
    made = make_checkout(tmp_path_factory.mktemp("checkout"))
    set_params(made, TINY)
    return made


HANDS_OVER = """
import os
from pathlib import Path
from flows.__main__ import hand_over

def tell(word, code):
    print(word, code, flush=True)

tell("help", hand_over("flows.report", ["--help"]))
tell("wrong study", hand_over("flows.study", ["nonsense"]))
os.environ["NST_WORKERS"] = "none"
tell("wrong setting", hand_over("flows.study", ["transfer"]))
os.environ["DASK_ANYTHING"] = "1"
tell("another setting of Dask", hand_over("flows.report", ["--help"]))
del os.environ["DASK_ANYTHING"]
Path("nst/report/wording.py").touch()
tell("code that was changed", hand_over("flows.report", ["--help"]))
"""


def test_does_what_this_process_would_do_or_nothing(checkout: Checkout) -> None:
    output = checkout.run(*UP, sys.executable, "-c", HANDS_OVER)
    assert "usage: python -m flows.report" in output
    assert "invalid choice: 'nonsense'" in output
    assert "error: NST_WORKERS" in output
    told = [line for line in output.splitlines() if line.rpartition(" ")[2] in ("0", "1", "2", "None")]
    assert told == [
        "help 0",
        "wrong study 2",
        "wrong setting 2",
        "another setting of Dask None",
        "code that was changed None",
    ]


def test_runs_here_where_nobody_lends(checkout: Checkout) -> None:
    assert "usage: python -m flows.report" in checkout.run(sys.executable, "-m", "flows", "report", "--help")
    assert "usage: python -m flows {report,study}" in checkout.run(sys.executable, "-m", "flows", "up", code=1)


def test_gives_the_same_bytes_as_a_process_of_its_own(checkout: Checkout, tmp_path: Path) -> None:
    params = checkout.path / "params.yaml"
    for name, words in (("warm", [*UP, *STUDY]), ("own", [sys.executable, "-m", "flows.study", "transfer"])):
        reports = tmp_path / name
        cache = str(tmp_path / f"{name}-jobs")
        checkout.run(*words, "--params", str(params), "--reports", str(reports), NST_CACHE=cache)
    assert written(tmp_path / "warm") == written(tmp_path / "own")


IS: dict[str, Callable[[psutil.Process], bool]] = {
    "study": lambda process: process.cmdline()[1:4] == ["-m", "flows", "study"],
    "forked": lambda process: os.getsid(process.pid) == process.pid and "forkserver" in str(process.cmdline()),
}


@pytest.mark.parametrize(
    ("whom", "send", "code"),
    [
        pytest.param("study", signal.SIGKILL, 137, id="kill -9 of the study"),
        pytest.param("forked", signal.SIGKILL, 1, id="kill -9 of the process it runs in"),
        pytest.param("study", signal.SIGTERM, 143, id="SIGTERM"),
        pytest.param("group", signal.SIGINT, 130, id="Ctrl-C"),
    ],
)
def test_ends_with_its_command_and_leaves_nothing_behind(
    checkout: Checkout, tmp_path: Path, whom: str, send: signal.Signals, code: int
) -> None:
    params = tmp_path / "params.yaml"
    params.write_text((checkout.path / "params.yaml").read_text().replace("iterations: 2", "iterations: 800"))
    words = [*UP, *STUDY, "--params", str(params), "--reports", str(tmp_path / "reports")]
    process = checkout.start(words, NST_CACHE=str(tmp_path / "jobs"))
    with killed_at_the_end(process):
        assert wait_for(lambda: bool(list(tmp_path.glob("jobs/*.json"))), every=0.02)
        members = family(process.pid)
        if whom == "group":  # as a terminal sends it
            os.killpg(process.pid, send)
        else:
            next(member for member in members if IS[whom](member)).send_signal(send)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == code, output
        assert wait_for(lambda: not alive(members), 30), alive(members)
    assert ("interrupted: finished jobs are kept" in output) == (send is signal.SIGINT)
    assert ("the process that ran flows.study was killed" in output) == (whom == "forked")
    assert "Traceback" not in output
