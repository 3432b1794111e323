"""params.yaml as a frozen, validated model: the one source of every number that changes a result."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

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
from nst.errors import NSTError, ParamsError

RECOMMENDED = "recommended"
"""In place of a layer: the one that the transfer study recommends."""


def _as_value_error(parse: Any) -> Any:
    """Let pydantic collect our own errors with the place where they arose."""

    def parsed(value: Any) -> Any:
        try:
            return parse(value)
        except NSTError as error:
            raise ValueError(str(error)) from None

    return parsed


def _or_recommended(parse: Any) -> Any:
    return lambda value: value if value == RECOMMENDED else parse(value)


Layer = Annotated[str, BeforeValidator(_as_value_error(layer_name))]
Layers = Annotated[tuple[str, ...], BeforeValidator(_as_value_error(parse_layers))]
LayerOrRecommended = Annotated[str, BeforeValidator(_or_recommended(_as_value_error(layer_name)))]
LayersOrRecommended = Annotated[
    tuple[str, ...] | Literal["recommended"], BeforeValidator(_or_recommended(_as_value_error(parse_layers)))
]
Name = Annotated[str, Field(min_length=1)]
Pair = tuple[Name, Name]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
"""What torch's generators take."""


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
        """No parameter is a switch; and YAML reads yes, no, on and off as one, which would count as 1 and 0."""
        if isinstance(value, bool):
            raise ValueError("no parameter is true or false (YAML reads yes, no, on and off so)")
        return value


class Settings(_Frozen):
    """How a picture is optimised.  Stated at the top of params.yaml for all studies; a study may override any of
    them."""

    size: int = Field(192, ge=32, le=4096)
    """Longest side of every picture, px."""
    iterations: int = Field(40, ge=1, le=100_000)
    tolerance: float = Field(0.0, ge=0, lt=1)
    """A job ends early where its lowest loss fell by less than this share in the last 10 iterations; 0: never."""
    optimizer: Optimizer = "adam"
    learning_rate: float = Field(LEARNING_RATE, gt=0, le=10)
    """Of Adam at the start, from where it falls to 0; L-BFGS finds its own steps."""
    precision: Precision = "auto"
    """Of the features while optimising; "auto" is bfloat16 where the hardware accelerates it."""
    pooling: Pooling = "max"
    parametrization: Parametrization = "fourier"
    noise: Noise = "pink"
    content_weight: float = Field(1.0, ge=0)
    style_weight: float = Field(10.0, ge=0)
    tv_weight: float = Field(0.0, ge=0)
    weights: str = "normalised"

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
    """Noise against content against AdaIN start."""

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
    """All of params.yaml.  Each study's section holds its own values of the settings, filled in from the top."""

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
        Settings.model_validate(shared)  # so that a fault at the top is told once, where it is
        filled = {study: {**shared, **values[study]} for study in STUDIES if isinstance(values.get(study), Mapping)}
        return {**values, **filled}


def load(path: Path) -> Params:
    """The validated parameters in the YAML file `path`.

    Raises:
        ParamsError: the file is missing, no YAML, or a key or value in it cannot be used; names the field and the
        remedy.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; the repository has one: `git checkout params.yaml`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: cannot be read ({error})") from None
    try:
        values = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else "somewhere"
        raise ParamsError(f"{path}: {place}: not valid YAML ({getattr(error, 'problem', None) or error})") from None
    if not isinstance(values, Mapping):
        raise ParamsError(f"{path}: holds no parameters; compare it with the repository's: `git diff params.yaml`")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        _explain(str(path), error)


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                mark = node.value[index][0].start_mark
                raise yaml.constructor.ConstructorError(problem=f"{key!r} stands twice", problem_mark=mark)
        return super().construct_mapping(node, deep=deep)


def settings(**values: Any) -> Settings:
    """Settings from single options of a command line, the defaults for the rest.

    Raises:
        ParamsError: a value cannot be used.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        _explain("", error)


def _explain(source: str, error: ValidationError) -> NoReturn:
    """Raise the first fault as one line: where it is, what is wrong, what would be right."""
    # A misspelt key is both unknown and missing: tell the first, which says what was meant.
    fault = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    place = [str(part) for part in fault["loc"]]
    field = ".".join(place)
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        known = _keys(place[:-1])
        close = difflib.get_close_matches(place[-1], known, n=1)
        message = "unknown key; " + (f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}")
    elif fault["type"] == "missing":
        message = "missing; add it (the repository's params.yaml shows how)"
    else:
        shown = repr(fault["input"])
        message = f"{message} (found {shown if len(shown) <= 60 else shown[:57] + '…'})"
    where = f"{source}: {field}" if source else f"--{field.replace('_', '-')}"
    raise ParamsError(f"{where}: {' '.join(message.split())}") from None


def _keys(place: Iterable[str]) -> list[str]:
    model: type[BaseModel] = Params
    for part in place:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)
