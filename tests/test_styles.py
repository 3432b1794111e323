"""Several styles in one picture, from how they are written to how the picture is measured."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from engine_support import DATA, finished, inputs, make_job, picture, pixels, run
from PIL import Image
from study_support import PARAMS
from torch import Tensor

import nst
from nst import cli, params
from nst.engine import images, metrics, styles, targets
from nst.engine.adain import AdaIN, _match_statistics
from nst.engine.losses import gram_matrix
from nst.engine.targets import Network
from nst.engine.vgg import Encoder
from nst.engine.weights import VGGWeights
from nst.errors import ImageError, ParamsError
from nst.studies.originals import Original, file_name

CPU = torch.device("cpu")
NETWORK = Network("normalised", "max", torch.float32, CPU)
BOTH = "great_wave:3,cafe_terrace:1"
FILES = {name: str(DATA / "style" / f"{name}.jpg") for name in ("great_wave", "cafe_terrace")}
TYPED = f"{FILES['great_wave']}:3,{FILES['cafe_terrace']}"
CONTENT = str(DATA / "content" / "egeskov.jpg")
SMALL: dict[str, Any] = {"size": 48, "iterations": 2, "threads": 1}


class TestWriting:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a", [("a", 1.0)]),
            ("a:5", [("a", 1.0)]),
            ("a:2,b", [("a", 2 / 3), ("b", 1 / 3)]),
            ("a, b:1e0 ,c:2", [("a", 0.25), ("b", 0.25), ("c", 0.5)]),
            ("C:/a.jpg:1,b c.jpg:3", [("C:/a.jpg", 0.25), ("b c.jpg", 0.75)]),
        ],
    )
    def test_names_and_shares(self, text: str, expected: list[tuple[str, float]]) -> None:
        assert list(styles.parse(text)) == expected

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", "a style is missing"),
            ("a,", "a style is missing"),
            (",a:2", "a style is missing"),
            ("a:2,a:3", "'a' is given twice"),
            ("a:0,b", "above 0"),
            ("a:-1,b", "above 0"),
            ("a:1.2.3,b", "above 0"),
            ("a:1e999,b", "above 0"),
        ],
    )
    def test_is_refused_with_what_is_wrong(self, text: str, problem: str) -> None:
        with pytest.raises(ValueError, match=problem):
            styles.parse(text)

    def test_a_weight_alone_changes_nothing(self) -> None:
        alone, weighted = finished(make_job()), run(make_job(style="great_wave:7"))
        assert weighted.png == alone.png
        assert weighted.quality == alone.quality


class TestTargets:
    def test_are_the_mean_of_gram_matrices(self, weights: VGGWeights) -> None:
        job = make_job(style=BOTH)
        layers = ("conv1_1", "conv3_1")
        found = targets.style(inputs(job, DATA).styles, layers, NETWORK, "gram", (48, 32))
        encoder = Encoder(weights, "conv3_1")
        with torch.no_grad():
            wave, terrace = (encoder(picture("style", name), layers) for name in FILES)
        for name in layers:
            expected = 0.75 * gram_matrix(wave[name]) + 0.25 * gram_matrix(terrace[name])
            torch.testing.assert_close(found[name], expected)

    def test_are_the_distribution_in_between(self) -> None:
        """Of two styles of one value each, halfway."""
        black, white = (images.to_png(Image.new("RGB", (48, 48), name)) for name in ("black", "white"))

        def sorted_at(*given: tuple[bytes, float]) -> Tensor:
            return targets.style(given, ("conv1_1",), NETWORK, "sliced_wasserstein", (48, 48))["conv1_1"]

        middle = sorted_at((black, 0.5), (white, 0.5))
        torch.testing.assert_close(middle, (sorted_at((black, 1.0)) + sorted_at((white, 1.0))) / 2)

    def test_adain_interpolates_features(self) -> None:
        """Huang & Belongie (2017), eq. 15."""
        network = AdaIN(torch.float32, CPU)
        content, *both = picture("content", "chelsea"), *(picture("style", name) for name in FILES)
        with torch.no_grad():
            f, g, h = map(network.encode, (content, *both))
            expected = network.decode(0.75 * _match_statistics(f, g) + 0.25 * _match_statistics(f, h))
        found = network(content, list(zip(both, (0.75, 0.25), strict=True)))
        height, width = content.shape[-2:]
        torch.testing.assert_close(found, expected[..., :height, :width].clamp(0, 1))


class TestPictures:
    def test_are_nearer_to_the_style_that_weighs_more(self) -> None:
        made = [run(make_job(style=f"great_wave:{a},cafe_terrace:{b}", iterations=20)) for a, b in ((9, 1), (1, 9))]
        for name, nearer in zip(FILES, ((0, 1), (1, 0)), strict=True):
            style = picture("style", name)
            distances = [
                metrics.style_distance(metrics.as_tensor(images.from_png(result.png)), style, "normalised")
                for result in made
            ]
            assert distances[nearer[0]] < 0.9 * distances[nearer[1]]

    def test_are_measured_against_both(self) -> None:
        """Nearer to the mixture than to either style."""
        job = make_job(style=BOTH, iterations=20)
        given = inputs(job, DATA)
        result = run(job, given)
        shown = metrics.as_tensor(images.from_png(result.png))
        alone = [metrics.distances(shown, None, [(png, 1.0)], "normalised").style for png, _ in given.styles]
        assert result.quality.style_distance is not None
        assert all(other is not None and result.quality.style_distance < other for other in alone)
        errors = result.quality.gram_errors
        assert errors is not None
        own = metrics.mean_error([errors[0], errors[2]])  # conv1_1 and conv2_1
        assert result.quality.own_style_distance == pytest.approx(own)

    @pytest.mark.parametrize("changes", [{"colour": "matched"}, {"colour": "luminance"}, {"init": "adain"}])
    def test_in_other_ways(self, changes: dict[str, Any]) -> None:
        result = run(make_job(style=BOTH, **changes))
        assert result.losses[-1] < result.losses[0]
        assert result.png != run(make_job(style="great_wave", **changes)).png

    def test_a_texture_of_several_has_the_first_ones_size(self) -> None:
        result = run(make_job("synthesize", style=BOTH))
        assert images.from_png(result.png).size == images.from_png(finished(make_job("synthesize")).png).size
        assert result.quality.arrangement is None

    def test_names_are_names_of_files(self) -> None:
        assert "great_wave-3+cafe_terrace-1" in make_job(style=BOTH).name
        assert file_name("egeskov", BOTH) == "egeskov_great_wave-3+cafe_terrace-1"


class TestForPeople:
    def test_python_and_the_command_make_the_same_picture(self, tmp_path: Path) -> None:
        expected = nst.transfer(CONTENT, TYPED, **SMALL)
        assert expected.job.style == "great_wave:0.75,cafe_terrace:0.25"
        opened = [(Image.open(file), weight) for file, weight in zip(FILES.values(), (6, 2), strict=True)]
        assert nst.transfer(CONTENT, opened, **SMALL).png == expected.png
        out = tmp_path / "out.png"
        arguments = [f"--{name}={value}" for name, value in SMALL.items()]
        assert cli.main(["transfer", CONTENT, TYPED, "-o", str(out), *arguments]) == 0
        np.testing.assert_array_equal(pixels(out.read_bytes()), pixels(expected.png))

    def test_a_folder_gets_a_name_of_all(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        command = ["transfer", CONTENT, TYPED, "-o", f"{tmp_path}/", "--size=48", "--iterations=1"]
        assert cli.main(command) == 0
        made = tmp_path / "egeskov_great_wave_cafe_terrace.png"
        assert made.exists()
        capsys.readouterr()
        assert cli.main(["show", str(made)]) == 0
        assert TYPED in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            (f"{FILES['great_wave']}:0,{FILES['cafe_terrace']}", "weights of styles are numbers above 0"),
            (f"{FILES['great_wave']},nowhere.jpg", "nowhere.jpg: no such picture"),
            (f"{FILES['great_wave']},", "a style is missing"),
        ],
    )
    def test_what_is_wrong_is_said(
        self, typed: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["transfer", CONTENT, typed, "-o", str(tmp_path / "out.png")]) == 2
        assert said in capsys.readouterr().err

    @pytest.mark.parametrize("given", [[], [(FILES["great_wave"],)], [(FILES["great_wave"], "x")], {}])
    def test_python_refuses_what_is_no_list_of_styles(self, given: Any) -> None:
        with pytest.raises(ImageError, match="style"):
            nst.transfer(CONTENT, given, **SMALL)

    def test_a_file_may_have_a_comma_in_its_name(self, tmp_path: Path) -> None:
        odd = tmp_path / "wave, 1831:2.jpg"
        odd.write_bytes(Path(FILES["great_wave"]).read_bytes())
        assert nst.transfer(CONTENT, odd, **SMALL).png == nst.transfer(CONTENT, FILES["great_wave"], **SMALL).png


class TestStudies:
    def changed(self, tmp_path: Path, style: str) -> params.Params:
        values = yaml.safe_load(PARAMS.read_text("utf-8"))
        values["gallery"]["styles"] = [style, "great_wave"]
        values["parameters"]["pairs"] = [["egeskov", style]]
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values), "utf-8")
        return params.load(tmp_path / "params.yaml")

    def test_take_them_where_they_take_a_style(self, tmp_path: Path) -> None:
        loaded = self.changed(tmp_path, BOTH)
        assert loaded.gallery.styles[0] == BOTH
        assert loaded.parameters.pairs == (("egeskov", BOTH),)

    @pytest.mark.parametrize("style", ["great_wave:0,cafe_terrace", "../a:1,b", "great_wave,"])
    def test_refuse_what_cannot_be_meant(self, style: str, tmp_path: Path) -> None:
        with pytest.raises(ParamsError, match=r"parameters\.pairs"):
            self.changed(tmp_path, style)

    def test_show_the_originals_beside_each_other(self) -> None:
        both = Original("style", BOTH, 64)
        first, second = (picture for picture, _ in both.parts(DATA))
        shown = both.read(DATA)
        assert shown.height == first.height
        assert shown.width > first.width
        np.testing.assert_array_equal(np.asarray(shown)[:, : first.width], np.asarray(first))
        assert [share for _, share in both.parts(DATA)] == [0.75, 0.25]
        assert second.size != (0, 0)

    def test_gram_matrices_are_the_mean(self) -> None:
        parts = Original("style", BOTH, 64).parts(DATA)
        mixed = metrics.gram_matrices(parts, ["conv1_1"], "normalised")["conv1_1"]
        wave, terrace = (
            metrics.gram_matrices([(each, 1.0)], ["conv1_1"], "normalised")["conv1_1"] for each, _ in parts
        )
        np.testing.assert_allclose(mixed, 0.75 * wave + 0.25 * terrace, rtol=1e-5)
