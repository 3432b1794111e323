"""reports/jobs.html: each picture of the studies with what its job was, what was measured of it, and what it took."""

from collections.abc import Iterator
from typing import Any

from nst.report.numbers import NOTHING, number
from nst.report.pictures import Row
from nst.report.run import JOBS, Run
from nst.report.templating import render
from nst.report.texts import SECTIONS

_NOT_SHOWN = ("job", "image", "href", "page", "pair")
"""Columns that say where something is, or what others say."""


def page(run: Run) -> str:
    """The page's text.  It shows the pictures' own files, which lie beside it."""
    titles = {section.name: section.title for section in SECTIONS}
    studies = [
        {
            "name": name,
            "title": titles[name],
            "jobs": [
                {
                    "name": row["job"],
                    "image": row["href"],
                    "id": row["page"].removeprefix(f"{JOBS}#"),
                    "values": list(_values(row)),
                }
                for row in study.runs.to_dict("records")
            ],
        }
        for name, study in run.studies.items()
    ]
    return render("jobs.html.j2", {"studies": studies})


def _values(row: Row) -> Iterator[tuple[str, str]]:
    """Name and text of each column that has a value."""
    for name, value in row.items():
        text = value if isinstance(value, str) else _number(value)
        if name not in _NOT_SHOWN and text != NOTHING:
            yield str(name).replace("_", " "), text


def _number(value: Any) -> str:
    whole = float(value)
    return number(int(whole)) if whole.is_integer() else number(whole, 4)
