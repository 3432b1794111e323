"""What each study asks and how, in fixed words: which pictures, layers and settings it used, a table says beside it."""

from dataclasses import dataclass


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
            "Of each pair, the target is a loss that all its runs reach: 5 % above the highest of their last losses.",
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
