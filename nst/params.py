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

from nst.engine import styles
from nst.engine.jobs import (
    LADDER,
    LEARNING_RATE,
    Colour,
    Init,
    Job,
    Noise,
    Optimizer,
    Parametrization,
    Pooling,
    Precision,
    StyleLoss,
    Task,
)
from nst.engine.layers import layer_name, parse_layers
from nst.errors import OptionError, ParamsError

LARGEST = 4096
"""Longest side that a picture may have, px."""
RECOMMENDED = "recommended"
"""Instead of layers: those that the transfer study recommends."""
FINALISTS = "finalists"
"""Instead of sets of layers: the finalists of the transfer study."""


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


def _style(value: str) -> str:
    for name, _ in styles.parse(value):
        _name(name)
    return value


Style = Annotated[Name, AfterValidator(_style)]
"""A picture in data/style, or several with weights: ``great_wave:2,cafe_terrace:1``."""
Pair = tuple[Name, Style]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
"""Of torch's generators."""


LEAST, MOST = 1e-6, 1e6
"""Weights other than 0: beyond them float32 has no digits left for the smaller of two losses."""


def _not_tiny(value: float) -> float:
    if 0 < value < LEAST:
        raise ValueError(f"a weight is 0, or from {LEAST:g} to {MOST:g} (found {value:g})")
    return value


def _numbers(value: Any) -> Any:
    """Numbers in one string with commas, as typed on a command line; what else is given, as it is."""
    if not isinstance(value, str):
        return value
    try:
        return [float(part) for part in value.split(",")]
    except ValueError:
        raise ValueError(f"{value!r} is no list of numbers: write them like 1,0.5,0.25") from None


Weight = Annotated[float, Field(ge=0, le=MOST), AfterValidator(_not_tiny)]
LayerWeights = Annotated[tuple[Annotated[Weight, Field(strict=True)], ...], BeforeValidator(_numbers)]


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

    size: int = Field(192, ge=32, le=LARGEST, description="longest side of the picture, px")
    iterations: int = Field(40, ge=1, le=100_000, description="steps of the optimiser")
    tolerance: float = Field(
        0.0, ge=0, lt=1, description="end early where the loss falls by less than this share in 10 iterations; 0: never"
    )
    optimizer: Optimizer = Field("adam", description="the optimiser")
    learning_rate: float = Field(
        LEARNING_RATE, gt=0, le=10, description="of Adam at the start, from where it falls to 0; L-BFGS has none"
    )
    precision: Precision = Field("auto", description="of the features; auto: bfloat16 where it is fast")
    pooling: Pooling = Field(
        "max", description="of VGG-19: max, as it was trained, or average, as Gatys et al. suggest"
    )
    parametrization: Parametrization = Field(
        "fourier",
        description="what the optimiser changes: pixels, or Fourier coefficients, which give cleaner pictures",
    )
    noise: Noise = Field(
        "pink", description="kind of noise, where the start is noise; pink is stronger at low frequencies"
    )
    content_weight: Weight = Field(1.0, description="of the content loss")
    style_weight: Weight = Field(10.0, description="of the style loss: how strong the style is beside the content")
    tv_weight: Weight = Field(0.0, description="of the total variation; 30 smooths")
    content_layer_weights: LayerWeights = Field(
        (), description="of each content layer beside the others, in the order of depth; none: equal"
    )
    style_layer_weights: LayerWeights = Field(
        (), description="of each style layer beside the others, in the order of depth; none: equal"
    )
    style_loss: StyleLoss = Field(
        "gram",
        description="what the style loss compares: Gram matrices, sliced Wasserstein "
        "distances or mean and deviation of each channel",
    )
    style_scale: float = Field(
        1.0,
        gt=0,
        le=8,
        description="longest side of a transfer's style picture as a multiple of size; smaller gives smaller strokes",
    )
    ladder: int = Field(
        LADDER,
        ge=0,
        le=LARGEST,
        description="longest side that is painted at once, px: larger ones are painted from coarse to fine; 0: never",
    )
    colour: Colour = Field(
        "style",
        description="whose colours a transfer has: the style's; the content's, put in at the end (content) or with "
        "only the luminance painted (luminance); or the style's moved to the content's (matched)",
    )
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
        """A job with these settings; `changes` are fields of `Job` that differ from them.

        Raises:
            OptionError: settings do not go together, or not with this task.
        """
        shared = {name: getattr(self, name) for name in Settings.model_fields}
        job = Job(
            task=task,
            content=content,
            style=style,
            content_layers=content_layers,
            style_layers=style_layers,
            init=init,
            seed=seed,
            **{**shared, **changes},
        )
        _check(job)
        return job


