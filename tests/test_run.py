"""One job from its description to its result: the same bytes every time, and worth looking at."""

import ast
import dataclasses
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_support import DATA, ROOT, ReferenceVGG19, finished, make_job, picture, pixels, run
from PIL import Image

from nst import params
from nst.engine import images, init, losses, metrics, optimize, weights
from nst.engine import run as module
from nst.engine.jobs import Job, Pooling
from nst.engine.metrics import as_tensor
from nst.engine.optimize import State
from nst.engine.results import Result
from nst.engine.run import ENGINE, Inputs, Platform, decode, inputs, key, platform, run_job
from nst.engine.style_metrics import colour_distance
from nst.errors import ImageError, WeightsError

HERE = platform()
PROCESSOR = HERE.processor
JOB = make_job(init="noise", seed=3)


@dataclasses.dataclass(frozen=True)
class Elsewhere:
    """What another process said about `JOB`, while this one ran it too."""

    key: str
    png: bytes
    here: bytes


@pytest.fixture(scope="module")
def elsewhere(data: Path) -> Elsewhere:
    """`JOB` in a process of its own, with another hash seed, working folder and global random state."""
    code = """
        import json, sys, torch
        from pathlib import Path
        from nst.engine.jobs import Job, Pooling
        from nst.engine.run import inputs, key, platform, run_job
        torch.manual_seed(99)
        job = Job.from_dict(json.loads(sys.argv[1]))
        given = inputs(job, Path(sys.argv[2]))
        print(key(job, given, platform(), False), flush=True)
        pictures = {run_job(job, given, threads=1, pixel_metrics=False).png for _ in range(5)}
        print(*(png.hex() for png in pictures))
    """
    run(JOB)  # so that nothing has to be loaded when the other one is ready
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), json.dumps(JOB.to_dict()), str(DATA)],
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)},
        cwd="/",
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    there = process.stdout.readline().strip()
    here = {run(JOB).png for _ in range(5)}  # while the other one does the same
    pictures = process.stdout.read().split()
    assert process.wait() == 0
    assert len(pictures) == len(here) == 1
    return Elsewhere(there, bytes.fromhex(pictures[0]), here.pop())


class TestSameBytes:
    """A job's picture depends on the job alone."""

    @pytest.mark.parametrize("changes", [{}, {"optimizer": "lbfgs"}, {"parametrization": "pixels"}, {"init": "adain"}])
    def test_when_it_runs_again(self, changes: dict[str, Any]) -> None:
        job = dataclasses.replace(JOB, **changes)
        assert run(job).png == run(job).png

    def test_after_another_job_ran_in_between(self) -> None:
        first = run(JOB)
        run(make_job("synthesize", style="cafe_terrace", seed=4, size=64))
        run(make_job(optimizer="lbfgs", init="adain"))
        torch.manual_seed(5)
        again = run(JOB)
        assert again.png == first.png
        assert again.losses == first.losses
        assert again.quality == first.quality

    def test_beside_another_process_and_in_it(self, elsewhere: Elsewhere) -> None:
        assert elsewhere.png == elsewhere.here == run(JOB).png

    def test_with_a_warm_up_and_a_callback(self) -> None:
        seen: list[State] = []
        watched = run(JOB, warm_up=True, on_iteration=seen.append)
        assert watched.png == run(JOB).png
        assert [state.iteration for state in seen] == [1, 2, 3, 4]

    def test_a_process_warms_up_once_for_jobs_of_a_kind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ran: list[int | str] = []
        minimize, adain = optimize.minimize, init.adain
        monkeypatch.setattr(module, "_warm", set())
        monkeypatch.setattr(optimize, "minimize", lambda *a, **k: ran.append(k["iterations"]) or minimize(*a, **k))
        monkeypatch.setattr(init, "adain", lambda *a: ran.append("adain") or adain(*a))

        def done(**changes: Any) -> list[int | str]:
            ran.clear()
            run(dataclasses.replace(JOB, **changes), warm_up=True)
            return list(ran)

        assert done() == [2, 4]
        assert done(seed=5, run=1, content_weight=2.0) == [4]
        assert done(init="adain") == ["adain", "adain", 4], "another start, then the same steps"
        assert done(init="adain", style="cafe_terrace") == ["adain", "adain", 4], "a style of another size"
        assert done(size=64) == [2, 4]
        for known in ({}, {"size": 64}):
            assert done(**known) == [4]
        assert done(init="adain") == ["adain", 4]

    def test_the_seed_changes_a_noise_start_and_no_other(self) -> None:
        assert run(dataclasses.replace(JOB, seed=4)).png != run(JOB).png
        for start in ("content", "adain"):
            assert run(make_job(init=start, seed=1)).png == run(make_job(init=start, seed=2)).png

    def test_repeated_measurements_are_the_same_picture(self) -> None:
        assert run(make_job(run=1)).png == run(make_job(run=2)).png


