"""What the literature says of these methods, and whether this run bears it out.

A verdict follows from 95 % confidence intervals alone: a claim holds where all of its intervals lie on the side that
it says, doesn't hold where all lie on the other, and is undecided else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nst.engine.layers import layer_number
from nst.report.run import Frame, Run
from nst.report.texts import label
from nst.studies import intervals
from nst.studies.intervals import Interval

Verdict = Literal["holds", "doesn't hold", "undecided"]
Numbers = tuple[tuple[str, Interval], ...]

HALF = 0.5
"""Share of their variation above which two pictures are more alike than not."""


@dataclass(frozen=True)
class Claim:
    """A claim of the literature with what this run says of it."""

    statement: str
    source: str
    measure: str
    """What the intervals are of, and which side bears the claim out."""
    verdict: Verdict
    numbers: Numbers
    """The intervals, by name."""


def claims(run: Run) -> tuple[Claim, ...]:
    """All claims, in the order of the studies that they are about."""
    return (worse_with_depth(run), two_noises(run), detail_by_content_layer(run), content_kept(run))


def verdict(sides: Sequence[int]) -> Verdict:
    """Of where each interval lies: 1 on the side that the claim says, −1 on the other, 0 neither."""
    if sides and set(sides) == {1}:
        return "holds"
    return "doesn't hold" if sides and set(sides) == {-1} else "undecided"


def worse_with_depth(run: Run) -> Claim:
    """Reconstructions from the first noise, of each content."""
    runs = run.studies["reconstruction"].runs
    numbers = []
    for content, some in runs.groupby("content", sort=False):
        first = some.drop_duplicates("content_layer")
        depth = first["content_layer"].map(layer_number)
        for metric in ("psnr", "ssim"):
            found = intervals.rank_correlation(depth, first[metric])
            numbers.append((f"{label(metric).title}, {content}", found))
    return Claim(
        "Reconstructions worsen with the depth of the layer.",
        "Mahendran & Vedaldi (2015); Gatys et al. (2016), figure 1",
        "Rank correlation with depth, over the layers; holds below 0.",
        verdict([-each.side_of(0) for _, each in numbers]),
        tuple(numbers),
    )


def two_noises(run: Run) -> Claim:
    """What the results of two noises share, wherever both were run."""
    shared = {
        kind: intervals.mean(run.studies[study].noises["shared"])
        for kind, study in (("reconstructions", "reconstruction"), ("textures", "synthesis"))
    }
    sides = [shared["reconstructions"].side_of(HALF), -shared["textures"].side_of(HALF)]
    return Claim(
        "Two noises give the same reconstruction, but different textures.",
        "Gatys et al. (2015), whose texture model leaves positions open",
        f"Share of their variation that the results of two noises have in common; holds above {HALF:g} for "
        f"reconstructions and below {HALF:g} for textures.",
        verdict(sides),
        tuple(shared.items()),
    )


def detail_by_content_layer(run: Run) -> Claim:
    """Mean SSIM of each row of the transfer grid."""
    runs = run.studies["transfer"].runs.set_index("job").loc[run.cells["job"]]
    means = runs.groupby("content_layer", sort=False)["ssim"].mean()
    found = intervals.rank_correlation([layer_number(str(name)) for name in means.index], means)
    return Claim(
        "The deeper the content layer, the less of the content's detail a transfer keeps.",
        "Gatys et al. (2016), section 3.2 and figure 5",
        "Rank correlation with depth of the mean SSIM of the grid's rows; holds below 0.",
        verdict([-found.side_of(0)]),
        ((label("ssim").title, found),),
    )


def content_kept(run: Run) -> Claim:
    """From the content picture against from noise, after equal iterations."""
    numbers = [(label(name).title, _content_minus_noise(run.starts, name)) for name in ("content_distance", "ssim")]
    known = [(name, found) for name, found in numbers if found]
    signs = {label("content_distance").title: -1, label("ssim").title: 1}
    return Claim(
        "A content start keeps more of the content's structure than a noise start.",
        "Gatys et al. (2016), section 3.3 and figure 6",
        "Content start − noise start, of the same pair and iterations; holds below 0 for the distance and above 0 for "
        "SSIM.",
        verdict([signs[name] * found.side_of(0) for name, found in known]),
        tuple(known),
    )


def _content_minus_noise(starts: Frame, quantity: str) -> Interval | None:
    """Of the first comparison, that after equal iterations."""
    rows = starts[(starts["quantity"] == quantity) & (starts["init"] == "content")]
    if rows.empty or "noise" not in set(starts["init"]):
        return None
    row = rows.iloc[0]
    return Interval(row["difference"], row["low"], row["high"], int(row["runs"]))
