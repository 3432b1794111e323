"""params.yaml as a frozen, validated model: the one source of every number that changes a result."""

import difflib
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from nst.engine.jobs import LEARNING_RATE, Init, Job, Noise, Optimizer, Parametrization, Pooling, Precision, Task
from nst.engine.layers import layer_name, parse_layers
from nst.errors import OptionError, ParamsError

RECOMMENDED = "recommended"
"""Instead of layers: those that the transfer study recommends."""


def _or_recommended(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: value if value == RECOMMENDED else parse(value)


Layer = Annotated[str, BeforeValidator(layer_name)]
Layers = Annotated[tuple[str, ...], BeforeValidator(parse_layers)]
LayerOrRecommended = Annotated[str, BeforeValidator(_or_recommended(layer_name))]
LayersOrRecommended = Annotated[
    tuple[str, ...] | Literal["recommended"], BeforeValidator(_or_recommended(parse_layers))
]


def _name(value: str) -> str:
    """Refuses what could lead out of the folder of pictures."""
    if "/" in value or "\\" in value or not value.isprintable() or value in (".", ".."):
        raise ValueError(f"{value!r} is no name of a picture: give its file's name in data/, without a folder")
    return value


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_name)]
"""Of a picture in data/content or data/style."""
Pair = tuple[Name, Name]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
"""Of torch's generators."""


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"{value!r} is given twice; leave one out")
    return values