class TestEveryFieldMatters:
    """Each part of the objective reaches the picture."""

    @pytest.mark.parametrize(
        "change",
        [
            {"content": "chelsea"},
            {"style": "cafe_terrace"},
            {"content_layers": ("conv1_1",)},
            {"content_layers": ("conv1_1", "conv3_1")},
            {"style_layers": ("conv1_1",)},
            {"init": "content"},
            {"size": 64},
            {"iterations": 5},
            {"optimizer": "lbfgs"},
            {"learning_rate": 0.01},
            {"content_weight": 0.1},
            {"style_weight": 1.0},
            {"tv_weight": 1.0},
            {"pooling": "average"},
            {"parametrization": "pixels"},
            {"noise": "uniform"},
            {"precision": "float32" if HERE.precision == "bfloat16" else "bfloat16"},
        ],
        ids=str,
    )
    def test_in_the_picture(self, change: dict[str, Any]) -> None:
        assert finished(dataclasses.replace(JOB, **change)).png != finished(JOB).png

    def test_only_what_weighs_something_counts(self) -> None:
        without_style = make_job("reconstruct", init="noise", seed=3)
        weightless = dataclasses.replace(JOB, style_weight=0.0)
        np.testing.assert_allclose(
            np.asarray(finished(weightless).losses), np.asarray(finished(without_style).losses), rtol=0.02
        )

    def test_a_large_total_variation_weight_smooths(self) -> None:
        def roughness(result: Result) -> float:
            return float(np.abs(np.diff(pixels(result.png).astype(float), axis=1)).mean())

        job = dataclasses.replace(JOB, noise="uniform", parametrization="pixels", iterations=15)
        smooth, rough = finished(dataclasses.replace(job, tv_weight=100.0)), finished(job)
        assert roughness(smooth) < 0.8 * roughness(rough)


