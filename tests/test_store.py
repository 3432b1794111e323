"""The store of finished jobs: what is read is whole and right, whatever happened while it was written."""

import errno
import itertools
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from engine_support import make_job
from flows_support import make_result
from fsspec.implementations.local import LocalFileSystem
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from flows.store import Store, StoreError
from nst.errors import ResultError

KEY = "0" * 64


class TestFolder:
    """One file for each finished job."""

    def test_gives_back_what_was_stored(self, tmp_path: Path) -> None:
        job = make_job()
        Store(str(tmp_path)).save(KEY, make_result(job))
        assert Store(str(tmp_path)).load(KEY, job) == make_result(job)
        assert Store(str(tmp_path)).load("1" * 64, job) is None
        assert [path.name for path in tmp_path.iterdir()] == [f"{KEY}.json"]

    @pytest.mark.parametrize("kept", [0, 1, 100, -1])
    def test_notices_a_cut_file(self, tmp_path: Path, kept: int) -> None:
        store = Store(str(tmp_path))
        store.save(KEY, make_result(make_job()))
        path = tmp_path / f"{KEY}.json"
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(ResultError):
            store.load(KEY, make_job())

    def test_notices_an_altered_number(self, tmp_path: Path) -> None:
        store = Store(str(tmp_path))
        store.save(KEY, make_result(make_job()))
        path = tmp_path / f"{KEY}.json"
        text = path.read_text()
        assert "12.0" in text
        path.write_text(text.replace("12.0", "13.0"))
        with pytest.raises(ResultError, match="checksum"):
            store.load(KEY, make_job())

    def test_notices_another_jobs_file(self, tmp_path: Path) -> None:
        store = Store(str(tmp_path))
        store.save(KEY, make_result(make_job(seed=1)))
        with pytest.raises(ResultError, match="another job"):
            store.load(KEY, make_job())

    def test_never_unpickles(self, tmp_path: Path) -> None:
        trap = tmp_path / "sprung"

        class Trap:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return os.mkdir, (str(trap),)

        (tmp_path / f"{KEY}.json").write_bytes(pickle.dumps(Trap()))
        with pytest.raises(ResultError):
            Store(str(tmp_path)).load(KEY, make_job())
        assert not trap.exists()

    @pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ESTALE])
    def test_a_file_that_cannot_be_read_is_an_error_and_stays(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        store = Store(str(tmp_path))
        store.save(KEY, make_result(make_job()))

        def fail(*_: object, **__: object) -> bytes:
            raise OSError(code, os.strerror(code))

        with monkeypatch.context() as patch:
            patch.setattr(LocalFileSystem, "_open", fail)
            with pytest.raises(StoreError, match=os.strerror(code)):
                store.load(KEY, make_job())
        assert store.load(KEY, make_job()) == make_result(make_job())

    @pytest.mark.parametrize("mode", [0o755, 0o2770, 0o700])
    def test_files_are_for_whom_the_folder_is_for(self, tmp_path: Path, mode: int) -> None:
        tmp_path.chmod(mode)
        before = os.umask(0o077)  # as some people's is
        try:
            Store(str(tmp_path)).save(KEY, make_result(make_job()))
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / f"{KEY}.json").stat().st_mode) == mode & 0o666

    def test_sweeps_what_killed_writers_have_left_and_nothing_else(self, tmp_path: Path) -> None:
        store = Store(str(tmp_path))
        store.save(KEY, make_result(make_job()))
        old, new, other = (tmp_path / name for name in (f".{KEY}.json.a.1.1", f".{KEY}.json.a.2.2", "notes.txt"))
        for path in (old, new, other):
            path.write_text("half")
        for path in (old, other, tmp_path / f"{KEY}.json"):
            os.utime(path, (1, 1))
        Store(str(tmp_path))
        assert {path.name for path in tmp_path.iterdir()} == {f"{KEY}.json", new.name, other.name}

    def test_says_before_any_job_that_it_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match=r"^NST_CACHE = '.*/file/jobs' cannot be written: Not a directory$"):
            Store(str(tmp_path / "file" / "jobs")).try_writing()
        Store(str(tmp_path / "new")).try_writing()
        assert list((tmp_path / "new").iterdir()) == []


class TestUrl:
    """The same by URL; `memory` is fsspec's own file system."""

    def test_gives_back_what_was_stored(self) -> None:
        job, store = make_job(), Store("memory://studies/jobs")
        assert store.load(KEY, job) is None
        store.save(KEY, make_result(job))
        assert store.load(KEY, job) == make_result(job)
        store._files.pipe_file(f"memory://studies/jobs/{KEY}.json", b"{")
        with pytest.raises(ResultError):
            store.load(KEY, job)

    def test_has_a_size_and_can_be_pruned(self, tmp_path: Path) -> None:
        for place in (str(tmp_path / "jobs"), "memory://studies/sizes"):
            store = Store(place)
            assert store.sizes() == {}
            for key in (KEY, "1" * 64):
                store.save(key, make_result(make_job()))
            assert store.sizes().keys() == {KEY, "1" * 64}
            assert min(store.sizes().values()) > 100
            store.remove(KEY)
            assert store.sizes().keys() == {"1" * 64}

    def test_names_a_url_that_nothing_can_reach(self) -> None:
        with pytest.raises(StoreError, match=r"^NST_CACHE = 'nonsense://here': "):
            Store("nonsense://here")


CALLS = [(Path, "mkdir"), (Path, "open"), (Path, "replace"), (Path, "stat")]
CALLS += [(os, name) for name in ("fchmod", "fsync", "open", "close", "write")]  # type: ignore[misc]


