"""Style loss alone, from noise, over windows of five layers: which layers make the texture?

Gatys, Ecker & Bethge (2015), "Texture Synthesis Using Convolutional Neural Networks".
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nst.engine import images
from nst.engine.jobs import Job
from nst.engine.layers import layer_number, window
from nst.engine.results import Result, known
from nst.params import Params
from nst.studies import figures, noises, tables
from nst.studies.choices import Choice, best_window
from nst.studies.originals import Original

Run = tuple[str, str, int]
"""Window, style and seed."""
DEPTH = ("style_distance", "sliced_wasserstein", "colour_distance", "arrangement")
"""What is shown over depth."""


def originals(params: Params) -> list[Original]:
    """All pictures it starts from."""
    return noises.originals("style", params.synthesis.styles, params.synthesis.size)


def jobs(params: Params, results: Mapping[Job, Result]) -> list[Job]:
    """Every window, style and noise."""
    del results
    return list(_jobs(params).values())


def choose(params: Params, results: Mapping[Job, Result]) -> Choice:
    """The best window, by `nst.studies.choices.best_window`."""
    distances: dict[str, list[float]] = {}
    for (name, _, _), job in _jobs(params).items():
        distances.setdefault(name, []).append(known(results[job].quality.style_distance))
    return best_window(distances)


def write(params: Params, results: Mapping[Job, Result], data: Path, folder: Path) -> None:
    """Tables, the windows as a grid (deepest top left), distances over depth, and the noises side by side."""
    section = params.synthesis
    choice = choose(params, results)
    runs = {key: results[job] for key, job in _jobs(params).items()}
    at_best = {(style, seed): result for (name, style, seed), result in runs.items() if name == choice.winner}
    of_first = {name: result for (name, *run), result in runs.items() if run == [section.styles[0], section.seeds[0]]}
    target = folder / figures.FOLDER

    tables.write(runs.values(), folder)
    tables.write_csv(_depth_rows(runs), folder, "depth.csv")
    tables.write_headline(list(at_best.values()), folder, choice)
    tables.write_csv(noises.alike(runs), folder, "noises.csv")
    tables.write_metrics(choice.as_dict(), folder)
    _draw_windows(of_first, choice.winner, target / "windows.webp")
    _draw_depth(runs, list(of_first), choice.winner, target / "depth.png")
    sheet = noises.sheet(originals(params), at_best, seeds=section.seeds, noise=section.noise, data=data)
    figures.save(sheet, target / "noises.webp")


def _depth_rows(runs: Mapping[Run, Result]) -> Iterator[dict[str, Any]]:
    """Means over the styles and noises."""
    for name in dict.fromkeys(name for name, _, _ in runs):
        made = [result for (one, _, _), result in runs.items() if one == name]
        first_layer = layer_number(made[0].job.style_layers[0])
        yield {"first_layer": first_layer, "window": name, **tables.means(made, DEPTH)}


def _draw_windows(windows: Mapping[str, Result], best: str, path: Path) -> None:
    deepest_first = list(windows)[::-1]
    captions = [f"{name} · distance {known(windows[name].quality.style_distance):.3f}" for name in deepest_first]
    pictures = [images.from_png(windows[name].png) for name in deepest_first]
    figures.save(figures.folded_sheet(pictures, captions, mark=deepest_first.index(best)), path)


def _draw_depth(runs: Mapping[Run, Result], windows: Sequence[str], best: str, path: Path) -> None:
    """One line a style, means over the noises."""
    titles = {"style_distance": "style distance (lower is closer)", "arrangement": "arrangement (1: the style's own)"}
    panels: dict[str, dict[str, list[float]]] = {}
    for style in dict.fromkeys(style for _, style, _ in runs):
        of_style = {key: result for key, result in runs.items() if key[1] == style}
        for row in _depth_rows(of_style):
            for name in [name for name in titles if name in row]:
                panels.setdefault(titles[name], {}).setdefault(style, []).append(row[name])
    figures.line_plots(windows, panels, x_label="window of layers", path=path, mark=list(windows).index(best))


def _jobs(params: Params) -> dict[Run, Job]:
    section = params.synthesis
    return {
        (window(layers), style, seed): section.job("synthesize", style=style, style_layers=layers, seed=seed)
        for layers in section.windows
        for style in section.styles
        for seed in section.seeds
    }
