"""The two statistics of the report, by scipy: a rank correlation, and how far two means differ."""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Difference(NamedTuple):
    """Of two means, with its 95 % confidence interval; NaN bounds where a side has a single run."""

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """Whether the interval is above 0 (1), below (−1), or neither."""
        return int(self.low > 0) - int(self.high < 0)


def rank_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's ρ: 1 if y always rises with x, −1 if it always falls; NaN where one of them is constant."""
    from scipy.stats import spearmanr

    if min(len(np.unique(x)), len(np.unique(y))) < 2:
        return float("nan")
    return float(spearmanr(x, y).statistic)


def difference(values: ArrayLike, reference: ArrayLike) -> Difference:
    """mean(values) − mean(reference), with the interval of Welch's t-test.

    Runs without noise are all equal: then the interval has the other side's width, or none.
    """
    from scipy.stats import ttest_ind

    a, b = np.asarray(values, float), np.asarray(reference, float)
    value = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        return Difference(value, float("nan"), float("nan"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # equal runs are meant
        low, high = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return Difference(value, float(low), float(high))
