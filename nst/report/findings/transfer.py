"""Every content layer with every style window."""

from collections.abc import Sequence
from operator import attrgetter
from statistics import fmean

from nst.engine.results import known
from nst.params import Params
from nst.report import wording
from nst.report.findings.phrases import (
    NO_OTHER,
    SPREAD_EXCEEDS,
    capital,
    cell,
    highest,
    lowest,
    path,
    settings,
    the_start,
    values_of,
)
from nst.report.findings.records import Cell, Chosen, Column, Figure, Results, Run, Section, Table
from nst.report.wording import count, listing, number, rank_correlation, same, trend
from nst.studies import choices
from nst.studies.originals import pair_name
from nst.studies.transfer import GROUP


def section(params: Params, results: Results) -> Section:
    """Every content layer with every style window."""
    study, section = results.studies["transfer"], params.transfer
    metrics, runs = study.metrics, study.runs
    layers = list(dict.fromkeys(str(run.content_layer) for run in runs))
    windows = list(dict.fromkeys(str(run.style_layers) for run in runs))
    chosen = metrics["recommended"]
    name = choices.cell_name(chosen["content_layer"], chosen["style_layers"])
    groups = [(first, min(first + GROUP, len(layers))) for first in range(0, len(layers), GROUP)]
    content, style = (values_of(runs, key) for key in ("content_distance", "style_distance"))
    findings = [
        *(
            sentence
            for label, key in (("content distance", "content_distance"), ("style distance", "style_distance"))
            for sentence in _depends(label, runs, key, layers, windows)
        ),
        _trade_off(content, style),
        f"{len(metrics['front'])} of {count(len(runs), 'cell')} are on the front: no other cell is closer in both "
        "distances.",
    ]
    ranks = [
        1 + sum(value < chosen[key] for value in metric)
        for key, metric in (("content_distance", content), ("style_distance", style))
    ]
    margin = "none" if metrics["margin"] is None else count(round(metrics["margin"]), "rank")
    if metrics["margin"] == 0:
        margin = "none in the worse rank; the sum of both ranks decided"
    return Section(
        name="transfer",
        title="Every content layer with every style window",
        question="Which layers should hold the content, and which should paint it?",
        method=(
            f"`{section.content}` is painted as `{section.style}` with every combination of "
            f"{count(len(layers), 'content layer')} and {count(len(windows), 'style window')}: "
            f"{count(len(runs), 'picture')}, {settings(runs)}. Both distances are measured at the same layers for all "
            "cells (lower is closer): the content distance at one layer, which favours cells that hold the content "
            "there.",
            "Each cell was run once. "
            + (
                "The start is one noise, so chance between neighbours is not known."
                if section.init == "noise"
                else f"The start is {the_start(section.init)}, without noise: a repeated run gives the same picture."
            ),
        ),
        findings=tuple(findings),
        chosen=Chosen(
            what="Recommended cell",
            winner=f"{chosen['content_layer']} with {chosen['style_layers']}",
            because=(
                f"content distance {number(chosen['content_distance'])} (rank {ranks[0]} of {len(runs)}), "
                f"style distance {number(chosen['style_distance'])} (rank {ranks[1]})"
            ),
            rule=metrics["rule"],
            runner_up=metrics["runner_up"] or "none",
            margin=margin,
            certainty=_certainty(params, results, ranks),
        ),
        figures=(
            Figure(
                path(study, "grid.webp"),
                f"All {len(runs)} pictures: content layers {layers[0]} to {layers[-1]} from top to bottom, style "
                f"windows {windows[0]} to {windows[-1]} from left to right; {name} is framed.",
                "Rows: content layer. Columns: style window. Framed: the recommended cell.",
                900,
                "readme",
            ),
            Figure(
                path(study, "recommended.webp"),
                f"{section.content}, {section.style}, and the one painted as the other with {name}.",
                f"Content, style, and the recommended cell, `{name}`.",
            ),
            *(
                Figure(
                    path(study, f"{kind}_distance.png"),
                    f"Heat map of the {kind} distance over the grid, from {number(min(values))} to "
                    f"{number(max(values))}; {name} is framed.",
                    f"{capital(kind)} distance (lower, darker: closer to the {kind}). Framed: the recommended cell.",
                    640,
                )
                for kind, values in (("content", content), ("style", style))
            ),
            Figure(
                path(study, "front.png"),
                f"Scatter plot of content distance against style distance of all cells, the "
                f"{len(metrics['front'])} on the front and {name} in colour.",
                "Content against style: lower left is closer in both.",
            ),
            *(
                Figure(
                    path(study, f"rows_{first + 1:02d}-{last:02d}.webp"),
                    f"The pictures of {listing(layers[first:last])} with every style window.",
                    f"Rows of {listing([f'`{layer}`' for layer in layers[first:last]])}.",
                    1100,
                    "folded",
                )
                for first, last in groups
            ),
        ),
        tables=(
            Table(
                "Over all cells",
                (
                    Column("distance", "lower is closer", numeric=False),
                    Column("lowest"),
                    Column("median"),
                    Column("highest"),
                    Column(name),
                ),
                tuple(
                    (
                        Cell(label),
                        _extreme(min(runs, key=attrgetter(key)), key),
                        cell(metrics[key]["median"]),
                        _extreme(max(runs, key=attrgetter(key)), key),
                        cell(chosen[key]),
                    )
                    for label, key in (("content", "content_distance"), ("style", "style_distance"))
                ),
            ),
        ),
    )