def _check(job: Job) -> None:
    """Refuses what each field alone may be, and all together may not.

    Raises:
        OptionError: with the field that has to change.
    """
    if job.style and job.style_size > LARGEST:
        raise OptionError(
            "style_scale", f"{job.style_scale:g} × size {job.size} px is more than {LARGEST} px; lower one of them"
        )
    names = {"reconstruct": ["content_weight"], "synthesize": ["style_weight"]}.get(
        job.task, ["style_weight", "content_weight"]
    )
    if not any(getattr(job, name) for name in names):
        others = "".join(f", and so is {name}" for name in names[1:])
        raise OptionError(names[0], f"is 0{others}: there is nothing to optimise; raise it")
    for name in ("content_layer_weights", "style_layer_weights"):
        _check_layer_weights(name, getattr(job, name), getattr(job, name.replace("_weights", "s")))


def _check_layer_weights(name: str, weights: tuple[float, ...], layers: tuple[str, ...]) -> None:
    if not weights or not layers:
        return
    if len(weights) != len(layers):
        expected = f"give one for each of {', '.join(layers)}"
        raise OptionError(name, f"{len(weights)} of them for {len(layers)} layers; {expected}")
    if not any(weights):
        raise OptionError(name, "all are 0, so that nothing is compared; raise one")


class Reconstruction(Settings):
    """Content loss alone, from noise."""

    contents: Distinct[Name] = Field(min_length=1)
    layers: Layers
    seeds: Distinct[Seed] = Field(min_length=2)
    min_ssim: float = Field(ge=0, le=1)
    """The best layer is the deepest one whose reconstructions reach this."""


class Synthesis(Settings):
    """Style loss alone, from noise."""

    styles: Distinct[Style] = Field(min_length=1)
    windows: Distinct[Layers] = Field(min_length=1)
    seeds: Distinct[Seed] = Field(min_length=2)


class Finalists(_Frozen):
    """The cells of the transfer grid that are run again, on more pairs and noises."""

    count: int = Field(ge=1, le=100)
    """How many the grid proposes; the layers of Gatys et al. are one more."""
    iterations: int = Field(ge=1, le=100_000)
    style_weights: Distinct[Weight] = Field(min_length=1)
    pairs: Distinct[Pair] = Field(min_length=1)
    seeds: Distinct[Seed] = Field(min_length=1)


class Transfer(Settings):
    """Both losses: every content layer with every style window, then the finalists."""

    content: Name
    style: Style
    init: Init
    seed: Seed
    content_layers: Layers
    style_windows: Distinct[Layers] = Field(min_length=1)
    finalists: Finalists


class Initialization(Settings):
    """Noise, content or AdaIN as the starting picture."""

    pairs: Distinct[Pair] = Field(min_length=1)
    seeds: Distinct[Seed] = Field(min_length=1)
    inits: Distinct[Init] = Field(min_length=1)
    content_layer: Layer
    style_layers: Layers
    long_iterations: int = Field(ge=1, le=100_000)
    """Of the runs that show what is left of a start in the end."""


class Parameters(Settings):
    """One parameter after another over a list of values, the others as they are."""

    pairs: Distinct[Pair] = Field(min_length=1)
    seeds: Distinct[Seed] = Field(min_length=1)
    init: Init
    content_layer: LayerOrRecommended
    style_layers: LayersOrRecommended
    curves: Literal["finalists"] | tuple[tuple[Layer, Layers], ...]
    """Content layer and style layers of each set that is compared over the style weights, beside those above."""
    vary: dict[str, tuple[Any, ...]] = Field(min_length=1)

    @model_validator(mode="after")
    def _jobs_are_possible(self) -> "Parameters":
        """Refuses a parameter that no job has, and values that it cannot take."""
        for name, values in self.vary.items():
            if not values:
                raise ValueError(f"vary.{name}: at least one value is needed")
            for value in values:
                self.with_value(name, value)
        return self

    def with_value(self, name: str, value: Any) -> "Varied":
        """These settings with another value of one of them.

        Raises:
            ValueError: there is no such parameter, or it cannot have this value.
        """
        chosen = {field: getattr(self, field) for field in Varied.model_fields}
        try:
            return Varied.model_validate({**chosen, name: value})
        except ValidationError as error:
            raise ValueError(f"vary.{': '.join(_first_error(Varied, error, 'key'))}") from None


class Varied(Settings):
    """What the parameters study can vary."""

    init: Init
    content_layer: LayerOrRecommended
    style_layers: LayersOrRecommended


class Process(_Frozen):
    """The optimisation that is shown as a film."""

    pair: Pair
    init: Init
    frames: int = Field(ge=2, le=500)


class Gallery(Settings):
    """Pictures to look at."""

    contents: Distinct[Name] = Field(min_length=1)
    styles: Distinct[Style] = Field(min_length=1)
    content_layer: LayerOrRecommended
    style_layers: LayersOrRecommended
    init: Init
    seed: Seed
    gram_layers: Layers
    favourites: Distinct[Pair] = Field(min_length=1)
    favourite_size: int = Field(ge=32, le=LARGEST)
    film: Process


STUDIES = ("reconstruction", "synthesis", "transfer", "initialization", "parameters", "gallery")


class Params(Settings):
    """All of params.yaml.  A study's section takes the settings that it does not state from the top."""

    reconstruction: Reconstruction
    synthesis: Synthesis
    transfer: Transfer
    initialization: Initialization
    parameters: Parameters
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
