"""Content loss alone, from noise, at each layer: what does a layer keep of a picture?

Mahendran & Vedaldi (2015); Gatys et al. (2016), figure 1, content reconstructions.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from nst.engine import images
from nst.engine.jobs import Job
from nst.engine.layers import layer_number
from nst.engine.results import Result, known
from nst.params import Params
from nst.studies import figures, noises, tables
from nst.studies.choices import Choice, best_layer
from nst.studies.originals import Original

ALONE = False


def originals(params: Params) -> list[Original]:
    """All pictures it starts from."""
    section = params.reconstruction
    return [Original("content", name, section.size) for name in (section.content, *section.compare_contents)]


def jobs(params: Params, results: Mapping[Job, Result]) -> list[Job]:
    """One job a layer; then, at the best layer, one a content and noise."""
    first = _layer_jobs(params)
    if not all(job in results for job in first.values()):
        return list(first.values())
    compared = _comparison_jobs(params, choose(params, results).winner)
    return list(dict.fromkeys([*first.values(), *compared.values()]))


def choose(params: Params, results: Mapping[Job, Result]) -> Choice:
    """The best layer, by `nst.studies.choices.best_layer`."""
    ssim = {layer: known(results[job].quality.ssim) for layer, job in _layer_jobs(params).items()}
    return best_layer(ssim, params.reconstruction.min_ssim)


def write(params: Params, results: Mapping[Job, Result], data: Path, folder: Path) -> None:
    """Tables, the layers as a grid (deepest top left), curves over depth, and the noises side by side."""
    choice = choose(params, results)
    layers = {layer: results[job] for layer, job in _layer_jobs(params).items()}
    compared = {key: results[job] for key, job in _comparison_jobs(params, choice.winner).items()}
    target = folder / figures.FOLDER

    tables.write((results[job] for job in jobs(params, results)), folder)
    tables.write_csv(_depth_rows(layers), folder / "depth.csv")
    tables.write_headline(_headline(choice, layers[choice.winner]), folder)
    tables.write_metrics(_metrics(params, choice, layers, compared), folder)
    _draw_layers(layers, choice.winner, target / "layers.webp")
    _draw_depth(layers, choice.winner, target / "depth.png")
    figures.save(_noise_sheet(params, compared, data), target / "noises.webp")


def _depth_rows(layers: Mapping[str, Result]) -> Iterator[dict[str, Any]]:
    for layer, result in layers.items():
        quality = result.quality
        yield {"number": layer_number(layer), "layer": layer, "psnr": quality.psnr, "ssim": quality.ssim}


def _headline(choice: Choice, best: Result) -> dict[str, Any]:
    return {
        "best": choice.winner,
        "margin": choice.margin,
        "psnr": best.quality.psnr,
        "ssim": best.quality.ssim,
        **tables.distances(best),
    }


def _metrics(
    params: Params, choice: Choice, layers: Mapping[str, Result], compared: Mapping[tuple[str, int], Result]
) -> dict[str, Any]:
    section = params.reconstruction
    return {
        "best_layer": choice.winner,
        "rule": choice.rule,
        "runner_up": choice.runner_up,
        "margin": choice.margin,
        "psnr": {layer: result.quality.psnr for layer, result in layers.items()},
        "ssim": {layer: result.quality.ssim for layer, result in layers.items()},
        "content_distance": {layer: result.quality.content_distance for layer, result in layers.items()},
        "noises": {
            content: _noise_metrics([compared[content, seed] for seed in section.compare_seeds])
            for content in section.compare_contents
        },
    }


def _noise_metrics(made: Sequence[Result]) -> dict[str, Any]:
    """Of one content, from each noise."""
    return {**noises.likeness(*made[:2]), "psnr": [result.quality.psnr for result in made]}


def _draw_layers(layers: Mapping[str, Result], best: str, path: Path) -> None:
    deepest_first = list(layers)[::-1]
    captions = [
        f"{layer_number(layer)} · {layer} · {known(layers[layer].quality.psnr):.1f} dB" for layer in deepest_first
    ]
    pictures = [images.from_png(layers[layer].png) for layer in deepest_first]
    figures.save(figures.folded_sheet(pictures, captions, mark=deepest_first.index(best)), path)


def _draw_depth(layers: Mapping[str, Result], best: str, path: Path) -> None:
    quality = [result.quality for result in layers.values()]
    figures.line_plots(
        list(layers),
        {
            "PSNR (dB, higher is closer)": [known(each.psnr) for each in quality],
            "SSIM (higher is closer)": [known(each.ssim) for each in quality],
            "content distance (lower is closer)": [known(each.content_distance) for each in quality],
        },
        x_label="layer",
        path=path,
        mark=list(layers).index(best),
    )


def _noise_sheet(params: Params, compared: Mapping[tuple[str, int], Result], data: Path) -> Image.Image:
    section = params.reconstruction
    originals = [Original("content", name, section.size) for name in section.compare_contents]
    return noises.sheet(originals, compared, seeds=section.compare_seeds, noise=section.noise, data=data)


def _layer_jobs(params: Params) -> dict[str, Job]:
    section = params.reconstruction
    return {
        layer: section.job(
            "reconstruct", content=section.content, content_layers=(layer,), seed=section.compare_seeds[0]
        )
        for layer in section.layers
    }


def _comparison_jobs(params: Params, layer: str) -> dict[tuple[str, int], Job]:
    section = params.reconstruction
    return {
        (content, seed): section.job("reconstruct", content=content, content_layers=(layer,), seed=seed)
        for content in section.compare_contents
        for seed in section.compare_seeds
    }
