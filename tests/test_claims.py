"""Verdicts on the literature's claims follow from intervals alone: each way, from numbers that are made up here."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nst.engine.layers import LAYERS
from nst.report import choices, claims
from nst.report.claims import verdict
from nst.report.run import Run, Study
from nst.studies.choices import best_finalist, best_layer, best_window


def study(name: str, runs: pd.DataFrame | None = None, noises: pd.DataFrame | None = None, **metrics: Any) -> Study:
    empty = pd.DataFrame()
    return Study(name, metrics, empty if runs is None else runs, empty if noises is None else noises)


def run(
    *studies: Study,
    cells: pd.DataFrame | None = None,
    starts: pd.DataFrame | None = None,
) -> Run:
    """What claims are judged by; the rest is empty."""
    empty = pd.DataFrame()
    given = (empty if table is None else table for table in (cells, None, starts, None))
    return Run(Path(), {one.name: one for one in studies}, *given)


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ([1, 1], "holds"),
        ([-1, -1], "doesn't hold"),
        ([1, 0], "undecided"),
        ([-1, 0], "undecided"),
        ([1, -1], "undecided"),
        ([0], "undecided"),
        ([], "undecided"),
    ],
)
def test_a_verdict_needs_all_intervals_on_one_side(sides: list[int], expected: str) -> None:
    assert verdict(sides) == expected


FALLING, RISING = [40.0, 30, 25, 20, 10, 9, 8, 7], [7.0, 8, 9, 10, 20, 25, 30, 40]


def reconstructions(psnr: list[float], ssim: list[float]) -> Study:
    """Two contents that agree; and the last layer again from another noise, which counts for nothing."""
    columns = {"content_layer": LAYERS[: len(psnr)], "psnr": psnr, "ssim": ssim}
    first = [pd.DataFrame({"content": content, **columns}) for content in ("castle", "cat")]
    again = [table.iloc[-1:].assign(psnr=1000, ssim=1000) for table in first]
    return study("reconstruction", pd.concat([*first, *again]))


@pytest.mark.parametrize(
    ("psnr", "ssim", "expected"),
    [
        (FALLING, FALLING, "holds"),
        ([30, 40, 25, 20, 10, 9, 7, 8], FALLING, "holds"),
        (RISING, RISING, "doesn't hold"),
        (FALLING, RISING, "undecided"),
        ([5.0] * 8, FALLING, "undecided"),
        ([10, 25, 7, 40, 8, 20, 9, 7.5], FALLING, "undecided"),
        ([40.0, 30, 20], [40.0, 30, 20], "undecided"),
    ],
    ids=["both fall", "almost", "both rise", "they disagree", "one stays", "one falls by half", "few layers"],
)
def test_worse_with_depth(psnr: list[float], ssim: list[float], expected: str) -> None:
    claim = claims.worse_with_depth(run(reconstructions(psnr, ssim)))
    assert claim.verdict == expected
    assert [name for name, _ in claim.numbers] == ["PSNR, castle", "SSIM, castle", "PSNR, cat", "SSIM, cat"]
    assert {found.n for _, found in claim.numbers} == {len(psnr)}


@pytest.mark.parametrize(
    ("same", "other", "expected"),
    [
        ([0.9, 0.8, 0.85], [0.2, 0.1, 0.15], "holds"),
        ([0.2, 0.1, 0.15], [0.9, 0.8, 0.85], "doesn't hold"),
        ([0.9, 0.8, 0.85], [0.9, 0.8, 0.85], "undecided"),
        ([0.9, 0.2, 0.8], [0.2, 0.1, 0.15], "undecided"),
        ([0.9], [0.1], "undecided"),
    ],
    ids=["as claimed", "the other way round", "textures are the same too", "they vary", "one picture each"],
)
def test_two_noises(same: list[float], other: list[float], expected: str) -> None:
    shared = {"reconstruction": same, "synthesis": other}
    claim = claims.two_noises(run(*(study(name, noises=pd.DataFrame({"shared": v})) for name, v in shared.items())))
    assert claim.verdict == expected
    assert claim.numbers[0][1].mean == pytest.approx(sum(same) / len(same))


@pytest.mark.parametrize(
    ("ssim", "expected"),
    [(FALLING, "holds"), (RISING, "doesn't hold"), ([1.0, 9, 2, 8, 3, 7, 4, 6], "undecided")],
)
def test_detail_by_content_layer(ssim: list[float], expected: str) -> None:
    """Of the grid alone: what a finalist has on other pairs does not count."""
    rows = [(f"{layer} {window}", layer, value) for layer, value in zip(LAYERS, ssim, strict=False) for window in "ab"]
    runs = pd.DataFrame(rows, columns=["job", "content_layer", "ssim"])
    finalist = pd.DataFrame([("finalist", LAYERS[0], -1000.0)], columns=runs.columns)
    transfer = study("transfer", pd.concat([runs, finalist]))
    claim = claims.detail_by_content_layer(run(transfer, cells=runs[["job"]]))
    assert claim.verdict == expected


def starts(distance: tuple[float, float], ssim: tuple[float, float], start: str = "content") -> pd.DataFrame:
    """Rows of starts.csv: bounds of the difference from noise, first after equal iterations; later the reverse."""
    rows: list[dict[str, Any]] = []
    for when, sign in (("after 40 iterations", 1), ("at equal loss", -1)):
        for name, bounds in (("content_distance", distance), ("ssim", ssim)):
            low, high = sorted(sign * bound for bound in bounds)
            for init, values in (("noise", (0.0, 0.0)), (start, (low, high))):
                row = {"when": when, "quantity": name, "init": init, "runs": 9, "mean": 0.5}
                rows.append({**row, "difference": sum(values) / 2, "low": values[0], "high": values[1]})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("distance", "ssim", "expected"),
    [
        ((-0.3, -0.1), (0.1, 0.3), "holds"),
        ((0.1, 0.3), (-0.3, -0.1), "doesn't hold"),
        ((-0.3, 0.1), (0.1, 0.3), "undecided"),
        ((-0.3, -0.1), (-0.1, 0.3), "undecided"),
        ((-0.3, -0.1), (-0.3, -0.1), "undecided"),
        ((-0.3, 0.0), (0.1, 0.3), "undecided"),
    ],
    ids=["both", "neither", "distance by chance", "SSIM by chance", "they disagree", "the border is in it"],
)
def test_content_kept(distance: tuple[float, float], ssim: tuple[float, float], expected: str) -> None:
    claim = claims.content_kept(run(starts=starts(distance, ssim)))
    assert claim.verdict == expected
    assert (claim.numbers[0][1].low, claim.numbers[0][1].high) == distance


def test_a_claim_about_a_start_that_was_not_run_is_undecided() -> None:
    claim = claims.content_kept(run(starts=starts((-0.3, -0.1), (0.1, 0.3), start="adain")))
    assert (claim.verdict, claim.numbers) == ("undecided", ())


def test_every_claim_names_a_source_and_the_side_that_bears_it_out() -> None:
    made = (
        claims.worse_with_depth(run(reconstructions(FALLING, FALLING))),
        claims.content_kept(run(starts=starts((-0.3, -0.1), (0.1, 0.3)))),
    )
    for claim in made:
        assert "(20" in claim.source
        assert "holds" in claim.measure


def chosen() -> Run:
    """Three choices by the studies' own rules: clear, within chance, and of one run."""
    layers = {"conv1_1": [0.9, 0.91, 0.92], "conv4_2": [0.7, 0.71, 0.72], "conv5_4": [0.1, 0.11, 0.12]}
    windows = {"1-5": [0.10, 0.30, 0.20], "2-6": [0.30, 0.10, 0.21], "3-7": [0.9, 0.91, 0.92]}
    finalists = {"conv4_2 | classic": [[(0.3, 0.1)]], "conv4_2 | 6-10": [[(0.5, 0.2)]]}
    return run(
        study("reconstruction", **best_layer(layers, 0.5).as_dict()),
        study("synthesis", **best_window(windows).as_dict()),
        study("transfer", **best_finalist(finalists).as_dict()),
    )


def test_a_choice_says_what_it_cannot_be_told_from() -> None:
    layer, window, cell = choices.choices(chosen()).values()
    assert (layer.winner, layer.alike) == ("conv4_2", ())
    assert [layer.told_apart(name) for name in ("conv1_1", "conv4_2", "conv5_4")] == ["yes", "winner", "yes"]
    assert (window.winner, window.alike) == ("1-5", ("2-6",))
    assert [window.told_apart(name) for name in ("1-5", "2-6", "3-7")] == ["winner", "no", "yes"]
    assert (cell.winner, cell.alike) == ("conv4_2 | classic", ("conv4_2 | 6-10",)), "one run tells nothing apart"


def test_the_winner_has_an_interval_only_where_it_means_something() -> None:
    """Its difference from itself is 0 by construction."""
    layer, window, cell = choices.choices(chosen()).values()
    assert "[" in layer.number
    assert "3 runs" in layer.number
    assert "[" not in window.number
    assert "[" not in cell.number
