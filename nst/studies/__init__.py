"""The studies.  Each is a module that says which jobs answer its question, and writes what their results show.

Adding a study: a module with the members of `Study`, its name in `nst.params.STUDIES` and its section in params.yaml.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from nst.engine.jobs import Job
from nst.engine.layers import parse_layers
from nst.engine.results import Result
from nst.errors import ParamsError
from nst.params import RECOMMENDED, STUDIES, Params
from nst.studies import tables
from nst.studies.originals import Original

__all__ = ["STUDIES", "Study", "load", "resolve"]


class Study(Protocol):
    """What each module of this package offers."""

    ALONE: bool
    """Its jobs are timed, so they run one at a time with nothing beside them."""

    def originals(self, params: Params) -> list[Original]:
        """All pictures it starts from, so that a bad one is found before anything is computed."""

    def jobs(self, params: Params, results: Mapping[Job, Result]) -> list[Job]:
        """All jobs it wants, given the results so far.

        Called again until it wants no new ones, so that a study can build on what it has found (the best layer, say).
        """

    def write(self, params: Params, results: Mapping[Job, Result], data: Path, folder: Path) -> None:
        """Write pictures, tables, figures and metrics.json into the study's folder.

        Args:
            data: the folder of original pictures.
        """


def load(name: str) -> Study:
    """The study called `name`.

    Raises:
        ParamsError: it is none of `STUDIES`.
    """
    if name not in STUDIES:
        raise ParamsError(f"no study {name!r}; there are {', '.join(STUDIES)}")
    return cast(Study, importlib.import_module(f"nst.studies.{name}"))


def resolve(params: Params, reports: Path) -> Params:
    """The parameters with "recommended" layers replaced by those that the transfer study found.

    Before the transfer study has run, "recommended" stays, and the gallery refuses to start.
    """
    gallery = params.gallery
    if RECOMMENDED not in (gallery.content_layer, gallery.style_layers):
        return params
    try:
        layer, layers = tables.read_recommended(reports / "transfer")
    except (OSError, ValueError, KeyError):
        return params
    changes: dict[str, Any] = {}
    if gallery.content_layer == RECOMMENDED:
        changes["content_layer"] = layer
    if gallery.style_layers == RECOMMENDED:
        changes["style_layers"] = parse_layers(layers.split(","))
    return params.model_copy(update={"gallery": gallery.model_copy(update=changes)})
