"""Numbers as text, and the words that follow from them.

The report states no result that was typed in: which is lower, by how much, and whether that is more than chance is
worked out here, so that the words turn when the numbers do.
"""

import math
from collections.abc import Sequence

NOTHING = "–"
"""Stands where there is no number."""

WEAK = 0.2
"""Rank correlations nearer to 0 are not called a relation."""

_SAME = 5e-3
"""Relative difference below which two numbers are called the same."""


def number(value: float | None, digits: int | None = None) -> str:
    """`value` to so many significant digits, never with an exponent; whole numbers given as int stay whole.

    Without a number of digits, to as many as mean something: of a distance two, since another noise changes it by
    some per cent, and from 10 on three.
    """
    if value is None or math.isnan(value):
        return NOTHING
    if isinstance(value, int):
        return f"{value}".replace("-", "−")
    return _fixed(value, _decimals(value, digits or _meaningful(value)))


def about(value: float, digits: int = 2) -> str:
    """`value` to so many significant digits, also before the decimal point: ``1200`` of 1209."""
    return number(float(f"{value:.{digits}g}"), digits)


def plus_minus(mean: float | None, deviation: float | None) -> str:
    """``0.659 ± 0.072``: the deviation to two significant digits, the mean to no more than that and to three."""
    if mean is None or deviation is None or math.isnan(mean):
        return NOTHING
    if deviation == 0 or math.isnan(deviation):
        return f"{number(float(mean), 3)} ± 0"
    # A mean of 0, or one that is small beside its deviation, has the decimals of the deviation.
    wanted = _decimals(mean, 3) if abs(mean) > deviation else _decimals(deviation, 2)
    decimals = min(wanted, _decimals(deviation, 2))
    shown = _fixed(deviation, decimals)
    if float(shown) == 0:
        shown = f"<{_fixed(10.0**-wanted, wanted)}"
        decimals = wanted
    return f"{_fixed(mean, decimals)} ± {shown}"


def versus(value: float, reference: float, less: str = "lower", more: str = "higher") -> str:
    """How `value` stands to `reference`, to be followed by "than" and what that is of: ``9.1× fewer``, ``12 % more``.

    Returns "" if they are the same.
    """
    if same(value, reference):
        return ""
    word = less if value < reference else more
    if value <= 0 or reference <= 0:
        return word
    ratio = max(value, reference) / min(value, reference)
    if ratio >= 1.5:
        return f"{number(ratio, 2)}× {word}"
    return f"{number(100 * abs(value - reference) / reference, 2)} % {word}"


def same(value: float, reference: float) -> bool:
    """Whether two numbers are too close to be told apart."""
    return math.isclose(value, reference, rel_tol=_SAME)


def clear(value: float, deviation: float, reference: float, reference_deviation: float) -> bool:
    """Whether two means differ by more than the spread of their runs, √(sd² + sd²)."""
    return abs(value - reference) > math.hypot(deviation, reference_deviation)


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Spearman's ρ: 1 if y always rises with x, −1 if it always falls; None where one of them is constant."""
    if len(x) < 2:
        return None
    a, b = _ranks(x), _ranks(y)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    spread_a = math.fsum((u - mean_a) ** 2 for u in a)
    spread_b = math.fsum((v - mean_b) ** 2 for v in b)
    if spread_a == 0 or spread_b == 0:
        return None
    return math.fsum((u - mean_a) * (v - mean_b) for u, v in zip(a, b, strict=True)) / math.sqrt(spread_a * spread_b)


def trend(values: Sequence[float], falls: str = "falls", rises: str = "rises") -> str:
    """Which word says how the last of `values` stands to the first, as both are printed."""
    if number(values[0]) == number(values[-1]):
        return "stays the same"
    return falls if values[-1] < values[0] else rises


def strength(correlation: float | None, against: str = "") -> str:
    """``rank correlation with depth −0.99, strong``."""
    if correlation is None:
        return "no rank correlation, as nothing changes"
    return f"rank correlation {against + ' ' if against else ''}{grade(correlation)}"


def grade(correlation: float | None) -> str:
    """``0.87, strong``: where it has been said that this is a rank correlation."""
    if correlation is None:
        return "none, as nothing changes"
    words = ((0.8, "strong"), (0.5, "moderate"), (WEAK, "weak"), (0.0, "next to none"))
    word = next(word for least, word in words if abs(correlation) >= least)
    return f"{_fixed(correlation, 2)}, {word}"


def listing(items: Sequence[str]) -> str:
    """``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def percent(share: float) -> str:
    """``86 %`` of 0.861."""
    return f"{number(round(100 * share))} %"


def count(amount: int, noun: str) -> str:
    """``1 pair``, ``3 pairs``."""
    return f"{amount} {noun}{'' if amount == 1 else 's'}"


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


def _ranks(values: Sequence[float]) -> list[float]:
    """1 for the smallest; equal values share the mean of their ranks."""
    order = sorted(values)
    return [order.index(value) + (1 + order.count(value)) / 2 for value in values]
