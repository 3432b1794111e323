"""What the columns of tables are called, which direction is better, and what the metrics mean."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Label:
    """How people read a column."""

    title: str
    note: str = ""
    """Unit, or which direction is better."""
    higher_is_better: bool = False


CLOSER, HIGHER = "lower is closer", "higher is closer"

LABELS = {
    "job": Label("picture"),
    "init": Label("start"),
    "size": Label("size", "px"),
    "content_distance": Label("content distance", CLOSER),
    "style_distance": Label("style distance", CLOSER),
    "sliced_wasserstein": Label("sliced Wasserstein", CLOSER),
    "colour_distance": Label("colour distance", CLOSER),
    "psnr": Label("PSNR", f"dB, {HIGHER}", higher_is_better=True),
    "ssim": Label("SSIM", HIGHER, higher_is_better=True),
    "final_loss": Label("final loss", "lower is better"),
    "iterations_to_target": Label("iterations to the target", "fewer is faster"),
    "seconds_to_target": Label("time to the target", "s, less is faster"),
    "seconds": Label("time", "s"),
    "seconds_per_iteration": Label("time an iteration", "s"),
    "ms_per_iteration": Label("time an iteration", "ms, median"),
    "peak_memory_mb": Label("peak memory", "MB"),
}
"""Of columns that are not called as people would."""

NAMES = {"adain": "AdaIN", "adam": "Adam", "lbfgs": "L-BFGS"}
"""Of starts and optimisers."""


def label(column: str) -> Label:
    """The label of a column; one that is new goes by its name."""
    return LABELS.get(column, Label(column.replace("_", " ")))


def start_name(init: str) -> str:
    """``AdaIN`` of adain."""
    return NAMES.get(init, init)


def definitions() -> dict[str, str]:
    """What each metric is, and which direction is better."""
    from nst.engine.metrics import CONTENT_LAYER, STYLE_LAYERS

    return {
        "content distance": f"|F(x) − F(c)|² / |F(c)|², F the features of the picture x and of the content c at "
        f"`{CONTENT_LAYER}`. 0 is a match, 1 what blank features would give; lower is closer to the content. It "
        "favours jobs that hold the content at this layer.",
        "style distance": f"mean over {', '.join(f'`{layer}`' for layer in STYLE_LAYERS)} of |G(x) − G(s)|² / "
        "|G(s)|², G the Gram matrices of the picture x and of the style s: which features occur together, wherever in "
        "the picture. 0 is a match; lower is closer to the style.",
        "sliced Wasserstein distance": "mean over the same layers of W² / |P|², W between the distributions of the "
        "features of the picture and of the style, seen along many directions, P those of the style (Bonneel et al. "
        "2015; Heitz et al. 2021). 0 is a match, 1 what blank features would give; lower is closer to the style. No "
        "job optimises it.",
        "colour distance": "mean over red, green and blue of the Wasserstein distance of the histograms of the picture "
        "and of the style: how far, as a share of the range, a channel's values would have to move on average. 0 is a "
        "match, 1 black against white; lower is closer to the style. No job optimises it.",
        "PSNR": "peak signal-to-noise ratio against the content's pixels, dB. Higher is closer; 20 dB is a mean error "
        "of a tenth of the range.",
        "SSIM": "structural similarity with the content (Wang et al. 2004). 1 is equal; higher is closer.",
        "final loss": "the loss that the run itself minimised, of the saved picture. Lower is better; only runs with "
        "the same layers and weights compare.",
        "time": "of the optimisation, its start picture included; reading the weights and measuring are not.",
        "target": "a loss that all runs of a pair of pictures reach: 5 % above the highest of their last losses.",
        "shared variation": "of the pixels of two pictures: 100 % for the same picture, 0 % for unrelated ones.",
    }
