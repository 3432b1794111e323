"""Style loss alone, from noise, over windows of five layers: which layers make the texture?

Gatys, Ecker & Bethge (2015), "Texture Synthesis Using Convolutional Neural Networks".
"""

from collections.abc import Mapping
from pathlib import Path

from nst.engine import images
from nst.engine.jobs import Job
from nst.engine.layers import layer_number, window
from nst.engine.results import Result, known
from nst.params import Params
from nst.studies import figures, tables
from nst.studies.choices import Choice, best_window
from nst.studies.originals import Original, compare_noises

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
    """Tables, the windows as a grid (deepest top left), style distance over depth, and the two noises side by side."""
    section = params.synthesis
    choice = choose(params, results)
    tables.write((results[job] for job in jobs(params, results)), folder)

    windows = _window_jobs(params)
    distance = {name: known(results[job].quality.style_distance) for name, job in windows.items()}
    deepest_first = list(reversed(windows))
    figures.save(
        figures.folded_sheet(
            [images.from_png(results[windows[name]].png) for name in deepest_first],
            [f"{name} · distance {distance[name]:.3f}" for name in deepest_first],
            mark=deepest_first.index(choice.winner),
        ),
        folder / figures.FOLDER / "windows.webp",
    )
    figures.line_plots(
        list(windows),
        {"style distance (lower is closer)": list(distance.values())},
        x_label="window of layers",
        path=folder / figures.FOLDER / "depth.png",
        mark=list(windows).index(choice.winner),
    )

    compared = _comparison_jobs(params, choice.winner)
    seeds = section.compare_seeds
    between = compare_noises(
        [Original("style", name, section.size) for name in section.compare_styles],
        seeds=seeds,
        noise=section.noise,
        results=results,
        jobs=compared,
        data=data,
        path=folder / figures.FOLDER / "noises.webp",
    )
    tables.write_csv(
        (
            {"first_layer": layer_number(job.style_layers[0]), "window": name, **tables.distances(results[job])}
            for name, job in windows.items()
        ),
        folder / "depth.csv",
    )
    tables.write_headline(
        {"best": choice.winner, "margin": choice.margin, **tables.distances(results[windows[choice.winner]])}, folder
    )
    tables.write_metrics(
        {
            "best_window": choice.winner,
            "rule": choice.rule,
            "runner_up": choice.runner_up,
            "margin": choice.margin,
            "style_distance": distance,
            "noises": {
                style: {
                    **between[style],
                    "style_distance": [results[compared[style, seed]].quality.style_distance for seed in seeds],
                }
                for style in section.compare_styles
            },
        },
        folder,
    )


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
