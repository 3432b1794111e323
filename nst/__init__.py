"""Neural style transfer as a library: features, losses, optimisation, metrics and the studies made of them.

    >>> import nst
    >>> result = nst.transfer("data/content/chelsea.jpg", "data/style/great_wave.jpg", size=64, iterations=5)
    >>> with open("out.png", "wb") as file:
    ...     size = file.write(result.png)

Nothing here prints or exits, its command aside, or knows of Prefect, Dask and DVC.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nst.errors import NSTError

if TYPE_CHECKING:
    from nst.api import Picture, Styles
    from nst.engine.optimize import State
    from nst.engine.results import Result

__all__ = ["NSTError", "reconstruct", "synthesize", "transfer"]

# Imports of torch, pydantic and Pillow are inside the functions, so that `import nst` takes no time.


def transfer(
    content: "Picture",
    style: "Styles",
    *,
    on_iteration: "Callable[[State], bool | None] | None" = None,
    **options: Any,
) -> "Result":
    """Paint the content of one picture in the style of another, as Gatys, Ecker & Bethge (2016) do.

    Deviations from the paper: losses are relative to the target's features.  And by default, Adam optimises Fourier
    coefficients (the paper: L-BFGS, pixels), from the content picture (noise), with max pooling (average).

    Args:
        content, style: each the path of a picture file, or a PIL image.  Several styles: "a.jpg:2,b.jpg:1", or a list
            of pictures with weights, [(image, 2), (other, 1)].
        on_iteration: called after each iteration, with `iteration` (1 for the first) and `loss` among what it is given;
            where it returns true, the picture ends there.
        options: fields of `nst.api.TransferOptions`, for example size=512 (longest side, px), iterations=40,
            content_layers="conv4_2", style_layers="1-5", style_weight=10.0, init="content", seed=0, threads=None.
            `nst transfer --help` lists them all, with what they mean and their defaults.

    Returns:
        The result: `result.png` is the picture as the bytes of a PNG file, `result.losses` the loss before each
        iteration, `result.quality` the distances of the picture to its originals and its loss.

    Raises:
        NSTError: something in the input cannot be used; the message is one line that says what to do.

    Example:
        >>> import nst
        >>> result = nst.transfer("data/content/chelsea.jpg", "data/style/great_wave.jpg", size=64, iterations=5)
        >>> result.losses[-1] < result.losses[0]
        True
    """
    from nst import api

    chosen = api.options("transfer", options)
    return api.run(chosen, {"content": content, "style": style}, on_iteration)


def reconstruct(
    content: "Picture", *, on_iteration: "Callable[[State], bool | None] | None" = None, **options: Any
) -> "Result":
    """Make a picture again, from noise, out of what layers keep of it (Mahendran & Vedaldi 2015).

    Args:
        content: the path of a picture file, or a PIL image.
        on_iteration: as in `transfer`.
        options: fields of `nst.api.ReconstructOptions`, listed by `nst reconstruct --help`.

    Returns:
        The result, as in `transfer`; `result.quality.psnr` and `.ssim` compare it with the content picture.

    Raises:
        NSTError: as in `transfer`.

    Example:
        >>> import nst
        >>> result = nst.reconstruct("data/content/egeskov.jpg", content_layers="conv2_1", size=48, iterations=20)
        >>> result.quality.psnr > 10
        True
    """
    from nst import api

    return api.run(api.options("reconstruct", options), {"content": content}, on_iteration)


def synthesize(
    style: "Styles", *, on_iteration: "Callable[[State], bool | None] | None" = None, **options: Any
) -> "Result":
    """Make a texture, from noise, with the style of a picture (Gatys, Ecker & Bethge 2015).

    Args:
        style: the path of a picture file, or a PIL image, or several as in `transfer`; the texture has the first's
            size.
        on_iteration: as in `transfer`.
        options: fields of `nst.api.SynthesizeOptions`, listed by `nst synthesize --help`.

    Returns:
        The result, as in `transfer`.

    Raises:
        NSTError: as in `transfer`.

    Example:
        >>> import nst
        >>> result = nst.synthesize("data/style/cafe_terrace.jpg", style_layers=["conv1_1", 3], size=48, iterations=5)
        >>> result.job.style_layers
        ('conv1_1', 'conv2_1')
    """
    from nst import api

    return api.run(api.options("synthesize", options), {"style": style}, on_iteration)
