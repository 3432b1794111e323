"""Numbers as text, with as many digits as mean something."""

import math

from nst.studies.intervals import Interval

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
    return fixed(value, _decimals(value, digits or _meaningful(value)))


def about(value: float, digits: int = 2) -> str:
    """`value` to so many significant digits, also before the decimal point: ``1200`` of 1209."""
    return number(float(f"{value:.{digits}g}"), digits)


def interval(found: Interval) -> str:
    """``−0.081 [−0.101, −0.062]``: all three with the decimals that two digits of the half width have."""
    if math.isnan(found.mean):
        return NOTHING
    if math.isnan(found.low):
        return number(found.mean)
    width = found.high - found.low
    decimals = _decimals(width / 2, 2) if width > 1e-12 else _decimals(found.mean, 2)
    return f"{fixed(found.mean, decimals)} [{fixed(found.low, decimals)}, {fixed(found.high, decimals)}]"


def percent(share: float) -> str:
    """``86 %`` of 0.861."""
    return f"{number(round(100 * share))} %"


def _meaningful(value: float) -> int:
    return 2 if abs(float(f"{value:.2g}")) < 10 else 3


def fixed(value: float, decimals: int) -> str:
    """`value` with so many decimals, and a true minus."""
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def _decimals(value: float, digits: int) -> int:
    if value == 0:
        return 0
    # Rounding first: 9.996 is 10.0 to three digits, which needs one decimal less.
    return max(0, digits - 1 - math.floor(math.log10(abs(float(f"{value:.{digits}g}")))))
