"""Means and paired differences with their 95 % confidence intervals: what choices and verdicts follow from.

Student's t over the runs that a study has.  An interval speaks of the pictures and noises in params.yaml, and of others
as far as these are a fair sample of them.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.95
"""Of all confidence intervals."""


@dataclass(frozen=True)
class Interval:
    """A mean over `n` values, and the confidence interval of it: without bounds (NaN) where one value is all."""

    mean: float
    low: float
    high: float
    n: int

    def side_of(self, value: float) -> int:
        """1 if the whole interval is above `value`, −1 if it is below, 0 if it holds it or has no bounds."""
        return int(self.low > value) - int(self.high < value)


def mean(values: ArrayLike) -> Interval:
    """Of independent values; equal values have an interval without width."""
    from scipy.stats import t

    found = np.asarray(values, float)
    centre, n = float(found.mean()), len(found)
    if n < 2:
        return Interval(centre, math.nan, math.nan, n)
    half = float(t.ppf((1 + LEVEL) / 2, n - 1) * found.std(ddof=1) / math.sqrt(n))
    return Interval(centre, centre - half, centre + half, n)


def difference(values: Sequence[float], references: Sequence[float]) -> Interval:
    """Of value − reference, each of the same pictures and noise."""
    return mean(np.subtract(values, references))


def ratio(values: Sequence[float], references: Sequence[float]) -> Interval:
    """Geometric mean of value / reference, each of the same pictures and noise, with the interval of its logarithm.

    Distances of two styles differ by more than windows do; their ratios compare.
    """
    found = mean(np.log(values) - np.log(references))
    return Interval(math.exp(found.mean), math.exp(found.low), math.exp(found.high), found.n)


def rank_correlation(x: ArrayLike, y: ArrayLike) -> Interval:
    """Spearman's ρ: 1 if y always rises with x, −1 if it always falls; NaN where one of them is constant.

    The interval is Fisher's, of Pearson's correlation of the ranks.
    """
    from scipy.stats import pearsonr, rankdata

    a, b = rankdata(x), rankdata(y)
    if min(np.ptp(a), np.ptp(b)) == 0:
        return Interval(math.nan, math.nan, math.nan, len(a))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the bounds of ±1 are ±1
        found = pearsonr(a, b)
        low, high = found.confidence_interval(LEVEL) if len(a) > 3 else (math.nan, math.nan)
    return Interval(float(found.statistic), float(low), float(high), len(a))
