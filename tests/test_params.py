"""params.yaml: what it says, and what it refuses."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import modify_yaml
from study_support import PARAMS, needs_defaults

from nst import params
from nst.engine.layers import LAYERS
from nst.errors import ParamsError
from nst.params import STUDIES, Params, Settings

TEXT = PARAMS.read_text(encoding="utf-8")
VALUES: dict[str, Any] = yaml.safe_load(TEXT)


def load(tmp_path: Path, text: str) -> Params:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return params.load(path)


def refusal(tmp_path: Path, text: str) -> str:
    """The error about `text`, without the file's name; must be one line."""
    with pytest.raises(ParamsError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    start = f"{tmp_path / 'params.yaml'}: "
    assert message.startswith(start)
    assert "\n" not in message
    return message.removeprefix(start)


def changed(place: str, value: Any) -> str:
    """The repository's parameters as YAML, with another value at `place` (a.b.c); a new key is added there."""
    values = copy.deepcopy(VALUES)
    *sections, key = place.split(".")
    section = values
    for name in sections:
        section = section[name]
    section[key] = value
    return yaml.safe_dump(values, allow_unicode=True)


def without(place: str) -> str:
    values = copy.deepcopy(VALUES)
    *sections, key = place.split(".")
    section = values
    for name in sections:
        section = section[name]
    del section[key]
    return yaml.safe_dump(values)


@needs_defaults
class TestRepository:
    """The params.yaml of this repository."""

    def test_is_valid(self) -> None:
        loaded = params.load(PARAMS)
        assert loaded.transfer.content_layers == LAYERS
        assert [len(window) for window in loaded.transfer.style_windows] == [5] * 11
        assert loaded.reconstruction.layers == LAYERS
        assert len(loaded.initialization.pairs) >= 3
        assert len(loaded.initialization.seeds) >= 3
        assert set(loaded.initialization.inits) == {"noise", "content", "adain"}
        assert len(loaded.gallery.gram_layers) >= 2
        assert len(loaded.gallery.favourites) >= 3

    def test_each_line_has_a_comment(self) -> None:
        for line in TEXT.splitlines():
            item = line.lstrip().startswith("- ")  # of a list that its key's line introduces
            assert not line.strip() or "# " in line or item or line.rstrip().rstrip(":").isidentifier(), line

    def test_dvc_can_change_it_and_keeps_the_rest(self, tmp_path: Path) -> None:
        """`dvc exp run -S` writes the file anew; a list too long for its lines would be broken in the middle."""
        (tmp_path / "params.yaml").write_text(TEXT, "utf-8")
        with modify_yaml(str(tmp_path / "params.yaml")) as values:
            values["size"] = 512
        expected = TEXT.replace("size: 192 ", "size: 512 ", 1)
        assert (tmp_path / "params.yaml").read_text("utf-8") == expected

    def test_each_section_is_introduced(self) -> None:
        lines = TEXT.splitlines()
        for study in STUDIES:
            assert lines[lines.index(f"{study}:") - 1].startswith("# ──"), study

    def test_states_every_setting_at_its_top(self) -> None:
        assert set(VALUES) == {*Settings.model_fields, *STUDIES}

    def test_the_defaults_of_single_options_are_its_own(self) -> None:
        assert params.settings().model_dump(mode="json") == {name: VALUES[name] for name in Settings.model_fields}

    def test_pictures_exist(self, data: Path) -> None:
        section = params.load(PARAMS).gallery
        for content in section.contents:
            assert (data / "content" / f"{content}.jpg").is_file()
        for style in section.styles:
            assert (data / "style" / f"{style}.jpg").is_file()


class TestOverriding:
    """A study may have its own value of any setting."""

    @pytest.mark.parametrize("study", STUDIES)
    def test_the_top_holds_for_every_study_that_says_nothing_else(self, tmp_path: Path, study: str) -> None:
        loaded = load(tmp_path, changed("size", 64))
        assert getattr(loaded, study).size == 64
        loaded = load(tmp_path, changed(f"{study}.size", 96))
        assert getattr(loaded, study).size == 96
        assert loaded.size == VALUES["size"]
        assert all(getattr(loaded, other).size == VALUES["size"] for other in STUDIES if other != study)

    def test_a_job_takes_its_studys_settings(self, tmp_path: Path) -> None:
        section = load(tmp_path, changed("reconstruction.optimizer", "lbfgs")).reconstruction
        job = section.job("reconstruct", content="a", content_layers=("conv1_1",))
        assert job.optimizer == "lbfgs"
        assert job.iterations == VALUES["reconstruction"]["iterations"]
        assert job.noise == VALUES["noise"]
        assert section.job("reconstruct", size=64).size == 64

    def test_nothing_can_be_changed_afterwards(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="frozen"):
            load(tmp_path, TEXT).size = 3  # type: ignore[misc]

    def test_layers_by_name_number_or_range(self, tmp_path: Path) -> None:
        for value in ("1-5", "conv1_1-conv3_1", [1, 2, "conv2_1", "4-5"]):
            assert (
                load(tmp_path, changed("initialization.style_layers", value)).initialization.style_layers == LAYERS[:5]
            )
        for value in (10, "10", "conv4_2", "CONV4_2"):
            assert (
                load(tmp_path, changed("initialization.content_layer", value)).initialization.content_layer == "conv4_2"
            )

    def test_recommended_layers_stay_until_they_are_known(self, tmp_path: Path) -> None:
        gallery = load(tmp_path, changed("gallery.style_layers", "1-3")).gallery
        assert (gallery.content_layer, gallery.style_layers) == ("recommended", LAYERS[:3])


BAD_VALUES = [
    ("size", 31, "greater than or equal to 32"),
    ("size", 100_000, "less than or equal to 4096"),
    ("size", "big", "valid integer"),
    ("size", 192.5, "valid integer"),
    ("size", None, "valid integer"),
    ("size", [192], "valid integer"),
    ("iterations", 0, "greater than or equal to 1"),
    ("iterations", True, "no parameter is true or false"),
    ("optimizer", "sgd", "'adam' or 'lbfgs'"),
    ("optimizer", "Adam", "'adam' or 'lbfgs'"),
    ("precision", "float16", "'auto', 'bfloat16' or 'float32'"),
    ("learning_rate", 0, "greater than 0"),
    ("learning_rate", -1, "greater than 0"),
    ("pooling", "min", "'max' or 'average'"),
    ("parametrization", "wavelet", "'pixels' or 'fourier'"),
    ("noise", "brown", "'uniform', 'normal' or 'pink'"),
    ("content_weight", -1, "greater than or equal to 0"),
    ("content_weight", float("nan"), "finite number"),
    ("style_weight", float("inf"), "finite number"),
    ("tv_weight", "a little", "valid number"),
    ("tv_weight", 1e300, "less than or equal to 1000000"),
    ("style_weight", 1e-45, "a weight is 0, or from 1e-06 to 1e\\+06"),
    ("style_layer_weights", 1, "valid tuple"),
    ("style_layer_weights.1", [1, -1], "greater than or equal to 0"),
    ("style_layer_weights.1", [1, "a"], "valid number"),
    ("content_layer_weights", "a,b", "no list of numbers"),
    ("style_loss", "grams", "'gram', 'sliced_wasserstein' or 'moments'"),
    ("style_scale", 0, "greater than 0"),
    ("style_scale", 9, "less than or equal to 8"),
    ("weights", 19, "valid string"),
    ("transfer.content_layers", "1-17", "no layer 17: layers are 1 … 16; the nearest is 16"),
    ("transfer.content_layers", "conv9_1", "no layer 'conv9_1'.*the nearest is conv5_1"),
    ("transfer.content_layers", None, "None is no layer"),
    ("transfer.content_layers", [], "at least one layer"),
    ("transfer.content_layers", [1, 1], "conv1_1 is given twice"),
    ("transfer.style_windows", [], "at least 1 item"),
    ("transfer.style_windows", "1-5", "valid tuple"),
    ("transfer.style_windows", ["1-5", "conv1_1-conv3_1"], "given twice"),
    ("transfer.style_windows.2", ["1-5", "2-6", "7-3"], "runs backwards: write 3-7"),
    ("transfer.init", "blank", "'noise', 'content' or 'adain'"),
    ("transfer.seed", -1, "greater than or equal to 0"),
    ("transfer.seed", 2**63, "less than"),
    ("transfer.content", "", "at least 1 character"),
    ("synthesis.windows", ["1-5", [1, 2, 3, 4, 5]], "given twice"),
    ("synthesis.styles", [], "at least 1 item"),
    ("reconstruction.seeds", [0, 0], "0 is given twice"),
    ("reconstruction.seeds.1", [0, True], "valid integer"),
    ("reconstruction.contents", ["chelsea", "chelsea"], "'chelsea' is given twice"),
    ("reconstruction.min_ssim", 1.5, "less than or equal to 1"),
    ("initialization.pairs.0", ["ab"], "valid tuple"),
    ("initialization.pairs.0", [["a", "b", "c"]], "at most 2 items"),
    ("initialization.pairs", [["a", "b"], ["a", "b"]], "given twice"),
    ("initialization.inits", ["noise", "noise"], "'noise' is given twice"),
    ("initialization.content_layer", "conv6_1", "no layer 'conv6_1'"),
    ("gallery.content_layer", "recomended", "no layer 'recomended'"),
    ("gallery.favourite_size", 8, "greater than or equal to 32"),
    ("gallery.film.frames", 1, "greater than or equal to 2"),
    ("gallery.film.pair.1", ["chelsea"], "missing"),
]


class TestRefusals:
    """One line each: the file, the field, what is wrong, and what would be right."""

    @pytest.mark.parametrize(("field", "value", "message"), BAD_VALUES)
    def test_a_bad_value(self, tmp_path: Path, field: str, value: Any, message: str) -> None:
        place = re.sub(r"\.\d.*$", "", field)  # a number names the place inside the value
        assert re.match(rf"{re.escape(field)}: .*{message}", refusal(tmp_path, changed(place, value)))

    @pytest.mark.parametrize("study", STUDIES)
    def test_a_bad_value_in_a_studys_own_settings(self, tmp_path: Path, study: str) -> None:
        assert refusal(tmp_path, changed(f"{study}.size", 1)).startswith(f"{study}.size: ")

    def test_a_bad_value_at_the_top_is_reported_where_it_is(self, tmp_path: Path) -> None:
        assert (
            refusal(tmp_path, changed("pooling", "min")) == "pooling: Input should be 'max' or 'average' (found 'min')"
        )

    @pytest.mark.parametrize(
        ("place", "message"),
        [
            ("sise", "sise: unknown key; did you mean 'size'?"),
            ("transfer.style_window", "transfer.style_window: unknown key; did you mean 'style_windows'?"),
            ("gallery.film.frame", "gallery.film.frame: unknown key; did you mean 'frames'?"),
            ("gallery.film.xyz", "gallery.film.xyz: unknown key; there are pair, init, frames"),
        ],
    )
    def test_an_unknown_key(self, tmp_path: Path, place: str, message: str) -> None:
        assert refusal(tmp_path, changed(place, 1)) == message

    @pytest.mark.parametrize("place", [*STUDIES, "transfer.seed", "synthesis.windows", "gallery.film.pair"])
    def test_a_missing_key(self, tmp_path: Path, place: str) -> None:
        assert refusal(tmp_path, without(place)) == f"{place}: missing; add it (the repository's params.yaml shows how)"

    def test_a_misspelt_key_is_unknown_not_missing(self, tmp_path: Path) -> None:
        text = TEXT.replace("transfer:\n", "tranfser:\n")
        assert refusal(tmp_path, text) == "tranfser: unknown key; did you mean 'transfer'?"

    def test_a_key_that_is_given_twice(self, tmp_path: Path) -> None:
        line = TEXT.splitlines().index("transfer:") + 3
        text = TEXT.replace("transfer:\n", "transfer:\n  seed: 1\n  seed: 2\n")
        assert refusal(tmp_path, text) == f"line {line}: not valid YAML ('seed' is given twice)"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("size: [", "line 1: not valid YAML"),
            ("a: b: c", "line 1: not valid YAML"),
            ("size: 1\n\ttab: 2", "line 2: not valid YAML"),
            ("", "holds no parameters"),
            ("- size", "holds no parameters"),
            ("192", "holds no parameters"),
            ("!!python/object/apply:os.getcwd []", "line 1: not valid YAML"),
            ("[1]: 2", "line 1: not valid YAML"),
        ],
    )
    def test_what_is_no_yaml_or_no_parameters(self, tmp_path: Path, text: str, message: str) -> None:
        assert refusal(tmp_path, text).startswith(message)

    def test_a_section_that_is_none(self, tmp_path: Path) -> None:
        assert refusal(tmp_path, changed("transfer", None)).startswith("transfer: Input should be")
        assert refusal(tmp_path, changed("gallery.film", 3)).startswith("gallery.film: Input should be")

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ParamsError, match=r"params.yaml: no such file; the repository has one: `git checkout"):
            params.load(tmp_path / "params.yaml")

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "params.yaml").write_bytes(b"size: \xff\xfe")
        with pytest.raises(ParamsError, match=r"params.yaml: cannot be read"):
            params.load(tmp_path / "params.yaml")
        with pytest.raises(ParamsError, match="cannot be read"):
            params.load(tmp_path)

    def test_a_single_option(self) -> None:
        with pytest.raises(ParamsError, match=r"^size: Input should be .* \(found 3\)$"):
            params.settings(size=3)
