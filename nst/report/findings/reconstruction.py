"""What each layer keeps of a picture."""

from collections.abc import Mapping
from typing import Any

from nst.engine.layers import LAYERS, layer_number
from nst.params import Params
from nst.report.findings.phrases import (
    cell,
    certainty,
    first_pictures,
    highest,
    in_common,
    lowest,
    numbered,
    over_depth,
    path,
    settings,
)
from nst.report.findings.records import Cell, Chosen, Column, Figure, Results, Section, StudyResults, Table
from nst.report.wording import count, listing, number, trend


def section(params: Params, results: Results) -> Section:
    """What each layer keeps of a picture."""
    study, section = results.studies["reconstruction"], params.reconstruction
    metrics = study.metrics
    layers = list(metrics["psnr"])
    best, second = metrics["best_layer"], metrics["runner_up"]
    psnr, ssim, distance = ([metrics[key][layer] for layer in layers] for key in ("psnr", "ssim", "content_distance"))
    seeds = section.compare_seeds
    pictures = first_pictures(study, "content_layer", content=section.content)
    findings = [
        over_depth("PSNR", " dB", psnr, layers, "layer"),
        over_depth("SSIM", "", ssim, layers, "layer"),
        f"Content distance is smallest after matching `{lowest(layers, distance)}` ({number(min(distance))}) and "
        f"largest after `{highest(layers, distance)}` ({number(max(distance))}); it is measured at one layer for all.",
    ]
    for content, noises in metrics["noises"].items():
        between, each = noises["psnr_between"], noises["psnr"]
        nearer = "about as near to each other as to the original"
        if between > max(each):
            nearer = "nearer to each other than to the original"
        elif between < min(each):
            nearer = "nearer to the original than to each other"
        findings.append(
            f"From two noises, `{content}`, `{best}`: the results {in_common(noises['shared'])}. The PSNR of one "
            f"against the other is {number(between)} dB, against the original "
            f"{listing([number(value) for value in each])} dB. They are {nearer}."
        )
    return Section(
        name="reconstruction",
        title="What a layer keeps",
        question="If only the features of one layer must match, how much of the picture comes back?",
        method=(
            f"The content loss alone is minimised from noise, once for each of {count(len(layers), 'layer')} of VGG-19 "
            f"(`{layers[0]}` to `{layers[-1]}`), on `{section.content}`: {settings(study.runs)}. "
            f"What comes back is compared with the original pixel by pixel (PSNR, SSIM: higher is closer) and by its "
            f"features (content distance: lower is closer).",
            f"At the best layer, {listing([f'`{name}`' for name in section.compare_contents])} are each reconstructed "
            f"from {count(len(seeds), 'noise')}.",
        ),
        findings=tuple(findings),
        chosen=Chosen(
            what="Best layer",
            winner=numbered(best),
            because=f"SSIM {number(metrics['ssim'][best])}, PSNR {number(metrics['psnr'][best])} dB",
            rule=metrics["rule"],
            runner_up=f"{second}, SSIM {number(metrics['ssim'][second])}" if second else "none",
            margin=_margin(metrics, section.min_ssim),
            certainty=certainty(metrics["margin"], _repeated(study, section.content), "SSIM"),
        ),
        figures=(
            Figure(
                path(study, "layers.webp"),
                f"The reconstructions of {section.content} in a grid, from {layers[-1]} at the top left to "
                f"{layers[0]} at the bottom right; {best} is framed.",
                "Each layer's reconstruction: the deepest at the top left, the shallowest at the bottom right, with "
                "its PSNR. Framed: the best layer.",
                640,
            ),
            Figure(
                path(study, "depth.png"),
                f"Three curves over the layers: PSNR, which {trend(psnr)} from {layers[0]} to {layers[-1]}, SSIM, "
                f"which {trend(ssim)}, and content distance, which {trend(distance)}.",
                "Quality over depth. Circled: the best layer.",
                760,
            ),
            Figure(
                path(study, "noises.webp"),
                f"{listing(section.compare_contents)}, each with its original, two noises and what came of them.",
                f"Two noises, and what `{best}` makes of them, beside the originals.",
                640,
            ),
        ),
        tables=(
            Table(
                "Quality by layer",
                (
                    Column("layer", numeric=False),
                    Column("PSNR", "dB, higher is closer"),
                    Column("SSIM", "higher is closer"),
                    Column("content distance", "lower is closer"),
                ),
                tuple(
                    (
                        Cell(numbered(layer), layer_number(layer), pictures[layer]),
                        cell(metrics["psnr"][layer]),
                        cell(metrics["ssim"][layer]),
                        cell(metrics["content_distance"][layer]),
                    )
                    for layer in layers
                ),
            ),
        ),
    )


def _margin(metrics: Mapping[str, Any], least: float) -> str:
    """What would have to happen for the runner-up to win."""
    ssim, best, second = metrics["ssim"], metrics["best_layer"], metrics["runner_up"]
    if second is None:
        return "none"
    margin = f"{number(metrics['margin'], 2)} of SSIM, by which {best}"
    if ssim[best] < least:
        return f"{margin} is ahead"
    if LAYERS.index(second) < LAYERS.index(best):
        return f"{margin} is above the threshold"
    return f"{number(metrics['margin'], 2)} of SSIM, by which {second} is below the threshold"


def _repeated(study: StudyResults, content: str) -> list[float]:
    """SSIM of the best layer from each noise."""
    best = study.metrics["best_layer"]
    return [
        run.ssim for run in study.runs if (run.content, run.content_layer) == (content, best) and run.ssim is not None
    ]
