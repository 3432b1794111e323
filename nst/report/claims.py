"""What the literature says of these methods, and whether this run bears it out.

A verdict is computed: each claim has a rule with its thresholds, and the numbers that it was applied to.  Where the
spread of repeated runs is as large as the difference, or two measures disagree, it is undecided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from nst.engine.results import known
from nst.report import wording
from nst.report.findings.initialization import CONTENT, ITERATIONS, SECONDS_TO_TARGET, SSIM, contrast, split
from nst.report.findings.phrases import capital
from nst.report.findings.records import Quantity, Results, Run
from nst.report.wording import count, listing, number, percent, rank_correlation

Verdict = Literal["holds", "doesn't hold", "undecided"]

STRONG = 0.8
"""Rank correlation from which something is said to rise or fall with depth."""
WEAK = wording.WEAK
FEWEST_LAYERS = 5
"""Fewer are put in order by chance too easily: five, once in 120."""
SAME = 0.75
"""Share of their variation that two pictures have in common from which they count as the same one."""
OTHER = 0.25
"""… and up to which they count as two different ones."""

STYLE_METRICS = {"style_distance": "style distance", "sliced_wasserstein": "sliced Wasserstein distance"}
"""By which a texture is compared with its original: the one that jobs optimise, and one that none does."""


@dataclass(frozen=True)
class Claim:
    """A claim of the literature with what this run says of it."""

    statement: str
    source: str
    rule: str
    """When it holds and when it doesn't; undecided otherwise."""
    verdict: Verdict
    evidence: str
    """The numbers that the rule was applied to."""


@dataclass(frozen=True)
class Agreement:
    """Whether a style metric that no job optimises orders the pictures of the grid as the Gram distance does."""

    metric: str
    correlation: float | None
    """Spearman's ρ: 1 for the same order, 0 for none, −1 for the opposite one."""
    pictures: int

    @property
    def told(self) -> str:
        """The correlation, as a number and a word."""
        return wording.grade(self.correlation)


def claims(results: Results) -> tuple[Claim, ...]:
    """All claims, in the order of the studies that they are about."""
    reconstruction, synthesis = (results.studies[name] for name in ("reconstruction", "synthesis"))
    return (
        worse_with_depth(reconstruction.metrics["psnr"], reconstruction.metrics["ssim"]),
        earlier_windows(synthesis.runs),
        content_kept(results),
        sooner(results),
        two_noises(
            {name: noises["shared"] for name, noises in reconstruction.metrics["noises"].items()},
            {name: noises["shared"] for name, noises in synthesis.metrics["noises"].items()},
        ),
    )


def agreement(runs: Sequence[Run]) -> tuple[Agreement, ...]:
    """Of each style metric that no job optimises with the style distance, over pictures of the same style."""
    gram = [known(run.style_distance) for run in runs]
    return tuple(
        Agreement(label, rank_correlation([known(getattr(run, key)) for run in runs], gram), len(runs))
        for key, label in (
            ("sliced_wasserstein", "sliced Wasserstein distance"),
            ("colour_distance", "colour distance"),
        )
    )


def worse_with_depth(psnr: Mapping[str, float], ssim: Mapping[str, float]) -> Claim:
    """Reconstructions by layer, the shallowest first."""
    layers = list(psnr)
    correlations = {
        "PSNR": rank_correlation(range(len(layers)), list(psnr.values())),
        "SSIM": rank_correlation(range(len(layers)), list(ssim.values())),
    }
    found = [0.0 if value is None else value for value in correlations.values()]
    verdict: Verdict = "undecided"
    if len(layers) >= FEWEST_LAYERS:
        if max(found) <= -STRONG:
            verdict = "holds"
        elif max(found) > -WEAK:
            verdict = "doesn't hold"
    told = listing([f"{label} {number(value, 3)}" for label, value in correlations.items()])
    return Claim(
        "Reconstruction worsens with depth.",
        "Mahendran & Vedaldi (2015); Gatys et al. (2016), figure 1",
        f"Rank correlation of PSNR and of SSIM with depth: holds if both are −{STRONG:g} or less, doesn't hold if one "
        f"is above −{WEAK:g}; needs {FEWEST_LAYERS} layers.",
        verdict,
        f"Rank correlation over {count(len(layers), 'layer')}: {told}.",
    )


