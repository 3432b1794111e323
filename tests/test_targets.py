"""What jobs aim at is what the network makes of their pictures, whatever was computed before."""

import pytest
import torch
from engine_support import DATA, make_job, picture, run

from nst.engine import targets
from nst.engine.inputs import inputs
from nst.engine.losses import gram_matrix
from nst.engine.targets import Network
from nst.engine.vgg import Encoder
from nst.engine.weights import VGGWeights

LAYERS = ("conv2_1", "conv3_1")
SIZE = (48, 33)
"""Of the picture that is made."""


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_they_are_those_of_the_encoder(weights: VGGWeights, dtype: torch.dtype) -> None:
    png = inputs(make_job("reconstruct"), DATA).shape
    network = Network("normalised", "average", dtype, torch.device("cpu"))
    encoder = Encoder(weights, "conv3_1", pooling="average", dtype=dtype)
    with torch.no_grad():
        expected = encoder(picture("content", "egeskov"), LAYERS)
    contents, styles = targets.content(png, LAYERS, network), targets.style([(png, 1.0)], LAYERS, network, "gram", SIZE)
    assert list(contents) == list(styles) == list(LAYERS)
    for layer in LAYERS:
        assert contents[layer].dtype == dtype
        assert torch.equal(contents[layer], expected[layer])
        assert torch.equal(styles[layer], gram_matrix(expected[layer]))


def test_they_are_those_of_the_style_loss_and_the_pictures_size() -> None:
    png = inputs(make_job("synthesize"), DATA).shape
    network = Network("normalised", "max", torch.float32, torch.device("cpu"))
    sorted_activations = targets.style([(png, 1.0)], LAYERS, network, "sliced_wasserstein", SIZE)
    assert [each.shape for each in sorted_activations.values()] == [(1, 128, 24 * 16), (1, 256, 12 * 8)]
    larger = targets.style([(png, 1.0)], LAYERS, network, "sliced_wasserstein", (96, 66))
    assert [each.shape for each in larger.values()] == [(1, 128, 48 * 33), (1, 256, 24 * 16)]
    assert targets.style([(png, 1.0)], LAYERS, network, "moments", SIZE)["conv2_1"].shape == (1, 2, 128)


def test_a_job_after_others_is_the_job_alone() -> None:
    """Jobs of a grid have other layers or windows of the same pictures."""
    before = make_job(style_layers=("conv1_1", "conv2_1"))
    job = make_job(style_layers=LAYERS, content_layers=("conv1_1", "conv3_1"))
    caches = (targets.encoder, targets.content, targets.statistics)
    for cache in caches:
        cache.cache_clear()
    alone = run(job).png
    for cache in caches:
        cache.cache_clear()
    run(before)
    assert run(job).png == alone
    assert run(job).png == alone
