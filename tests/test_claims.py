"""Verdicts on the literature's claims, each way, from numbers that are made up here."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from nst.engine.layers import LAYERS
from nst.report import claims
from nst.report.findings.records import Results, Run, Start, StudyResults
from nst.studies.initialization import ALL_PAIRS

QUANTITIES = ("content_distance", "style_distance", "ssim", "iterations_to_target", "seconds_to_target", "seconds")


def run(**changes: Any) -> Run:
    values: dict[str, Any] = {field.name: None for field in dataclasses.fields(Run)}
    return Run(**{**values, "job": "job", "init": "noise", "style": "wave", **changes})


def by_layer(values: list[float]) -> dict[str, float]:
    return dict(zip(LAYERS, values, strict=False))


def verdict(claim: claims.Claim) -> str:
    assert claim.rule
    assert claim.source
    return claim.verdict


class TestWorseWithDepth:
    """Rank correlation of two metrics with depth."""

    FALLING = by_layer([40, 30, 25, 20, 10, 9, 8, 7])
    RISING = by_layer([7, 8, 9, 10, 20, 25, 30, 40])

    def test_holds_when_both_fall(self) -> None:
        claim = claims.worse_with_depth(self.FALLING, self.FALLING)
        assert verdict(claim) == "holds"
        assert claim.evidence == "Rank correlation over 8 layers: PSNR −1.00 and SSIM −1.00."
        almost = by_layer([30, 40, 25, 20, 10, 9, 7, 8])
        assert verdict(claims.worse_with_depth(almost, self.FALLING)) == "holds"

    def test_does_not_hold_when_one_rises_or_stays(self) -> None:
        assert verdict(claims.worse_with_depth(self.FALLING, self.RISING)) == "doesn't hold"
        assert verdict(claims.worse_with_depth(by_layer([5] * 8), self.FALLING)) == "doesn't hold"

    def test_undecided_when_one_falls_by_half(self) -> None:
        weakly = by_layer([10, 25, 7, 40, 8, 20, 9, 7.5])
        claim = claims.worse_with_depth(weakly, self.FALLING)
        assert verdict(claim) == "undecided"

    def test_undecided_of_few_layers(self) -> None:
        few = by_layer([40, 30, 20, 10])
        assert verdict(claims.worse_with_depth(few, few)) == "undecided"


class TestEarlierWindows:
    """The best of the earlier half against the best of the later half, and how much chance moves it."""

    def textures(self, gram: list[float], sliced: list[float] | None = None, again: float | None = None) -> list[Run]:
        """One run a window, and one more of the best from another noise."""
        names = [f"{first}-{first + 4}" for first in range(1, len(gram) + 1)]
        runs = [
            run(style_layers=name, style_distance=one, sliced_wasserstein=other)
            for name, one, other in zip(names, gram, sliced or gram, strict=True)
        ]
        if again is not None:
            best = min(range(len(gram)), key=lambda i: gram[i])
            runs.append(dataclasses.replace(runs[best], style_distance=again, sliced_wasserstein=again))
        return [*runs, run(style="other", style_layers="4-8", style_distance=0.0, sliced_wasserstein=0.0)]

    def test_holds_when_the_earlier_are_ahead(self) -> None:
        claim = claims.earlier_windows(self.textures([0.1, 0.2, 0.3, 0.4, 0.5], again=0.15))
        assert verdict(claim) == "holds"
        assert "Style distance: 1-5 0.10, 4-8 0.40, 2 noises vary by 0.050." in claim.evidence
        assert "Sliced Wasserstein distance: 1-5 0.10" in claim.evidence

    def test_does_not_hold_when_the_later_are_ahead(self) -> None:
        assert verdict(claims.earlier_windows(self.textures([0.3, 0.3, 0.3, 0.2, 0.1], again=0.11))) == "doesn't hold"

    def test_undecided_within_the_spread_of_noises(self) -> None:
        assert verdict(claims.earlier_windows(self.textures([0.1, 0.3, 0.15, 0.3], again=0.2))) == "undecided"

    def test_undecided_when_the_two_distances_disagree(self) -> None:
        runs = self.textures([0.1, 0.2, 0.3, 0.4], sliced=[0.4, 0.3, 0.2, 0.1], again=0.12)
        assert verdict(claims.earlier_windows(runs)) == "undecided"

    def test_undecided_without_a_repeated_run(self) -> None:
        claim = claims.earlier_windows(self.textures([0.1, 0.2, 0.3, 0.4]))
        assert verdict(claim) == "undecided"
        assert "no repeated runs" in claim.evidence

    def test_undecided_of_one_window(self) -> None:
        assert verdict(claims.earlier_windows(self.textures([0.1], again=0.1))) == "undecided"

    def test_the_middle_window_is_in_neither_half(self) -> None:
        assert verdict(claims.earlier_windows(self.textures([0.2, 0.1, 0.3], again=0.11))) == "holds"


def started(*pairs: Mapping[str, tuple[float, float]], deviation: float = 0.01, runs: int = 3) -> Results:
    """Pairs of pictures, each with its (content distance, iterations to the target) by start; SSIM and seconds go
    along."""
    starts = []
    names = [f"pair {number}" for number in range(len(pairs))]
    every = {init: [pair[init] for pair in pairs] for init in pairs[0]}
    means = {
        init: tuple(sum(column) / len(pairs) for column in zip(*each, strict=True)) for init, each in every.items()
    }
    for name, values in [*zip(names, pairs, strict=True), (ALL_PAIRS, means)]:
        for init, (distance, iterations) in values.items():
            columns = dict.fromkeys(QUANTITIES, 1.0) | {
                "content_distance": distance,
                "ssim": 1 - distance,
                "iterations_to_target": iterations,
                "seconds_to_target": iterations / 20,
            }
            spread = {f"{key}_sd": deviation for key in columns}
            starts.append(Start(name, init, runs if name != ALL_PAIRS else runs * len(pairs), {**columns, **spread}))
    return Results({}, tuple(starts))


CLEAR = {"noise": (0.4, 80.0), "content": (0.2, 30.0)}
REVERSED = {"noise": (0.2, 30.0), "content": (0.4, 80.0)}
EQUAL = {"noise": (0.3, 50.0), "content": (0.3, 50.0)}


@pytest.mark.parametrize("claim", [claims.content_kept, claims.sooner])
class TestContentAgainstNoise:
    """In each pair, beyond the spread of the runs."""

    def test_holds_when_ahead_in_all_pairs(self, claim: Any) -> None:
        found = claim(started(CLEAR, CLEAR))
        assert verdict(found) == "holds"
        assert "clearly so in all 2 pairs" in found.evidence

    def test_does_not_hold_when_behind_as_often_as_ahead(self, claim: Any) -> None:
        assert verdict(claim(started(REVERSED, REVERSED))) == "doesn't hold"
        assert verdict(claim(started(CLEAR, REVERSED))) == "doesn't hold"
        assert verdict(claim(started(REVERSED, EQUAL))) == "doesn't hold"

    def test_undecided_otherwise(self, claim: Any) -> None:
        assert verdict(claim(started(CLEAR, EQUAL))) == "undecided"
        assert verdict(claim(started(CLEAR, CLEAR, REVERSED))) == "undecided"
        assert verdict(claim(started(EQUAL, EQUAL))) == "undecided"

    def test_undecided_within_the_spread(self, claim: Any) -> None:
        assert verdict(claim(started(CLEAR, CLEAR, deviation=100))) == "undecided"

    def test_undecided_where_each_start_was_run_once(self, claim: Any) -> None:
        found = claim(started(CLEAR, CLEAR, runs=1, deviation=0))
        assert verdict(found) == "undecided"
        assert "spread is not known" in found.evidence

    def test_undecided_without_both_starts(self, claim: Any) -> None:
        found = claim(started({"noise": CLEAR["noise"], "adain": CLEAR["content"]}))
        assert verdict(found) == "undecided"
        assert "does not have both starts" in found.evidence


def test_two_measures_that_disagree_decide_nothing() -> None:
    results = started(CLEAR, CLEAR)
    worse = [dataclasses.replace(each, values={**each.values, "ssim": 0.5, "ssim_sd": 0.0}) for each in results.starts]
    assert verdict(claims.content_kept(dataclasses.replace(results, starts=tuple(worse)))) == "undecided"


class TestTwoNoises:
    """Reconstructions share their variation, textures don't."""

    @pytest.mark.parametrize(
        ("reconstructions", "textures", "expected"),
        [
            ([0.9, 0.75], [0.25, -0.1], "holds"),
            ([0.9, 0.49], [0.1, 0.1], "doesn't hold"),
            ([0.9, 0.9], [0.1, 0.51], "doesn't hold"),
            ([0.9, 0.7], [0.1, 0.1], "undecided"),
            ([0.9, 0.9], [0.1, 0.3], "undecided"),
        ],
    )
    def test_by_hand(self, reconstructions: list[float], textures: list[float], expected: str) -> None:
        names = ("castle", "cat")
        claim = claims.two_noises(*(dict(zip(names, each, strict=True)) for each in (reconstructions, textures)))
        assert verdict(claim) == expected
        assert f"Reconstructions: castle {100 * reconstructions[0]:.0f} %" in claim.evidence
        assert f"cat {100 * textures[1]:.0f} %.".replace("-", "−") in claim.evidence


