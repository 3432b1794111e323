"""Which jobs the studies ask for, and what they write from real results of small ones."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from engine_support import DATA, finished
from PIL import Image
from report_support import complete, write_studies
from study_support import PARAMS

from nst import params, studies
from nst.engine import images
from nst.engine.jobs import Job
from nst.engine.layers import CLASSIC, LAYERS, window
from nst.engine.results import Result
from nst.errors import ParamsError
from nst.params import STUDIES, Params
from nst.studies import initialization, noises, parameters, reconstruction, synthesis, tables, transfer

WINDOWS = [LAYERS[first : first + 5] for first in range(11)]

PAIRS = [["egeskov", "great_wave"], ["chelsea", "cafe_terrace"]]
SMALL: dict[str, dict[str, Any]] = {
    "reconstruction": {"iterations": 6, "layers": ["conv1_1", "conv2_1", "conv3_1"], "min_ssim": 0.1},
    "synthesis": {"windows": ["1-2", "2-3", [1, 3]]},
    "transfer": {
        "content_layers": [1, 2, 3, 4],
        "style_windows": ["1-2", "2-3"],
        "finalists": {"count": 2, "iterations": 3, "style_weights": [3, 10], "pairs": PAIRS, "seeds": [0, 1]},
    },
    "parameters": {"vary": {"style_weight": [1, 10], "pooling": ["max", "average"]}},
    "initialization": {
        "iterations": 6,
        "long_iterations": 8,
        "pairs": PAIRS,
        "content_layer": "conv2_1",
        "style_layers": "1-2",
    },
    "gallery": {"favourite_size": 64, "gram_layers": ["conv1_1", "conv2_1"], "favourites": [["chelsea", "great_wave"]]},
}


@pytest.fixture(scope="module")
def whole() -> Params:
    """The repository's own parameters."""
    return params.load(PARAMS)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Params:
    """The same with few layers, small pictures and 3 iterations."""
    values = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    values |= {"size": 48, "iterations": 3}
    for study, changes in SMALL.items():
        values[study] = {**{k: v for k, v in values[study].items() if k != "iterations"}, **changes}
    values["gallery"]["film"] |= {"frames": 3}
    path = tmp_path_factory.mktemp("small") / "params.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return params.load(path)