class TestResult:
    """What is told about a finished job is about the picture that is saved."""

    @pytest.mark.parametrize("task", ["transfer", "reconstruct", "synthesize"])
    def test_quality_is_that_of_the_saved_picture(self, task: str) -> None:
        result = finished(make_job(task))
        saved = as_tensor(Image.open(io.BytesIO(result.png)))
        content, style = (
            as_tensor(Image.open(io.BytesIO(png))) if png else None
            for png in dataclasses.astuple(inputs(result.job, DATA))
        )
        quality = result.quality
        assert (quality.psnr is None) == (quality.content_distance is None) == (content is None)
        assert (quality.style_distance is None) == (style is None)
        assert (quality.sliced_wasserstein is None) == (quality.colour_distance is None) == (style is None)
        if content is not None:
            assert quality.content_distance == pytest.approx(
                metrics.content_distance(saved, content, "normalised"), rel=1e-4
            )
            assert quality.psnr == pytest.approx(metrics.psnr(saved, content), abs=1e-3)
            assert quality.ssim == pytest.approx(metrics.ssim(saved, content), abs=1e-4)
        if style is not None:
            assert quality.style_distance == pytest.approx(metrics.style_distance(saved, style, "normalised"), rel=1e-4)
            assert quality.colour_distance == pytest.approx(colour_distance(saved, style))
            assert quality.sliced_wasserstein is not None
            assert quality.sliced_wasserstein > 0

    @pytest.mark.parametrize("task", ["transfer", "reconstruct", "synthesize"])
    def test_the_picture_is_an_8_bit_rgb_png_of_the_jobs_size(self, task: str) -> None:
        result = finished(make_job(task))
        with Image.open(io.BytesIO(result.png)) as opened:
            assert (opened.format, opened.mode, max(opened.size)) == ("PNG", "RGB", 48)
        like = inputs(result.job, DATA).content or inputs(result.job, DATA).style
        assert like is not None
        assert pixels(result.png).shape == pixels(like).shape

    def test_the_final_loss_is_what_the_next_iteration_would_have_seen(self) -> None:
        """Up to the rounding to 8 bits, which the losses on the way do not have."""
        short, long = (finished(make_job(iterations=count, optimizer="lbfgs")) for count in (8, 9))
        assert long.losses[:8] == short.losses
        assert short.quality.final_loss == pytest.approx(long.losses[8], rel=0.05)

    @pytest.mark.parametrize("pooling", ["max", "average"])
    def test_the_final_loss_is_the_objective_of_the_saved_picture(self, pooling: Pooling) -> None:
        """At a layer deeper than any metric is measured at, too."""
        job = make_job(content_layers=("conv5_3",), pooling=pooling, tv_weight=0.5, precision="float32")
        result = run(job)
        network = ReferenceVGG19(weights.vgg19("normalised"), average=pooling == "average")
        saved = as_tensor(images.from_png(result.png))
        found, content, style = (
            network(x) for x in (saved, picture("content", "egeskov"), picture("style", "great_wave"))
        )
        expected = (
            job.content_weight * losses.content_loss(found["conv5_3"], content["conv5_3"])
            + job.style_weight
            * sum(losses.gram_distance(found[name], losses.gram_matrix(style[name])) for name in job.style_layers)
            / len(job.style_layers)
            + job.tv_weight * losses.total_variation(saved)
        )
        assert result.quality.final_loss == pytest.approx(expected.item(), rel=1e-3)

    def test_pixel_metrics_can_be_left_out(self) -> None:
        with_them, without = finished(make_job()), run(make_job(), pixel_metrics=False)
        assert without.quality == dataclasses.replace(with_them.quality, psnr=None, ssim=None)
        assert without.png == with_them.png

    def test_timing_and_environment(self) -> None:
        result = finished(make_job(init="adain"))
        timing, environment = result.timing, result.environment
        assert timing.iterations == timing.evaluations == len(result.losses) == len(timing.elapsed) == 4
        assert 0 < timing.start_seconds < timing.elapsed[0] < timing.elapsed[-1] <= timing.seconds
        assert timing.seconds_per_iteration == pytest.approx((timing.seconds - timing.start_seconds) / 4)
        assert timing.peak_memory_mb > 10
        assert environment.precision == HERE.precision
        assert environment.torch == torch.__version__
        assert environment.weights_sha256 == weights.VGG_SHA256
        assert environment.threads == 1

    def test_a_job_without_its_picture_is_refused(self) -> None:
        with pytest.raises(ImageError, match="no picture called 'nobody'; there is chelsea, egeskov"):
            inputs(make_job(content="nobody"), DATA)

    def test_a_job_with_lost_weights_is_refused(self, tmp_path: Path) -> None:
        job = make_job(weights=str(tmp_path / "lost.pth"))
        with pytest.raises(WeightsError, match=r"lost\.pth"):
            run_job(job, inputs(job, DATA))


class TestFrames:
    """The pictures of a film."""

    def test_they_go_from_the_start_towards_the_result(self) -> None:
        result = finished(make_job("reconstruct", iterations=20, frames=5))
        assert len(result.frames) == 5
        height, width = pixels(result.png).shape[:2]
        start = decode(init.noise("pink", height, width, 0))
        assert pixels(result.frames[0]).tobytes() == start.tobytes()
        target = picture("content", "egeskov")
        quality = [metrics.psnr(as_tensor(Image.open(io.BytesIO(png))), target) for png in (*result.frames, result.png)]
        assert quality == sorted(quality)

    def test_they_are_those_that_a_callback_sees(self) -> None:
        seen: dict[int, bytes] = {}

        def watch(state: State) -> None:
            seen[state.iteration] = decode(state.picture()).tobytes()

        result = run(make_job(iterations=6, frames=3), on_iteration=watch)
        assert [pixels(png).tobytes() for png in result.frames[1:]] == [seen[2], seen[4]]
        assert pixels(result.png).tobytes() == seen[6]

    def test_filming_does_not_change_the_picture(self) -> None:
        assert finished(make_job(frames=2)).png == finished(make_job()).png
        assert finished(make_job()).frames == ()


