"""What each metric is, and which direction is better."""

from nst.report.wording import listing


def definitions() -> dict[str, str]:
    """What each metric is, and which direction is better."""
    from nst.engine.metrics import CONTENT_LAYER, STYLE_LAYERS

    return {
        "content distance": f"|F(x) − F(c)|² / |F(c)|², F the features of the picture x and of the content c at "
        f"`{CONTENT_LAYER}`. 0 is a match, 1 what blank features would give; lower is closer to the content.",
        "style distance": f"mean over {listing([f'`{layer}`' for layer in STYLE_LAYERS])} of |G(x) − G(s)|² / "
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
        "seconds": "of the optimisation, its start picture included; reading the weights and measuring are not.",
    }