class TestAgreement:
    """Rank correlation with the Gram distance."""

    def grid(self, sliced: list[float], colour: list[float]) -> list[Run]:
        return [
            run(style_distance=i / 10, sliced_wasserstein=one, colour_distance=other)
            for i, (one, other) in enumerate(zip(sliced, colour, strict=True))
        ]

    def test_by_hand(self) -> None:
        same, opposite = claims.agreement(self.grid([1, 4, 9, 16], [4, 3, 2, 1]))
        assert (same.correlation, opposite.correlation) == (pytest.approx(1), pytest.approx(-1))
        assert (same.metric, same.told, same.pictures) == ("sliced Wasserstein distance", "1.00, strong", 4)
        assert (opposite.metric, opposite.told) == ("colour distance", "−1.00, strong")

    def test_none_where_nothing_changes(self) -> None:
        constant = claims.agreement(self.grid([1, 1], [2, 2]))
        assert [each.correlation for each in constant] == [None, None]
        assert {each.told for each in constant} == {"none, as nothing changes"}


def test_all_claims_of_a_run() -> None:
    initialization = started(CLEAR, CLEAR)
    falling = TestWorseWithDepth.FALLING
    textures = TestEarlierWindows().textures([0.3, 0.2, 0.2, 0.1], again=0.11)
    studies = {
        "reconstruction": StudyResults(
            "reconstruction", {"psnr": falling, "ssim": falling, "noises": {"castle": {"shared": 0.9}}}, ()
        ),
        "synthesis": StudyResults("synthesis", {"noises": {"wave": {"shared": 0.1}}}, tuple(textures)),
    }
    found = claims.claims(dataclasses.replace(initialization, studies=studies))
    assert [claim.verdict for claim in found] == ["holds", "doesn't hold", "holds", "holds", "holds"]
