"""What differs between two sets of values, the largest change first, and how it is written."""

import json
from typing import Any

import numpy as np
import pandas as pd

from nst.report.numbers import NOTHING, number
from nst.report.run import Frame

MOST_ROWS = 100
"""Rows of a table; the changes after these are smaller."""


def flat(values: dict[str, Any]) -> "pd.Series[Any]":
    """Nested mappings as one, keys joined by dots as ``dvc metrics show`` joins them."""
    return pd.Series(pd.json_normalize(values).to_dict("records")[0], dtype=object)


def differences(before: "pd.Series[Any]", after: "pd.Series[Any]") -> Frame:
    """The entries that differ, the largest change first: "before", "after" and "change", (after − before) / |before|.

    A change is NaN where a side has no number; such entries come first, as those do that grew from 0.
    """
    keys = before.index.append(after.index).unique()
    found = Frame({"before": before.reindex(keys), "after": after.reindex(keys)}, dtype=object)
    differ = (found["before"] != found["after"]) & ~found.isna().all(axis="columns")
    found = found[differ]
    old, new = (found[side].map(_number).astype(float) for side in ("before", "after"))
    found["change"] = (new - old) / old.abs()
    return found.sort_values("change", key=lambda change: -change.abs().fillna(np.inf), kind="stable")


def _number(value: Any) -> float:
    return float(value) if is_number(value) else float("nan")


def is_number(value: Any) -> bool:
    """Whether a change can be told; of truth values it cannot."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def texts(found: Frame) -> list[tuple[str, ...]]:
    """The cells of each row: what it is of, before, after, change."""
    rows = []
    for key, before, after, change in found[:MOST_ROWS].itertuples(name=None):
        of = key if isinstance(key, tuple) else (key,)
        rows.append((*of, _shown(before), _shown(after), change_text(change)))
    return rows


def change_text(change: float) -> str:
    """``+12 %``."""
    if not np.isfinite(change):
        return NOTHING if np.isnan(change) else "from 0"
    percent = 100 * change
    digits = "+.0f" if abs(percent) > 99 else "+.2g"  # without an exponent
    return f"{percent:{digits}} %".replace("-", "−")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    if pd.isna(value):
        return NOTHING
    return number(value, 4) if is_number(value) else str(value)
