"""Tests of what runs studies, part by part: processes, settings, server, cluster, workers."""

import dataclasses
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import httpx
import psutil
import pytest
import torch
from engine_support import make_job
from flows_support import ROOT, alive, family, make_result, wait_for
from study_support import PARAMS

from flows import fanout, processes, services, settings, study, up, worker
from flows.processes import ClusterError
from flows.store import Store
from nst import params, studies
from nst.engine import batches, run, vgg
from nst.engine.inputs import Inputs, inputs
from nst.engine.jobs import Job
from nst.engine.machine import Machine, machine
from nst.errors import CapacityError

settings.prepare_environment()


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


class TestUp:
    """The supervisor of `make repro`."""

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

    def test_sweeps_what_a_killed_dvc_has_left_unless_another_runs(self, tmp_path: Path) -> None:
        left = [tmp_path / ".dvc/tmp" / name for name in ("rwlock", "exps/tmp1/flows", "exps/standalone/tmp2")]
        (tmp_path / ".dvc/tmp/exps/celery").mkdir(parents=True)
        for path in left[1:]:
            path.mkdir(parents=True)
        left[0].write_text("{}")
        (tmp_path / "dvc").write_text("import time; time.sleep(100)")
        dvc = subprocess.Popen([sys.executable, "dvc"], cwd=tmp_path)
        try:
            assert wait_for(lambda: "dvc" in psutil.Process(dvc.pid).cmdline())
            up.sweep(tmp_path)
            assert all(path.exists() for path in left)
        finally:
            dvc.kill()
            dvc.wait()
        up.sweep(tmp_path)
        assert not any(path.exists() for path in left)
        assert (tmp_path / ".dvc/tmp/exps/celery").exists()