@contextmanager
def at_call(number: int, act: Callable[[], None]) -> Iterator[list[str]]:
    """Does `act` before the file-system call with this number, from 0; yields the names of all calls."""
    made: list[str] = []

    def wrap(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **options: object) -> object:
            made.append(name)
            if len(made) == number + 1:
                act()
            return call(*args, **options)

        return counted

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in CALLS:
            patch.setattr(owner, name, wrap(name, getattr(owner, name)))
        yield made


BEFORE = {
    "nothing": lambda path: path.unlink(missing_ok=True),
    "a whole result": lambda path: Store(str(path.parent)).save(KEY, make_result(make_job(), loss=1.0)),
    "half a result": lambda path: path.write_text("{"),
}


def check(folder: Path, before: str, saved: bool) -> None:
    """What is there is what was there before or what was to be stored, and can be replaced."""
    store = Store(str(folder))
    old, new = make_result(make_job(), loss=1.0), make_result(make_job(), loss=2.0)
    try:
        found = store.load(KEY, make_job())
    except ResultError:
        assert before == "half a result" and not saved
    else:
        possible = [new] if saved else [new, {"nothing": None, "a whole result": old}.get(before, new)]
        assert found in possible
    store.save(KEY, new)
    assert store.load(KEY, make_job()) == new


@pytest.mark.parametrize("before", BEFORE)
def test_an_error_at_any_call_gives_no_wrong_result(tmp_path: Path, before: str) -> None:
    def fail() -> None:
        raise OSError(errno.EIO, "Input/output error")

    for number in itertools.count():
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        BEFORE[before](tmp_path / f"{KEY}.json")
        saved = True
        with at_call(number, fail) as made:
            try:
                Store(str(tmp_path)).save(KEY, make_result(make_job(), loss=2.0))
            except StoreError as error:
                saved = False
                assert "Input/output error" in str(error)
        assert not list(tmp_path.glob(".*"))  # nothing half-written stays
        check(tmp_path, before, saved)
        if len(made) <= number:
            break
    assert number >= 6, made


def _save_and_die(folder: str, number: int) -> None:
    with at_call(number, lambda: os.kill(os.getpid(), signal.SIGKILL)):
        Store(folder).save(KEY, make_result(make_job(), loss=2.0))


@pytest.mark.parametrize("before", BEFORE)
def test_a_kill_at_any_call_gives_no_wrong_result(tmp_path: Path, before: str) -> None:
    for number in itertools.count():
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        BEFORE[before](tmp_path / f"{KEY}.json")
        writer = multiprocessing.get_context("fork").Process(target=_save_and_die, args=(str(tmp_path), number))
        writer.start()
        writer.join()
        check(tmp_path, before, saved=writer.exitcode == 0)
        if writer.exitcode == 0:
            break
        assert writer.exitcode == -signal.SIGKILL
    assert number >= 6


class Machine(RuleBasedStateMachine):
    """Writers, kills, cuts and readers in any order, beside a model of what must be read."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store(str(self.folder))
        self.model: dict[str, float | None] = {}  # the loss that was stored; None where the file is damaged

    keys = st.sampled_from(["a" * 64, "b" * 64])

    @rule(key=keys, loss=st.floats(0, 10))
    def save(self, key: str, loss: float) -> None:
        self.store.save(key, make_result(make_job(), loss=loss))
        self.model[key] = loss

    @rule(key=keys, number=st.integers(0, 8))
    def fail(self, key: str, number: int) -> None:
        """A write that ends in an error is as if it never was, or is whole."""

        def broken() -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        before = self._loss(key)
        with at_call(number, broken), suppress(StoreError):
            self.store.save(key, make_result(make_job(), loss=11.0))
        after = self._loss(key)
        assert after in (before, 11.0)
        if after != before:
            self.model[key] = 11.0

    @rule(key=keys, share=st.floats(0, 0.99))
    def cut(self, key: str, share: float) -> None:
        path = self.folder / f"{key}.json"
        if path.exists():
            content = path.read_bytes()
            path.write_bytes(content[: int(share * len(content))])
            self.model[key] = None

    @rule(key=keys)
    def leave_half_a_file(self, key: str) -> None:
        """As a writer that was killed does; the next reader sweeps it."""
        path = self.folder / f".{key}.json.host.1.1"
        path.write_text('{"job": ')
        os.utime(path, (1, 1))

    @rule()
    def open_again(self) -> None:
        self.store = Store(str(self.folder))
        assert not list(self.folder.glob(".*"))

    @invariant()
    def reads_what_was_written(self) -> None:
        for key in ("a" * 64, "b" * 64):
            assert self._loss(key) == self.model.get(key, "missing")

    def _loss(self, key: str) -> float | str | None:
        try:
            result = self.store.load(key, make_job())
        except ResultError:
            return None
        return "missing" if result is None else result.losses[0]

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_writers_side_by_side(tmp_path: Path) -> None:
    """Four processes store the same job over and over; readers see one of the results, whole."""
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_save_often, args=(str(tmp_path), float(number))) for number in range(1, 5)]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        result = Store(str(tmp_path)).load(KEY, make_job())
        seen.add(result and result.losses[0])
        time.sleep(0.001)
    assert {writer.exitcode for writer in writers} == {0}
    assert seen - {None} <= {1.0, 2.0, 3.0, 4.0}
    assert [path.name for path in tmp_path.iterdir()] == [f"{KEY}.json"]
    assert json.loads((tmp_path / f"{KEY}.json").read_text())


def _save_often(folder: str, loss: float) -> None:
    store = Store(folder)
    for _ in range(50):
        store.save(KEY, make_result(make_job(), loss=loss))