def _certainty(params: Params, results: Results, ranks: Sequence[int]) -> str:
    """What chance could have done to the choice: cells are run once, so the spread is that of the same pair of pictures
    in the initialization study."""
    section, metrics = params.transfer, results.studies["transfer"].metrics
    pair = pair_name(section.content, section.style)
    if metrics["margin"] is None:
        return NO_OTHER
    if section.init != "noise":
        return f"The start is {the_start(section.init)}, without noise: a repeated run chooses the same cell."
    if "noise" not in results.inits or pair not in results.pairs or results.start("noise", pair).runs < 2:
        return "Each cell was run once, so its spread is not known."
    noise = results.start("noise", pair)
    content, style = (noise.deviation(key) / noise.mean(key) for key in ("content_distance", "style_distance"))
    cells = [
        choices.Cell(
            str(run.content_layer), str(run.style_layers), known(run.content_distance), known(run.style_distance)
        )
        for run in results.studies["transfer"].runs
    ]
    chosen = metrics["recommended"]
    rank = choices.worse_rank(cells, chosen["content_distance"] * (1 + content), chosen["style_distance"] * (1 + style))
    head = (
        f"Each cell was run once. In the initialization study the noise moves the content distance of this pair by "
        f"{number(100 * content, 2)} % and its style distance by {number(100 * style, 2)} % (standard deviation). That "
        f"much farther from both, the winner's worse rank would be {rank} instead of {max(ranks)}"
    )
    if rank - max(ranks) >= metrics["margin"]:
        return f"{head}. {SPREAD_EXCEEDS}"
    return f"{head}, still ahead of the runner-up."


def _extreme(run: Run, key: str) -> Cell:
    """A cell's distance, leading to its picture."""
    value = getattr(run, key)
    return Cell(number(value), value, f"transfer/{run.image}")


def _depends(label: str, runs: Sequence[Run], key: str, layers: Sequence[str], windows: Sequence[str]) -> list[str]:
    """How a distance moves along either axis of the grid, and along which it moves more."""
    axes = {
        "content layer": (layers, [values_of([r for r in runs if r.content_layer == layer], key) for layer in layers]),
        "style window": (windows, [values_of([r for r in runs if r.style_layers == name], key) for name in windows]),
    }
    told = []
    spans = {}
    for (noun, (names, values)), other in zip(axes.items(), reversed(axes), strict=True):
        means = [fmean(each) for each in values]
        spans[noun] = max(means) - min(means)
        if len(names) > 1:
            told.append(
                f"{capital(label)}, averaged over {other}s, {trend(means)} from {number(means[0])} at {noun} "
                f"{names[0]} to {number(means[-1])} at {names[-1]} "
                f"({wording.strength(rank_correlation(range(len(means)), means), 'with depth')}); it is lowest at "
                f"{lowest(names, means)} ({number(min(means))}) and highest at {highest(names, means)} "
                f"({number(max(means))})."
            )
    (first, larger), (second, smaller) = sorted(spans.items(), key=lambda item: -item[1])
    if len(told) == 2 and not same(larger, smaller):
        told.append(
            f"The {first} moves the {label} more than the {second} does: its averages span {number(larger)}, the "
            f"other's {number(smaller)}."
        )
    return told


def _trade_off(content: Sequence[float], style: Sequence[float]) -> str:
    correlation = rank_correlation(content, style)
    if correlation is None:
        return "Whether one distance is bought with the other, this grid cannot show."
    if correlation < -wording.WEAK:
        told = "what is closer to the content is farther from the style"
    elif correlation > wording.WEAK:
        told = "cells that are closer to the content are closer to the style too"
    else:
        told = "neither distance is bought with the other"
    return f"Over all cells, {told} ({wording.strength(correlation)})."
