"""The fixed words of both pages: what columns are called, what metrics mean, what each study asks and how."""

from dataclasses import dataclass

from nst.studies.initialization import TARGET_MARGIN


@dataclass(frozen=True)
class Label:
    """How people read a column."""

    title: str
    note: str = ""
    """Unit, or which direction is better."""


CLOSER, HIGHER = "lower is closer", "higher is closer"

LABELS = {
    "job": Label("picture"),
    "init": Label("start"),
    "size": Label("size", "px"),
    "content_distance": Label("content distance", CLOSER),
    "style_distance": Label("style distance", CLOSER),
    "own_style_distance": Label("style distance at its own layers", CLOSER),
    "sliced_wasserstein": Label("sliced Wasserstein", CLOSER),
    "colour_distance": Label("colour distance", CLOSER),
    "cfsd": Label("CFSD", CLOSER),
    "st_lpips": Label("ST-LPIPS", CLOSER),
    "arrangement": Label("arrangement", "1: the style's own"),
    "psnr": Label("PSNR", f"dB, {HIGHER}"),
    "ssim": Label("SSIM", HIGHER),
    "final_loss": Label("final loss", "lower is better"),
    "shared": Label("shared variation"),
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
    "`conv4_2`. 0 is a match, 1 what blank features would give. It favours runs that hold the content at this layer.",
    "style distance": "geometric mean over all 16 layers of |G(x) − G(s)|² / |G(s)|², G the Gram matrices of the "
    "picture x and of the style s: no layer rules it, and it favours no choice of layers. 0 is a match.",
    "sliced Wasserstein": "mean over the layers of Gatys et al. of W² / |P|², W between the distributions of the "
    "features of both, seen along many directions, P those of the style (Heitz et al. 2021). 0 is a match.",
    "colour distance": "mean over red, green and blue of the Wasserstein distance of the histograms, as a share of "
    "the range: 0 is a match. No layer has a part in it.",
    "CFSD": "content feature structural distance (Chung et al. 2024), of our VGG-19: how differently places of the "
    "picture are like each other. 0 is a match.",
    "ST-LPIPS": "shift-tolerant perceptual distance to the content (Ghildyal & Liu 2022), by a network of its own. "
    "0 is a match.",
    "arrangement": "likeness of a texture to its style picture, moved to wherever it fits best: 1 is the same "
    "picture, about 0 another one.",
    "PSNR": "peak signal-to-noise ratio against the content's pixels, dB. Higher is closer; 20 dB is a mean error "
    "of a tenth of the range.",
    "SSIM": "structural similarity with the content (Wang et al. 2004). 1 is equal.",
    "equal loss": f"the loss that all runs of a pair reach: {100 * (TARGET_MARGIN - 1):.0f} % above the highest of "
    "their last losses.",
    "time": "of the optimisation, its start picture included; reading the weights and measuring are not.",
    "shared variation": "of the pixels of two pictures: 100 % for the same picture, 0 % for unrelated ones.",
    "told from the best": "the 95 % confidence interval of the difference (Student's t, paired by picture and noise) "
    "excludes that it is as good. Runs of one pair from several noises count as several: for other pictures the "
    "intervals are too narrow.",
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
            "The content loss alone is minimised from noise, once for each layer of VGG-19 and each content; around "
            "the best layer, from more than one noise.",
        ),
    ),
    Section(
        "synthesis",
        "Which layers make a texture",
        "If only the Gram matrices of a window of layers must match, what texture comes of noise?",
        (
            "The style loss alone is minimised from noise, for each window of neighbouring layers (1 is `conv1_1`, 16 "
            "`conv5_4`), style and noise. Distances are measured at the same layers for all.",
        ),
    ),
    Section(
        "transfer",
        "Every content layer with every style window",
        "Which layers should hold the content, and which should paint it?",
        (
            "One picture is painted as another with every combination of content layer and style window, and with the "
            "layers of Gatys et al. (2016), here called classic. The grid, run once, proposes the cells whose worse "
            "rank by the two distances is best. These finalists, and conv4_2 with the classic layers, run on all pairs "
            "and noises at several style weights. Chosen is what is closest to the style at equal distance from the "
            "content: at one weight each set of layers has a balance of its own.",
            "Content distance is measured at `conv4_2`, and favours the row that optimises it.",
        ),
    ),
    Section(
        "initialization",
        "Where to start",
        "Does it matter whether one starts from noise, from the content or from AdaIN?",
        (
            "The same transfer is run from each start, for each pair of pictures and noise, timed one at a time, after "
            "a warm-up, the starts in turn; then until all reach the same loss, and for long. Starts without noise "
            "give the same picture every time, and are run as often for their times. Differences are taken between "
            "runs of the same pair and noise.",
        ),
    ),
    Section(
        "parameters",
        "What each parameter does",
        "What changes if one parameter is changed, and which layers are better at every style weight?",
        (
            "One parameter after another takes each value of a list, the others stay as they are. The finalists' "
            "layers run at every style weight: one set is better only where its curve of content against style "
            "distance lies below.",
        ),
    ),
    Section(
        "gallery",
        "Pictures to look at",
        "What does it look like?",
        (
            "All pairs of some contents and styles with the recommended layers, unless params.yaml names others. "
            "Favourites are larger.",
        ),
    ),
)
