"""Numbers as text, with as many digits as mean something; and the two statistics of the report, by scipy."""

import math
import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

NOTHING = "–"
"""Stands where there is no number."""


def number(value: float | None, digits: int | None = None) -> str:
    """`value` to so many significant digits; integers stay whole.

    Without a number of digits, two are shown, since another noise changes a distance by some per cent; and three from
    10 on.
    """
    if value is None or math.isnan(value):
        return NOTHING
    if isinstance(value, int):
        return f"{value}".replace("-", "−")
    return _fixed(value, _decimals(value, digits or _meaningful(value)))


def about(value: float, digits: int = 2) -> str:
    """`value` to so many significant digits, also before the decimal point: ``1200`` of 1209."""
    return number(float(f"{value:.{digits}g}"), digits)


def plus_minus(mean: float, deviation: float) -> str:
    """``0.659 ± 0.072``: the deviation to two significant digits, the mean to no more than that and to three."""
    if math.isnan(mean):
        return NOTHING
    if math.isnan(deviation):  # of one run
        return number(mean, 3)
    if deviation == 0:
        return f"{number(mean, 3)} ± 0"
    # A mean of 0, or one that is small beside its deviation, has the decimals of the deviation.
    wanted = _decimals(mean, 3) if abs(mean) > deviation else _decimals(deviation, 2)
    decimals = min(wanted, _decimals(deviation, 2))
    shown = _fixed(deviation, decimals)
    if float(shown) == 0:
        shown = f"<{_fixed(10.0**-wanted, wanted)}"
        decimals = wanted
    return f"{_fixed(mean, decimals)} ± {shown}"


def interval(value: float, low: float, high: float) -> str:
    """``−0.081 [−0.101, −0.062]``: all three with the decimals that two digits of the half width have."""
    if math.isnan(value):
        return NOTHING
    if math.isnan(low):
        return number(value)
    decimals = _decimals((high - low) / 2, 2) if high > low else _decimals(value, 2)
    return f"{_fixed(value, decimals)} [{_fixed(low, decimals)}, {_fixed(high, decimals)}]"


def percent(share: float) -> str:
    """``86 %`` of 0.861."""
    return f"{number(round(100 * share))} %"


def _meaningful(value: float) -> int:
    return 2 if abs(float(f"{value:.2g}")) < 10 else 3


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def _decimals(value: float, digits: int) -> int:
    if value == 0:
        return 0
    # Rounding first: 9.996 is 10.0 to three digits, which needs one decimal less.
    return max(0, digits - 1 - math.floor(math.log10(abs(float(f"{value:.{digits}g}")))))


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
