"""A job: one optimisation, fully described.  Jobs with the same digest give the same picture."""

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from nst.engine import styles
from nst.engine.layers import window

Task = Literal["reconstruct", "synthesize", "transfer"]
Init = Literal["noise", "content", "adain"]
Optimizer = Literal["adam", "lbfgs"]
Precision = Literal["auto", "bfloat16", "float32"]
Pooling = Literal["max", "average"]
Parametrization = Literal["pixels", "fourier"]
Noise = Literal["uniform", "normal", "pink"]
Colour = Literal["style", "content", "luminance", "matched"]
StyleLoss = Literal["gram", "sliced_wasserstein", "moments"]

LEARNING_RATE = 0.1
"""Of Adam at the start, by default: about what a pixel moves in the first step."""
LADDER = 512
"""Longest side of the first rung, px, by default."""
LARGE = 1_500_000
"""Pixels from which a CPU computes activations again for the gradient, as keeping them takes gigabytes."""
LBFGS_HISTORY = 20
"""Steps that L-BFGS estimates the curvature from."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One optimisation.  Every field but `timed` and `run` changes the picture; nothing else does but the originals,
    the weights and the machine."""

    task: Task
    size: int
    """Longest side of the pictures, px."""
    iterations: int
    """Of the optimiser, at most; on the first rung, where there is a ladder."""
    content: str | None = None
    """Name of the content picture; None when synthesizing."""
    style: str | None = None
    """Name of the style picture, or of several with weights, see `nst.engine.styles`; None when reconstructing."""
    content_layers: tuple[str, ...] = ()
    style_layers: tuple[str, ...] = ()
    content_weight: float = 1.0
    style_weight: float = 10.0
    tv_weight: float = 0.0
    content_layer_weights: tuple[float, ...] = ()
    style_layer_weights: tuple[float, ...] = ()
    """Of each layer beside the others, in the same order; () for equal ones."""
    style_loss: StyleLoss = "gram"
    """What of the style's activations is compared; see `nst.engine.style_losses`."""
    style_scale: float = 1.0
    """Longest side of a transfer's style picture, as a multiple of `size`: smaller gives smaller strokes."""
    ladder: int = LADDER
    """Longest side that is painted at once, px: larger pictures are painted from coarse to fine, see
    `nst.engine.ladder`.  0: all are painted at once."""
    colour: Colour = "style"
    """Whose colours a transfer's picture has: the style's, or the content's in one of three ways, see
    `nst.engine.recolour`."""
    init: Init = "noise"
    seed: int = 0
    noise: Noise = "pink"
    """Distribution that a noise start is drawn from; of no effect with the other starts."""
    parametrization: Parametrization = "fourier"
    optimizer: Optimizer = "adam"
    learning_rate: float = LEARNING_RATE
    tolerance: float = 0.0
    """Ends the job where its lowest loss fell by less than this share in the last 10 iterations; Adam first brings its
    rate down to 0 in 20 more.  0: never."""
    stop_loss: float = 0.0
    """Ends the job where its loss is at or below this; 0: never."""
    pooling: Pooling = "max"
    precision: Precision = "auto"
    weights: str = "normalised"
    """Where VGG-19 comes from; see `nst.engine.weights`."""
    frames: int = 0
    """How many pictures of the process to keep (for a GIF), beside the last; fewer if there are fewer iterations."""
    timed: bool = False
    """Its time is compared with others': it runs with no other job beside it, after a warm-up."""
    run: int = 0
    """Tells repeated measurements of the same optimisation apart; of no effect on the picture."""

    @property
    def digest(self) -> str:
        """SHA-256 of the fields that are not at their default: a field that is added later, with a default that
        changes nothing, keeps the digests of the jobs before."""
        chosen = {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != field.default
        }
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()

    @property
    def styles(self) -> tuple[tuple[str, float], ...]:
        """The name of each style picture, and its share."""
        return styles.parse(self.style) if self.style else ()

    @property
    def style_size(self) -> int:
        """Longest side of the style picture, px.  When synthesizing, it is also the result's."""
        return round(self.size * self.style_scale) if self.content else self.size

    @property
    def recoloured(self) -> Colour:
        """`colour`, where there are two pictures."""
        return self.colour if self.task == "transfer" else "style"

    @property
    def pair(self) -> str:
        """The pictures: ``egeskov × great_wave``, or the one there is."""
        return " × ".join(name for name in (self.content, self.style) if name)

    @property
    def layers(self) -> str:
        """The layers: ``conv4_2 | 1-5``, or the one kind there is."""
        content = ",".join(self.content_layers)
        return " | ".join(part for part in (content, window(self.style_layers)) if part)

    @property
    def title(self) -> str:
        """For people: ``transfer · egeskov × great_wave · conv4_2 | 1-5 · from noise 0 · style_weight 30``."""
        start = f"from noise {self.seed}" if self.init == "noise" else f"from {self.init}"
        others = [f"{name} {value}" for name, value in self._others().items()]
        return " · ".join([self.task, self.pair, self.layers, start, *others])

    @property
    def name(self) -> str:
        """For files and tables; other jobs of the same task have other names, but for `timed`."""
        style = (self.style or "").replace(":", "-").replace(",", "+")
        parts = [self.content, style, "+".join(self.content_layers), window(self.style_layers)]
        start = f"noise{self.seed}" if self.init == "noise" else self.init
        others = [re.sub(r"[^\w.-]+", "-", f"{name}-{value}") for name, value in self._others().items()]
        return "_".join(part for part in [*parts, start, f"{self.size}px", f"{self.iterations}it", *others] if part)

    def _others(self) -> dict[str, Any]:
        """The fields that titles and names do not always state, where they are not at their default."""
        stated = {"task", "content", "style", "content_layers", "style_layers", "init", "seed", "size", "iterations"}
        fields = [field for field in dataclasses.fields(self) if field.name not in {*stated, "timed"}]
        return {field.name: value for field in fields if (value := getattr(self, field.name)) != field.default}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Job":
        """Inverse of `to_dict`."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**fields)
