"""What the studies found, in sentences and small tables that are filled from their numbers.

One `Section` a study: what was asked, how it was answered, what came out, what was chosen.  Both pages of the report
are drawn from these.  What was asked and how is prose; whatever states a result takes its numbers and its direction
from the tables.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Any, Literal

from nst import wording
from nst.figures import FOLDER
from nst.layers import LAYERS, layer_number, window
from nst.params import Params
from nst.studies.initialization import ALL_PAIRS, TARGET_MARGIN
from nst.wording import NOTHING, clear, count, listing, number, plus_minus, rank_correlation, same, trend, versus


@dataclass(frozen=True)
class Run:
    """One row of a study's quality.csv with its row of timing.csv."""

    job: str
    content: str | None
    style: str | None
    content_layer: str | None
    style_layers: str | None
    init: str
    seed: int
    size: int
    iterations: int
    optimizer: str
    content_distance: float | None
    style_distance: float | None
    psnr: float | None
    ssim: float | None
    final_loss: float
    image: str
    seconds: float
    seconds_per_iteration: float
    evaluations: int
    peak_memory_mb: float
    device: str
    precision: str


@dataclass(frozen=True)
class StudyResults:
    """What a study wrote."""

    name: str
    metrics: Mapping[str, Any]
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Start:
    """One row of starts.csv with its row of speed.csv: a start, over the runs of one pair or of all."""

    pair: str
    init: str
    runs: int
    values: Mapping[str, float]

    def mean(self, quantity: str) -> float:
        """Over the runs."""
        return self.values[quantity]

    def deviation(self, quantity: str) -> float:
        """Standard deviation over the runs."""
        return self.values[f"{quantity}_sd"]

    def shown(self, quantity: str) -> str:
        """Mean ± standard deviation."""
        return plus_minus(self.mean(quantity), self.deviation(quantity))


@dataclass(frozen=True)
class Results:
    """What all studies wrote."""

    studies: Mapping[str, StudyResults]
    starts: tuple[Start, ...]

    @property
    def inits(self) -> list[str]:
        """The starts that were compared, as params name them."""
        return list(dict.fromkeys(start.init for start in self.starts))

    @property
    def pairs(self) -> list[str]:
        """The pairs of pictures that the starts were compared on."""
        return [pair for pair in dict.fromkeys(start.pair for start in self.starts) if pair != ALL_PAIRS]

    def start(self, init: str, pair: str = ALL_PAIRS) -> Start:
        """The row of this start and pair."""
        return next(start for start in self.starts if (start.init, start.pair) == (init, pair))


@dataclass(frozen=True)
class Figure:
    """A picture file of a study, with what it shows in words."""

    path: str
    """Relative to the folder of reports."""
    alt: str
    caption: str
    least_width: int = 0
    """px under which it cannot be read; narrower screens scroll it."""
    place: Literal["open", "folded", "readme"] = "open"
    """Folded: shown on demand.  Readme: the page has something better than this file."""


@dataclass(frozen=True)
class Column:
    """Head of a table's column."""

    title: str
    note: str = ""
    """Unit, or which direction is better."""
    numeric: bool = True


@dataclass(frozen=True)
class Cell:
    """One entry of a table."""

    text: str
    value: float | None = None
    """What to sort by, if that is not the text."""
    href: str | None = None
    """Relative to the folder of reports."""


@dataclass(frozen=True)
class Table:
    """Numbers in rows and columns."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Chosen:
    """A choice that a study made."""

    what: str
    winner: str
    because: str
    """The winner's numbers."""
    rule: str
    runner_up: str
    certainty: str
    """What the spread of repeated runs says about it."""


@dataclass(frozen=True)
class Section:
    """What the report says of one study."""

    name: str
    title: str
    question: str
    method: tuple[str, ...]
    findings: tuple[str, ...]
    chosen: Chosen | None
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Quantity:
    """Something that starts are compared by."""

    key: str
    label: str
    unit: str = ""
    less: str = "lower"
    more: str = "higher"
    digits: int = 3
    lower_is_better: bool = True

    def shown(self, value: float) -> str:
        """A value with its unit."""
        return f"{number(value, self.digits)}{self.unit}"


