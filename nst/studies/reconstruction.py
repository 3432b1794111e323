"""Content loss alone, from noise, at each layer: what does a layer keep of a picture?

Mahendran & Vedaldi (2015); Gatys et al. (2016), figure 1, content reconstructions.
"""

from collections.abc import Mapping
from pathlib import Path

from nst.engine import images
from nst.engine.jobs import Job
from nst.engine.layers import layer_number
from nst.engine.results import Result, known
from nst.params import Params
from nst.studies import figures, tables
from nst.studies.choices import Choice, best_layer
from nst.studies.originals import Original, compare_noises

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
    """Tables, the layers as a grid (deepest top left), curves over depth, and the two noises side by side."""
    section = params.reconstruction
    choice = choose(params, results)
    wanted = jobs(params, results)
    tables.write((results[job] for job in wanted), folder)

    layers = _layer_jobs(params)
    deepest_first = list(reversed(layers))
    quality = {layer: results[job].quality for layer, job in layers.items()}
    figures.save(
        figures.folded_sheet(
            [images.from_png(results[layers[layer]].png) for layer in deepest_first],
            [f"{layer_number(layer)} · {layer} · {known(quality[layer].psnr):.1f} dB" for layer in deepest_first],
            mark=deepest_first.index(choice.winner),
        ),
        folder / figures.FOLDER / "layers.webp",
    )
    figures.line_plots(
        list(layers),
        {
            "PSNR (dB, higher is closer)": [known(q.psnr) for q in quality.values()],
            "SSIM (higher is closer)": [known(q.ssim) for q in quality.values()],
            "content distance (lower is closer)": [known(q.content_distance) for q in quality.values()],
        },
        x_label="layer",
        path=folder / figures.FOLDER / "depth.png",
        mark=list(layers).index(choice.winner),
    )

    compared = _comparison_jobs(params, choice.winner)
    seeds = section.compare_seeds
    between = compare_noises(
        [Original("content", name, section.size) for name in section.compare_contents],
        seeds=seeds,
        noise=section.noise,
        results=results,
        jobs=compared,
        data=data,
        path=folder / figures.FOLDER / "noises.webp",
    )
    tables.write_csv(
        ({"number": layer_number(name), "layer": name, "psnr": q.psnr, "ssim": q.ssim} for name, q in quality.items()),
        folder / "depth.csv",
    )
    best = results[layers[choice.winner]]
    tables.write_headline(
        {
            "best": choice.winner,
            "margin": choice.margin,
            "psnr": best.quality.psnr,
            "ssim": best.quality.ssim,
            **tables.distances(best),
        },
        folder,
    )
    tables.write_metrics(
        {
            "best_layer": choice.winner,
            "rule": choice.rule,
            "runner_up": choice.runner_up,
            "margin": choice.margin,
            "psnr": {layer: q.psnr for layer, q in quality.items()},
            "ssim": {layer: q.ssim for layer, q in quality.items()},
            "content_distance": {layer: q.content_distance for layer, q in quality.items()},
            "noises": {
                content: {
                    **between[content],
                    "psnr": [results[compared[content, seed]].quality.psnr for seed in seeds],
                }
                for content in section.compare_contents
            },
        },
        folder,
    )


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
