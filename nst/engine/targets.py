"""What jobs aim at: activations of their content pictures and Gram matrices of their style pictures, in the precision
of the features that are compared with them.

The jobs of a study share most of it, so the last of it is kept.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from nst.engine.losses import gram_matrix
from nst.engine.vgg import Encoder

Layers = Mapping[str, Tensor]
"""By layer: activations (1, C, H, W) or Gram matrices (1, C, C)."""

KEPT_BYTES = 32 << 20
"""Of contents, and of styles, for the jobs that come next: all layers of one content at 192 px, and of three styles."""


class Targets:
    """Of one encoder.

    Args:
        read: from a PNG file to its picture (1, 3, H, W) on the encoder's device.
    """

    def __init__(self, encoder: Encoder, read: Callable[[bytes], Tensor]) -> None:
        self._contents = _Kept(encoder, read, lambda features: features)
        self._styles = _Kept(encoder, read, gram_matrix)

    def contents(self, pngs: Sequence[bytes | None], layers: Sequence[Sequence[str]]) -> list[Layers]:
        """Activations of each job's content at its content layers; {} where there is none.

        Of equal contents they are the same tensors.
        """
        return self._contents(pngs, layers)

    def styles(self, pngs: Sequence[bytes | None], layers: Sequence[Sequence[str]]) -> list[Layers]:
        """The same of the Gram matrices of each job's style."""
        return self._styles(pngs, layers)


class _Kept:
    """What `make` makes of the layers of the pictures that were wanted last."""

    def __init__(self, encoder: Encoder, read: Callable[[bytes], Tensor], make: Callable[[Tensor], Tensor]) -> None:
        self._encoder = encoder
        self._read = read
        self._make = make
        self._found: dict[bytes, Layers] = {}

    def __call__(self, pngs: Sequence[bytes | None], layers: Sequence[Sequence[str]]) -> list[Layers]:
        wanted: dict[bytes, set[str]] = {}
        for png, names in zip(pngs, layers, strict=True):
            if png is not None:
                wanted.setdefault(png, set()).update(names)
        found = {png: self._of(png, names) for png, names in wanted.items()}
        self._keep(found)
        return [
            {} if png is None else {name: found[png][name] for name in names}
            for png, names in zip(pngs, layers, strict=True)
        ]

    def _of(self, png: bytes, names: set[str]) -> Layers:
        """Those of one picture: one pass finds all that it lacks."""
        found = dict(self._found.get(png, {}))
        if lacking := names - found.keys():
            with torch.no_grad():
                for name, features in self._encoder.walk(self._read(png), lacking):
                    found[name] = self._make(features)
                    del features  # the next layer is computed before the loop would let go of it
        return found

    def _keep(self, found: Mapping[bytes, Layers]) -> None:
        """The latest pictures, as many as there is room for."""
        self._found = {**{png: layers for png, layers in self._found.items() if png not in found}, **found}
        while sum(map(_bytes, self._found.values())) > KEPT_BYTES:
            del self._found[next(iter(self._found))]


def _bytes(layers: Layers) -> int:
    return sum(layer.nbytes for layer in layers.values())
