"""Which window of layers makes the texture."""

from nst.engine.layers import LAYERS
from nst.params import Params
from nst.report.findings.phrases import (
    cell,
    certainty,
    first_pictures,
    highest,
    in_common,
    lowest,
    over_depth,
    path,
    settings,
)
from nst.report.findings.records import Cell, Chosen, Column, Figure, Results, Section, Table
from nst.report.wording import count, listing, number, trend


def section(params: Params, results: Results) -> Section:
    """Which window of layers makes the texture."""
    study, section = results.studies["synthesis"], params.synthesis
    metrics = study.metrics
    by_window: dict[str, float] = metrics["style_distance"]
    windows, distance = list(by_window), list(by_window.values())
    best, second = metrics["best_window"], metrics["runner_up"]
    pictures = first_pictures(study, "style_layers", style=section.style)
    findings = [
        over_depth("Style distance", "", distance, windows, "window"),
        f"It is smallest with layers {lowest(windows, distance)} ({number(min(distance))}) and largest with "
        f"{highest(windows, distance)} ({number(max(distance))}).",
    ]
    for style, noises in metrics["noises"].items():
        findings.append(
            f"From two noises, `{style}`, layers {best}: the textures {in_common(noises['shared'])}, and their style "
            f"distances are {listing([number(value) for value in noises['style_distance']])}."
        )
    repeated = metrics["noises"].get(section.style, {}).get("style_distance", [])
    return Section(
        name="synthesis",
        title="Which layers make a texture",
        question="If only the Gram matrices of a window of layers must match, what texture comes of noise?",
        method=(
            f"The style loss alone is minimised from noise, once for each of {count(len(windows), 'window')} of "
            f"neighbouring layers (1 is `{LAYERS[0]}`, 16 `{LAYERS[-1]}`), on `{section.style}`: "
            f"{settings(study.runs)}. The style distance of the results (lower is closer) is measured at the same "
            "layers for all, whatever layers were matched.",
            f"At the best window, textures of {listing([f'`{name}`' for name in section.compare_styles])} are each "
            f"made from {count(len(section.compare_seeds), 'noise')}.",
        ),
        findings=tuple(findings),
        chosen=Chosen(
            what="Best window",
            winner=best,
            because=f"style distance {number(by_window[best])}",
            rule=metrics["rule"],
            runner_up=f"{second}, style distance {number(by_window[second])}" if second else "none",
            margin=f"{number(metrics['margin'], 2)} of style distance" if second else "none",
            certainty=certainty(metrics["margin"], repeated, "style distance"),
        ),
        figures=(
            Figure(
                path(study, "windows.webp"),
                f"The textures of {section.style} in a grid, from layers {windows[-1]} at the top left to {windows[0]} "
                f"at the bottom right; {best} is framed.",
                "Each window's texture: the deepest at the top left, the shallowest at the bottom right, with its "
                "style distance. Framed: the best window.",
                640,
            ),
            Figure(
                path(study, "depth.png"),
                f"The style distance over the windows, which {trend(distance)} from {windows[0]} to {windows[-1]}.",
                "Style distance over depth. Circled: the best window.",
            ),
            Figure(
                path(study, "noises.webp"),
                f"{listing(section.compare_styles)}, each with its original, two noises and the textures made of them.",
                f"Two noises, and the textures that layers {best} make of them, beside the originals.",
                640,
            ),
        ),
        tables=(
            Table(
                "Style distance by window",
                (Column("layers", numeric=False), Column("style distance", "lower is closer")),
                tuple(
                    (Cell(name, float(position), pictures[name]), cell(by_window[name]))
                    for position, name in enumerate(windows)
                ),
            ),
        ),
    )