CONTENT = Quantity("content_distance", "content distance")
STYLE = Quantity("style_distance", "style distance")
SSIM = Quantity("ssim", "SSIM", lower_is_better=False)
ITERATIONS = Quantity("iterations_to_target", "iterations to the target", "", "fewer", "more", 2)
SECONDS = Quantity("seconds", "seconds", " s", "less", "more", 2)
SECONDS_TO_TARGET = Quantity("seconds_to_target", "time to the target", " s", "less", "more", 2)


def start_name(init: str) -> str:
    """As people write it."""
    return "AdaIN" if init == "adain" else init


def sections(params: Params, results: Results) -> tuple[Section, ...]:
    """One section a study, in the order in which they build on each other."""
    return (
        reconstruction(params, results),
        synthesis(params, results),
        transfer(params, results),
        initialization(params, results),
        gallery(params, results),
    )


def definitions() -> dict[str, str]:
    """What each metric is, and which direction is better."""
    from nst.metrics import CONTENT_LAYER, STYLE_LAYERS

    return {
        "content distance": f"|F(x) − F(c)|² / |F(c)|², F the features of the picture x and of the content c at "
        f"`{CONTENT_LAYER}`. 0 is a match, 1 what blank features would give; lower is closer to the content.",
        "style distance": f"mean over {listing([f'`{layer}`' for layer in STYLE_LAYERS])} of |G(x) − G(s)|² / "
        "|G(s)|², G the Gram matrices of the picture x and of the style s: which features occur together, wherever in "
        "the picture. 0 is a match; lower is closer to the style.",
        "PSNR": "peak signal-to-noise ratio against the content's pixels, dB. Higher is closer; 20 dB is a mean error "
        "of a tenth of the range.",
        "SSIM": "structural similarity with the content (Wang et al. 2004). 1 is equal; higher is closer.",
        "final loss": "the loss that the run itself minimised, of the saved picture. Lower is better; only runs with "
        "the same layers and weights compare.",
        "seconds": "of the optimisation, its start picture included; reading the weights and measuring are not.",
    }


