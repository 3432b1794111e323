"""Tests of what runs studies, part by part: the store of finished jobs, processes, the fan-out."""

import base64
import dataclasses
import importlib.util
import io
import json
import os
import pickle
import re
import signal
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, redirect_stderr
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from engine_support import make_job
from flows_support import ROOT, alive, family, wait_for
from tqdm import tqdm

from flows import api, cache, cluster, database, processes, settings, sharing, study, worker
from flows.errors import ClusterError, JobsFailedError
from nst import params, studies
from nst.engine.jobs import Job
from nst.engine.layers import layer_number, window
from nst.engine.results import Environment, Quality, Result, Timing
from nst.engine.run import Inputs
from nst.errors import ResultError

api.prepare_environment()


def make_result(job: Job) -> Result:
    return Result(
        job=job,
        png=b"a picture",
        frames=(),
        losses=(2.0, 1.0),
        quality=Quality(0.5, 0.25, 0.2, 0.1, 12.0, 0.5, 1.0),
        timing=Timing(1.5, 0.0, 1.75, 0.25, 2, 2, 100.0, (0.0, 1.5)),
        environment=Environment("cpu", "float32", 1, "2.14.1", "0" * 64, "here"),
    )


class TestStore:
    """One file for each finished job."""

    def test_gives_back_what_was_stored(self, tmp_path: Path) -> None:
        job = make_job()
        cache.store(cache.storage(str(tmp_path)), "key", make_result(job).to_dict())
        assert cache.load(cache.storage(str(tmp_path)), "key", job) == make_result(job)
        assert cache.load(cache.storage(str(tmp_path)), "another", job) is None
        assert [path.name for path in tmp_path.iterdir()] == ["key.json"]

    @pytest.mark.parametrize("kept", [0, 1, 100, -1])
    def test_notices_a_cut_file(self, tmp_path: Path, kept: int) -> None:
        cache.store(cache.storage(str(tmp_path)), "key", make_result(make_job()).to_dict())
        path = tmp_path / "key.json"
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(ResultError):
            cache.load(cache.storage(str(tmp_path)), "key", make_job())

    def test_notices_an_altered_number(self, tmp_path: Path) -> None:
        cache.store(cache.storage(str(tmp_path)), "key", make_result(make_job()).to_dict())
        path = tmp_path / "key.json"
        text = path.read_text()
        assert "12.0" in text
        path.write_text(text.replace("12.0", "13.0"))
        with pytest.raises(ResultError, match="checksum"):
            cache.load(cache.storage(str(tmp_path)), "key", make_job())

    def test_notices_another_jobs_file(self, tmp_path: Path) -> None:
        cache.store(cache.storage(str(tmp_path)), "key", make_result(make_job(seed=1)).to_dict())
        with pytest.raises(ResultError, match="another job"):
            cache.load(cache.storage(str(tmp_path)), "key", make_job())

    def test_never_unpickles(self, tmp_path: Path) -> None:
        trap = tmp_path / "sprung"

        class Trap:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return os.mkdir, (str(trap),)

        text = base64.encodebytes(pickle.dumps(Trap())).decode()
        record = {"metadata": {"serializer": {"type": "pickle"}}, "result": text}
        (tmp_path / "key.json").write_text(json.dumps(record))
        with pytest.raises(ResultError, match="another serializer"):
            cache.load(cache.storage(str(tmp_path)), "key", make_job())
        from prefect.results import ResultStore

        folder = cache.ResultFolder(basepath=str(tmp_path))
        store = ResultStore(result_storage=folder, serializer=cache.SERIALIZER)  # as a worker reads it
        assert not store.exists("key.json")
        assert not trap.exists()

    def test_leaves_nothing_half_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_handle: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            cache.store(cache.storage(str(tmp_path)), "key", make_result(make_job()).to_dict())
        assert list(tmp_path.iterdir()) == []


