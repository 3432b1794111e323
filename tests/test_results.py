"""Results are written down whole, or not read at all; tables of them."""

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from engine_support import finished, make_job
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nst.engine.layers import LAYERS
from nst.engine.results import Quality, Result, Timing
from nst.errors import ResultError
from nst.studies import tables


@pytest.fixture(scope="module")
def results(data: Path) -> list[Result]:
    return [finished(make_job(task, frames=2)) for task in ("transfer", "reconstruct", "synthesize")]


def leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the single values of nested lists and dictionaries are."""
    if isinstance(value, dict | list) and value:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*place, key))
    else:
        yield place


def test_a_result_survives_json(results: list[Result]) -> None:
    for result in results:
        text = json.dumps(result.to_dict())
        assert Result.from_dict(json.loads(text)) == result
        assert json.dumps(Result.from_dict(json.loads(text)).to_dict()) == text


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_altered_value_is_noticed(results: list[Result], data: st.DataObject) -> None:
    values = copy.deepcopy(results[0].to_dict())
    *way, last = data.draw(st.sampled_from(list(leaves(values))))
    holder = values
    for step in way:
        holder = holder[step]
    old = holder[last]
    if isinstance(old, str) and old:
        at = data.draw(st.integers(0, len(old) - 1))
        holder[last] = old[:at] + ("A" if old[at] != "A" else "B") + old[at + 1 :]
    elif isinstance(old, float):
        holder[last] = math.nextafter(old, math.inf)
    else:
        holder[last] = [old]
    with pytest.raises(ResultError, match="does not match its checksum: it was cut short or altered"):
        Result.from_dict(values)


@pytest.mark.parametrize("key", ["job", "png", "frames", "losses", "quality", "timing", "environment"])
def test_a_missing_part_is_noticed(results: list[Result], key: str) -> None:
    values = results[0].to_dict()
    del values[key]
    with pytest.raises(ResultError, match="checksum"):
        Result.from_dict(values)


@pytest.mark.parametrize("values", [None, [], {}, "result", {"job": 1}])
def test_what_is_no_result(values: Any) -> None:
    with pytest.raises(ResultError, match="not a stored result: the checksum is missing"):
        Result.from_dict(values)


def test_numbers_that_json_has_no_word_for_survive(results: list[Result]) -> None:
    values = results[0].to_dict()
    odd = Result.from_dict(values)
    quality = dict.fromkeys((field.name for field in fields(Quality)), None)
    quality |= {"style_distance": math.inf, "colour_distance": 0.0, "psnr": -1.0, "final_loss": 1e-300}
    odd = Result(**{**vars(odd), "quality": Quality(**quality)})  # type: ignore[arg-type]
    assert Result.from_dict(json.loads(json.dumps(odd.to_dict()))) == odd


def test_seconds_per_iteration_leave_out_the_start() -> None:
    assert Timing(5.0, 1.0, 6.0, 0.5, 8, 10, 1.0, ()).seconds_per_iteration == 0.5
    assert Timing(1.0, 1.0, 2.0, 0.5, 0, 0, 1.0, ()).seconds_per_iteration == 0.0


class TestTables:
    """quality.csv, timing.csv, metrics.json and the pictures they name."""

    def test_every_metric_is_a_column(self, results: list[Result], tmp_path: Path) -> None:
        tables.write(results, tmp_path)
        assert set(results[0].quality.numbers()) <= set(pd.read_csv(tmp_path / "tables" / "quality.csv"))
        assert {field.name for field in fields(Quality)} == {*results[0].quality.numbers(), "gram_errors"}

    def test_every_layer_is_a_column_of_a_table_of_its_own(self, results: list[Result], tmp_path: Path) -> None:
        tables.write(results, tmp_path)
        found = pd.read_csv(tmp_path / "tables" / "style_layers.csv")
        assert list(found) == ["job", *LAYERS]
        styled = [result for result in results if result.job.style]
        assert found["job"].tolist() == [result.job.name for result in styled]
        expected = [result.quality.gram_errors for result in styled]
        np.testing.assert_allclose(found[list(LAYERS)].to_numpy(), np.asarray(expected), rtol=1e-5)

    def test_without_a_style_there_is_no_table_of_its_layers(self, results: list[Result], tmp_path: Path) -> None:
        tables.write([result for result in results if not result.job.style], tmp_path)
        assert not (tmp_path / "tables" / "style_layers.csv").exists()

    def test_say_what_the_results_say(self, results: list[Result], tmp_path: Path) -> None:
        tables.write(results, tmp_path)
        quality = pd.read_csv(tmp_path / "tables" / "quality.csv")
        timing = pd.read_csv(tmp_path / "tables" / "timing.csv")
        for (_, row), (_, time), result in zip(quality.iterrows(), timing.iterrows(), results, strict=True):
            assert row["job"] == time["job"] == result.job.name
            assert row["final_loss"] == pytest.approx(result.quality.final_loss, rel=1e-5)
            assert time["seconds"] == pytest.approx(result.timing.seconds, rel=1e-5)
            assert (tmp_path / row["image"]).read_bytes() == result.png
        assert quality["content_layer"].tolist()[:2] == ["conv3_1", "conv3_1"]
        assert quality.isna()["content_layer"].tolist() == [False, False, True]
        assert quality.isna()["psnr"].tolist() == [False, False, True]
        assert quality.isna()["style_distance"].tolist() == [False, True, False]

    def test_quality_is_the_same_to_the_byte_when_only_the_times_differ(
        self, results: list[Result], tmp_path: Path
    ) -> None:
        slower = [Result(**{**vars(r), "timing": Timing(9.0, 1.0, 9.5, 0.5, 4, 4, 2.0, (1.0,))}) for r in results]
        for folder, these in (("a", results), ("b", slower)):
            tables.write(these, tmp_path / folder)
        assert (tmp_path / "a" / "tables" / "quality.csv").read_bytes() == (
            tmp_path / "b" / "tables" / "quality.csv"
        ).read_bytes()
        assert (tmp_path / "a" / "tables" / "timing.csv").read_bytes() != (
            tmp_path / "b" / "tables" / "timing.csv"
        ).read_bytes()

    def test_refuse_two_jobs_of_one_name(self, results: list[Result], tmp_path: Path) -> None:
        with pytest.raises(AssertionError, match="same name"):
            tables.write([results[0], results[0]], tmp_path)

    def test_metrics_are_rounded_and_read_back(self, tmp_path: Path) -> None:
        tables.write_metrics({"a": 1 / 3, "b": {"c": [2 / 3, 4]}, "d": "Ω", "e": None}, tmp_path)
        assert tables.read_metrics(tmp_path) == {"a": 0.333333, "b": {"c": [0.666667, 4]}, "d": "Ω", "e": None}