def reconstruction(params: Params, results: Results) -> Section:
    """What each layer keeps of a picture."""
    study, section = results.studies["reconstruction"], params.reconstruction
    metrics = study.metrics
    layers = list(metrics["psnr"])
    best, second = metrics["best_layer"], metrics["runner_up"]
    psnr, ssim, distance = ([metrics[key][layer] for layer in layers] for key in ("psnr", "ssim", "content_distance"))
    seeds = section.compare_seeds
    findings = [
        _over_depth("PSNR", " dB", psnr, layers, "layer"),
        _over_depth("SSIM", "", ssim, layers, "layer"),
        f"Content distance is smallest after matching `{_lowest(layers, distance)}` ({number(min(distance))}) and "
        f"largest after `{_highest(layers, distance)}` ({number(max(distance))}); it is measured at one layer for all.",
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
            f"(`{layers[0]}` to `{layers[-1]}`), on `{section.content}`: {_settings(study.runs)}. "
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
                f"{_apart(metrics['ssim'][second], metrics['ssim'][best], 'the winner')}"
                if second
                else "none"
            ),
            certainty=_layer_certainty(params, study),
        ),
        figures=(
            Figure(
                _path(study, "layers.webp"),
                f"The reconstructions of {section.content} in a grid, from {layers[-1]} at the top left to "
                f"{layers[0]} at the bottom right; {best} is framed.",
                "Each layer's reconstruction: the deepest at the top left, the shallowest at the bottom right, with "
                "its PSNR. Framed: the best layer.",
                640,
            ),
            Figure(
                _path(study, "depth.png"),
                f"Three curves over the layers: PSNR, which {trend(psnr)} from {layers[0]} to {layers[-1]}, SSIM, "
                f"which {trend(ssim)}, and content distance, which {trend(distance)}.",
                "Quality over depth. Circled: the best layer.",
                760,
            ),
            Figure(
                _path(study, "noises.webp"),
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
                        _cell(metrics["psnr"][layer]),
                        _cell(metrics["ssim"][layer]),
                        _cell(metrics["content_distance"][layer]),
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
    return _certainty(told, margin, repeated, "SSIM")


def synthesis(params: Params, results: Results) -> Section:
    """Which window of layers makes the texture."""
    study, section = results.studies["synthesis"], params.synthesis
    metrics = study.metrics
    by_window: dict[str, float] = metrics["style_distance"]
    windows, distance = list(by_window), list(by_window.values())
    best, second = metrics["best_window"], metrics["runner_up"]
    findings = [
        _over_depth("Style distance", "", distance, windows, "window"),
        f"It is smallest with layers {_lowest(windows, distance)} ({number(min(distance))}) and largest with "
        f"{_highest(windows, distance)} ({number(max(distance))}).",
    ]
    for style, noises in metrics["noises"].items():
        between = noises["psnr_between"]
        alike = "nearly the same picture" if between >= SAME_PICTURE else "different pictures"
        findings.append(
            f"From two noises, `{style}`, layers {best}: the textures are {alike} (PSNR of one against the other "
            f"{number(between)} dB), their style distances "
            f"{listing([number(value) for value in noises['style_distance']])}."
        )
    repeated = metrics["noises"].get(section.style, {}).get("style_distance", [])
    return Section(
        name="synthesis",
        title="Which layers make a texture",
        question="If only the Gram matrices of a window of layers must match, what texture comes of noise?",
        method=(
            f"The style loss alone is minimised from noise, once for each of {count(len(windows), 'window')} of "
            f"neighbouring layers (1 is `{LAYERS[0]}`, 16 `{LAYERS[-1]}`), on `{section.style}`: "
            f"{_settings(study.runs)}. The style distance of the results (lower is closer) is measured at the same "
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
            runner_up=(
                f"{second}, {number(by_window[second])}: {_apart(by_window[second], by_window[best], 'the winner')}"
                if second
                else "none"
            ),
            certainty=(
                _certainty(f"the margin is {number(metrics['margin'])}", metrics["margin"], repeated, "style distance")
                if second
                else "There was no other window to choose."
            ),
        ),
        figures=(
            Figure(
                _path(study, "windows.webp"),
                f"The textures of {section.style} in a grid, from layers {windows[-1]} at the top left to {windows[0]} "
                f"at the bottom right; {best} is framed.",
                "Each window's texture: the deepest at the top left, the shallowest at the bottom right, with its "
                "style distance. Framed: the best window.",
                640,
            ),
            Figure(
                _path(study, "depth.png"),
                f"The style distance over the windows, which {trend(distance)} from {windows[0]} to {windows[-1]}.",
                "Style distance over depth. Circled: the best window.",
            ),
            Figure(
                _path(study, "noises.webp"),
                f"{listing(section.compare_styles)}, each with its original, two noises and the textures made of them.",
                f"Two noises, and the textures that layers {best} make of them, beside the originals.",
                640,
            ),
        ),
        tables=(
            Table(
                "Style distance by window",
                (Column("layers", numeric=False), Column("style distance", "lower is closer")),
                tuple((Cell(name, float(position)), _cell(by_window[name])) for position, name in enumerate(windows)),
            ),
        ),
    )


SAME_PICTURE = 30.0
"""dB; two pictures this near are hard to tell apart."""


def transfer(params: Params, results: Results) -> Section:
    """Every content layer with every style window."""
    study, section = results.studies["transfer"], params.transfer
    metrics, runs = study.metrics, study.runs
    layers = list(dict.fromkeys(str(run.content_layer) for run in runs))
    windows = list(dict.fromkeys(str(run.style_layers) for run in runs))
    chosen = metrics["recommended"]
    name = f"{chosen['content_layer']} | {chosen['style_layers']}"
    groups = [(first, min(first + 3, len(layers))) for first in range(0, len(layers), 3)]
    content, style = (_values(runs, key) for key in ("content_distance", "style_distance"))
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
    margin = metrics["margin"]
    gap = "the only cell"
    if metrics["runner_up"]:
        gap = f"{metrics['runner_up']}, behind by {count(round(margin), 'rank')}"
        if margin == 0:
            gap = f"{metrics['runner_up']}, level in its worse rank; the sum of ranks decided"
    return Section(
        name="transfer",
        title="Every content layer with every style window",
        question="Which layers should hold the content, and which should paint it?",
        method=(
            f"`{section.content}` is painted as `{section.style}` with every combination of "
            f"{count(len(layers), 'content layer')} and {count(len(windows), 'style window')}: "
            f"{count(len(runs), 'picture')}, {_settings(runs)}. Both distances are measured at the same layers for all "
            "cells (lower is closer): the content distance at one layer, which favours cells that hold the content "
            "there.",
            "Each cell was run once. "
            + (
                "The start is one noise, so chance between neighbours is not known."
                if section.init == "noise"
                else f"The start is {_the_start(section.init)}, without noise: a repeated run gives the same picture."
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
            runner_up=gap,
            certainty="Each cell is one run of one pair of pictures, so its spread is not known.",
        ),
        figures=(
            Figure(
                _path(study, "grid.webp"),
                f"All {len(runs)} pictures: content layers {layers[0]} to {layers[-1]} from top to bottom, style "
                f"windows {windows[0]} to {windows[-1]} from left to right; {name} is framed.",
                "Rows: content layer. Columns: style window. Framed: the recommended cell.",
                900,
                "readme",
            ),
            Figure(
                _path(study, "recommended.webp"),
                f"{section.content}, {section.style}, and the one painted as the other with {name}.",
                f"Content, style, and the recommended cell, `{name}`.",
            ),
            Figure(
                _path(study, "content_distance.png"),
                f"Heat map of the content distance over the grid, from {number(min(content))} to "
                f"{number(max(content))}; {name} is framed.",
                "Content distance (lower, darker: closer to the content). Framed: the recommended cell.",
                640,
            ),
            Figure(
                _path(study, "style_distance.png"),
                f"Heat map of the style distance over the grid, from {number(min(style))} to {number(max(style))}; "
                f"{name} is framed.",
                "Style distance (lower, darker: closer to the style). Framed: the recommended cell.",
                640,
            ),
            Figure(
                _path(study, "front.png"),
                f"Scatter plot of content distance against style distance of all cells, the "
                f"{len(metrics['front'])} on the front and {name} in colour.",
                "Content against style: lower left is closer in both.",
            ),
            *(
                Figure(
                    _path(study, f"rows_{first + 1:02d}-{last:02d}.webp"),
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
                        *(_cell(metrics[key][which]) for which in ("min", "median", "max")),
                        _cell(chosen[key]),
                    )
                    for label, key in (("content", "content_distance"), ("style", "style_distance"))
                ),
            ),
        ),
    )


def _depends(label: str, runs: Sequence[Run], key: str, layers: Sequence[str], windows: Sequence[str]) -> list[str]:
    """How a distance moves along either axis of the grid, and along which it moves more."""
    axes = {
        "content layer": (layers, [_values([r for r in runs if r.content_layer == layer], key) for layer in layers]),
        "style window": (windows, [_values([r for r in runs if r.style_layers == name], key) for name in windows]),
    }
    told = []
    spans = {}
    for (noun, (names, values)), other in zip(axes.items(), reversed(axes), strict=True):
        means = [fmean(each) for each in values]
        spans[noun] = max(means) - min(means)
        if len(names) > 1:
            told.append(
                f"{_capital(label)}, averaged over {other}s, {trend(means)} from {number(means[0])} at {noun} "
                f"{names[0]} to {number(means[-1])} at {names[-1]} "
                f"({wording.strength(rank_correlation(range(len(means)), means), 'with depth')}); it is lowest at "
                f"{_lowest(names, means)} ({number(min(means))}) and highest at {_highest(names, means)} "
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


def initialization(params: Params, results: Results) -> Section:
    """Noise against content against AdaIN as the starting picture."""
    study, section = results.studies["initialization"], params.initialization
    iterations = study.runs[0].iterations
    inits = results.inits
    names = [start_name(init) for init in inits]
    quiet = [start_name(init) for init in inits if init != "noise"]
    runs = results.start(inits[0], results.pairs[0]).runs
    method = [
        f"The same transfer (`{section.content_layer}` for the content, layers {window(section.style_layers)} for the "
        f"style) is run from {listing([_the_start(init) for init in inits])}, for "
        f"{count(len(results.pairs), 'pair')} of pictures with {count(runs, 'run')} each: {_settings(study.runs)}. "
        "Runs were timed one at a time, after a warm-up, the starts in turn.",
        f"Of each pair, the target is a loss that all its runs reach: {number(100 * (TARGET_MARGIN - 1), 1)} % above "
        "the highest of their last losses. Times include making the start picture. Content and style distance: lower "
        "is closer; SSIM with the content: higher is closer.",
        "A difference is called clear when it is more than the spread of the runs of both starts, √(sd² + sd²), within "
        "a pair.",
    ]
    if quiet:
        method.append(
            f"Starts from {listing(quiet)} hold no noise: repeated runs give the same picture, so that within a pair "
            "the standard deviation of their quality is 0, and only their times differ. Rows over all pairs mix pairs, "
            "and their deviation is mostly the difference between pictures."
        )
    quantities = (ITERATIONS, SECONDS_TO_TARGET, CONTENT, STYLE, SSIM, SECONDS)
    findings = [_contrasts(results, quantity, iterations) for quantity in quantities] if len(inits) > 1 else []
    return Section(
        name="initialization",
        title="Where to start",
        question=f"Does it matter whether one starts from {' or '.join(names)}?",
        method=tuple(method),
        findings=tuple(findings),
        chosen=None,
        figures=(
            Figure(
                _path(study, "loss_iterations.png"),
                f"Loss against iterations for each pair, one line a run, one colour a start: {listing(names)}.",
                "Loss against iterations, logarithmic; one line a run. Dashed: the target of the pair.",
                760,
            ),
            Figure(
                _path(study, "loss_seconds.png"),
                f"Loss against seconds for each pair, one line a run, one colour a start: {listing(names)}.",
                "Loss against seconds, logarithmic; one line a run. Dashed: the target of the pair.",
                760,
            ),
            Figure(
                _path(study, "starts.webp"),
                f"For each pair: content, style, and the results from {listing(names)}.",
                f"After {iterations} iterations from each start.",
                640,
            ),
        ),
        tables=(starts_table(results),),
    )


def starts_table(results: Results, pairs: Sequence[str] | None = None) -> Table:
    """Mean ± standard deviation of each start; of the given pairs, or of each and of all together."""
    columns = (
        (CONTENT, "lower is closer"),
        (STYLE, "lower is closer"),
        (SSIM, "higher is closer"),
        (ITERATIONS, "fewer is faster"),
        (SECONDS_TO_TARGET, "s"),
        (SECONDS, "for all iterations"),
    )
    rows = []
    for pair in pairs or (*results.pairs, ALL_PAIRS):
        for init in results.inits:
            row = results.start(init, pair)
            label = "all pairs" if pair == ALL_PAIRS else pair
            rows.append(
                (
                    *(() if pairs else (Cell(label),)),
                    Cell(start_name(init)),
                    *(Cell(row.shown(quantity.key), row.mean(quantity.key)) for quantity, _ in columns),
                )
            )
    return Table(
        "Mean ± standard deviation over the runs",
        (
            *(() if pairs else (Column("pair", numeric=False),)),
            Column("start", numeric=False),
            *(Column(quantity.label, note) for quantity, note in columns),
        ),
        tuple(rows),
    )


def _contrasts(results: Results, quantity: Quantity, iterations: int) -> str:
    """Each start against the first one."""
    reference = results.inits[0]
    base = results.start(reference).mean(quantity.key)
    told = [
        f"{start_name(init)} {quantity.shown(results.start(init).mean(quantity.key))}, "
        f"{contrast(results, quantity, init, reference)}"
        for init in results.inits[1:]
    ]
    label = f"Seconds for {iterations} iterations" if quantity is SECONDS else _capital(quantity.label)
    return f"{label}: {start_name(reference)} {quantity.shown(base)}; {'; '.join(told)}."


def contrast(results: Results, quantity: Quantity, init: str, reference: str) -> str:
    """``9.1× fewer than noise, clearly so in 2 of 3 pairs, in 1 not beyond the spread of its runs``."""
    value, base = (results.start(each).mean(quantity.key) for each in (init, reference))
    how = versus(value, base, quantity.less, quantity.more)
    told = f"{how} than {start_name(reference)}" if how else f"the same as {start_name(reference)}"
    pairs = results.pairs
    less, more, unclear = _split(results, quantity, init, reference)
    agreeing, opposed = (less, more) if value < base else (more, less)
    if how and len(agreeing) == len(pairs):
        return f"{told}, clearly so in {_each(pairs)}"
    if len(unclear) == len(pairs):
        return f"{told}, {'but ' if how else ''}in no pair beyond the spread of its runs"
    parts = [f"clearly {'so' if how else quantity.more} in {len(agreeing)} of {count(len(pairs), 'pair')}"]
    if opposed:
        parts.append(f"clearly {'the other way round' if how else quantity.less} in {len(opposed)}")
    if unclear:
        parts.append(f"in {len(unclear)} the spread of the runs exceeds the difference")
    return f"{told}, {', '.join(parts)}"


def _each(pairs: Sequence[str]) -> str:
    return "the one pair" if len(pairs) == 1 else f"all {len(pairs)} pairs"


def _split(results: Results, quantity: Quantity, init: str, reference: str) -> tuple[list[str], list[str], list[str]]:
    """The pairs in which `init` has clearly less than `reference`, those with clearly more, and the rest."""
    less: list[str] = []
    more: list[str] = []
    unclear: list[str] = []
    for pair in results.pairs:
        a, b = (results.start(each, pair) for each in (init, reference))
        value, base = a.mean(quantity.key), b.mean(quantity.key)
        if not clear(value, a.deviation(quantity.key), base, b.deviation(quantity.key)):
            unclear.append(pair)
        else:
            (less if value < base else more).append(pair)
    return less, more, unclear


def ranking(results: Results, quantity: Quantity) -> str:
    """The starts from best to worst by a quantity, and whether the first is clearly ahead."""
    sign = 1 if quantity.lower_is_better else -1
    order = sorted(results.inits, key=lambda init: sign * results.start(init).mean(quantity.key))
    values = {init: results.start(init).mean(quantity.key) for init in order}
    told = f"{start_name(order[0])} ({quantity.shown(values[order[0]])})"
    for before, init in pairwise(order):
        link = " and" if same(values[before], values[init]) else ", then"
        told += f"{link} {start_name(init)} ({quantity.shown(values[init])})"
    if len(order) == 1:
        return f"{told}."
    less, more, _ = _split(results, quantity, order[0], order[1])
    ahead = len(less if quantity.lower_is_better else more)
    first, second, pairs = start_name(order[0]), start_name(order[1]), results.pairs
    if not ahead:
        return f"{told}. In no pair is {first} ahead of {second} by more than the spread of the runs."
    where = _each(pairs) if ahead == len(pairs) else f"{ahead} of {count(len(pairs), 'pair')}"
    return f"{told}. {_capital(first)} is clearly ahead of {second} in {where}."


def headline(results: Results) -> tuple[str, ...]:
    """The starts against each other, in four sentences."""
    iterations = results.studies["initialization"].runs[0].iterations
    return (
        f"Soonest at the same loss: {ranking(results, SECONDS_TO_TARGET)}",
        f"Fewest iterations to it: {ranking(results, ITERATIONS)}",
        f"Closest to the content after {iterations} iterations, by content distance: {ranking(results, CONTENT)}",
        f"Closest to the style after {iterations} iterations, by style distance: {ranking(results, STYLE)}",
    )


def gallery(params: Params, results: Results) -> Section:
    """Pictures to look at."""
    study, section = results.studies["gallery"], params.gallery
    metrics = study.metrics
    first, second = section.contents[0], section.styles[0]
    findings = []
    for layer, distances in metrics["gram_distance_to_style"].items():
        before = next(value for name, value in distances.items() if name.startswith("content"))
        after = distances["result"]
        how = versus(after, before, "closer", "farther")
        findings.append(
            f"`{layer}`: the Gram matrix of the result is {number(after)} from that of `{second}` "
            f"(|G − G(s)|² / |G(s)|², lower is closer), that of the content {number(before)}: the result is "
            + (f"{how} than the content it was painted from." if how else "as far as the content.")
        )
    values = list(metrics["pairs"].items())
    for key, label in (("content_distance", "content"), ("style_distance", "style")):
        closest = min(values, key=lambda item: item[1][key])
        findings.append(
            f"Of the grid, {closest[0]} is closest to its {label} ({label} distance {number(closest[1][key])})."
        )
    film = section.film
    shown_layers = f"`{metrics['content_layer']}` for the content, layers {metrics['style_layers']} for the style"
    return Section(
        name="gallery",
        title="Pictures to look at",
        question="What does it look like?",
        method=(
            f"All with {shown_layers}"
            + (
                " (what the grid above recommends)"
                if "recommended" in (section.content_layer, section.style_layers)
                else ""
            )
            + f": {_settings(study.runs)}. Favourites have {section.favourite_size} px.",
        ),
        findings=tuple(findings),
        chosen=None,
        figures=(
            Figure(
                _path(study, "grid.webp"),
                f"{listing(section.contents)} (rows) painted as {listing(section.styles)} (columns), with originals.",
                "Contents down, styles across; originals at the edges.",
                480,
            ),
            Figure(
                _path(study, "gram_matrices.png"),
                f"Gram matrices of {second}, {first} and the result at {listing(list(section.gram_layers))}.",
                "Gram matrices. Each row and column is a feature of the layer (the first 64 are shown); a bright point "
                "says that its two features occur at the same places, wherever in the picture these are, and the "
                "diagonal says how strong each one is alone. A texture is its pattern of stripes: painting succeeds "
                "as far as the result's pattern resembles the style's rather than the content's. Logarithmic; "
                "colours compare within a row.",
                640,
            ),
            Figure(
                _path(study, "favourites.webp"),
                f"{listing([' painted as '.join(pair) for pair in section.favourites])}.",
                "Favourites.",
                640,
                "readme",
            ),
            Figure(
                _path(study, "process.gif"),
                f"{film.pair[0]} painted as {film.pair[1]}, from {start_name(film.init)} to the result.",
                f"One optimisation, from {start_name(film.init)}: `{film.pair[0]}` as `{film.pair[1]}`.",
            ),
        ),
        tables=(
            Table(
                "Distances of the pictures",
                (
                    Column("pair", numeric=False),
                    Column("content distance", "lower is closer"),
                    Column("style distance", "lower is closer"),
                ),
                tuple(
                    (Cell(name), _cell(each["content_distance"]), _cell(each["style_distance"]))
                    for name, each in [
                        *values,
                        *((f"{name} (favourite)", each) for name, each in metrics["favourites"].items()),
                    ]
                ),
            ),
        ),
    )


def full_table(study: StudyResults) -> Table:
    """quality.csv beside timing.csv; columns that hold nothing are left out."""
    columns: list[tuple[Column, Callable[[Run], Cell]]] = [
        (Column("picture", numeric=False), lambda run: Cell(run.job, href=f"{study.name}/{run.image}")),
        (Column("content", numeric=False), lambda run: Cell(run.content or NOTHING)),
        (Column("style", numeric=False), lambda run: Cell(run.style or NOTHING)),
        (Column("content layer", numeric=False), lambda run: Cell(run.content_layer or NOTHING)),
        (Column("style layers", numeric=False), lambda run: _window_cell(run.style_layers)),
        (Column("start", numeric=False), lambda run: Cell(start_name(run.init))),
        (Column("seed"), lambda run: Cell(str(run.seed), float(run.seed))),
        (Column("size", "px"), lambda run: Cell(str(run.size), float(run.size))),
        (Column("iterations"), lambda run: Cell(str(run.iterations), float(run.iterations))),
        (Column("optimizer", numeric=False), lambda run: Cell(run.optimizer)),
        (Column("content distance", "lower is closer"), lambda run: _cell(run.content_distance, 4)),
        (Column("style distance", "lower is closer"), lambda run: _cell(run.style_distance, 4)),
        (Column("PSNR", "dB, higher is closer"), lambda run: _cell(run.psnr, 4)),
        (Column("SSIM", "higher is closer"), lambda run: _cell(run.ssim, 4)),
        (Column("final loss", "lower is better"), lambda run: _cell(run.final_loss, 4)),
        (Column("time", "s"), lambda run: _cell(run.seconds)),
        (Column("time an iteration", "ms"), lambda run: _cell(1000 * run.seconds_per_iteration)),
        (Column("evaluations"), lambda run: Cell(str(run.evaluations), float(run.evaluations))),
        (Column("peak memory", "MB"), lambda run: _cell(run.peak_memory_mb)),
    ]
    rows = [tuple(cell(run) for _, cell in columns) for run in study.runs]
    kept = [i for i in range(len(columns)) if any(row[i].text != NOTHING for row in rows)]
    return Table(
        f"All runs of the {study.name} study",
        tuple(columns[i][0] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in rows),
    )


def time_table(results: Results) -> Table:
    """What each study cost."""
    rows = []
    for study in results.studies.values():
        runs = study.runs
        rows.append(
            (
                Cell(study.name),
                Cell(str(len(runs)), float(len(runs))),
                _cell(sum(run.seconds for run in runs), 2),
                _cell(1000 * median(run.seconds_per_iteration for run in runs), 2),
                _cell(max(run.peak_memory_mb for run in runs), 2),
                Cell(", ".join(sorted({run.precision for run in runs}))),
                Cell(", ".join(sorted({run.device for run in runs}))),
            )
        )
    return Table(
        "Time and memory",
        (
            Column("study", numeric=False),
            Column("runs"),
            Column("time of all runs", "s"),
            Column("time an iteration", "ms, median"),
            Column("peak memory", "MB"),
            Column("precision", numeric=False),
            Column("device", numeric=False),
        ),
        tuple(rows),
    )


def _over_depth(label: str, unit: str, values: Sequence[float], names: Sequence[str], noun: str) -> str:
    if len(values) == 1:
        return f"{label} is {number(values[0])}{unit} at {noun} {names[0]}."
    correlation = rank_correlation(range(len(values)), values)
    return (
        f"{label} {trend(values)} from {number(values[0])}{unit} at {noun} {names[0]} to {number(values[-1])}{unit} at "
        f"{names[-1]} ({wording.strength(correlation, 'with depth')})."
    )


def _certainty(told: str, margin: float, repeated: Sequence[float], label: str) -> str:
    """What the spread between noises says about a choice that hangs on `margin`."""
    if len(repeated) < 2:
        return f"{_capital(told)}; there are no repeated runs to set it against."
    spread = max(repeated) - min(repeated)
    noises = count(len(repeated), "noise")
    head = f"{_capital(told)}; between {noises} at the winner the {label} varies by {number(spread)}"
    if spread >= margin:
        return f"{head}. The spread exceeds the difference: another noise could have chosen otherwise."
    return f"{head}, less than that."


def _settings(runs: Sequence[Run]) -> str:
    """Size, iterations and optimiser that runs have in common."""
    sizes = listing([str(value) for value in sorted({run.size for run in runs})])
    iterations = listing([str(value) for value in sorted({run.iterations for run in runs})])
    optimizers = {"adam": "Adam", "lbfgs": "L-BFGS"}
    used = listing([optimizers.get(name, name) for name in sorted({run.optimizer for run in runs})])
    return f"{sizes} px, {iterations} iterations of {used}"


def _the_start(init: str) -> str:
    return {"noise": "noise", "content": "the content picture", "adain": "its feed-forward AdaIN stylisation"}.get(
        init, init
    )


def _apart(value: float, reference: float, than: str) -> str:
    """How far two numbers are apart, and in which direction."""
    if value == reference:
        return f"equal to {than}"
    return f"{number(abs(value - reference))} {'lower' if value < reference else 'higher'} than {than}"


def _cell(value: float | None, digits: int = 3) -> Cell:
    return Cell(number(value, digits), value)


def _window_cell(layers: str | None) -> Cell:
    if layers is None:
        return Cell(NOTHING)
    return Cell(layers, float(layers.replace(",", "-").split("-")[0]))


def _values(runs: Sequence[Run], key: str) -> list[float]:
    return [float(getattr(run, key)) for run in runs]


def _lowest(names: Sequence[str], values: Sequence[float]) -> str:
    return names[values.index(min(values))]


def _highest(names: Sequence[str], values: Sequence[float]) -> str:
    return names[values.index(max(values))]


def _capital(text: str) -> str:
    return text if text.startswith("`") else text[:1].upper() + text[1:]


def _path(study: StudyResults, name: str) -> str:
    return f"{study.name}/{FOLDER}/{name}"
