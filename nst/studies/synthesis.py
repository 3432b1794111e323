"""Style loss alone, from noise, over windows of five layers: which layers make the texture?

Gatys, Ecker & Bethge (2015), "Texture Synthesis Using Convolutional Neural Networks".
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from nst.engine import images
from nst.engine.jobs import Job
from nst.engine.layers import layer_number, window
from nst.engine.results import Result, known
from nst.params import Params
from nst.studies import figures, noises, tables
from nst.studies.choices import Choice, best_window
from nst.studies.originals import Original

ALONE = False


def originals(params: Params) -> list[Original]:
    """All pictures it starts from."""
    section = params.synthesis
    return [Original("style", name, section.size) for name in (section.style, *section.compare_styles)]


def jobs(params: Params, results: Mapping[Job, Result]) -> list[Job]:
    """One job a window; then, at the best window, one a style and noise."""
    first = _window_jobs(params)
    if not all(job in results for job in first.values()):
        return list(first.values())
    compared = _comparison_jobs(params, choose(params, results).winner)
    return list(dict.fromkeys([*first.values(), *compared.values()]))


def choose(params: Params, results: Mapping[Job, Result]) -> Choice:
    """The best window, by `nst.studies.choices.best_window`."""
    windows = _window_jobs(params)
    return best_window({name: known(results[job].quality.style_distance) for name, job in windows.items()})


def write(params: Params, results: Mapping[Job, Result], data: Path, folder: Path) -> None:
    """Tables, the windows as a grid (deepest top left), style distance over depth, and the noises side by side."""
    choice = choose(params, results)
    windows = {name: results[job] for name, job in _window_jobs(params).items()}
    compared = {key: results[job] for key, job in _comparison_jobs(params, choice.winner).items()}
    best = tables.distances(windows[choice.winner])
    target = folder / figures.FOLDER

    tables.write((results[job] for job in jobs(params, results)), folder)
    tables.write_csv(_depth_rows(windows), folder / "depth.csv")
    tables.write_headline({"best": choice.winner, "margin": choice.margin, **best}, folder)
    tables.write_metrics(_metrics(params, choice, windows, compared), folder)
    _draw_windows(windows, choice.winner, target / "windows.webp")
    _draw_depth(windows, choice.winner, target / "depth.png")
    figures.save(_noise_sheet(params, compared, data), target / "noises.webp")


def _depth_rows(windows: Mapping[str, Result]) -> Iterator[dict[str, Any]]:
    for name, result in windows.items():
        first_layer = layer_number(result.job.style_layers[0])
        yield {"first_layer": first_layer, "window": name, **tables.distances(result)}


def _metrics(
    params: Params, choice: Choice, windows: Mapping[str, Result], compared: Mapping[tuple[str, int], Result]
) -> dict[str, Any]:
    section = params.synthesis
    return {
        "best_window": choice.winner,
        "rule": choice.rule,
        "runner_up": choice.runner_up,
        "margin": choice.margin,
        "style_distance": {name: result.quality.style_distance for name, result in windows.items()},
        "noises": {
            style: _noise_metrics([compared[style, seed] for seed in section.compare_seeds])
            for style in section.compare_styles
        },
    }


def _noise_metrics(made: Sequence[Result]) -> dict[str, Any]:
    """Of one style, from each noise."""
    return {**noises.likeness(*made[:2]), "style_distance": [result.quality.style_distance for result in made]}


def _draw_windows(windows: Mapping[str, Result], best: str, path: Path) -> None:
    deepest_first = list(windows)[::-1]
    captions = [f"{name} · distance {known(windows[name].quality.style_distance):.3f}" for name in deepest_first]
    pictures = [images.from_png(windows[name].png) for name in deepest_first]
    figures.save(figures.folded_sheet(pictures, captions, mark=deepest_first.index(best)), path)


def _draw_depth(windows: Mapping[str, Result], best: str, path: Path) -> None:
    figures.line_plots(
        list(windows),
        {"style distance (lower is closer)": [known(result.quality.style_distance) for result in windows.values()]},
        x_label="window of layers",
        path=path,
        mark=list(windows).index(best),
    )


def _noise_sheet(params: Params, compared: Mapping[tuple[str, int], Result], data: Path) -> Image.Image:
    section = params.synthesis
    originals = [Original("style", name, section.size) for name in section.compare_styles]
    return noises.sheet(originals, compared, seeds=section.compare_seeds, noise=section.noise, data=data)


def _window_jobs(params: Params) -> dict[str, Job]:
    section = params.synthesis
    return {
        window(layers): section.job(
            "synthesize", style=section.style, style_layers=layers, seed=section.compare_seeds[0]
        )
        for layers in section.windows
    }


def _comparison_jobs(params: Params, best: str) -> dict[tuple[str, int], Job]:
    section = params.synthesis
    layers = next(layers for layers in section.windows if window(layers) == best)
    return {
        (style, seed): section.job("synthesize", style=style, style_layers=layers, seed=seed)
        for style in section.compare_styles
        for seed in section.compare_seeds
    }
