"""Templates of nst/report/templates with what they may call."""

import html
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from nst.report.numbers import interval


def render(template: str, values: Mapping[str, Any]) -> str:
    """The text of a template; in HTML all values are escaped, and a value that is missing is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("nst.report", "templates"),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        capital=lambda text: text[:1].upper() + text[1:],
        href=quote,  # pictures may have any name
        anchor=lambda link: "#".join(map(quote, link.split("#", maxsplit=1))),
        interval=interval,
        markdown_cell=lambda text: text.replace("|", "\\|"),
        prose=prose,
    )
    return environment.get_template(template).render(values)


def prose(text: str) -> Any:
    """HTML of a text in which `names` stand between backticks."""
    from markupsafe import Markup

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text)))
