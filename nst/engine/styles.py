"""Several styles in one picture: ``great_wave:2,cafe_terrace:1`` takes two parts of one style and one of the other.

What a job aims at is the weighted mean of their statistics, as in J. Johnson's neural-style; for sorted activations
that is the distribution in between (their Wasserstein barycentre).
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_WEIGHTED = re.compile(r"(.+):([-+]?[\d.]+(?:e[-+]?\d+)?)", flags=re.IGNORECASE)


def parse(text: str) -> tuple[tuple[str, float], ...]:
    """The styles that `text` names, each with its share; a weight that is left out is 1.

    Raises:
        ValueError: a name is empty or given twice, or a weight is not above 0.
    """
    names, weights = [], []
    for part in text.split(","):
        weighted = _WEIGHTED.fullmatch(part.strip())
        names.append((weighted[1] if weighted else part).strip())
        weights.append(weighted[2] if weighted else "1")
    if not all(names):
        raise ValueError(f"{text!r}: a style is missing; write them like great_wave:2,cafe_terrace:1")
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"{text!r}: {name!r} is given twice; leave one out")
    return tuple(zip(names, shares(weights), strict=True))


def shares(weights: Sequence[str | float]) -> tuple[float, ...]:
    """Weights divided by their sum.

    Raises:
        ValueError: one is not a number above 0, or too large.
    """
    try:
        numbers = [float(weight) for weight in weights]
    except (TypeError, ValueError):
        numbers = [math.nan]
    if not all(number > 0 for number in numbers) or not math.isfinite(sum(numbers)):
        raise ValueError(f"weights of styles are numbers above 0 (found {', '.join(map(str, weights))})")
    return tuple(number / sum(numbers) for number in numbers)


def mean(parts: "Iterable[tuple[Tensor, float]]") -> "Tensor":
    """The weighted mean of what several styles have of a kind, each with its share; of one, as it is."""
    (first, share), *others = parts
    total = first if share == 1 else share * first
    for other, share in others:
        total = total + share * other
    return total