@pytest.fixture(scope="module")
def reports(small: Params, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders that all studies write, of small parameters."""
    folder = tmp_path_factory.mktemp("reports")
    write_studies(small, folder)
    return folder


@pytest.fixture(scope="module")
def made(small: Params) -> Result:
    """One real result."""
    return finished(reconstruction.jobs(small, {})[0])


def found(made: Result, job: Job, **quality: float) -> Result:
    """A real result, but of this job and with these metrics."""
    return dataclasses.replace(made, job=job, quality=dataclasses.replace(made.quality, **quality))


def position(sheet: Path, picture: Path, cell: int) -> tuple[int, int]:
    """Where on a sheet, whose pictures have `cell` px, a picture is; in pixels of the picture."""
    with Image.open(picture) as opened:
        looked_for = np.asarray(opened.convert("L"), float)
        scale = max(opened.size) / cell
    with Image.open(sheet) as opened:
        smaller = opened.convert("L").resize((round(opened.width * scale), round(opened.height * scale)))
    parts = np.lib.stride_tricks.sliding_window_view(np.asarray(smaller, float), looked_for.shape)
    height, width = parts.shape[:2]
    errors = [[np.abs(parts[y, x] - looked_for).mean() for x in range(width)] for y in range(height)]
    y, x = np.unravel_index(np.argmin(errors), (height, width))
    return int(x), int(y)


class TestTransfer:
    """16 content layers × 11 style windows and the classic layers; then the finalists."""

    def test_submits_exactly_192_distinct_jobs_first(self, whole: Params) -> None:
        jobs = transfer.jobs(whole, {})
        assert len(jobs) == 192
        assert len(set(jobs)) == len({job.digest for job in jobs}) == len({job.name for job in jobs}) == 192

    def test_the_sweep_receives_every_layer_with_every_window(self, whole: Params) -> None:
        """A known replication repeats a row because its loop variable was unused; so look at what jobs hold."""
        jobs = transfer.jobs(whole, {})
        received = {(job.content_layers, job.style_layers) for job in jobs}
        assert received == {((layer,), style) for layer in LAYERS for style in (*WINDOWS, CLASSIC)}
        assert [job.content_layers[0] for job in jobs] == [layer for layer in LAYERS for _ in range(12)]
        assert [window(job.style_layers) for job in jobs[:12]] == [*(f"{i}-{i + 4}" for i in range(1, 12)), "classic"]

    def test_nothing_else_differs_between_cells(self, whole: Params) -> None:
        def rest(job: Job) -> str:
            return json.dumps({k: v for k, v in job.to_dict().items() if k not in ("content_layers", "style_layers")})

        assert len({rest(job) for job in transfer.jobs(whole, {})}) == 1

    def test_a_changed_window_concerns_one_column_only(self, whole: Params) -> None:
        windows = (*whole.transfer.style_windows[:-1], LAYERS[11:16])
        changed = whole.model_copy(update={"transfer": whole.transfer.model_copy(update={"style_windows": windows})})
        before, after = set(transfer.jobs(whole, {})), set(transfer.jobs(changed, {}))
        assert len(before & after) == 176
        assert {job.style_layers for job in after - before} == {LAYERS[11:16]}

    def test_the_best_cells_and_the_classic_one_run_on_all_pairs_and_noises(self, whole: Params, made: Result) -> None:
        cells = transfer.jobs(whole, {})
        results = {
            job: found(made, job, content_distance=(number % 7) + 1.0, style_distance=(number % 11) + 1.0)
            for number, job in enumerate(cells)
        }
        finalists = transfer.jobs(whole, results)[len(cells) :]
        section = whole.transfer.finalists
        runs = {(job.content_layers, job.style_layers) for job in finalists}
        assert len(runs) == section.count + 1
        assert (("conv4_2",), CLASSIC) in runs
        best = {  # numbers that both remainders are 0 of
            (job.content_layers, job.style_layers) for job in cells if results[job].quality.content_distance == 1
            and results[job].quality.style_distance == 1
        }  # fmt: skip
        assert best <= runs
        for run in runs:
            jobs = [job for job in finalists if (job.content_layers, job.style_layers) == run]
            assert {(job.content, job.style, job.seed, job.style_weight) for job in jobs} == {
                (*pair, seed, weight)
                for pair in section.pairs
                for seed in section.seeds
                for weight in section.style_weights
            }
            assert {job.iterations for job in jobs} == {section.iterations}

    def test_asks_for_no_finalist_until_every_cell_has_a_result(self, whole: Params, made: Result) -> None:
        cells = transfer.jobs(whole, {})
        results = {job: found(made, job, content_distance=1.0, style_distance=1.0) for job in cells[1:]}
        assert transfer.jobs(whole, results) == cells


class TestReconstruction:
    """16 layers, then those around the best one again."""

    def results(self, whole: Params, ssim: Mapping[str, float], made: Result) -> dict[Job, Result]:
        """Real results, with chosen values of SSIM; for layers without one there is none."""
        return {
            job: found(made, job, ssim=ssim[job.content_layers[0]])
            for job in reconstruction.jobs(whole, {})
            if job.content_layers[0] in ssim
        }

    def test_first_asks_for_each_of_the_16_layers_of_each_content(self, whole: Params) -> None:
        jobs = reconstruction.jobs(whole, {})
        contents = whole.reconstruction.contents
        assert [job.content_layers for job in jobs] == [(layer,) for layer in LAYERS for _ in contents]
        assert {(job.task, job.content, job.style, job.init, job.seed) for job in jobs} == {
            ("reconstruct", content, None, "noise", 0) for content in contents
        }

    def test_then_for_all_noises_around_the_best_layer(self, whole: Params, made: Result) -> None:
        ssim = {layer: 1 - number / 10 for number, layer in enumerate(LAYERS)}  # 0.5 at the sixth: conv3_2
        results = self.results(whole, ssim, made)
        jobs = reconstruction.jobs(whole, results)
        assert jobs[:32] == reconstruction.jobs(whole, {})
        assert {(job.content_layers[0], job.content, job.seed) for job in jobs[32:]} == {
            (layer, content, 1) for layer in ("conv3_1", "conv3_2", "conv3_3") for content in ("egeskov", "chelsea")
        }
        assert len(jobs) == len(set(jobs)) == 38

    def test_asks_for_nothing_more_until_every_layer_has_a_result(self, whole: Params, made: Result) -> None:
        results = self.results(whole, dict.fromkeys(LAYERS[1:], 0.9), made)
        assert reconstruction.jobs(whole, results) == reconstruction.jobs(whole, {})


class TestSynthesis:
    """Each of 11 windows, styles and noises."""

    def test_asks_for_each_window_of_each_style_from_each_noise(self, whole: Params) -> None:
        section, jobs = whole.synthesis, synthesis.jobs(whole, {})
        assert len(jobs) == len(set(jobs)) == 44
        assert {(job.style_layers, job.style, job.seed) for job in jobs} == {
            (style_layers, style, seed)
            for style_layers in WINDOWS
            for style in section.styles
            for seed in section.seeds
        }
        assert {(job.task, job.content, job.init) for job in jobs} == {("synthesize", None, "noise")}

    def test_the_best_window_is_that_of_all_styles_and_noises(self, whole: Params, made: Result) -> None:
        """Not that of the first style alone."""
        distances = dict.fromkeys(synthesis.jobs(whole, {}), 0.2)
        first, second = whole.synthesis.styles
        distances |= {job: 0.19 for job in distances if (window(job.style_layers), job.style) == ("1-5", first)}
        distances |= {job: 0.1 for job in distances if (window(job.style_layers), job.style) == ("3-7", second)}
        results = {job: found(made, job, style_distance=value) for job, value in distances.items()}
        assert synthesis.choose(whole, results).winner == "3-7"


def test_a_picture_is_most_like_itself(made: Result) -> None:
    (row,) = noises.alike({("conv1_1", "egeskov", 0): made, ("conv1_1", "egeskov", 1): made})
    assert row == {"layers": "conv1_1", "original": "egeskov", "psnr": 100.0, "shared": 1.0}


class TestInitialization:
    """Every pair, start and seed, timed; then to an equal loss, and for long."""

    def test_each_start_runs_equally_often_and_in_turn(self, whole: Params) -> None:
        section = whole.initialization
        jobs = initialization.jobs(whole, {})
        assert len(jobs) == len(set(jobs)) == len(section.pairs) * len(section.seeds) * len(section.inits) == 27
        assert [job.init for job in jobs] == list(section.inits) * 9
        assert len({job.name for job in jobs}) == 27
        assert {job.iterations for job in jobs} == {section.iterations}
        noise = [job for job in jobs if job.init == "noise"]
        assert {(job.content, job.style, job.seed) for job in noise} == {
            (*pair, seed) for pair in section.pairs for seed in section.seeds
        }

    def test_its_first_jobs_are_timed_and_no_others(self, whole: Params, small: Params) -> None:
        assert all(job.timed for job in initialization.jobs(whole, {}))
        everything = complete(studies.load("initialization"), small)
        assert sum(job.timed for job in everything) == len(initialization.jobs(small, {}))
        assert not any(
            job.timed
            for name in ("reconstruction", "synthesis", "transfer")
            for job in studies.load(name).jobs(whole, {})
        )

    def test_then_each_start_runs_to_an_equal_loss_and_for_long(self, small: Params) -> None:
        results = complete(studies.load("initialization"), small)
        section = small.initialization
        timed = [job for job in results if job.timed]
        to_loss = [job for job in results if job.stop_loss]
        long = [job for job in results if job.iterations == section.long_iterations]
        assert {(job.content, job.style, job.init) for job in long} == {
            (*pair, init) for pair in section.pairs for init in section.inits
        }
        assert len(results) == len(timed) + len(to_loss) + len(long)
        for job in to_loss:
            pair = [results[one] for one in timed if (one.content, one.style) == (job.content, job.style)]
            assert job.stop_loss == initialization.target_loss(pair)
            *before, last = results[job].losses
            assert all(loss > job.stop_loss for loss in before)
            assert last <= job.stop_loss

    def test_time_to_a_common_target(self, small: Params) -> None:
        results = [made for job, made in complete(studies.load("initialization"), small).items() if job.timed]
        target = initialization.target_loss(results)
        assert target == pytest.approx(1.05 * max(result.losses[-1] for result in results), rel=1e-3)
        for result in results:
            count = initialization.iterations_to(result, target)
            assert result.losses[count] <= target
            assert all(loss > target for loss in result.losses[:count])


class TestParameters:
    """Any parameter of a job, one after another."""

    @pytest.fixture
    def named(self, whole: Params) -> Params:
        """With layers that no study has to find first."""
        layers = {"content_layer": "conv4_2", "style_layers": CLASSIC, "curves": (("conv3_1", LAYERS[:5]),)}
        return self.changed(whole, **layers)

    def changed(self, given: Params, **changes: Any) -> Params:
        section = given.parameters.model_copy(update=changes)
        return given.model_copy(update={"parameters": section})

    @pytest.mark.parametrize(
        ("name", "values"),
        [("tv_weight", [0.5, 1]), ("noise", ["normal"]), ("size", [64]), ("init", ["content"]), ("iterations", [3])],
    )
    def test_a_new_parameter_becomes_an_axis_without_code(self, named: Params, name: str, values: list[Any]) -> None:
        jobs = parameters.jobs(self.changed(named, vary={name: values}, curves=()), {})
        assert len(jobs) == len(values) * len(named.parameters.pairs)
        assert {getattr(job, name) for job in jobs} == set(values)
        others = [{k: v for k, v in job.to_dict().items() if k not in (name, "content", "style")} for job in jobs]
        assert all(other == others[0] for other in others)

    def test_a_value_that_is_the_usual_one_runs_once(self, named: Params) -> None:
        jobs = parameters.jobs(self.changed(named, vary={"pooling": ["max", "average"], "optimizer": ["adam"]}), {})
        assert len(jobs) == 2 * len(named.parameters.pairs)

    def test_every_set_of_layers_runs_at_every_style_weight(self, named: Params) -> None:
        jobs = parameters.jobs(self.changed(named, vary={"style_weight": [1, 5]}), {})
        assert {(job.content_layers, job.style_layers, job.style_weight) for job in jobs} == {
            (content, style, weight)
            for content, style in ((("conv4_2",), CLASSIC), (("conv3_1",), LAYERS[:5]))
            for weight in (1.0, 5.0)
        }

    def test_takes_the_finalists_of_the_transfer_study(self, whole: Params, tmp_path: Path) -> None:
        (tmp_path / "transfer").mkdir()
        tables.Recommended("conv3_2", "2-6", (("conv3_2", "2-6"), ("conv4_2", "classic"))).write(tmp_path / "transfer")
        jobs = parameters.jobs(studies.resolve(whole, tmp_path), {})
        assert {(job.content_layers[0], window(job.style_layers)) for job in jobs} == {
            ("conv3_2", "2-6"), ("conv4_2", "classic"),
        }  # fmt: skip

    def test_refuses_to_start_before_the_transfer_study_has_run(self, whole: Params, tmp_path: Path) -> None:
        with pytest.raises(ParamsError, match=r"parameters: .*`dvc repro transfer`\), or name layers in params.yaml"):
            parameters.jobs(studies.resolve(whole, tmp_path), {})

    def test_what_one_curve_beats_of_another(self, made: Result) -> None:
        def curve(*points: tuple[float, float]) -> dict[tuple[Any, int, float], Result]:
            return {
                (("c", "s"), 0, float(weight)): found(made, made.job, content_distance=x, style_distance=y)
                for weight, (x, y) in enumerate(points)
            }

        curves = {"low": curve((1, 3), (2, 2), (3, 1)), "high": curve((1.5, 3.5), (2.5, 2.5), (0.5, 4))}
        assert parameters.beaten_points(curves, "low") == []
        assert parameters.beaten_points(curves, "high") == ["low", "low"]


class TestGallery:
    """Uses what the transfer study recommends."""

    def test_refuses_to_start_before_the_transfer_study_has_run(self, whole: Params, tmp_path: Path) -> None:
        with pytest.raises(ParamsError, match=r"gallery: .*`dvc repro transfer`\), or name layers in params.yaml"):
            studies.load("gallery").jobs(studies.resolve(whole, tmp_path), {})

    def test_takes_the_recommended_layers(self, whole: Params, tmp_path: Path) -> None:
        (tmp_path / "transfer").mkdir()
        tables.Recommended("conv3_2", "2-6", ()).write(tmp_path / "transfer")
        jobs = studies.load("gallery").jobs(studies.resolve(whole, tmp_path), {})
        assert {(job.content_layers, job.style_layers) for job in jobs} == {(("conv3_2",), LAYERS[1:6])}
        assert {job.size for job in jobs} == {whole.size, whole.gallery.favourite_size}
        assert sum(bool(job.frames) for job in jobs) == 1

    def test_layers_that_are_named_are_kept(self, whole: Params, tmp_path: Path) -> None:
        (tmp_path / "transfer").mkdir()
        tables.Recommended("conv3_2", "1,3", ()).write(tmp_path / "transfer")
        named = whole.model_copy(update={"gallery": whole.gallery.model_copy(update={"content_layer": "conv1_1"})})
        gallery = studies.resolve(named, tmp_path).gallery
        assert (gallery.content_layer, gallery.style_layers) == ("conv1_1", ("conv1_1", "conv2_1"))

    def test_a_film_of_a_pair_in_the_grid_is_a_picture_of_its_own(self, small: Params, reports: Path) -> None:
        film = small.gallery.film.model_copy(update={"init": small.gallery.init})
        same = small.model_copy(update={"gallery": small.gallery.model_copy(update={"film": film})})
        jobs = studies.load("gallery").jobs(studies.resolve(same, reports), {})
        assert len({job.name for job in jobs}) == len(jobs) == 6


def test_an_unknown_study() -> None:
    with pytest.raises(ParamsError, match="no study 'painting'; there are reconstruction, synthesis, transfer"):
        studies.load("painting")


class TestFolders:
    """What each study writes."""

    @pytest.mark.parametrize("study", STUDIES)
    def test_tables_have_one_row_a_job_and_name_its_picture(self, reports: Path, small: Params, study: str) -> None:
        quality, timing = (pd.read_csv(reports / study / "tables" / name) for name in ("quality.csv", "timing.csv"))
        jobs = complete(studies.load(study), studies.resolve(small, reports))
        assert sorted(quality["job"]) == sorted(timing["job"]) == sorted(job.name for job in jobs)
        for image in quality["image"]:
            with Image.open(reports / study / image) as opened:
                assert opened.format == "PNG"
        assert tables.read_metrics(reports / study)
        headline = json.loads((reports / study / "headline.json").read_text())
        assert 1 <= len(headline) <= 4
        assert all(isinstance(value, float | int | str) for value in headline.values())

    @pytest.mark.parametrize(
        ("study", "names"),
        [
            ("reconstruction", {"layers.webp", "depth.png", "noises.webp"}),
            ("synthesis", {"windows.webp", "depth.png", "noises.webp"}),
            (
                "transfer",
                {"grid.webp", "rows_01-03.webp", "rows_04-04.webp", "content_distance.png", "style_distance.png",
                 "front.png", "finalists.webp"},
            ),
            (
                "parameters",
                {"curves.png", "style_weight.webp", "style_weight.png", "pooling.webp", "pooling.png"},
            ),
            ("initialization", {"loss_iterations.png", "loss_seconds.png", "starts.webp"}),
            (
                "gallery",
                {"grid.webp", "favourites.webp", "favourite_chelsea_great_wave.webp", "gram_matrices.png",
                 "process.gif"},
            ),
        ],
    )  # fmt: skip
    def test_figures(self, reports: Path, study: str, names: set[str]) -> None:
        assert {path.name for path in (reports / study / "figures").iterdir()} == names
        for path in (reports / study / "figures").iterdir():
            with Image.open(path) as opened:
                opened.load()

    def test_all_but_times_is_the_same_to_the_byte(self, reports: Path, small: Params, tmp_path: Path) -> None:
        study = studies.load("transfer")
        study.write(small, complete(study, small), DATA, tmp_path)
        for path in sorted(p for p in (reports / "transfer").rglob("*") if p.is_file()):
            assert path.read_bytes() == (tmp_path / path.relative_to(reports / "transfer")).read_bytes()

    def test_the_transfer_grid_has_a_row_a_content_layer_and_a_column_a_style_window(
        self, small: Params, tmp_path: Path
    ) -> None:
        """With a plain colour in place of each picture, so that it is found again in the lossy figure."""
        results, colours = complete(studies.load("transfer"), small), {}
        columns = ["1-2", "2-3", "classic"]
        for job in transfer.jobs(small, {}):
            row, column = LAYERS.index(job.content_layers[0]), columns.index(window(job.style_layers))
            colours[row, column] = (40 + 60 * row, 60 + 80 * column, 120)
            png = images.to_png(Image.new("RGB", (48, 33), colours[row, column]))
            results[job] = dataclasses.replace(results[job], png=png)
        transfer.write(small, results, DATA, tmp_path)
        with Image.open(tmp_path / "figures" / "rows_01-03.webp") as opened:
            sheet = np.asarray(opened.convert("RGB")).astype(int)
        at = {}
        for row in range(3):
            for column in range(2):
                ys, xs = np.nonzero((np.abs(sheet - colours[row, column]) < 10).all(-1))
                at[row, column] = round(float(np.median(xs))), round(float(np.median(ys)))
        assert all(abs(at[row, 0][1] - at[row, 1][1]) <= 1 and at[row, 0][0] < at[row, 1][0] for row in range(3))
        assert all(abs(at[row, column][0] - at[0, column][0]) <= 1 for row, column in at)
        assert all(at[0, column][1] < at[1, column][1] < at[2, column][1] for column in range(2))

    def test_grids_of_depth_begin_with_the_deepest(self, reports: Path, small: Params) -> None:
        for study, figure in (("reconstruction", "layers.webp"), ("synthesis", "windows.webp")):
            folder = reports / study
            across = [
                position(folder / "figures" / figure, folder / "images" / f"{job.name}.png", cell=192)[0]
                for job in studies.load(study).jobs(small, {})
                if (job.content or job.style) in ("egeskov", "cafe_terrace") and job.seed == 0
            ]
            assert across == sorted(across, reverse=True)
            assert len(set(across)) == 3

    def test_the_gallery_has_its_originals_above_and_at_the_left(
        self, reports: Path, small: Params, tmp_path: Path
    ) -> None:
        section, folder = small.gallery, reports / "gallery"
        originals: dict[str, tuple[int, int]] = {}
        for kind, names in (("content", section.contents), ("style", section.styles)):
            for name in names:
                images.fit(images.read(images.find(DATA / kind, name)), 48).save(tmp_path / f"{name}.png")
                originals[name] = position(folder / "figures" / "grid.webp", tmp_path / f"{name}.png", cell=192)
        quality = pd.read_csv(folder / "tables" / "quality.csv")
        grid = quality[(quality["size"] == 48) & ~quality["job"].str.contains("frames")]
        assert len(grid) == 4
        for _, row in grid.iterrows():
            x, y = position(folder / "figures" / "grid.webp", folder / row["image"], cell=192)
            content, style = originals[row["content"]], originals[row["style"]]
            assert content[0] < x
            assert abs(content[1] - y) <= 2
            assert style[1] < y
            assert abs(style[0] - x) <= 12  # pictures of another shape are centred in their column

    def test_the_recommended_layers_are_those_of_a_finalist(self, reports: Path) -> None:
        found = tables.read_metrics(reports / "transfer")
        finalists = pd.read_csv(reports / "transfer" / "tables" / "finalists.csv")
        recommended = tables.Recommended.read(reports / "transfer")
        assert found["best"] == f"{recommended.content_layer} | {recommended.style_layers}"
        assert {found["best"], *found["alike"]} <= set(finalists["finalist"]) == set(found["numbers"])
        assert len(pd.read_csv(reports / "transfer" / "tables" / "cells.csv")) == 12

    def test_the_film_shows_its_frames_and_the_result(self, reports: Path) -> None:
        with Image.open(reports / "gallery" / "figures" / "process.gif") as film:
            assert film.n_frames == 4  # type: ignore[attr-defined]

    def test_summaries_of_starts_are_means_over_their_runs_and_paired_differences(self, reports: Path) -> None:
        folder = reports / "initialization" / "tables"
        quality, starts = pd.read_csv(folder / "quality.csv"), pd.read_csv(folder / "starts.csv")
        timed = quality[quality["job"].isin(pd.read_csv(folder / "losses.csv")["job"])]
        by_start = {start: runs["style_distance"].to_numpy() for start, runs in timed.groupby("init")}
        rows = starts[(starts["when"] == "after 6 iterations") & (starts["quantity"] == "style_distance")]
        for row in rows.to_dict("records"):
            assert row["runs"] == len(by_start[row["init"]]) == 6
            assert row["mean"] == pytest.approx(by_start[row["init"]].mean(), rel=1e-3)
            apart = by_start[row["init"]] - by_start["noise"]
            assert row["difference"] == pytest.approx(apart.mean(), rel=1e-3, abs=1e-6)
            assert row["low"] <= row["difference"] <= row["high"]

    def test_layers_that_each_gram_error_is_of(self, reports: Path) -> None:
        errors = pd.read_csv(reports / "synthesis" / "tables" / "style_layers.csv").set_index("job")
        quality = pd.read_csv(reports / "synthesis" / "tables" / "quality.csv").set_index("job")
        assert list(errors.columns) == list(LAYERS)
        means = np.exp(np.log(errors).mean(axis=1))
        np.testing.assert_allclose(means, quality.loc[errors.index, "style_distance"], rtol=1e-3)