def earlier_windows(runs: Sequence[Run]) -> Claim:
    """Textures: of the first run's style, the first run of each window, by window; and what was repeated."""
    of_style = [run for run in runs if run.style == runs[0].style]
    verdicts = []
    told = []
    for key, label in STYLE_METRICS.items():
        values: dict[str, list[float]] = {}
        for run in of_style:
            values.setdefault(str(run.style_layers), []).append(known(getattr(run, key)))
        verdict, evidence = _earlier(values)
        verdicts.append(verdict)
        told.append(f"{capital(label)}: {evidence}.")
    return Claim(
        "Earlier style windows match the texture best.",
        "common in replications of Gatys et al. (2015)",
        f"By {listing(list(STYLE_METRICS.values()))}, the best window of the earlier half against the later half's: "
        "holds if the earlier one is ahead by more than runs from other noises vary, doesn't hold if the later "
        "one is; both distances must say so.",
        _unanimous(verdicts),
        " ".join(told),
    )


def _earlier(values: Mapping[str, Sequence[float]]) -> tuple[Verdict, str]:
    """Windows, the shallowest first, each with the distances of its runs: the first is compared."""
    windows = list(values)
    half = len(windows) // 2
    first = {window: each[0] for window, each in values.items()}
    repeated = max(values.values(), key=len)
    if not half:
        return "undecided", "there is one window"
    early, late = (min(part, key=lambda window: first[window]) for part in (windows[:half], windows[-half:]))
    told = f"{early} {number(first[early])}, {late} {number(first[late])}"
    if len(repeated) < 2:
        return "undecided", f"{told}, and no repeated runs to set the difference against"
    spread = max(repeated) - min(repeated)
    told = f"{told}, {count(len(repeated), 'noise')} vary by {number(spread, 2)}"
    if abs(first[early] - first[late]) <= spread:
        return "undecided", told
    return ("holds" if first[early] < first[late] else "doesn't hold"), told


def content_kept(results: Results) -> Claim:
    """From the content picture against from noise, at equal iterations."""
    return _content_against_noise(
        results,
        (CONTENT, SSIM),
        "A content start keeps content better than a noise start.",
        "Gatys et al. (2016), figure 6: the result leans towards the structure of its start",
    )


def sooner(results: Results) -> Claim:
    """From the content picture against from noise, to an equal loss."""
    return _content_against_noise(
        results,
        (ITERATIONS, SECONDS_TO_TARGET),
        "A content start reaches a target sooner than a noise start.",
        "common practice, as in PyTorch's tutorial",
    )


def _content_against_noise(results: Results, quantities: Sequence[Quantity], statement: str, source: str) -> Claim:
    labels = listing([quantity.label for quantity in quantities])
    rule = (
        f"By {labels}, in each pair of pictures: holds if the content start is ahead by more than the spread of the "
        "runs in all pairs, doesn't hold if it is behind in as many pairs as it is ahead; both must say so."
    )
    if not {"content", "noise"} <= set(results.inits):
        return Claim(statement, source, rule, "undecided", "This run does not have both starts.")
    if results.start("noise").runs <= len(results.pairs):
        return Claim(statement, source, rule, "undecided", "Each start was run once, so the spread is not known.")
    verdicts: list[Verdict] = []
    for quantity in quantities:
        less, more, _ = split(results, quantity, "content", "noise")
        ahead, behind = (less, more) if quantity.lower_is_better else (more, less)
        if len(ahead) == len(results.pairs):
            verdicts.append("holds")
        elif behind and len(behind) >= len(ahead):
            verdicts.append("doesn't hold")
        else:
            verdicts.append("undecided")
    told = [f"{capital(quantity.label)}: {contrast(results, quantity, 'content', 'noise')}." for quantity in quantities]
    return Claim(statement, source, rule, _unanimous(verdicts), " ".join(told))


def two_noises(reconstructions: Mapping[str, float], textures: Mapping[str, float]) -> Claim:
    """Each picture with the share of their variation that what came of its two noises has in common."""
    same, other = list(reconstructions.values()), list(textures.values())
    verdict: Verdict = "undecided"
    if min(same) >= SAME and max(other) <= OTHER:
        verdict = "holds"
    elif min(same) < (SAME + OTHER) / 2 or max(other) > (SAME + OTHER) / 2:
        verdict = "doesn't hold"
    told = [
        f"{kind}: {listing([f'{name} {percent(value)}' for name, value in shared.items()])}."
        for kind, shared in (("Reconstructions", reconstructions), ("Textures", textures))
    ]
    return Claim(
        "Two noises give equal reconstructions but different textures.",
        "Gatys et al. (2015), whose texture model leaves positions open",
        "Variation of the pixels that the results of two noises share, 100 % for equal and 0 % for unrelated pictures: "
        f"holds if all reconstructions share {percent(SAME)} or more and all textures {percent(OTHER)} or less, "
        f"doesn't hold if one is beyond {percent((SAME + OTHER) / 2)} on the wrong side.",
        verdict,
        " ".join(told),
    )


def _unanimous(verdicts: Sequence[Verdict]) -> Verdict:
    """Several measures of one claim: what all say, or nothing."""
    return verdicts[0] if len(set(verdicts)) == 1 else "undecided"
