"""Noise against content against AdaIN as the starting picture."""

from collections.abc import Sequence
from itertools import pairwise

from nst.engine.layers import window
from nst.params import Params
from nst.report.findings.phrases import capital, cell, path, settings, start_name, the_start
from nst.report.findings.records import Cell, Column, Figure, Quantity, Results, Section, Table
from nst.report.wording import clear, count, listing, number, same, versus
from nst.studies.initialization import ALL_PAIRS, TARGET_MARGIN

CONTENT = Quantity("content_distance", "content distance")
STYLE = Quantity("style_distance", "style distance")
SSIM = Quantity("ssim", "SSIM", lower_is_better=False)
ITERATIONS = Quantity("iterations_to_target", "iterations to the target", "", "fewer", "more", 2)
SECONDS = Quantity("seconds", "seconds", " s", "less", "more", 2)
SECONDS_TO_TARGET = Quantity("seconds_to_target", "time to the target", " s", "less", "more", 2)


def section(params: Params, results: Results) -> Section:
    """Noise against content against AdaIN as the starting picture."""
    study, section = results.studies["initialization"], params.initialization
    iterations = study.runs[0].iterations
    inits = results.inits
    names = [start_name(init) for init in inits]
    quiet = [start_name(init) for init in inits if init != "noise"]
    runs = results.start(inits[0], results.pairs[0]).runs
    method = [
        f"The same transfer (`{section.content_layer}` for the content, layers {window(section.style_layers)} for the "
        f"style) is run from {listing([the_start(init) for init in inits])}, for "
        f"{count(len(results.pairs), 'pair')} of pictures with {count(runs, 'run')} each: {settings(study.runs)}. "
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
            *(
                Figure(
                    path(study, f"loss_{axis}.png"),
                    f"Loss against {axis} for each pair, one line a run, one colour a start: {listing(names)}.",
                    f"Loss against {axis}, logarithmic; one line a run. Dashed: the target of the pair.",
                    760,
                )
                for axis in ("iterations", "seconds")
            ),
            Figure(
                path(study, "starts.webp"),
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
                    Cell(start_name(init), href=_picture(results, pair, init)),
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


def _picture(results: Results, pair: str, init: str) -> str | None:
    """The first picture of a start; over all pairs there is no such one."""
    runs = results.studies["initialization"].runs
    of_pair = [run.image for run in runs if (run.pair, run.init) == (pair, init)]
    return f"initialization/{of_pair[0]}" if of_pair else None


def target_table(results: Results) -> Table:
    """What each start needs to reach the target of a pair."""
    targets = results.studies["initialization"].metrics["target_loss"]
    names = [start_name(init) for init in results.inits]
    rows = []
    for pair in results.pairs:
        row = [Cell(pair, href=_picture(results, pair, results.inits[0])), cell(targets[pair])]
        for quantity in (ITERATIONS, SECONDS_TO_TARGET):
            row += [
                Cell(start.shown(quantity.key), start.mean(quantity.key))
                for start in (results.start(init, pair) for init in results.inits)
            ]
        rows.append(tuple(row))
    return Table(
        f"Iterations and seconds to the target, {count(results.start(results.inits[0], results.pairs[0]).runs, 'run')} "
        "each, mean ± standard deviation",
        (
            Column("pair", numeric=False),
            Column("target", "loss"),
            *(Column(f"iterations from {name}", "fewer is faster") for name in names),
            *(Column(f"time from {name}", "s, less is faster") for name in names),
        ),
        tuple(rows),
    )


def _contrasts(results: Results, quantity: Quantity, iterations: int) -> str:
    """Each start against the first one."""
    reference = results.inits[0]
    base = results.start(reference).mean(quantity.key)
    told = [contrast(results, quantity, init, reference) for init in results.inits[1:]]
    label = f"Seconds for {iterations} iterations" if quantity is SECONDS else capital(quantity.label)
    return f"{label}: {start_name(reference)} {quantity.shown(base)}; {'; '.join(told)}."


def contrast(results: Results, quantity: Quantity, init: str, reference: str) -> str:
    """``content 8.8, 9.1× fewer than noise, clearly so in 2 of 3 pairs, in 1 the spread of the runs exceeds the
    difference``."""
    value, base = (results.start(each).mean(quantity.key) for each in (init, reference))
    how = versus(value, base, quantity.less, quantity.more)
    standing = f"{how} than" if how else "the same as"
    told = f"{start_name(init)} {quantity.shown(value)}, {standing} {start_name(reference)}"
    pairs = results.pairs
    less, more, unclear = split(results, quantity, init, reference)
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


def split(results: Results, quantity: Quantity, init: str, reference: str) -> tuple[list[str], list[str], list[str]]:
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
    less, more, _ = split(results, quantity, order[0], order[1])
    ahead = len(less if quantity.lower_is_better else more)
    first, second, pairs = start_name(order[0]), start_name(order[1]), results.pairs
    if not ahead:
        return f"{told}. In no pair is {first} ahead of {second} by more than the spread of the runs."
    where = _each(pairs) if ahead == len(pairs) else f"{ahead} of {count(len(pairs), 'pair')}"
    return f"{told}. {capital(first)} is clearly ahead of {second} in {where}."


def headline(results: Results) -> tuple[str, ...]:
    """The starts against each other, in four sentences."""
    iterations = results.studies["initialization"].runs[0].iterations
    return (
        f"Soonest at the same loss: {ranking(results, SECONDS_TO_TARGET)}",
        f"Fewest iterations to it: {ranking(results, ITERATIONS)}",
        f"Closest to the content after {iterations} iterations, by content distance: {ranking(results, CONTENT)}",
        f"Closest to the style after {iterations} iterations, by style distance: {ranking(results, STYLE)}",
    )
