"""Content loss alone, from noise, at each layer: what does a layer keep of a picture?

Mahendran & Vedaldi (2015); Gatys et al. (2016), figure 1, content reconstructions.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nst.engine import images
from nst.engine.jobs import Job
from nst.engine.layers import layer_number
from nst.engine.results import Result, known
from nst.params import Params
from nst.studies import figures, noises, tables
from nst.studies.choices import Choice, best_layer, shortlist
from nst.studies.originals import Original

Run = tuple[str, str, int]
"""Layer, content and seed."""
DEPTH = ("psnr", "ssim", "content_distance")
"""What is shown over depth."""


def originals(params: Params) -> list[Original]:
    """All pictures it starts from."""
    return noises.originals("content", params.reconstruction.contents, params.reconstruction.size)


def jobs(params: Params, results: Mapping[Job, Result]) -> list[Job]:
    """Every layer and content, from the first noise; then the best layers from all noises."""
    first = _jobs(params, params.reconstruction.layers, params.reconstruction.seeds[:1])
    if not all(job in results for job in first.values()):
        return list(first.values())
    return list(dict.fromkeys([*first.values(), *_shortlisted(params, results).values()]))


def choose(params: Params, results: Mapping[Job, Result]) -> Choice:
    """The best of the layers that were run from all noises, by `nst.studies.choices.best_layer`."""
    return best_layer(_by_layer(_shortlisted(params, results), results), params.reconstruction.min_ssim)


def write(params: Params, results: Mapping[Job, Result], data: Path, folder: Path) -> None:
    """Tables, the layers as a grid (deepest top left), curves over depth, and the noises side by side."""
    section = params.reconstruction
    choice = choose(params, results)
    layers = {key: results[job] for key, job in _jobs(params, section.layers, section.seeds[:1]).items()}
    repeated = {key: results[job] for key, job in _shortlisted(params, results).items()}
    at_best = {(content, seed): result for (layer, content, seed), result in repeated.items() if layer == choice.winner}
    of_first = {layer: result for (layer, content, _), result in layers.items() if content == section.contents[0]}
    target = folder / figures.FOLDER

    tables.write((results[job] for job in jobs(params, results)), folder)
    tables.write_csv(_depth_rows(layers), folder, "depth.csv")
    tables.write_headline(list(at_best.values()), folder, choice)
    tables.write_csv(noises.alike(repeated), folder, "noises.csv")
    tables.write_metrics(choice.as_dict(), folder)
    _draw_layers(of_first, choice.winner, target / "layers.webp")
    _draw_depth(section.layers, layers, choice.winner, target / "depth.png")
    sheet = noises.sheet(originals(params), at_best, seeds=section.seeds, noise=section.noise, data=data)
    figures.save(sheet, target / "noises.webp")


def _depth_rows(layers: Mapping[Run, Result]) -> Iterator[dict[str, Any]]:
    """Means over the contents."""
    for name in dict.fromkeys(layer for layer, _, _ in layers):
        made = [result for (layer, _, _), result in layers.items() if layer == name]
        yield {"number": layer_number(name), "layer": name, **tables.means(made, DEPTH)}


def _draw_layers(layers: Mapping[str, Result], best: str, path: Path) -> None:
    deepest_first = list(layers)[::-1]
    captions = [
        f"{layer_number(layer)} · {layer} · {known(layers[layer].quality.psnr):.1f} dB" for layer in deepest_first
    ]
    pictures = [images.from_png(layers[layer].png) for layer in deepest_first]
    figures.save(figures.folded_sheet(pictures, captions, mark=deepest_first.index(best)), path)


def _draw_depth(names: Sequence[str], layers: Mapping[Run, Result], best: str, path: Path) -> None:
    titles = {"psnr": "PSNR (dB, higher is closer)", "ssim": "SSIM (higher is closer)"}
    titles["content_distance"] = "content distance (lower is closer)"
    panels: dict[str, dict[str, list[float]]] = {title: {} for title in titles.values()}
    for (_, content, _), result in layers.items():
        for name, title in titles.items():
            panels[title].setdefault(content, []).append(known(getattr(result.quality, name)))
    figures.line_plots(list(names), panels, x_label="layer", path=path, mark=list(names).index(best))


def _jobs(params: Params, layers: Sequence[str], seeds: Sequence[int]) -> dict[Run, Job]:
    section = params.reconstruction
    return {
        (layer, content, seed): section.job("reconstruct", content=content, content_layers=(layer,), seed=seed)
        for layer in layers
        for content in section.contents
        for seed in seeds
    }


def _shortlisted(params: Params, results: Mapping[Job, Result]) -> dict[Run, Job]:
    """The runs from all noises of the layers around the best one of the first noise."""
    section = params.reconstruction
    ssim = _by_layer(_jobs(params, section.layers, section.seeds[:1]), results)
    return _jobs(params, shortlist(ssim, section.min_ssim), section.seeds)


def _by_layer(runs: Mapping[Run, Job], results: Mapping[Job, Result]) -> dict[str, list[float]]:
    """SSIM of each content and noise."""
    ssim: dict[str, list[float]] = {}
    for (layer, _, _), job in runs.items():
        ssim.setdefault(layer, []).append(known(results[job].quality.ssim))
    return ssim
