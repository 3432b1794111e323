"""What the literature says of these methods, and whether this run bears it out.

A verdict is computed: each claim has a rule with its thresholds, and the numbers that the rule was applied to.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from nst.engine.layers import layer_number
from nst.report.numbers import difference, number, percent, rank_correlation
from nst.report.run import Frame, Run, Study
from nst.report.texts import label

Verdict = Literal["holds", "doesn't hold", "undecided"]
Numbers = tuple[tuple[str, str], ...]

STRONG = 0.8
"""Rank correlation from which something is said to go with depth."""
WEAK = 0.2
"""Rank correlation below which it is said not to."""
FEWEST = 5
"""Fewer are put in order by chance too easily: five, once in 120."""
SAME, OTHER = 0.75, 0.25
"""Share of their variation from which two pictures count as the same, and up to which as different ones."""


@dataclass(frozen=True)
class Claim:
    """A claim of the literature with what this run says of it."""

    statement: str
    source: str
    rule: str
    """When it holds and when it doesn't; undecided otherwise."""
    verdict: Verdict
    numbers: Numbers
    """What the rule was applied to, by name."""


def claims(run: Run) -> tuple[Claim, ...]:
    """All claims, in the order of the studies that they are about."""
    reconstruction, synthesis = run.studies["reconstruction"], run.studies["synthesis"]
    return (
        worse_with_depth(reconstruction.runs),
        earlier_windows(synthesis.runs),
        content_kept(run.starts),
        sooner(run.starts),
        two_noises(reconstruction, synthesis),
    )


def worse_with_depth(runs: Frame) -> Claim:
    """Reconstructions of the first content, the first run of each layer."""
    return _with_depth(
        _first(runs, "content", "content_layer"),
        "content_layer",
        {"psnr": -1, "ssim": -1},
        "Reconstruction worsens with depth.",
        "Mahendran & Vedaldi (2015); Gatys et al. (2016), figure 1",
    )


def earlier_windows(runs: Frame) -> Claim:
    """Textures of the first style, the first run of each window."""
    return _with_depth(
        _first(runs, "style", "style_layers"),
        "style_layers",
        {"style_distance": 1, "sliced_wasserstein": 1},
        "Earlier style windows match the texture better.",
        "common in replications of Gatys et al. (2015)",
    )


def _first(runs: Frame, original: str, place: str) -> Frame:
    of_first: Frame = runs[runs[original] == runs[original].iloc[0]]
    return of_first.drop_duplicates(place)


def _with_depth(runs: Frame, place: str, signs: dict[str, int], statement: str, source: str) -> Claim:
    """Whether metrics go with depth: 1 claims that they rise, −1 that they fall."""
    depth = runs[place].map(_depth)
    found = {name: rank_correlation(depth, runs[name]) for name in signs}
    least = min((sign * found[name] for name, sign in signs.items()), default=0.0)
    verdict: Verdict = "undecided"
    if len(runs) >= FEWEST and least >= STRONG:
        verdict = "holds"
    elif len(runs) >= FEWEST and not least >= WEAK:  # constant metrics, whose correlation is NaN, included
        verdict = "doesn't hold"
    names = " and ".join(label(name).title for name in signs)
    return Claim(
        statement,
        source,
        f"Rank correlation of {names} with depth: holds if both are {STRONG:g} or more in the direction of the claim, "
        f"doesn't hold if one is below {WEAK:g} in this direction; needs {FEWEST} layers or windows.",
        verdict,
        tuple((f"ρ of {label(name).title}, n = {len(runs)}", number(value)) for name, value in found.items()),
    )


def _depth(place: str) -> float:
    """Of a layer, or of a window's first layer, from 1."""
    return layer_number(place) if place.startswith("conv") else float(place.replace(",", "-").split("-")[0])


def content_kept(runs: Frame) -> Claim:
    """From the content picture against from noise, at equal iterations."""
    return _content_against_noise(
        runs,
        ("content_distance", "ssim"),
        "A content start keeps content better than a noise start.",
        "Gatys et al. (2016), figure 6: the result leans towards the structure of its start",
    )


def sooner(runs: Frame) -> Claim:
    """From the content picture against from noise, to an equal loss."""
    return _content_against_noise(
        runs,
        ("iterations_to_target", "seconds_to_target"),
        "A content start reaches a target sooner than a noise start.",
        "common practice, as in PyTorch's tutorial",
    )


def _content_against_noise(runs: Frame, metrics: Sequence[str], statement: str, source: str) -> Claim:
    verdicts: list[Verdict] = []
    numbers = []
    for name in metrics:
        better = 1 if label(name).higher_is_better else -1
        signs = [better * sign for sign in _signs(runs, name)]
        ahead, behind = signs.count(1), signs.count(-1)
        numbers.append((label(name).title, f"pairs ahead {ahead}, behind {behind}, of {len(signs)}"))
        if signs and ahead == len(signs):
            verdicts.append("holds")
        else:
            verdicts.append("doesn't hold" if behind and behind >= ahead else "undecided")
    return Claim(
        statement,
        source,
        f"{_capital(' and '.join(label(name).title for name in metrics))}, in each pair of pictures: the content start "
        "is ahead where the 95 % confidence interval of the difference (Welch's t-test) excludes 0. Holds if it is "
        "ahead in all pairs, doesn't hold if it is behind in as many pairs as it is ahead; both must say so.",
        _unanimous(verdicts),
        tuple(numbers),
    )


def _signs(runs: Frame, metric: str) -> list[int]:
    """Of content − noise, a pair each."""
    pairs = [dict(iter(pair.groupby("init")[metric])) for _, pair in runs.groupby("pair", sort=False)]
    return [difference(pair["content"], pair["noise"]).sign for pair in pairs if {"content", "noise"} <= set(pair)]


def two_noises(reconstruction: Study, synthesis: Study) -> Claim:
    """What the results of two noises have in common, for each picture that was reconstructed or synthesised twice."""
    kinds = {"reconstruction": reconstruction, "texture": synthesis}
    shared = {
        kind: {name: each["shared"] for name, each in study.metrics["noises"].items()} for kind, study in kinds.items()
    }
    same, other = min(shared["reconstruction"].values()), max(shared["texture"].values())
    verdict: Verdict = "undecided"
    if same >= SAME and other <= OTHER:
        verdict = "holds"
    elif same < (SAME + OTHER) / 2 or other > (SAME + OTHER) / 2:
        verdict = "doesn't hold"
    return Claim(
        "Two noises give equal reconstructions but different textures.",
        "Gatys et al. (2015), whose texture model leaves positions open",
        "Variation of the pixels that the results of two noises share, 100 % for equal and 0 % for unrelated pictures: "
        f"holds if all reconstructions share {percent(SAME)} or more and all textures {percent(OTHER)} or less, "
        f"doesn't hold if one is beyond {percent((SAME + OTHER) / 2)} on the wrong side.",
        verdict,
        tuple((f"{kind}, {name}", percent(value)) for kind, each in shared.items() for name, value in each.items()),
    )


def _unanimous(verdicts: Iterable[Verdict]) -> Verdict:
    """Several measures of one claim: what all say, or nothing."""
    found = set(verdicts)
    return found.pop() if len(found) == 1 else "undecided"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