class TestBucket:
    """The same by URL; `memory` is fsspec's own file system."""

    def test_gives_back_what_was_stored(self) -> None:
        job, bucket = make_job(), cache.storage("memory://studies/jobs")
        assert cache.load(bucket, "key", job) is None
        cache.store(bucket, "key", make_result(job).to_dict())
        assert cache.load(bucket, "key", job) == make_result(job)
        cache.discard(bucket, "key")
        assert cache.load(bucket, "key", job) is None

    def test_notices_a_cut_file_and_another_serializer(self) -> None:
        bucket = cache.storage("memory://studies/jobs")
        for content in (b"{", b'{"metadata": {"serializer": {"type": "pickle"}}, "result": ""}'):
            bucket.write_path("key.json", content)
            with pytest.raises(ResultError):
                cache.load(bucket, "key", make_job())

    def test_names_a_url_that_nothing_can_reach(self) -> None:
        with pytest.raises(ClusterError, match=r"^NST_CACHE = 'nonsense://here': "):
            cache.storage("nonsense://here")


class TestProcesses:
    """Nothing is left behind."""

    def start(self, code: str, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
        )

    def test_a_child_ends_when_its_parent_is_killed(self) -> None:
        parent = self.start(
            "import time; from flows import processes; processes.start(['sleep', '100']); time.sleep(100)"
        )
        assert wait_for(lambda: any(p.name() == "sleep" for p in family(parent.pid)), 20)
        members = family(parent.pid)
        parent.kill()
        parent.wait()
        assert wait_for(lambda: not alive(members), 10), alive(members)

    @pytest.mark.parametrize("shell", [False, True])
    def test_a_stage_ends_when_dvc_is_killed(self, shell: bool) -> None:
        stage = "import time; from flows import processes as p; p.end_with_owners(); time.sleep(100); print()"
        command = [sys.executable, "-c", stage]
        if shell:
            command = ["sh", "-c", f"{sys.executable} -c '{stage}'; echo"]
        dvc = self.start(f"import subprocess; subprocess.run({command!r})", DVC_STAGE="transfer")
        assert wait_for(lambda: len(family(dvc.pid)) == 2 + shell, 20)
        time.sleep(1.0)
        members = family(dvc.pid)
        dvc.kill()
        dvc.wait()
        assert wait_for(lambda: not alive(members), 10), alive(members)

    def test_ends_when_the_owner_is_gone(self) -> None:
        owner = subprocess.Popen(["sleep", "100"])
        code = "import time; from flows import processes as p; p.end_with_owners(); time.sleep(100)"
        worker = self.start(code, NST_OWNER=str(owner.pid))
        time.sleep(1.5)
        assert worker.poll() is None
        owner.kill()
        owner.wait()
        assert worker.wait(10) == -signal.SIGTERM

    def test_stop_ends_all_below(self) -> None:
        parent = self.start("import subprocess; subprocess.run(['sh', '-c', 'sleep 100; echo'])")
        assert wait_for(lambda: len(family(parent.pid)) == 3, 20)
        members = family(parent.pid)
        processes.stop(parent, grace=1.0)
        assert not alive(members)


class TestDatabase:
    """The empty database that Prefect's server starts from."""

    def test_is_made_by_prefect_and_laid_out_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
        home = tmp_path / "home"
        home.mkdir()
        database.lay_out(home)
        assert not list(home.iterdir())  # none was made: Prefect will
        database.main()
        database.lay_out(home)
        found = home / "prefect.db"
        with closing(sqlite3.connect(found)) as connection:
            assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
            assert connection.execute("SELECT count(*) FROM flow_run").fetchone() == (0,)
        found.write_text("in use")
        database.lay_out(home)
        assert found.read_text() == "in use"


class TestUp:
    """The lender of services."""

    def up(self, *command: str) -> "subprocess.CompletedProcess[str]":
        words = [sys.executable, "-m", "flows.up", "--", *command]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    @pytest.mark.parametrize("code", [0, 1, 3, 255])
    def test_passes_the_exit_code_on(self, code: int) -> None:
        assert self.up("sh", "-c", f"exit {code}").returncode == code

    def test_starts_nothing_that_is_not_needed(self) -> None:
        began = time.monotonic()
        done = self.up(sys.executable, "-c", "import os, psutil; print(len(psutil.Process(os.getppid()).children()))")
        assert done.stdout.strip() == "1"
        assert time.monotonic() - began < 5

    def test_names_a_command_that_is_not_there(self) -> None:
        done = self.up("no-such-command")
        assert done.returncode == 127
        assert done.stderr == "error: no-such-command: No such file or directory\n"


