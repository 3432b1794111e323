"""The fixed words of both pages: what columns are called, what metrics mean, what each study asks and how."""

from dataclasses import dataclass

from nst.studies.initialization import TARGET_MARGIN


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

DEFINITIONS = {
    "content distance": "|F(x) − F(c)|² / |F(c)|², F the features of the picture x and of the content c at "
    "`conv4_2`. 0 is a match, 1 what blank features would give; lower is closer to the content. It "
    "favours jobs that hold the content at this layer.",
    "style distance": "geometric mean over all 16 layers of |G(x) − G(s)|² / "
    "|G(s)|², G the Gram matrices of the picture x and of the style s: which features occur together, wherever in "
    "the picture. 0 is a match; lower is closer to the style.",
    "sliced Wasserstein distance": "mean over `conv1_1`, `conv2_1`, `conv3_1`, `conv4_1` and `conv5_1` of "
    "W² / |P|², W between the distributions of the features of the picture and of the style, seen along many "
    "directions, P those of the style (Bonneel et al. 2015; Heitz et al. 2021). 0 is a match, 1 what blank features "
    "would give; lower is closer to the style. No job optimises it.",
    "colour distance": "mean over red, green and blue of the Wasserstein distance of the histograms of the picture "
    "and of the style: how far, as a share of the range, a channel's values would have to move on average. 0 is a "
    "match, 1 black against white; lower is closer to the style. No job optimises it.",
    "PSNR": "peak signal-to-noise ratio against the content's pixels, dB. Higher is closer; 20 dB is a mean error "
    "of a tenth of the range.",
    "SSIM": "structural similarity with the content (Wang et al. 2004). 1 is equal; higher is closer.",
    "final loss": "the loss that the run itself minimised, of the saved picture. Lower is better; only runs with "
    "the same layers and weights compare.",
    "time": "of the optimisation, its start picture included; reading the weights and measuring are not.",
    "target": f"a loss that all runs of a pair of pictures reach: {100 * (TARGET_MARGIN - 1):.0f} % above the "
    "highest of their last losses.",
    "shared variation": "of the pixels of two pictures: 100 % for the same picture, 0 % for unrelated ones.",
}
"""What each metric is, and which direction is better."""


def label(column: str) -> Label:
    """The label of a column; one that is new goes by its name."""
    return LABELS.get(column, Label(column.replace("_", " ")))


def start_name(init: str) -> str:
    """``AdaIN`` of adain."""
    return NAMES.get(init, init)


@dataclass(frozen=True)
class Section:
    """A study as both pages introduce it."""

    name: str
    title: str
    question: str
    method: tuple[str, ...]


SECTIONS = (
    Section(
        "reconstruction",
        "What a layer keeps",
        "If only the features of one layer must match, how much of the picture comes back?",
        (
            "The content loss alone is minimised from noise, once for each layer of VGG-19. What comes back is "
            "compared with the original pixel by pixel (PSNR, SSIM) and by its features (content distance, at "
            "one layer for all).",
            "At the best layer, pictures are reconstructed from more than one noise.",
        ),
    ),
    Section(
        "synthesis",
        "Which layers make a texture",
        "If only the Gram matrices of a window of layers must match, what texture comes of noise?",
        (
            "The style loss alone is minimised from noise, once for each window of neighbouring layers (1 is "
            "`conv1_1`, 16 `conv5_4`). The distances of the results are measured at the same layers for all, whatever "
            "layers were matched.",
            "At the best window, textures of more than one style are each made from more than one noise.",
        ),
    ),
    Section(
        "transfer",
        "Every content layer with every style window",
        "Which layers should hold the content, and which should paint it?",
        (
            "One picture is painted as another with every combination of content layer and style window. Both "
            "distances are measured at the same layers for all cells: the content distance at one layer, which favours "
            "cells that hold the content there.",
            "Each cell was run once, all with the same seed.",
        ),
    ),
    Section(
        "initialization",
        "Where to start",
        "Does it matter whether one starts from noise, from the content or from AdaIN?",
        (
            "The same transfer is run from each start, for each pair of pictures, several times: from noise with other "
            "seeds; from the content picture, and from its feed-forward AdaIN stylisation, as often. Runs were timed "
            "one at a time, after a warm-up, the starts in turn; times include making the start picture.",
            "Starts without noise give the same picture every time: within a pair their quality has no deviation, and "
            "only their times differ. Rows over all pairs mix pairs, and their deviation is mostly the difference "
            "between pictures; differences are therefore taken within a pair.",
        ),
    ),
    Section(
        "gallery",
        "Pictures to look at",
        "What does it look like?",
        (
            "All pairs of some contents and styles with the same layers: those that the transfer grid recommends, "
            "unless params.yaml names others. Favourites are larger.",
        ),
    ),
)