class TestSettings:
    """Where jobs run."""

    def test_reads_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NST_WORKERS", "3")
        monkeypatch.setenv("NST_CACHE", "/somewhere")
        assert settings.load().own_workers == 3
        assert settings.load().cache == "/somewhere"

    def test_says_which_variable_is_wrong(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NST_WORKERS", "many")
        with pytest.raises(settings.SettingsError, match=r"^NST_WORKERS = 'many': "):
            settings.load()

    def test_says_which_variable_is_no_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NST_CLUSTER_OPTIONS", "queue=gpu")
        with pytest.raises(settings.SettingsError, match=r"^NST_CLUSTER_OPTIONS is not valid JSON"):
            settings.load()

    @pytest.mark.parametrize("limit", ["-1", "much", "-3GB"])
    def test_says_which_limit_is_no_size(self, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
        monkeypatch.setenv("NST_MEMORY_LIMIT", limit)
        with pytest.raises(settings.SettingsError, match=rf"^NST_MEMORY_LIMIT = '{limit}': should be auto, 0 "):
            settings.load()

    @pytest.mark.parametrize(
        ("name", "told"), [("NST_WORKER", "is it NST_WORKERS?"), ("NST_NONSENSE", "see docs/cluster.md")]
    )
    def test_refuses_what_is_misspelt(self, monkeypatch: pytest.MonkeyPatch, name: str, told: str) -> None:
        monkeypatch.setenv("NST_OWNER", "1")  # which processes hand on
        settings.load()
        monkeypatch.setenv(name, "2")
        with pytest.raises(settings.SettingsError, match=f"^{name} is no setting; {re.escape(told)}$"):
            settings.load()

    OTHERS: ClassVar = {
        "workers": "7",
        "batch": "4",
        "memory_limit": "2GB",
        "dask_address": "tcp://127.0.0.1:9",
        "cluster": "slurm",
        "cluster_options": '{"queue": "gpu"}',
        "retries": "0",
        "retry_delay": "9",
        "cache": "/nowhere",
        "server_timeout": "9",
        "cluster_timeout": "9",
    }
    """A value for each but the threads of a job, which change the last bits."""

    def keys(self, data: Path) -> list[str]:
        """What the transfer study's results are stored under."""
        where = settings.load()
        wanted = params.load(PARAMS)
        here = machine()
        collection = study.Collection(studies.load("transfer"), wanted, data, Store(where.cache), where.threads, here)
        return [order.key for order in collection.missing()]

    def test_no_setting_changes_what_results_are_stored_under(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Path
    ) -> None:
        monkeypatch.setenv("NST_CACHE", str(tmp_path))  # with nothing in it
        keys = self.keys(data)
        assert len(set(keys)) == 192
        for name, value in self.OTHERS.items():
            with monkeypatch.context() as patch:
                patch.setenv(f"NST_{name.upper()}", value)
                assert self.keys(data) == keys, name
        monkeypatch.setenv("NST_THREADS", "2")
        assert not set(self.keys(data)) & set(keys)
        assert {*self.OTHERS, "threads"} == set(settings.Settings.model_fields)

    def test_what_a_worker_cannot_hold_is_refused_before_a_job_runs(self, tmp_path: Path, data: Path) -> None:
        wanted, store = params.load(PARAMS), Store(str(tmp_path))
        on_a_cpu = dataclasses.replace(machine(), device="cpu", precision="bfloat16")
        collection = study.Collection(studies.load("transfer"), wanted, data, store, 1, on_a_cpu, 0.5e9)
        with pytest.raises(CapacityError, match=r"a transfer at 192 px needs about .* GB of memory and 0\.5 GB"):
            collection.missing()
        on_a_gpu = dataclasses.replace(on_a_cpu, device="NVIDIA H100")  # whose memory is another
        assert study.Collection(studies.load("transfer"), wanted, data, store, 1, on_a_gpu, 0.5e9).missing()

    def test_an_experiment_in_a_copy_uses_the_checkouts_own_settings_and_store(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("NST_RETRIES=7\n")
        copy = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "copy"
        copy.mkdir(parents=True)
        for package in ("flows", "nst"):
            (copy / package).symlink_to(ROOT / package)
        (copy / "flows").unlink()
        (copy / "flows").mkdir()
        for name in ("__init__.py", "settings.py"):
            (copy / "flows" / name).write_bytes((ROOT / "flows" / name).read_bytes())
        code = "from flows import settings as s; w = s.load(); print(w.retries, w.cache)"
        told = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True, check=True).stdout
        assert told.split() == ["7", str(tmp_path / ".cache" / "jobs")]

    @pytest.mark.parametrize(
        ("visible", "expected"), [("", []), ("-1", []), ("3", ["3"]), ("0,2", ["0", "2"]), (None, ["0", "1"])], ids=str
    )
    def test_which_gpus_there_are(
        self, monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: list[str]
    ) -> None:
        monkeypatch.setattr(Path, "glob", lambda *_: iter([Path("/dev/nvidia1"), Path("/dev/nvidia0")]))
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert settings.gpus() == expected


class TestDatabase:
    """Two servers never share one SQLite file."""

    def test_a_second_server_has_its_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
        with services._database() as first:
            first.write_text("")
            with services._database() as second:
                assert second != first
                assert second.exists()
        assert len(list(tmp_path.iterdir())) == 2
        with services._database() as again:
            assert again == first


class TestClusters:
    """What is started, as far as it can be without a batch system or a GPU."""

    def test_the_batch_script(self) -> None:
        options = {"queue": "gpu", "walltime": "02:00:00", "job_extra_directives": ["--gres=gpu:1"]}
        options |= {"worker_extra_args": ["--lifetime", "110m"], "scheduler_options": {"host": "127.0.0.1"}}
        where = settings.Settings(cluster="slurm", cluster_options=options, threads=3)
        started = services._slurm(where, 0)
        try:
            script = started.job_script()
        finally:
            started.close()
        for line in ("#SBATCH -p gpu", "#SBATCH -t 02:00:00", "#SBATCH --gres=gpu:1", "#SBATCH --cpus-per-task=3"):
            assert line in script
        assert script.count("--nthreads") == 2  # Dask's own, then ours, which wins: one batch at a time
        assert "--nthreads 1 --preload flows.worker --lifetime 110m" in script

    def test_leaves_dasks_own_settings_in_force(self) -> None:
        """In a process that has not imported Dask's scheduler before, as `flows.up`."""
        code = "import dask; from flows import services, settings\n"
        code += "with services.cluster(settings.Settings(), 1): dask.config.get('distributed.scheduler.bandwidth')\n"
        code += "dask.config.get('distributed.scheduler.bandwidth')"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)

    def test_a_machine_without_a_batch_system(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        with (
            pytest.raises(ClusterError, match="there is no sbatch on this machine"),
            services.cluster(settings.Settings(cluster="slurm"), 1),
        ):
            pass

    def test_options_that_the_cluster_does_not_take(self) -> None:
        where = settings.Settings(cluster="slurm", cluster_options={"n_workres": 3})
        with (
            pytest.raises(ClusterError, match=r"^NST_CLUSTER=slurm with NST_CLUSTER_OPTIONS=.*n_workres"),
            services.cluster(where, 0),
        ):
            pass

    def test_each_worker_has_its_share_of_the_memory(self) -> None:
        from distributed.system import MEMORY_LIMIT

        assert services._share_of_memory(settings.Settings(), 3) == MEMORY_LIMIT // 3
        assert services._share_of_memory(settings.Settings(memory_limit="3GB"), 3) == "3GB"
        assert services._share_of_memory(settings.Settings(memory_limit="0"), 3) is None


class TestWorkers:
    """What a worker says of itself, and how it runs a batch."""

    def test_says_what_it_is(self) -> None:
        here = machine()
        assert worker.machine_of({"GPU": 1.0, worker.resource(here): 1.0}) == here
        other = dataclasses.replace(here, engine="other code")
        assert worker.resource(other) != worker.resource(here)

    def test_says_why_it_cannot_run_jobs(self) -> None:
        assert "--preload flows.worker" in str(worker.machine_of({"GPU": 1.0}))
        assert "another version" in str(worker.machine_of({'nst {"field": "of another version"}': 1.0}))
        broken = str(worker.machine_of({"nst cannot run here: ImportError: No module named 'torch'": 1.0}))
        assert broken == "cannot run here: ImportError: No module named 'torch'"

    def test_a_batch_that_does_not_fit_is_halved_with_nothing_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The stand-in holds a large tensor while it fails, as the failed batch of a GPU would."""
        import gc
        import weakref

        jobs = [make_job(seed=seed) for seed in range(5)]
        sizes: list[int] = []
        held: list[weakref.ref[torch.Tensor]] = []

        def run_jobs(batch: Sequence[Job], inputs: Sequence[Inputs], **_: object) -> list[object]:
            assert not [ref for ref in held if ref() is not None], "a failed batch is still in memory"
            sizes.append(len(batch))
            if len(batch) > 2:
                tensor = torch.zeros(1000)
                held.append(weakref.ref(tensor))
                raise torch.OutOfMemoryError("too large")
            return [make_result(job) for job in batch]

        monkeypatch.setattr(run, "run_jobs", run_jobs)
        gc.disable()  # only references count
        try:
            results = worker._run(jobs, [Inputs(None)] * 5, threads=1)
        finally:
            gc.enable()
        assert [result.job for result in results] == jobs
        assert sizes == [5, 2, 3, 1, 2]

    def test_the_engine_keeps_nothing_of_a_batch_that_does_not_fit(
        self, data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Memory ends in the network of the real loop; when the halves are there, its activations are gone."""
        import gc
        import weakref

        forward, held = vgg.Encoder.__call__, []

        def ends(self: vgg.Encoder, pictures: torch.Tensor, *more: object, **others: object) -> object:
            alive = [ref for ref in held if ref() is not None]
            features = forward(self, pictures, *more, **others)  # type: ignore[arg-type]
            if len(pictures) == 1:
                assert not (alive and pictures.requires_grad), "a failed batch is still in memory"
                return features
            held.extend(weakref.ref(each) for each in [pictures, *features.values()])
            raise torch.OutOfMemoryError("too large")

        monkeypatch.setattr(vgg.Encoder, "__call__", ends)
        jobs = [make_job(seed=seed, iterations=1, init="noise") for seed in range(2)]
        gc.disable()  # only references count
        try:
            results = worker._run(jobs, [inputs(job, data) for job in jobs], threads=1)
        finally:
            gc.enable()
        assert [result.job for result in results] == jobs
        assert held

    @pytest.mark.parametrize("words", ["CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED when calling", ""])
    def test_is_halved_whoever_says_that_memory_has_ended(self, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The last stands for a CUDA graph: ending its capture fails too, with words of its own."""

        def run_jobs(batch: Sequence[Job], inputs: Sequence[Inputs], **_: object) -> list[object]:
            if len(batch) == 1:
                return [make_result(batch[0])]
            try:
                raise torch.OutOfMemoryError("too large")
            except RuntimeError as error:
                raise RuntimeError(words or "operation failed") from (None if words else error)

        monkeypatch.setattr(run, "run_jobs", run_jobs)
        jobs = [make_job(seed=seed) for seed in range(3)]
        assert [result.job for result in worker._run(jobs, [Inputs(None)] * 3, threads=1)] == jobs

    def test_is_not_halved_for_another_reason(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes = []

        def run_jobs(batch: Sequence[Job], inputs: Sequence[Inputs], **_: object) -> list[object]:
            sizes.append(len(batch))
            raise RuntimeError("of another kind")

        monkeypatch.setattr(run, "run_jobs", run_jobs)
        with pytest.raises(RuntimeError, match="of another kind"):
            worker._run([make_job(), make_job(seed=1)], [Inputs(None)] * 2, threads=1)
        assert sizes == [2]

    def test_a_job_that_does_not_fit_alone_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def run_jobs(*_: object, **__: object) -> list[object]:
            raise torch.OutOfMemoryError("too large")

        monkeypatch.setattr(run, "run_jobs", run_jobs)
        with pytest.raises(torch.OutOfMemoryError):
            worker._run([make_job(), make_job(seed=1)], [Inputs(None)] * 2, threads=1)


class TestMemoryOfGPUs:
    """Workers say what they have, and the driver makes batches of it."""

    @pytest.mark.skipif(torch.cuda.is_available(), reason="says what holds on CPUs")
    def test_a_worker_without_one_offers_none(self) -> None:
        assert worker.gpu_memory() == {}

    def test_is_that_of_the_worker_with_least_and_counts_no_stranger(self) -> None:
        from distributed import Client, Scheduler, SpecCluster, Worker

        here = machine()
        ours, other = worker.resource(here), worker.resource(dataclasses.replace(here, device="another"))
        spec = {
            number: {"cls": Worker, "options": {"nthreads": 1, "resources": {name: 1, worker.GPU_MEMORY: memory}}}
            for number, (name, memory) in enumerate([(ours, 8e9), (ours, 4e9), (other, 1e9)])
        }
        scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard": False}}
        with SpecCluster(spec, scheduler) as made, Client(made) as client:
            client.wait_for_workers(3, timeout=60)
            workers = services.Workers(client, timeout=10)
            assert len(workers.names) == 2
            assert workers.gpu_memory() == 4e9

    def test_local_workers_are_told_how_many_share_it(self) -> None:
        def told(workers: int, *devices: str) -> list[tuple[str, ...]]:
            return [tuple(services._gpu_of(number, workers, devices).values()) for number in range(workers)]

        assert told(2) == [(), ()]
        assert told(2, "0", "1") == [("0", "1"), ("1", "1")]
        assert told(3, "0", "1") == [("0", "2"), ("1", "2"), ("0", "2")]
        assert told(4, "2", "5") == [("2", "2"), ("5", "2"), ("2", "2"), ("5", "2")]


class TestBatches:
    """How the driver groups jobs."""

    def test_are_the_same_for_the_same_jobs_whatever_their_order(self, data: Path) -> None:
        jobs = [make_job(seed=seed, content_layers=(layer,)) for layer in ("conv2_1", "conv4_1") for seed in range(5)]
        orders = [worker.Order(job, inputs(job, data), str(number)) for number, job in enumerate(jobs)]

        def keys(orders: list[worker.Order]) -> list[list[str]]:
            return [[order.key for order in batch.orders] for batch in fanout.in_batches(orders, lambda *_: 2)]

        found = keys(orders)
        assert sorted(key for batch in found for key in batch) == sorted(order.key for order in orders)
        assert [len(batch) for batch in found] == [2] * 5
        assert found[2] == ["9", "0"]  # the last of the deep ones with the first of the others
        assert keys(orders) == found

    def test_are_as_large_as_the_setting_says_or_as_the_gpu_has_room_for(self, data: Path) -> None:
        here = machine()
        gpu = dataclasses.replace(here, device="a GPU", processor="", precision="bfloat16")
        job = make_job(size=384)
        given = job, inputs(job, data).shape

        def most(batch: int | None, on: Machine, memory: float) -> int:
            return fanout.most_together(settings.Settings(batch=batch), on, memory)(*given)

        assert most(None, dataclasses.replace(here, device="cpu"), 0.0) == 1
        assert most(None, gpu, 16e9) == batches.room(*given, "bfloat16", 16e9) > 1
        assert most(None, gpu, 0.0) == 1  # a worker that does not say what it has
        assert most(5, gpu, 16e9) == most(5, here, 0.0) == 5


class TestAddresses:
    """Services given by address that do not answer."""

    def test_names_a_scheduler_that_does_not_answer(self) -> None:
        where = settings.Settings(dask_address="tcp://127.0.0.1:9", cluster_timeout=1)
        with (
            pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"),
            services.client(where, 1),
        ):
            pass


class Answering(BaseHTTPRequestHandler):
    """Says what its server was told to, as fast as it was told to."""

    def do_GET(self) -> None:
        time.sleep(self.server.delay)  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


class TestHealth:
    """A Prefect API that is busy is not one that has ended."""

    @pytest.fixture
    def answering(self) -> Iterator[ThreadingHTTPServer]:
        with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as answering:
            answering.status, answering.delay = 200, 0.0  # type: ignore[attr-defined]
            threading.Thread(target=answering.serve_forever, args=(0.05,), daemon=True).start()
            yield answering
            answering.shutdown()

    def found(self, port: int) -> Exception | None:
        from prefect.settings import PREFECT_API_URL, temporary_settings

        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
            return services.ask()

    def test_one_that_is_busy_is_borne_for_a_while(self, answering: ThreadingHTTPServer) -> None:
        from prefect.settings import PREFECT_API_URL, temporary_settings

        assert self.found(answering.server_port) is None
        answering.delay = 6.0  # type: ignore[attr-defined]
        assert isinstance(self.found(answering.server_port), httpx.TimeoutException)
        answering.status, answering.delay = 503, 0.0  # type: ignore[attr-defined]
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{answering.server_port}/api"}):
            began = time.monotonic()
            assert services.last_answer(began, patience=4.0) == began
            with pytest.raises(ClusterError, match="has been busy for"):
                services.last_answer(began - 4.1, patience=4.0)

    def test_one_that_has_ended_is_an_error_at_once(self) -> None:
        from prefect.settings import PREFECT_API_URL, temporary_settings

        nobody = {PREFECT_API_URL: f"http://127.0.0.1:{services.free_port()}/api"}
        with temporary_settings(nobody), pytest.raises(ClusterError, match="has ended"):
            services.last_answer(time.monotonic(), patience=100.0)

    def test_of_one_behind_a_private_certificate(self, answering: ThreadingHTTPServer, tmp_path: Path) -> None:
        """Prefect's own setting names it."""
        certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
        make_certificate(certificate, key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        answering.socket = context.wrap_socket(answering.socket, server_side=True)
        code = "from flows import settings; settings.prepare_environment()\n"
        code += "from flows import services; print(services.ask())"

        def found(**more: str) -> str:
            environment = {**os.environ, services.API: f"https://localhost:{answering.server_port}/api", **more}
            command = [sys.executable, "-c", code]
            return subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
            ).stdout.strip()

        assert found(PREFECT_API_SSL_CERT_FILE=str(certificate)) == "None"
        assert "CERTIFICATE_VERIFY_FAILED" in found()


def make_certificate(certificate: Path, key: Path) -> None:
    """Of localhost, signed by itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    options = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, *options))