class TestPlatform:
    """bfloat16 where it is fast."""

    def test_auto_is_one_of_the_two(self) -> None:
        assert platform("auto").precision in ("bfloat16", "float32")
        assert platform("auto").device == ("cuda" if torch.cuda.is_available() else "cpu")

    def test_what_is_asked_for_is_given(self) -> None:
        assert platform("float32").precision == "float32"
        assert platform("bfloat16").precision == "bfloat16"

    def test_knows_the_processor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("platform.machine", lambda: "abacus")
        assert platform().processor == f"abacus {torch.backends.cpu.get_cpu_capability()}"

    @pytest.mark.skipif(torch.cuda.is_available(), reason="about processors")
    @pytest.mark.parametrize(
        ("features", "expected"),
        [
            ({"avx2": True}, "float32"),
            ({"avx512_bf16": True}, "bfloat16"),
            ({"amx_bf16": True}, "bfloat16"),
            ({"amx_bf16": False}, "float32"),
            ({}, "float32"),
        ],
    )
    def test_auto_looks_at_the_processor(
        self, monkeypatch: pytest.MonkeyPatch, features: dict[str, bool], expected: str
    ) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
        assert platform("auto") == Platform("cpu", expected, PROCESSOR)
        assert platform("float32") == Platform("cpu", "float32", PROCESSOR)


