"""One job from its description to its result: the same bytes every time, and worth looking at."""

import dataclasses
import io
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_support import DATA, PARAMS, ROOT, ReferenceVGG19, finished, make_job, picture, pixels, run
from PIL import Image

from nst import params
from nst.engine import images, init, losses, metrics, onednn, targets, weights
from nst.engine import run as module
from nst.engine.inputs import inputs
from nst.engine.jobs import Pooling
from nst.engine.layers import LAYERS
from nst.engine.machine import machine
from nst.engine.metrics import as_tensor
from nst.engine.optimize import State
from nst.engine.results import Result
from nst.engine.run import decode, default_threads, run_job
from nst.engine.style_metrics import colour_distance, cumulative
from nst.errors import ImageError, WeightsError

HERE = machine()
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
        from nst.engine.inputs import inputs
        from nst.engine.jobs import Job
        from nst.engine.machine import key, machine
        from nst.engine.run import run_job
        torch.manual_seed(99)
        job = Job.from_dict(json.loads(sys.argv[1]))
        given = inputs(job, Path(sys.argv[2]))
        print(key(job, given, machine()), flush=True)
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
        watched = run(dataclasses.replace(JOB, timed=True), on_iteration=seen.append)
        assert watched.png == run(JOB).png
        assert [state.iteration for state in seen] == [1, 2, 3, 4]

    def test_a_warm_up_is_two_steps_from_the_jobs_own_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        steps: list[int] = []
        minimize = module.minimize
        monkeypatch.setattr(module, "minimize", lambda *a, **k: steps.append(k["iterations"]) or minimize(*a, **k))
        run(dataclasses.replace(JOB, timed=True))
        assert steps == [2, 4]

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

    def test_weights_are_not_rounded_to_the_precision_of_the_features(self) -> None:
        whole, tenth = (
            run(make_job("reconstruct", content_weight=weight, iterations=1, precision="bfloat16")).losses[0]
            for weight in (1.0, 0.1)
        )
        assert tenth == pytest.approx(0.1 * whole, rel=1e-5)

    def test_a_large_total_variation_weight_smooths(self) -> None:
        def roughness(result: Result) -> float:
            return float(np.abs(np.diff(pixels(result.png).astype(float), axis=1)).mean())

        job = dataclasses.replace(JOB, noise="uniform", parametrization="pixels", iterations=15)
        smooth, rough = finished(dataclasses.replace(job, tv_weight=100.0)), finished(job)
        assert roughness(smooth) < 0.8 * roughness(rough)


class TestResult:
    """What a result says is about the picture that is saved."""

    @pytest.mark.parametrize("task", ["transfer", "reconstruct", "synthesize"])
    def test_quality_is_that_of_the_saved_picture(self, task: str) -> None:
        result = finished(make_job(task))
        saved = as_tensor(Image.open(io.BytesIO(result.png)))
        given = inputs(result.job, DATA)
        content, style = (
            as_tensor(Image.open(io.BytesIO(png))) if png else None
            for png in (given.content, given.styles[0][0] if given.styles else None)
        )
        quality = result.quality
        assert (quality.psnr is None) == (quality.content_distance is None) == (content is None)
        assert (quality.style_distance is None) == (quality.own_style_distance is None) == (style is None)
        assert (quality.sliced_wasserstein is None) == (quality.colour_distance is None) == (style is None)
        if content is not None:
            assert quality.content_distance == pytest.approx(
                metrics.content_distance(saved, content, "normalised"), rel=1e-4
            )
            assert quality.psnr == pytest.approx(metrics.psnr(saved, content), abs=1e-3)
            assert quality.ssim == pytest.approx(metrics.ssim(saved, content), abs=1e-4)
        if style is not None:
            assert quality.style_distance == pytest.approx(metrics.style_distance(saved, style, "normalised"), rel=1e-4)
            assert quality.gram_errors is not None
            own = [quality.gram_errors[LAYERS.index(name)] for name in result.job.style_layers]
            assert quality.own_style_distance == pytest.approx(np.prod(own) ** (1 / len(own)))
            assert quality.colour_distance == pytest.approx(colour_distance(saved, cumulative(style)))
            assert quality.sliced_wasserstein is not None
            assert quality.sliced_wasserstein > 0

    @pytest.mark.parametrize("task", ["transfer", "reconstruct", "synthesize"])
    def test_the_picture_is_an_8_bit_rgb_png_of_the_jobs_size(self, task: str) -> None:
        result = finished(make_job(task))
        with Image.open(io.BytesIO(result.png)) as opened:
            assert (opened.format, opened.mode, max(opened.size)) == ("PNG", "RGB", 48)
        like = inputs(result.job, DATA).content or inputs(result.job, DATA).styles[0][0]
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
        assert environment.kernels == ("onednn" if HERE.device == "cpu" else "plain")

    def test_threads_are_always_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        counts: list[int] = []
        monkeypatch.setattr(torch, "set_num_threads", counts.append)
        job = make_job("reconstruct", iterations=1)
        for threads in (None, 1):
            run_job(job, inputs(job, DATA), threads=threads, pixel_metrics=False)
        assert counts == [default_threads(), 1]
        assert 1 <= default_threads() <= (os.cpu_count() or 1)

    def test_falling_back_to_plain_kernels_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where torch lacks the fused kernels there is a warning, and every result says so."""

        def missing(_kernel: object, *, padding: int) -> None:
            raise RuntimeError("no such operation\nat some line of C++")

        expected = finished(JOB)
        monkeypatch.setattr(onednn, "reordered", missing)
        monkeypatch.setattr(onednn, "available", onednn.available.__wrapped__)
        targets.encoder.cache_clear()
        with pytest.warns(UserWarning, match=r"fused kernels cannot be used \(no such operation\)"):
            result = run(JOB, pixel_metrics=False)
        targets.encoder.cache_clear()
        assert result.environment.kernels == "plain"
        assert result.losses == pytest.approx(expected.losses, rel=0.02)

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


class TestCleanPictures:
    """The start and the parametrisation decide how clean a reconstruction gets; the repository chose well."""

    @pytest.mark.parametrize(("layer", "decibel"), [("conv1_1", 28), ("conv2_2", 20)])
    def test_default_reconstructions_reach_this_psnr(self, layer: str, decibel: float) -> None:
        section = params.load(PARAMS).reconstruction
        job = section.job("reconstruct", content="egeskov", content_layers=(layer,), size=192)
        assert finished(job).quality.psnr > decibel  # type: ignore[operator]

    def test_the_default_is_cleaner_than_pixels_from_uniform_noise(self) -> None:
        def psnr(**changes: Any) -> float:
            job = make_job("reconstruct", content_layers=("conv2_2",), size=96, iterations=60, **changes)
            return finished(job).quality.psnr  # type: ignore[return-value]

        assert psnr() > psnr(parametrization="pixels", noise="uniform") + 3
