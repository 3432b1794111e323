"""The studies.  Each is a module that says which jobs answer its question, and writes what their results show.

Adding a study: a module with the members of `Study`, its name in `nst.params.STUDIES` and its section in params.yaml.
"""

import importlib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from nst.engine.jobs import Job
from nst.engine.layers import CLASSIC_NAME, parse_layers, window
from nst.engine.results import Result
from nst.errors import OptionError, ParamsError
from nst.params import FINALISTS, RECOMMENDED, STUDIES, Gallery, Parameters, Params
from nst.studies import tables
from nst.studies.originals import Original

__all__ = ["STUDIES", "Study", "assume", "first_jobs", "load", "resolve"]


class Study(Protocol):
    """What each module of this package offers."""

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


def first_jobs(name: str, params: Params) -> list[Job]:
    """The jobs that a study wants before it has results.

    Raises:
        ParamsError: parameters do not go together, or `refuse_unknown_layers` does; the message names the section.
    """
    try:
        return load(name).jobs(params, {})
    except OptionError as error:
        raise ParamsError(f"params.yaml: {name}.{error}") from None


def resolve(params: Params, reports: Path) -> Params:
    """The parameters with "recommended" and "finalists" replaced by the layers that the transfer study found.

    Before that study has run they stay, and the studies that need them refuse to start.
    """
    try:
        return _with_layers(params, tables.Recommended.read(reports / "transfer"))
    except (OSError, ValueError, KeyError, TypeError):
        return params


def assume(params: Params) -> Params:
    """The same with layers as likely as any, to know about what studies take before the transfer study has run."""
    cells = itertools.product(params.transfer.content_layers, params.transfer.style_windows)
    some = itertools.islice(cells, params.transfer.finalists.count)
    finalists = tuple((layer, window(layers)) for layer, layers in some)
    return _with_layers(params, tables.Recommended("conv4_2", CLASSIC_NAME, finalists))


def _with_layers(params: Params, found: tables.Recommended) -> Params:
    layers = {"content_layer": found.content_layer, "style_layers": parse_layers(found.style_layers.split(","))}
    gallery = {name: value for name, value in layers.items() if getattr(params.gallery, name) == RECOMMENDED}
    parameters: dict[str, Any] = {
        name: value for name, value in layers.items() if getattr(params.parameters, name) == RECOMMENDED
    }
    if params.parameters.curves == FINALISTS:
        parameters["curves"] = tuple((layer, parse_layers(names.split(","))) for layer, names in found.finalists)
    return params.model_copy(
        update={
            "gallery": params.gallery.model_copy(update=gallery),
            "parameters": params.parameters.model_copy(update=parameters),
        }
    )


def refuse_unknown_layers(section: Gallery | Parameters, name: str) -> None:
    """Of a study that builds on the transfer study.

    Raises:
        ParamsError: its layers are those that the transfer study recommends, and that study has not run.
    """
    if RECOMMENDED in (section.content_layer, section.style_layers) or getattr(section, "curves", None) == FINALISTS:
        raise ParamsError(
            f"{name}: its layers are those that the transfer study recommends, which has not run yet: "
            "run that first (`dvc repro transfer`), or name layers in params.yaml"
        )
