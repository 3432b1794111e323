"""Layers by name and by number."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nst.engine.layers import (
    BLOCK_ENDS,
    CLASSIC,
    LAYERS,
    layer_name,
    layer_number,
    multiplications,
    parse_layers,
    receptive_field,
    window,
)
from nst.engine.vgg import Encoder
from nst.engine.weights import VGGWeights
from nst.errors import ParamsError


def test_the_sixteen_layers_of_vgg_19() -> None:
    assert len(LAYERS) == 16
    assert LAYERS[0] == "conv1_1"
    assert LAYERS[4] == "conv3_1"
    assert LAYERS[9] == "conv4_2"
    assert LAYERS[15] == "conv5_4"
    assert sorted(BLOCK_ENDS) == ["conv1_2", "conv2_2", "conv3_4", "conv4_4"]


@given(st.integers(1, 16))
def test_numbers_and_names_are_the_same_layers(number: int) -> None:
    name = layer_name(number)
    assert layer_number(name) == number
    assert layer_name(str(number)) == layer_name(f" {name.upper()} ") == name


@pytest.mark.parametrize(
    ("layer", "nearest"),
    [
        ("conv9_1", "conv5_1"),
        ("conv_4_2", "conv4_2"),
        ("relu3_1", "conv3_1"),
        (0, "conv1_1"),
        (17, "conv5_4"),
        ("", ""),
    ],
)
def test_an_unknown_layer_is_told_with_the_nearest(layer: str | int, nearest: str) -> None:
    with pytest.raises(ParamsError, match=rf"no layer .*the nearest is .*{nearest}") as caught:
        layer_name(layer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layer", [True, 1.5, None, ["conv1_1"]])
def test_what_cannot_name_a_layer(layer: object) -> None:
    with pytest.raises(ParamsError, match="is no layer: give a name"):
        layer_name(layer)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("conv4_2", ("conv4_2",)),
        (10, ("conv4_2",)),
        ("1-5", LAYERS[:5]),
        ("1 – 5", LAYERS[:5]),
        ("conv1_1-conv3_1", LAYERS[:5]),
        ("11-15", LAYERS[10:15]),
        (["conv5_1", 1, "2-3"], ("conv1_1", "conv1_2", "conv2_1", "conv5_1")),
    ],
)
def test_layers_are_parsed_in_the_order_of_depth(text: str | int | list[str | int], expected: tuple[str, ...]) -> None:
    assert parse_layers(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5-1", "runs backwards: write 1-5"),
        ("1-2-3", "no range of layers"),
        ([1, "1-2"], "conv1_1 is given twice"),
        ([], "at least one layer"),
        ("1-17", "no layer 17"),
        (None, "None is no layer"),
        (1.5, "1.5 is no layer"),
        ("²", "no layer '²'"),
    ],
)
def test_layers_that_cannot_be_used(text: object, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        parse_layers(text)  # type: ignore[arg-type]


@given(st.sets(st.sampled_from(LAYERS), min_size=1))
def test_a_label_names_its_layers(layers: set[str]) -> None:
    label = window(sorted(layers, key=LAYERS.index))
    assert set(parse_layers(label.split(","))) == layers


def test_labels() -> None:
    assert window(LAYERS[:5]) == "1-5"
    assert window(["conv4_2"]) == "10"
    assert window(["conv1_1", "conv2_1", "conv3_1"]) == "1,3,5"
    assert window([]) == ""


def test_multiplications_by_hand_and_of_the_whole_network() -> None:
    assert multiplications("conv1_1") == 3 * 64 * 9
    assert multiplications("conv2_1") == 3 * 64 * 9 + 64 * 64 * 9 + 64 * 128 * 9 / 4
    # He et al. (2015), figure 3, give VGG-19's as 19.6 billion at 224 px, with its three fully connected layers.
    connected = 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 1000
    assert multiplications("conv5_4") * 224**2 + connected == pytest.approx(19.6e9, abs=0.05e9)


@pytest.mark.parametrize(
    ("layer", "field"),
    [
        ("conv1_1", 3), ("conv1_2", 5), ("conv2_1", 10), ("conv2_2", 14), ("conv3_1", 24), ("conv3_4", 48),
        ("conv4_1", 68), ("conv4_4", 116), ("conv5_1", 156), ("conv5_2", 188), ("conv5_3", 220), ("conv5_4", 252),
    ],
)  # fmt: skip
def test_receptive_fields_by_hand(layer: str, field: int) -> None:
    """3; +2; pooling +1, then +2·2; +2·2; pooling +2, then +2·4, …; at 192 px conv5_3 sees more than the picture."""
    assert receptive_field(layer) == field


@pytest.mark.parametrize("layer", ["conv1_1", "conv1_2", "conv2_1", "conv3_1", "conv4_4", "conv5_3"])
def test_receptive_fields_are_what_changes_an_activation(layer: str, weights: VGGWeights) -> None:
    """In the real network; with average pooling, as the gradient of a maximum reaches one of four only."""
    field = receptive_field(layer)
    size = 2 * (field + 32)
    noise = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0), requires_grad=True)
    activations = Encoder(weights, layer, pooling="average")(noise, [layer])[layer]
    middle = activations.shape[-1] // 2
    (gradient,) = torch.autograd.grad(activations[..., middle, middle].sum(), noise)
    touched = gradient.abs().sum((0, 1)) > 0
    for side in (0, 1):
        places = touched.any(side).nonzero()
        assert places.max() - places.min() + 1 == field


def test_the_layers_of_gatys_et_al_have_a_name() -> None:
    assert parse_layers("classic") == parse_layers([1, 3, 5, 9, 13]) == CLASSIC
    assert window(CLASSIC) == "classic"
    assert parse_layers(["classic", "conv1_2"]) == tuple(sorted((*CLASSIC, "conv1_2")))
