"""What each layer keeps of a picture."""

from nst.findings.phrases import apart, cell, certainty, highest, lowest, over_depth, path, settings
from nst.findings.records import Cell, Chosen, Column, Figure, Results, Section, StudyResults, Table
from nst.layers import LAYERS, layer_number
from nst.params import Params
from nst.wording import count, listing, number, trend


def section(params: Params, results: Results) -> Section:
    """What each layer keeps of a picture."""
    study, section = results.studies["reconstruction"], params.reconstruction
    metrics = study.metrics
    layers = list(metrics["psnr"])
    best, second = metrics["best_layer"], metrics["runner_up"]
    psnr, ssim, distance = ([metrics[key][layer] for layer in layers] for key in ("psnr", "ssim", "content_distance"))
    seeds = section.compare_seeds
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
            f"From two noises, `{content}`, `{best}`: the PSNR of one result against the other is {number(between)} "
            f"dB, against the original {listing([number(value) for value in each])} dB. They are {nearer}."
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
            winner=f"{layer_number(best)} · {best}",
            because=f"SSIM {number(metrics['ssim'][best])}, PSNR {number(metrics['psnr'][best])} dB",
            rule=metrics["rule"],
            runner_up=(
                f"{second}, SSIM {number(metrics['ssim'][second])}: "
                f"{apart(metrics['ssim'][second], metrics['ssim'][best], 'the winner')}"
                if second
                else "none"
            ),
            certainty=_layer_certainty(params, study),
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
                        Cell(f"{layer_number(layer)} · {layer}", layer_number(layer)),
                        cell(metrics["psnr"][layer]),
                        cell(metrics["ssim"][layer]),
                        cell(metrics["content_distance"][layer]),
                    )
                    for layer in layers
                ),
            ),
        ),
    )


def _layer_certainty(params: Params, study: StudyResults) -> str:
    """Whether another noise could have chosen another layer."""
    ssim, best = study.metrics["ssim"], study.metrics["best_layer"]
    repeated = [
        run.ssim
        for run in study.runs
        if (run.content, run.content_layer) == (params.reconstruction.content, best) and run.ssim is not None
    ]
    least = params.reconstruction.min_ssim
    if ssim[best] >= least:
        # The winner might have failed, or a deeper layer passed: the one nearest to the threshold decides.
        candidates = [layer for layer in ssim if LAYERS.index(layer) >= LAYERS.index(best)]
        nearest = min(candidates, key=lambda layer: abs(ssim[layer] - least))
        margin = abs(ssim[nearest] - least)
        told = f"`{nearest}` is nearest to the threshold, {number(margin)} from it"
    elif study.metrics["margin"] is not None:
        margin = abs(study.metrics["margin"])
        told = f"the margin is {number(margin)}"
    else:
        return "There was no other layer to choose."
    return certainty(told, margin, repeated, "SSIM")