class TestKey:
    """What a stored result is filed under changes with all that the result depends on, and with nothing else."""

    given = Inputs(b"content", b"style")
    place = Platform("cpu", "float32", PROCESSOR)

    def key(self, **changes: Any) -> str:
        return key(**{"job": JOB, "inputs": self.given, "platform": self.place, "alone": False, **changes})

    @pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Job) if field.name != "weights"])
    def test_changes_with_every_field_of_the_job(self, field: str) -> None:
        value = getattr(JOB, field)
        other = (
            value + 1 if isinstance(value, int | float) else (*value, "conv5_4") if isinstance(value, tuple) else "x"
        )
        assert self.key(job=dataclasses.replace(JOB, **{field: other})) != self.key()

    def test_changes_with_the_weights(self, tmp_path: Path) -> None:
        path = tmp_path / "vgg.pth"
        keys = set()
        for content in (b"one", b"two"):
            path.write_bytes(content)
            keys.add(self.key(job=dataclasses.replace(JOB, weights=str(path))))
        assert len(keys | {self.key()}) == 3

    @pytest.mark.parametrize(
        "change",
        [
            {"inputs": Inputs(b"another", b"style")},
            {"inputs": Inputs(b"content", b"another")},
            {"inputs": Inputs(b"style", b"content")},
            {"inputs": Inputs(None, b"style")},
            {"platform": Platform("cuda", "float32", PROCESSOR)},
            {"platform": Platform("cpu", "bfloat16", PROCESSOR)},
            {"platform": Platform("cpu", "float32", "x86_64 of another kind")},
            {"alone": True},
        ],
        ids=str,
    )
    def test_changes_with_pictures_and_place(self, change: dict[str, Any]) -> None:
        assert self.key(**change) != self.key()

    def test_changes_with_torch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = self.key()
        with monkeypatch.context() as patch:
            patch.setattr(torch, "__version__", "0.0")
            assert self.key() != before
        assert self.key() == before

    @pytest.mark.parametrize("name", ENGINE)
    def test_changes_with_the_engines_code(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
        package = Path(module.__file__).parent
        for each in ENGINE:
            shutil.copy(package / f"{each}.py", tmp_path)
        monkeypatch.setattr(module, "__file__", str(tmp_path / "run.py"))
        assert module.engine_digest.__wrapped__() == module.engine_digest()
        with (tmp_path / f"{name}.py").open("a") as file:
            file.write("\n")
        assert module.engine_digest.__wrapped__() != module.engine_digest()

    def test_the_engine_is_all_that_running_a_job_imports(self) -> None:
        """`errors` and `malloc` change no result; what else `run` reaches, however far, must be in `ENGINE`."""
        package = Path(module.__file__).parent
        reached, waiting = set(), ["run"]
        while waiting:
            name = waiting.pop()
            if name in reached:
                continue
            reached.add(name)
            for node in ast.walk(ast.parse((package / f"{name}.py").read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module == "nst.engine":
                    waiting += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nst.engine."):
                    waiting.append(str(node.module).removeprefix("nst.engine."))
        assert reached - {"errors", "malloc"} == set(ENGINE)

    def test_is_the_same_in_another_process(self, elsewhere: Elsewhere) -> None:
        assert elsewhere.key == key(JOB, inputs(JOB, DATA), HERE, False)

    def test_does_not_change_with_what_ran_before(self) -> None:
        before = self.key()
        torch.manual_seed(0)
        run(make_job("reconstruct"))
        assert self.key() == before

    def test_depends_on_what_pictures_show_not_on_their_files(self, tmp_path: Path) -> None:
        def here() -> str:
            return key(JOB, inputs(JOB, tmp_path), self.place, False)

        shutil.copytree(DATA, tmp_path, dirs_exist_ok=True)
        photo, before = tmp_path / "content" / "egeskov.jpg", key(JOB, inputs(JOB, DATA), self.place, False)
        assert here() == before
        os.utime(photo, (1, 1))
        assert here() == before
        (tmp_path / "content" / "unused.jpg").write_bytes(b"")
        assert here() == before
        shutil.copy(tmp_path / "content" / "chelsea.jpg", photo)  # also one that this process has read before
        assert here() != before


class TestJob:
    """Names and digests."""

    def test_survives_json(self) -> None:
        job = make_job(frames=3, run=1)
        assert Job.from_dict(json.loads(json.dumps(job.to_dict()))) == job
        assert hash(Job.from_dict(job.to_dict())) == hash(job)

    def test_the_digest_is_a_sha_256_of_its_fields(self) -> None:
        text = json.dumps(JOB.to_dict(), sort_keys=True)
        assert JOB.digest == hashlib.sha256(text.encode()).hexdigest()

    def test_titles_say_what_is_done(self) -> None:
        assert JOB.title == "transfer · egeskov × great_wave · conv3_1 | 1,3 · from noise 3"
        assert make_job("reconstruct").title == "reconstruct · egeskov · conv3_1 · from noise 0"
        assert make_job("synthesize", run=2).title == "synthesize · great_wave · 1,3 · from noise 0 · run 2"
        assert make_job(init="adain").title.endswith("from adain")

    def test_names_tell_jobs_apart(self) -> None:
        assert JOB.name == "egeskov_great_wave_conv3_1_1,3_noise3_48px"
        changes: list[dict[str, Any]] = [
            {"seed": 4}, {"init": "content"}, {"size": 64}, {"content_layers": ("conv1_1",)}, {"run": 1}, {"frames": 4},
        ]  # fmt: skip
        names = {dataclasses.replace(JOB, **change).name for change in changes}
        assert len(names | {JOB.name}) == len(changes) + 1


class TestCleanPictures:
    """The start and the parametrisation decide how clean a reconstruction gets; the repository chose well."""

    @pytest.mark.parametrize(("layer", "decibel"), [("conv1_1", 28), ("conv2_2", 20)])
    def test_default_reconstructions_reach_this_psnr(self, layer: str, decibel: float) -> None:
        section = params.load(ROOT / "params.yaml").reconstruction
        job = section.job("reconstruct", content="egeskov", content_layers=(layer,), size=192)
        assert finished(job).quality.psnr > decibel  # type: ignore[operator]

    def test_the_default_is_cleaner_than_pixels_from_uniform_noise(self) -> None:
        def psnr(**changes: Any) -> float:
            job = make_job("reconstruct", content_layers=("conv2_2",), size=96, iterations=60, **changes)
            return finished(job).quality.psnr  # type: ignore[return-value]

        assert psnr() > psnr(parametrization="pixels", noise="uniform") + 3
