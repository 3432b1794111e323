"""docs/parameters.md, from the typed models: ``python -m nst.parameters docs/parameters.md`` writes it anew."""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from nst import api
from nst.params import LEAST, MOST

STRIPS = "reports/parameters/figures"
"""Where the parameters study leaves a picture of what each parameter does: <parameter>.webp."""

_HEAD = """# Parameters

Made by `make docs` from the models in `nst/params.py` and `nst/api.py`; a test holds it to them.

A parameter has one name: `style_weight` is `--style-weight` of the `nst` command, `style_weight=` of `nst.transfer` and
its like, and `style_weight:` in `params.yaml`, at the top for all studies or in a section for that study alone. Those
from `seed` on are no settings of all studies: their sections say which noises, layers and starts they compare.

- **Style strength** is `style_weight`, beside a `content_weight` of 1. Both losses are scaled so that 0 is a match and
  1 is what a blank picture would give, whatever the layers, the size and the style loss. Only their ratio matters.
  `moments` and `sliced_wasserstein` need about three times the weight of `gram` to be as strong.
- **Several styles** for one picture are written with weights, `great_wave:2,cafe_terrace:1`, wherever a style is named:
  in `params.yaml` by their names, for the `nst` command and Python by their paths. Python also takes a list of pairs.
- **Layers** go by name (`conv4_2`), number (10 of 1 … 16), range (`1-5`) or `classic` (conv1_1, 2_1, 3_1, 4_1, 5_1): in
  Python and `params.yaml` as a list, on the command line with commas.
- **Layer weights** are one for each layer, in the order of depth. Only their ratios matter.
- **Distances** in tables are to the style picture at its `style_scale`, and to both originals in their own colours,
  whatever `colour` says: a picture in the content's colours is further from the style, and should be.

| parameter | meaning | values | default | commands |
|---|---|---|---|---|
"""
_FOOT = """
Defaults are those of the `nst` command and of Python. `params.yaml` states its own, with a comment each, also for the
keys that only a study has. The mathematics is in [method.md](method.md).
"""
_STRIPS_HEAD = """
## What they do to a picture

From the parameters study: one parameter takes several values, the others stay as `params.yaml` says. Layers are
compared in the [transfer study](../reports/transfer), other noises in the [reconstruction](../reports/reconstruction).
"""
WITHOUT_PICTURE = (
    "tolerance", "weights", "content_layer_weights", "seed", "threads", "frames", "content_layers", "style_layers",
)  # fmt: skip
"""Parameters that the study does not vary: of no effect on what is painted there, or seen in other studies."""
_WORDS = {
    "threads": "1 … 4 for each core",  # the model says how many this machine has
    "content_layers": "layers",
    "style_layers": "layers",
    **dict.fromkeys(("content_layer_weights", "style_layer_weights"), f"each 0, or {LEAST:g} … {MOST:g}"),
    **dict.fromkeys(("content_weight", "style_weight", "tv_weight"), f"0, or {LEAST:g} … {MOST:g}"),
    "weights": "a name or a path",
}
"""What the values are, where types and bounds do not say it."""


def markdown(strips: Collection[str]) -> str:
    """The page.

    Args:
        strips: the parameters that there is a picture of.
    """
    names = list(dict.fromkeys(name for model in api.OPTIONS.values() for name in model.model_fields))
    text = _HEAD + "".join(_row(name) for name in names) + _FOOT
    shown = [name for name in names if name in strips]
    if shown:
        text += _STRIPS_HEAD + "".join(f"\n### {name}\n\n![{name}](../{STRIPS}/{name}.webp)\n" for name in shown)
    return text


def write(path: Path) -> None:
    """Write the page, with the pictures that lie in the checkout of its folder."""
    strips = {file.stem for file in (path.resolve().parent.parent / STRIPS).glob("*.webp")}
    path.write_text(markdown(strips), encoding="utf-8")


def _row(name: str) -> str:
    fields = {task: model.model_fields[name] for task, model in api.OPTIONS.items() if name in api.option_names(task)}
    (first, field), *others = fields.items()
    defaults = [
        _default(field),
        *(f"{task}: {_default(each)}" for task, each in others if each.default != field.default),
    ]
    commands = "all" if len(fields) == len(api.OPTIONS) else ", ".join(fields)
    assert field.description, f"{name} of {first} has no description"
    return f"| `{name}` | {field.description} | {_values(name, field)} | {', '.join(defaults)} | {commands} |\n"


def _default(field: FieldInfo) -> str:
    if isinstance(field.default, tuple):
        return ", ".join(map(str, field.default)) or "none"
    return "none" if field.default is None else f"`{field.default}`"


def _values(name: str, field: FieldInfo) -> str:
    if name in _WORDS:
        return _WORDS[name]
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    bounds: dict[type, Any] = {type(each): each for each in field.metadata}
    low = f"{bounds[Ge].ge:g}" if Ge in bounds else f"above {bounds[Gt].gt:g}"
    if Lt in bounds and bounds[Lt].lt >= 2**63:
        return f"{low} or more"
    high = f"{bounds[Le].le:,g}" if Le in bounds else f"below {bounds[Lt].lt:g}"
    return f"{low} … {high}"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
