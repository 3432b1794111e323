"""Style loss alone, from noise, over windows of five layers: which layers make the texture?

Gatys, Ecker & Bethge (2015), "Texture Synthesis Using Convolutional Neural Networks".
"""

from collections.abc import Mapping
from pathlib import Path

from nst import figures, images, init, tables
from nst.choices import Choice, best_window
from nst.jobs import Job
from nst.layers import window
from nst.params import Params
from nst.results import Result

ALONE = False


def jobs(params: Params, results: Mapping[Job, Result]) -> list[Job]:
    """One job a window; then, at the best window, one a style and noise."""
    first = _window_jobs(params)
    if not all(job in results for job in first.values()):
        return list(first.values())
    compared = _comparison_jobs(params, choose(params, results).winner)
    return list(dict.fromkeys([*first.values(), *compared.values()]))


def choose(params: Params, results: Mapping[Job, Result]) -> Choice:
    """The best window, by `nst.choices.best_window`."""
    return best_window({name: results[job].quality.style_distance or 0.0 for name, job in _window_jobs(params).items()})


def write(params: Params, results: Mapping[Job, Result], data: Path, folder: Path) -> None:
    """Tables, the windows as a grid (deepest top left), style distance over depth, and the two noises side by side."""
    from nst import metrics
    from nst.run import decode

    section = params.synthesis
    choice = choose(params, results)
    tables.write((results[job] for job in jobs(params, results)), folder)

    windows = _window_jobs(params)
    distance = {name: results[job].quality.style_distance or 0.0 for name, job in windows.items()}
    deepest_first = list(reversed(windows))
    lines = [deepest_first[i : i + 4] for i in range(0, len(deepest_first), 4)]
    best = next((r, line.index(choice.winner)) for r, line in enumerate(lines) if choice.winner in line)
    figures.save(
        figures.contact_sheet(
            [[images.from_png(results[windows[name]].png) for name in line] for line in lines],
            captions=[[f"{name} · distance {distance[name]:.3f}" for name in line] for line in lines],
            mark=best,
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
    sheet = []
    between = {}
    for style in section.compare_styles:
        original = images.fit(images.read(images.find(data / "style", style)), section.size, style)
        noises = [decode(init.noise(section.noise, original.height, original.width, seed)) for seed in seeds]
        made = [images.from_png(results[compared[style, seed]].png) for seed in seeds]
        sheet.append([original, *(picture for pair in zip(noises, made, strict=True) for picture in pair)])
        between[style] = metrics.psnr(*(metrics.as_tensor(picture) for picture in made[:2]))
    figures.save(
        figures.contact_sheet(
            sheet,
            row_labels=section.compare_styles,
            column_labels=[
                "original",
                *(text for seed in seeds for text in (f"noise {seed}", f"from noise {seed}")),
            ],
        ),
        folder / figures.FOLDER / "noises.webp",
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
                    "psnr_between": between[style],
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
