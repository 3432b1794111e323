"""Weights of layers beside each other, and weights that are refused."""

from typing import Any

import pytest
from engine_support import DATA, make_job, picture, run

import nst
from nst import api, cli, params
from nst.engine.images import from_png
from nst.engine.losses import content_loss, gram_distance, gram_matrix
from nst.engine.metrics import as_tensor
from nst.engine.vgg import Encoder
from nst.engine.weights import VGGWeights
from nst.errors import OptionError
from nst.params import Settings

CONTENT, STYLE = str(DATA / "content" / "egeskov.jpg"), str(DATA / "style" / "great_wave.jpg")


class TestLoss:
    """Each layer's share of the loss."""

    def test_by_the_losses_of_the_layers(self, weights: VGGWeights) -> None:
        """Of the saved picture, from a network of its own."""
        job = make_job(
            init="adain", precision="float32", pooling="max",
            content_layers=("conv2_1", "conv3_1"), content_weight=2.0, content_layer_weights=(1.0, 3.0),
            style_layers=("conv1_1", "conv2_1"), style_weight=5.0, style_layer_weights=(0.5, 0.0),
        )  # fmt: skip
        result = run(job)
        encoder = Encoder(weights, "conv3_1")
        made, content, style = (
            encoder(pixels, ["conv1_1", "conv2_1", "conv3_1"])
            for pixels in (
                as_tensor(from_png(result.png)),
                picture("content", "egeskov"),
                picture("style", "great_wave"),
            )
        )
        contents = [content_loss(made[name], content[name]).item() for name in job.content_layers]
        styles = [gram_distance(made[name], gram_matrix(style[name])).item() for name in job.style_layers]
        expected = 2 * (1 * contents[0] + 3 * contents[1]) / 4 + 5 * styles[0]
        assert result.quality.final_loss == pytest.approx(expected, rel=1e-4)

    def test_only_their_ratios_count(self) -> None:
        pictures = {run(make_job(style_layer_weights=weights)).png for weights in [(), (1.0, 1.0), (2.0, 2.0)]}
        assert len(pictures) == 1
        assert run(make_job(style_layer_weights=(1.0, 4.0))).png not in pictures

    def test_a_layer_of_weight_0_is_as_good_as_left_out(self) -> None:
        with_it = make_job(content_layers=("conv2_1", "conv3_1"), content_layer_weights=(0.0, 1.0))
        assert run(with_it).losses == pytest.approx(run(make_job()).losses, rel=1e-3)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"style_weight": 1e-30}, "style_weight: a weight is 0, or from 1e-06 to 1e+06 (found 1e-30)"),
    ({"style_weight": 1e-45}, "style_weight: a weight is 0, or from 1e-06"),
    ({"style_weight": 1e30}, "style_weight: Input should be less than or equal to 1000000 (found 1e+30)"),
    ({"tv_weight": 1e300}, "tv_weight: Input should be less than or equal to 1000000"),
    ({"content_weight": 0, "style_weight": 0}, "style_weight: is 0, and so is content_weight: there is nothing to opt"),
    ({"style_layer_weights": "1,a"}, "style_layer_weights: '1,a' is no list of numbers: write them like 1,0.5,0.25"),
    ({"style_layer_weights": "1,nan"}, "style_layer_weights.1: Input should be a finite number"),
    ({"style_layer_weights": "1,-1"}, "style_layer_weights.1: Input should be greater than or equal to 0"),
    ({"style_layer_weights": [1, True]}, "style_layer_weights.1: Input should be a valid number (found True)"),
    ({"style_layer_weights": 3}, "style_layer_weights: Input should be a valid tuple (found 3)"),
    ({"style_layer_weights": "1,2"}, "style_layer_weights: 2 of them for 5 layers; give one for each of conv1_1, "),
    ({"style_layer_weights": "0,0,0,0,0"}, "style_layer_weights: all are 0, so that nothing is compared; raise one"),
    ({"content_layer_weights": [1e-9]}, "content_layer_weights.0: a weight is 0, or from 1e-06 to 1e+06"),
    (
        {"style_layers": "conv5_1,conv1_1", "style_layer_weights": "1,2"},
        "style_layers: with style_layer_weights, give the layers in the order of depth: conv1_1,conv5_1",
    ),
]


class TestRefusals:
    """What the arithmetic cannot do, or nobody can mean."""

    @pytest.mark.parametrize(("options", "message"), REFUSED, ids=lambda value: str(value)[:40])
    def test_in_python(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(OptionError) as caught:
            nst.transfer(CONTENT, STYLE, **options)
        assert str(caught.value).startswith(message)

    @pytest.mark.parametrize(("options", "message"), REFUSED, ids=lambda value: str(value)[:40])
    def test_on_the_command_line(
        self, options: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Any
    ) -> None:
        typed = []
        for name, value in options.items():
            numbers = value if isinstance(value, list) else [value]
            typed += [f"--{name.replace('_', '-')}={','.join(str(number) for number in numbers)}"]
        assert cli.main(["transfer", CONTENT, STYLE, "-o", str(tmp_path / "out.png"), *typed]) == 2
        said = capsys.readouterr().err
        name = message.partition(":")[0].partition(".")[0]
        assert said.startswith(f"error: --{name.replace('_', '-')}")
        assert said.count("\n") == 1
        assert not list(tmp_path.iterdir())

    def test_what_a_task_needs(self) -> None:
        with pytest.raises(OptionError, match=r"^content_weight: is 0: there is nothing to optimise; raise it$"):
            Settings(content_weight=0).job("reconstruct", content="a", content_layers=("conv1_1",))
        with pytest.raises(OptionError, match=r"^style_weight: is 0: there is nothing to optimise"):
            Settings(style_weight=0).job("synthesize", style="a", style_layers=("conv1_1",))
        for settings in (Settings(style_weight=0), Settings(content_weight=0)):
            assert settings.job("transfer", content="a", style="b")
        assert Settings(style_weight=0).job("reconstruct", content="a", content_layers=("conv1_1",))

    def test_layers_in_another_order_are_fine_without_weights(self) -> None:
        assert api.options("transfer", {"style_layers": "conv5_1,conv1_1"})
        assert api.options("transfer", {"style_layers": "2,5-6", "style_layer_weights": "1,2,3"})

    def test_the_smallest_and_largest_weights_work(self) -> None:
        for weight in (params.LEAST, params.MOST):
            result = run(make_job(style_weight=weight, content_weight=params.LEAST))
            assert result.losses[-1] < result.losses[0]
