"""Verdicts on the literature's claims and on the studies' choices, each way, from numbers that are made up here."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nst.engine.layers import LAYERS
from nst.report import choices, claims
from nst.report.numbers import difference, rank_correlation
from nst.report.run import Run, Study


def test_rank_correlation() -> None:
    assert rank_correlation([1, 2, 3], [5, 7, 9]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 2, 4], [1, 3, 3, 2]) == pytest.approx(0.333, abs=1e-3)  # ties share ranks
    assert np.isnan(rank_correlation([1, 2, 3], [5, 5, 5]))


def test_difference_of_two_means_by_hand() -> None:
    # Equal variances 1 and sizes 3: 4 degrees of freedom, of which 97.5 % lie below t = 2.776; standard error √(2/3).
    found = difference([4.0, 5.0, 6.0], [1.0, 2.0, 3.0])
    assert found == pytest.approx((3.0, 3 - 2.776 * np.sqrt(2 / 3), 3 + 2.776 * np.sqrt(2 / 3)), abs=1e-3)
    assert found.sign == 1
    assert difference([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]).sign == -1
    assert difference([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]).sign == 0


def test_difference_of_equal_runs_and_of_single_ones() -> None:
    assert difference([2.0, 2.0], [5.0, 5.0]) == (-3, -3, -3)
    assert difference([2.0, 2.0], [2.0, 2.0]).sign == 0
    assert difference([2.0], [5.0, 6.0]).sign == 0


def reconstructions(psnr: list[float], ssim: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"content": "castle", "content_layer": LAYERS[: len(psnr)], "psnr": psnr, "ssim": ssim})


FALLING, RISING = [40.0, 30, 25, 20, 10, 9, 8, 7], [7.0, 8, 9, 10, 20, 25, 30, 40]


@pytest.mark.parametrize(
    ("psnr", "ssim", "verdict"),
    [
        (FALLING, FALLING, "holds"),
        ([30, 40, 25, 20, 10, 9, 7, 8], FALLING, "holds"),
        (FALLING, RISING, "doesn't hold"),
        ([5] * 8, FALLING, "doesn't hold"),
        ([10, 25, 7, 40, 8, 20, 9, 7.5], FALLING, "undecided"),
        ([40, 30, 20, 10], [40, 30, 20, 10], "undecided"),
    ],
    ids=["both fall", "almost", "one rises", "one stays", "one falls by half", "few layers"],
)
def test_worse_with_depth(psnr: list[float], ssim: list[float], verdict: str) -> None:
    claim = claims.worse_with_depth(reconstructions(psnr, ssim))
    assert claim.verdict == verdict
    assert claim.rule and claim.source
    assert claim.numbers[1][0] == f"ρ of SSIM, n = {len(ssim)}"


def textures(gram: list[float], sliced: list[float] | None = None) -> pd.DataFrame:
    """A run a window; one of them again from another noise, and one of another style, which count for nothing."""
    windows = [f"{first}-{first + 4}" for first in range(1, len(gram) + 1)]
    first = pd.DataFrame(
        {"style": "wave", "style_layers": windows, "style_distance": gram, "sliced_wasserstein": sliced or gram}
    )
    others = pd.DataFrame(
        {"style": ["wave", "other"], "style_layers": "1-5", "style_distance": 9.0, "sliced_wasserstein": 9.0}
    )
    return pd.concat([first, others])


@pytest.mark.parametrize(
    ("gram", "sliced", "verdict"),
    [
        ([0.1, 0.2, 0.3, 0.4, 0.5], None, "holds"),
        ([0.5, 0.4, 0.3, 0.2, 0.1], None, "doesn't hold"),
        ([0.1, 0.3, 0.5, 0.2, 0.4], None, "undecided"),
        ([0.1, 0.2, 0.3, 0.4, 0.5], [0.5, 0.4, 0.3, 0.2, 0.1], "doesn't hold"),
        ([0.1, 0.2], None, "undecided"),
    ],
    ids=["earlier", "later", "half", "distances disagree", "few windows"],
)
def test_earlier_windows(gram: list[float], sliced: list[float] | None, verdict: str) -> None:
    assert claims.earlier_windows(textures(gram, sliced)).verdict == verdict


def started(*pairs: dict[str, float], spread: float = 0.01, runs: int = 3) -> pd.DataFrame:
    """Runs of pairs of pictures, each with the content distance of its starts; other numbers go along."""
    rows = []
    for number, pair in enumerate(pairs):
        for init, distance in pair.items():
            for index in range(runs):
                value = distance + spread * (index - 1)
                times = {"iterations_to_target": 100 * value, "seconds_to_target": 5 * value}
                rows.append({"pair": number, "init": init, "content_distance": value, "ssim": 1 - value, **times})
    return pd.DataFrame(rows)


CLEAR, REVERSED, EQUAL = (
    {"noise": noise, "content": content} for noise, content in ((0.4, 0.2), (0.2, 0.4), (0.3, 0.3))
)


@pytest.mark.parametrize("claim", [claims.content_kept, claims.sooner])
@pytest.mark.parametrize(
    ("runs", "verdict"),
    [
        (started(CLEAR, CLEAR), "holds"),
        (started(REVERSED, REVERSED), "doesn't hold"),
        (started(CLEAR, REVERSED), "doesn't hold"),
        (started(REVERSED, EQUAL), "doesn't hold"),
        (started(CLEAR, EQUAL), "undecided"),
        (started(CLEAR, CLEAR, REVERSED), "undecided"),
        (started(EQUAL, EQUAL), "undecided"),
        (started(CLEAR, CLEAR, spread=1), "undecided"),
        (started(CLEAR, CLEAR, runs=1), "undecided"),
        (started({"noise": 0.4, "adain": 0.2}), "undecided"),
    ],
)
def test_content_against_noise(claim: Any, runs: pd.DataFrame, verdict: str) -> None:
    assert claim(runs).verdict == verdict


def test_two_measures_that_disagree_decide_nothing() -> None:
    claim = claims.content_kept(started(CLEAR, CLEAR).assign(ssim=0.5))
    assert claim.verdict == "undecided"
    assert claim.numbers[0] == ("content distance", "pairs ahead 2, behind 0, of 2")


def study(name: str, runs: pd.DataFrame | None = None, **metrics: Any) -> Study:
    return Study(name, metrics, pd.DataFrame() if runs is None else runs)


@pytest.mark.parametrize(
    ("same", "other", "verdict"),
    [
        ([0.9, 0.75], [0.25, -0.1], "holds"),
        ([0.9, 0.49], [0.1, 0.1], "doesn't hold"),
        ([0.9, 0.9], [0.1, 0.51], "doesn't hold"),
        ([0.9, 0.7], [0.1, 0.1], "undecided"),
        ([0.9, 0.9], [0.1, 0.3], "undecided"),
    ],
)
def test_two_noises(same: list[float], other: list[float], verdict: str) -> None:
    claim = claims.two_noises(
        *(
            study(name, noises={picture: {"shared": value} for picture, value in zip("ab", shared, strict=True)})
            for name, shared in (("reconstruction", same), ("synthesis", other))
        )
    )
    assert claim.verdict == verdict
    assert ("reconstruction, a", "90 %") in claim.numbers


@pytest.mark.parametrize(
    ("again", "margin", "beyond"),
    [(0.51, 0.1, "yes"), (0.7, 0.1, "no"), (None, 0.1, "not known"), (0.51, None, "not known")],
)
def test_a_choice_is_beyond_noise_where_its_margin_is_larger(
    again: float | None, margin: float | None, beyond: str
) -> None:
    ssim = {"conv1_1": [0.6], "conv2_1": [0.5] if again is None else [0.5, again]}
    runs = pd.DataFrame(
        [{"content": "castle", "content_layer": layer, "ssim": each} for layer, found in ssim.items() for each in found]
    )
    made = study("reconstruction", runs, margin=margin, runner_up="conv1_1", rule="deepest")
    found = choices.of_place("Best layer", made, "conv2_1", place="content_layer", metric="ssim")
    assert found.beyond_noise == beyond
    assert (found.winner, found.numbers, found.runner_up) == ("3 · conv2_1", "SSIM 0.50", "conv1_1: SSIM 0.60")


@pytest.mark.parametrize(("deviation", "lost", "beyond"), [(0.001, 0, "yes"), (0.3, 2, "no")])
def test_a_cell_may_lose_ranks_to_noise(deviation: float, lost: int, beyond: str) -> None:
    distances = [0.4, 0.5, 0.6, 0.9]
    cells = pd.DataFrame(
        {
            "content_layer": "conv4_2",
            "style_layers": list("1234"),
            "init": "noise",
            "pair": "a × b",
            "content_distance": distances,
            "style_distance": distances,
        }
    )
    cells.loc[3, ["content_distance", "style_distance"]] = 0.62
    recommended = {"content_layer": "conv4_2", "style_layers": "2"}
    transfer = study("transfer", cells, recommended=recommended, runner_up="conv4_2 | 3", margin=1.0, rule="rank")
    values = [1 - deviation, 1, 1 + deviation]
    repeated = pd.DataFrame({"pair": "a × b", "init": "noise", "content_distance": values, "style_distance": values})
    run = Run(Path(), {"transfer": transfer, "initialization": study("initialization", repeated)}, pd.DataFrame())
    found = choices.recommended_cell(run)
    assert (found.spread, found.beyond_noise) == (f"{lost} (ranks)", beyond)
    assert found.numbers == "content distance 0.50, style distance 0.50 (ranks 2 and 2 of 4)"
