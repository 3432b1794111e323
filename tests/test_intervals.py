"""Confidence intervals: known values, and how often they hold the truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nst.studies import intervals
from nst.studies.intervals import Interval

VALUES = st.lists(st.floats(0.01, 100), min_size=2, max_size=12)


def test_the_mean_of_three_by_hand() -> None:
    """Student's t with 2 degrees of freedom is 4.303 for 95 %; the standard error of 1, 2, 3 is 1/√3."""
    found = intervals.mean([1.0, 2.0, 3.0])
    assert (found.mean, found.n) == (2.0, 3)
    assert found.high - found.mean == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_about_95_percent_of_intervals_hold_the_truth() -> None:
    drawn = np.random.default_rng(0).normal(3.0, 2.0, (2000, 5))
    held = [found.low <= 3.0 <= found.high for found in map(intervals.mean, drawn)]
    assert 0.93 < np.mean(held) < 0.97


def test_one_value_has_no_bounds_and_excludes_nothing() -> None:
    found = intervals.mean([2.0])
    assert (found.mean, found.n) == (2.0, 1)
    assert math.isnan(found.low)
    assert found.side_of(100.0) == found.side_of(-100.0) == 0


def test_equal_values_have_no_spread() -> None:
    assert intervals.mean([2.0, 2.0, 2.0]) == Interval(2.0, 2.0, 2.0, 3)


def test_which_side() -> None:
    found = Interval(1.0, 0.5, 1.5, 4)
    assert [found.side_of(value) for value in (0.4, 0.5, 1.0, 1.5, 1.6)] == [1, 0, 0, 0, -1]


@given(VALUES)
def test_differences_are_paired(values: list[float]) -> None:
    """However unlike the pictures are, a difference that each of them has is found."""
    found = intervals.difference([value + 0.5 for value in values], values)
    assert found.mean == pytest.approx(0.5)
    assert found.low == pytest.approx(0.5, abs=1e-6)


@given(VALUES)
def test_ratios_do_not_depend_on_units(values: list[float]) -> None:
    reference = [1.0 + index for index in range(len(values))]
    found, scaled = intervals.ratio(values, reference), intervals.ratio([1000 * v for v in values], reference)
    assert scaled.mean == pytest.approx(1000 * found.mean)
    assert (scaled.low, scaled.high) == pytest.approx((1000 * found.low, 1000 * found.high))
    assert intervals.ratio(values, values).mean == pytest.approx(1.0)


def test_rank_correlation_is_spearmans_with_fishers_interval() -> None:
    x, y = range(8), [2, 1, 4, 3, 5, 8, 6, 7]
    found = intervals.rank_correlation(x, y)
    rho = stats.spearmanr(x, y).statistic
    assert found.mean == pytest.approx(rho)
    half = 1.959964 / math.sqrt(8 - 3)  # of the inverse hyperbolic tangent of ρ
    assert (found.low, found.high) == pytest.approx(
        (math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half))
    )


def test_what_always_rises_and_what_never_changes() -> None:
    assert intervals.rank_correlation(range(6), [1, 4, 9, 16, 25, 36]).mean == pytest.approx(1.0)
    assert math.isnan(intervals.rank_correlation(range(6), [1.0] * 6).mean)
    assert math.isnan(intervals.rank_correlation(range(3), [1, 2, 3]).low), "three are too few for an interval"