T = TypeVar("T")
Distinct = Annotated[tuple[T, ...], AfterValidator(_distinct)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch(cls, value: Any) -> Any:
        """Refuses true and false, which would count as 1 and 0; YAML reads yes, no, on and off so."""
        if isinstance(value, bool):
            raise ValueError("no parameter is true or false (YAML reads yes, no, on and off so)")
        return value


class Settings(_Frozen):
    """How a picture is optimised.

    params.yaml states all of them at its top, for all studies; a study's section may override any of them.
    """

    size: int = Field(192, ge=32, le=4096, description="longest side of the picture, px")
    iterations: int = Field(40, ge=1, le=100_000, description="steps of the optimiser")
    tolerance: float = Field(
        0.0, ge=0, lt=1, description="end early where the loss falls by less than this share in 10 iterations; 0: never"
    )
    optimizer: Optimizer = Field("adam", description="the optimiser")
    learning_rate: float = Field(
        LEARNING_RATE, gt=0, le=10, description="of Adam at the start, from where it falls to 0; L-BFGS has none"
    )
    precision: Precision = Field("auto", description="of the features; auto: bfloat16 where it is fast")
    pooling: Pooling = Field("max", description="of VGG-19")
    parametrization: Parametrization = Field("fourier", description="what the optimiser changes")
    noise: Noise = Field("pink", description="kind of noise, where the start is noise")
    content_weight: float = Field(1.0, ge=0, description="of the content loss")
    style_weight: float = Field(10.0, ge=0, description="of the style loss")
    tv_weight: float = Field(0.0, ge=0, description="of the total variation; 0.1 smooths")
    weights: str = Field("normalised", description="of VGG-19: normalised, torchvision, or the path of a .pth file")

    def job(
        self,
        task: Task,
        *,
        content: str | None = None,
        style: str | None = None,
        content_layers: tuple[str, ...] = (),
        style_layers: tuple[str, ...] = (),
        init: Init = "noise",
        seed: int = 0,
        **changes: Any,
    ) -> Job:
        """A job with these settings; `changes` are fields of `Job` that differ from them."""
        shared = {name: getattr(self, name) for name in Settings.model_fields}
        return Job(
            task=task,
            content=content,
            style=style,
            content_layers=content_layers,
            style_layers=style_layers,
            init=init,
            seed=seed,
            **{**shared, **changes},
        )


class Reconstruction(Settings):
    """Content loss alone, from noise."""

    content: Name
    layers: Layers
    compare_contents: Distinct[Name] = Field(min_length=2)
    compare_seeds: Distinct[Seed] = Field(min_length=2)
    min_ssim: float = Field(ge=0, le=1)
    """The best layer is the deepest one whose reconstruction reaches this."""


class Synthesis(Settings):
    """Style loss alone, from noise."""

    style: Name
    windows: Distinct[Layers] = Field(min_length=1)
    compare_styles: Distinct[Name] = Field(min_length=2)
    compare_seeds: Distinct[Seed] = Field(min_length=2)


class Transfer(Settings):
    """Both losses: every content layer with every style window."""

    content: Name
    style: Name
    init: Init
    seed: Seed
    content_layers: Layers
    style_windows: Distinct[Layers] = Field(min_length=1)


class Initialization(Settings):
    """Noise, content or AdaIN as the starting picture."""

    pairs: Distinct[Pair] = Field(min_length=1)
    seeds: Distinct[Seed] = Field(min_length=1)
    inits: Distinct[Init] = Field(min_length=1)
    content_layer: Layer
    style_layers: Layers


class Process(_Frozen):
    """The optimisation that is shown as a film."""

    pair: Pair
    init: Init
    frames: int = Field(ge=2, le=500)


class Gallery(Settings):
    """Pictures to look at."""

    contents: Distinct[Name] = Field(min_length=2)
    styles: Distinct[Name] = Field(min_length=2)
    content_layer: LayerOrRecommended
    style_layers: LayersOrRecommended
    init: Init
    seed: Seed
    gram_layers: Layers
    favourites: Distinct[Pair] = Field(min_length=1)
    favourite_size: int = Field(ge=32, le=4096)
    film: Process


STUDIES = ("reconstruction", "synthesis", "transfer", "initialization", "gallery")


class Params(Settings):
    """All of params.yaml.  A study's section takes the settings that it does not state from the top."""

    reconstruction: Reconstruction
    synthesis: Synthesis
    transfer: Transfer
    initialization: Initialization
    gallery: Gallery

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        shared = {key: values[key] for key in Settings.model_fields if key in values}
        Settings.model_validate(shared)  # so that an error at the top is reported once, where it is
        filled = {study: {**shared, **values[study]} for study in STUDIES if isinstance(values.get(study), Mapping)}
        return {**values, **filled}


def load(path: Path) -> Params:
    """The validated parameters in the YAML file `path`.

    Raises:
        ParamsError: the file is missing, no YAML, or a key or value in it cannot be used.  The message is one line
            with the field and the remedy.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no file")  # a pipe might never end
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; the repository has one: `git checkout params.yaml`") from None
    except (OSError, ValueError) as error:
        raise ParamsError(f"{path}: cannot be read ({error})") from None
    try:
        values = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}" if mark else "somewhere"
        raise ParamsError(f"{path}: {line}: not valid YAML ({getattr(error, 'problem', None) or error})") from None
    except (ValueError, RecursionError) as error:  # a date that is none, a number of thousands of digits
        raise ParamsError(f"{path}: not valid YAML ({error})") from None
    if not isinstance(values, Mapping):
        raise ParamsError(f"{path}: holds no parameters; compare it with the repository's: `git diff params.yaml`")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        field, problem = _first_error(Params, error, "key")
        raise ParamsError(f"{path}: {field}: {problem}") from None


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, where YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                mark = node.value[index][0].start_mark
                raise yaml.constructor.ConstructorError(problem=f"{key!r} is given twice", problem_mark=mark)
        return super().construct_mapping(node, deep=deep)


def settings(**values: Any) -> Settings:
    """These settings, and the defaults for the rest.

    Raises:
        OptionError: a value cannot be used.
    """
    return options(Settings, values)


Model = TypeVar("Model", bound=BaseModel)


def options(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Single options as a `model` of them.

    Raises:
        OptionError: there is no such option, or its value cannot be used.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise OptionError(*_first_error(model, error, "option")) from None


def _first_error(model: type[BaseModel], error: ValidationError, kind: Literal["key", "option"]) -> tuple[str, str]:
    """Where the first error is, and in one line what is wrong and what would be right."""
    # A misspelt key is both unknown and missing.  That it is unknown says more.
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    keys = [str(key) for key in first["loc"]]
    problem = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        names = _names(model, keys[:-1])
        close = difflib.get_close_matches(keys[-1], names, n=1)
        problem = f"unknown {kind}; " + (f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}")
    elif first["type"] == "missing":
        problem = "missing; add it (the repository's params.yaml shows how)"
    elif first["type"] != "value_error":  # our own messages name the value
        close = difflib.get_close_matches(str(first["input"]), re.findall(r"'(\w+)'", problem), n=1)
        hint = f"; did you mean {close[0]!r}?" if first["type"] == "literal_error" and close else ""
        problem = f"{problem} (found {_short.repr(first['input'])}){hint}"
    return ".".join(keys), " ".join(problem.split())


_short = reprlib.Repr()
"""Writes no more than a line of a value, however much a few YAML aliases make of it."""
_short.maxstring = _short.maxother = _short.maxlong = 60


def _names(model: type[BaseModel], section: Iterable[str]) -> list[str]:
    """The fields of a section of a model, given by the keys that lead to it."""
    for key in section:
        annotation = model.model_fields[key].annotation if key in model.model_fields else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)