class TestSettings:
    """Where jobs run."""

    def test_reads_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NST_WORKERS", "3")
        monkeypatch.setenv("NST_CACHE", "/somewhere")
        assert settings.load().local_workers == 3
        assert settings.load().cache == "/somewhere"

    def test_says_which_variable_is_wrong(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NST_WORKERS", "many")
        with pytest.raises(settings.SettingsError, match=r"^NST_WORKERS = 'many': "):
            settings.load()

    def test_says_which_variable_is_no_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NST_CLUSTER_OPTIONS", "queue=gpu")
        with pytest.raises(settings.SettingsError, match=r"^NST_CLUSTER_OPTIONS is not valid JSON"):
            settings.load()

    OTHERS: ClassVar = {
        "workers": "7",
        "batch": "4",
        "memory_limit": "2GB",
        "dask_address": "tcp://127.0.0.1:9",
        "cluster": "slurm",
        "cluster_options": '{"queue": "gpu"}',
        "resources": '{"GPU": 1}',
        "in_flight": "3",
        "retries": "0",
        "retry_delay": "9",
        "cache": "/nowhere",
        "server_timeout": "9",
        "cluster_timeout": "9",
    }
    """A value for each but the threads of a job, which change the last bits."""

    def keys(self, data: Path) -> list[str]:
        """What the transfer study's results are filed under."""
        where = settings.load()
        wanted = params.load(ROOT / "params.yaml")
        storage = cache.storage(where.cache)
        collection = study.Collection(studies.load("transfer"), wanted, data, storage, where.threads, worker.place)
        return [order.key for order in collection.missing()]

    def test_no_setting_changes_what_results_are_filed_under(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Path
    ) -> None:
        monkeypatch.setenv("NST_CACHE", str(tmp_path))  # with nothing in it
        keys = self.keys(data)
        assert len(set(keys)) == 176
        for name, value in self.OTHERS.items():
            with monkeypatch.context() as patch:
                patch.setenv(f"NST_{name.upper()}", value)
                assert self.keys(data) == keys, name
        monkeypatch.setenv("NST_THREADS", "2")
        assert not set(self.keys(data)) & set(keys)
        assert {*self.OTHERS, "threads"} == set(settings.Settings.model_fields)


class TestCollection:
    """Which jobs of the synthesis study run, and when; the results are made up."""

    GUESS = 12
    """The first job after the 11 windows."""

    def run(
        self, data: Path, folder: Path, best: int, failing: Collection[int] = ()
    ) -> tuple[study.Collection, list[Job], str]:
        """Runs what is missing in `folder`, when the window with this first layer is the best.

        Two workers are played: when one job is left, there is an idle one.

        Returns also the jobs in the order they ran, and what was said.
        """
        from flows import fanout

        storage = cache.storage(str(folder))
        wanted = params.load(ROOT / "params.yaml")
        collection = study.Collection(studies.load("synthesis"), wanted, data, storage, 1, worker.place)
        ran: list[Job] = []

        def submit(orders: Sequence[fanout.Order], more: fanout.More) -> Iterator[tuple[fanout.Order, fanout.Outcome]]:
            left = list(orders)
            while left:
                left += more(1 if len(left) == 1 else 0)
                order = left.pop(0)
                ran.append(order.job)
                if len(ran) in failing:
                    yield order, fanout.Failure(order.job, "a reason")
                else:
                    result = make_result(order.job)
                    distance = 0.1 * abs(layer_number(order.job.style_layers[0]) - best)
                    quality = dataclasses.replace(result.quality, style_distance=distance)
                    result = dataclasses.replace(result, quality=quality)
                    cache.store(storage, order.key, result.to_dict())
                    yield order, result
                left += more(0)

        said = io.StringIO()
        with redirect_stderr(said), tqdm(file=io.StringIO()) as bar:
            try:
                collection.run(collection.missing(), submit, bar)
            except JobsFailedError as error:
                said.write(str(error))
        assert len(ran) == len(set(ran))
        assert bar.n == len(collection.results) == bar.total - len(failing)
        return collection, ran, said.getvalue()

    def wanted(self, collection: study.Collection) -> list[Job]:
        """Those of the tables."""
        return collection.study.jobs(collection.params, collection.results)

    def test_a_right_guess_is_one_of_the_jobs_that_are_wanted_later(self, data: Path, tmp_path: Path) -> None:
        collection, ran, said = self.run(data, tmp_path, best=3)
        assert len(ran) == 14
        assert set(ran) == set(self.wanted(collection))
        assert window(ran[self.GUESS - 1].style_layers) == "3-7"
        assert said == ""

    def test_a_wrong_guess_is_one_job_more_that_is_in_no_table(self, data: Path, tmp_path: Path) -> None:
        collection, ran, said = self.run(data, tmp_path, best=11)
        assert len(ran) == 15
        assert set(ran) - set(self.wanted(collection)) == {ran[self.GUESS - 1]}
        assert set(ran) == set(collection.results)
        assert said == ""

    def test_a_wrong_guess_may_fail(self, data: Path, tmp_path: Path) -> None:
        collection, ran, said = self.run(data, tmp_path, best=11, failing=[self.GUESS])
        assert set(self.wanted(collection)) == set(ran) - {ran[self.GUESS - 1]}
        assert re.fullmatch(r"failed, though it may not be wanted: synthesize .*: a reason\n", said)

    def test_a_right_guess_that_failed_is_not_tried_again(self, data: Path, tmp_path: Path) -> None:
        collection, ran, said = self.run(data, tmp_path, best=3, failing=[self.GUESS])
        assert set(ran) == set(self.wanted(collection))
        assert re.fullmatch(r"failed: synthesize .*: a reason\nerror: 1 of 14 jobs failed; .*", said)

    def test_after_a_failure_nothing_is_guessed(self, data: Path, tmp_path: Path) -> None:
        _, ran, said = self.run(data, tmp_path, best=3, failing=[5])
        assert len(ran) == 11
        assert re.fullmatch(r"failed: synthesize .*: a reason\nerror: 1 of 11 jobs failed; .*", said)

    def test_a_guess_that_was_finished_before_does_not_run_again(self, data: Path, tmp_path: Path) -> None:
        _, whole, _ = self.run(data, tmp_path, best=3)
        min(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns).unlink()
        collection, ran, _ = self.run(data, tmp_path, best=3)
        assert ran == whole[:1]
        assert set(collection.results) == set(whole)


class TestClusters:
    """What is started, as far as it can be without a batch system or a GPU."""

    def test_the_batch_script(self) -> None:
        options = {"queue": "gpu", "walltime": "02:00:00", "job_extra_directives": ["--gres=gpu:1"]}
        options |= {"worker_extra_args": ["--lifetime", "110m"], "scheduler_options": {"host": "127.0.0.1"}}
        where = settings.Settings(cluster="slurm", cluster_options=options, resources={"GPU": 1}, threads=3)
        with cluster.start(where, 0) as started:
            script = started.job_script()
        for line in ("#SBATCH -p gpu", "#SBATCH -t 02:00:00", "#SBATCH --gres=gpu:1", "#SBATCH --cpus-per-task=3"):
            assert line in script
        assert "export OMP_NUM_THREADS=3" in script
        assert script.count("--nthreads") == 2  # Dask's own, then ours, which wins: one job at a time
        assert "--nthreads 1 --preload flows.worker --resources 'GPU=1' --lifetime 110m" in script

    def test_leaves_dasks_own_settings_in_force(self) -> None:
        """In a process that has not imported Dask's scheduler before, as `flows.up`."""
        code = "import dask; from flows import cluster, settings\n"
        code += "with cluster.own_cluster(settings.Settings(), 0): dask.config.get('distributed.scheduler.bandwidth')\n"
        code += "dask.config.get('distributed.scheduler.bandwidth')"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)

    def test_a_machine_without_a_batch_system(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(ClusterError, match="there is no sbatch on this machine"):
            cluster.start(settings.Settings(cluster="slurm"), 1)

    def test_options_that_the_cluster_does_not_take(self) -> None:
        where = settings.Settings(cluster_options={"n_workres": 3})
        with pytest.raises(ClusterError, match=r"^NST_CLUSTER=local with NST_CLUSTER_OPTIONS=.*n_workres"):
            cluster.start(where, 1)

    @pytest.mark.skipif(bool(importlib.util.find_spec("dask_cuda")), reason="dask-cuda is installed")
    def test_a_package_that_is_not_installed(self) -> None:
        with pytest.raises(ClusterError, match=r"^NST_CLUSTER=cuda: No module named 'dask_cuda': see docs/cluster.md$"):
            cluster.start(settings.Settings(cluster="cuda"), 1)


class TestWorkers:
    """A worker of another kind than the one that results are filed under does not take the job."""

    @pytest.mark.parametrize("other", [{"torch": "0.1"}, {"engine": "other code"}], ids=str)
    def test_of_another_version(self, other: dict[str, str]) -> None:
        from flows import fanout

        job, here = make_job(), worker.place("auto")
        order = fanout.Order(job, Inputs(None, None), dataclasses.replace(here, **other), "key")
        with pytest.raises(fanout.WorkerError, match=r"^worker .* is .*; results are kept for .*"):
            fanout.run_one(job.title, order, threads=1, alone=False, batch=None)

    def test_with_another_precision(self) -> None:
        from flows import fanout

        job, here = make_job(), worker.place("auto")
        platform = dataclasses.replace(here.platform, precision="other")
        order = fanout.Order(job, Inputs(None, None), dataclasses.replace(here, platform=platform), "key")
        with pytest.raises(fanout.WorkerError, match="let all workers be of one kind"):
            fanout.run_one(job.title, order, threads=1, alone=False, batch=None)

    def test_the_job_that_warms_up_runs(self) -> None:
        result = worker.run(worker.small_job(), batch=1)
        assert result.quality.style_distance is not None
        assert result.quality.ssim is not None


class TestAddresses:
    """Services given by address that do not answer."""

    def test_names_an_api_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
        with pytest.raises(ClusterError, match=r"http://127.0.0.1:9/api does not answer"):
            api.check_given()

    def test_workers_elsewhere_need_an_api_that_they_can_reach(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PREFECT_API_URL", raising=False)
        # What is asked for the address is whether it answers; a name of this machine that is not loopback will do.
        monkeypatch.setattr(cluster, "check_given", lambda where: where.dask_address)
        where = settings.Settings(dask_address="tcp://10.0.0.1:8786")
        with (
            pytest.raises(ClusterError, match="set PREFECT_API_URL to a server that they can reach"),
            sharing.own(where, 1),
        ):
            pass

    def test_names_a_scheduler_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NST_DASK_ADDRESS", "tcp://127.0.0.1:9")
        monkeypatch.setenv("NST_CLUSTER_TIMEOUT", "1")
        with pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"):
            cluster.check_given(settings.load())


class Answering(BaseHTTPRequestHandler):
    """Says what its server was told to, as fast as it was told to."""

    def do_GET(self) -> None:
        time.sleep(self.server.delay)  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


class TestHealth:
    """A Prefect API that is busy is not one that is gone."""

    @pytest.fixture
    def server(self) -> Iterator[ThreadingHTTPServer]:
        with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
            server.status, server.delay = 200, 0.0  # type: ignore[attr-defined]
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            yield server
            server.shutdown()

    def test_of_what_answers(self, server: ThreadingHTTPServer) -> None:
        url = f"http://127.0.0.1:{server.server_port}/api"
        assert api.health(url) is api.Health.GOOD
        server.status = 503  # type: ignore[attr-defined]
        assert api.health(url) is api.Health.BUSY
        server.status, server.delay = 200, 6.0  # type: ignore[attr-defined]
        assert api.health(url) is api.Health.BUSY

    def test_of_what_does_not(self) -> None:
        assert api.health(f"http://127.0.0.1:{api.free_port()}/api") is api.Health.GONE
        assert api.health("no address") is api.Health.GONE


class TestTold:
    """What travels to the workers with each task."""

    def test_is_what_prefect_would_have_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from prefect.context import SettingsContext, serialize_context

        from flows import told

        monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
        with told.settings("http://127.0.0.1:9/api", ours=True) as here:
            travelled = pickle.loads(pickle.dumps(serialize_context()["settings_context"]))
            there = SettingsContext(**travelled)
            theirs = SettingsContext(**SettingsContext.serialize(here))
        assert there.settings == here.settings == theirs.settings
        assert there.profile == here.profile == theirs.profile
        assert there.settings.api.url == "http://127.0.0.1:9/api"

    def test_one_certificate_is_for_plain_http_on_this_machine(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from flows import told

        monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
        whole = told.settings("https://example.org/api", ours=True).settings.api.ssl_cert_file
        assert told.settings("http://10.0.0.1:4200/api", ours=False).settings.api.ssl_cert_file == whole
        one = told.settings("http://127.0.0.1:4200/api", ours=True).settings.api.ssl_cert_file
        assert one is not None
        assert len(ssl.create_default_context(cafile=one).get_ca_certs()) == 1
