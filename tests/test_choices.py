"""The rules by which studies choose."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nst.engine.layers import LAYERS
from nst.studies.choices import Cell, best_layer, best_window, pareto_front, recommended_cell, worse_rank

DISTANCES = st.floats(0, 10, allow_nan=False)
CELLS = st.lists(st.tuples(DISTANCES, DISTANCES), min_size=1, max_size=30).map(
    lambda pairs: [Cell("conv1_1", str(number), *pair) for number, pair in enumerate(pairs)]
)


class TestBestLayer:
    """The deepest one that keeps enough."""

    def test_by_hand(self) -> None:
        choice = best_layer({"conv1_1": 0.99, "conv2_1": 0.8, "conv3_1": 0.5, "conv4_1": 0.2}, 0.5)
        assert (choice.winner, choice.runner_up) == ("conv3_1", "conv2_1")
        assert choice.rule == "the deepest layer whose reconstruction has an SSIM of 0.5 or more"

    def test_depth_counts_not_the_order_they_are_given_in(self) -> None:
        assert best_layer({"conv4_1": 0.6, "conv1_1": 0.9, "conv5_1": 0.55, "conv2_1": 0.7}, 0.5).winner == "conv5_1"

    def test_a_layer_that_keeps_enough_behind_one_that_does_not_still_wins(self) -> None:
        assert best_layer({"conv1_1": 0.9, "conv2_1": 0.4, "conv3_1": 0.6}, 0.5).winner == "conv3_1"

    def test_the_clearest_one_where_none_keeps_enough(self) -> None:
        choice = best_layer({"conv1_1": 0.3, "conv2_1": 0.4, "conv3_1": 0.1}, 0.5)
        assert (choice.winner, choice.runner_up) == ("conv2_1", "conv1_1")
        assert choice.rule == "the highest SSIM, as no layer reaches 0.5"

    @pytest.mark.parametrize(
        ("deeper", "runner_up", "margin"),
        [
            (0.48, "conv3_1", 0.02),  # the deeper one is nearer to rising to 0.5 …
            (0.44, "conv1_1", 0.05),  # … than the winner to falling below it, or is not
        ],
    )
    def test_the_margin_is_the_smallest_change_that_would_change_the_winner(
        self, deeper: float, runner_up: str, margin: float
    ) -> None:
        given = {"conv1_1": 0.9, "conv2_1": 0.55, "conv3_1": deeper, "conv4_1": 0.1}
        choice = best_layer(given, 0.5)
        assert (choice.winner, choice.runner_up) == ("conv2_1", runner_up)
        assert choice.margin == pytest.approx(margin)

    @given(st.dictionaries(st.sampled_from(LAYERS), st.floats(0, 1), min_size=2), st.floats(0, 1))
    def test_a_change_of_the_margin_makes_the_runner_up_win(self, ssim: dict[str, float], least: float) -> None:
        choice = best_layer(ssim, least)
        assume(choice.runner_up is not None and ssim[choice.winner] >= least)
        assert choice.margin is not None
        deeper = LAYERS.index(choice.runner_up) > LAYERS.index(choice.winner)
        changed = choice.runner_up if deeper else choice.winner
        by = choice.margin + 1e-9 if deeper else -choice.margin - 1e-9
        assert best_layer({**ssim, changed: ssim[changed] + by}, least).winner == choice.runner_up

    def test_the_margin_is_the_difference_where_none_keeps_enough(self) -> None:
        assert best_layer({"conv1_1": 0.3, "conv2_1": 0.4, "conv3_1": 0.1}, 0.5).margin == pytest.approx(0.1)

    @pytest.mark.parametrize("order", [("conv2_1", "conv4_1"), ("conv4_1", "conv2_1")])
    def test_ties_go_to_the_shallower_layer_in_whatever_order_they_are_given(self, order: tuple[str, ...]) -> None:
        below = best_layer(dict.fromkeys((*order, "conv5_1"), 0.4), 0.5)
        assert (below.winner, below.runner_up, below.margin) == ("conv2_1", "conv4_1", 0)
        # Both the winner's fall and either deeper layer's rise take 0.125.
        above = best_layer({**dict.fromkeys(order, 0.375), "conv1_2": 0.625, "conv1_1": 0.9}, 0.5)
        assert (above.winner, above.runner_up, above.margin) == ("conv1_2", "conv1_1", 0.125)
        deeper = best_layer({**dict.fromkeys(order, 0.375), "conv1_1": 0.9}, 0.5)
        assert (deeper.winner, deeper.runner_up, deeper.margin) == ("conv1_1", "conv2_1", 0.125)

    def test_one_layer_has_no_runner_up(self) -> None:
        choice = best_layer({"conv1_1": 0.9}, 0.5)
        assert (choice.winner, choice.runner_up, choice.margin) == ("conv1_1", None, None)

    @given(st.dictionaries(st.sampled_from(LAYERS), st.floats(0, 1), min_size=1), st.floats(0, 1))
    def test_nothing_deeper_keeps_enough(self, ssim: dict[str, float], least: float) -> None:
        winner = best_layer(ssim, least).winner
        enough = [layer for layer in ssim if ssim[layer] >= least]
        if enough:
            assert winner == max(enough, key=LAYERS.index)
        else:
            assert ssim[winner] == max(ssim.values())


class TestBestWindow:
    """The smallest style distance."""

    def test_by_hand(self) -> None:
        choice = best_window({"1-5": 0.3, "2-6": 0.1, "3-7": 0.15})
        assert (choice.winner, choice.runner_up) == ("2-6", "3-7")
        assert choice.margin == pytest.approx(0.05)

    def test_one_window_has_no_runner_up(self) -> None:
        assert best_window({"1-5": 0.3}).runner_up is None


class TestRecommendedCell:
    """The best of worse ranks."""

    def test_by_hand(self) -> None:
        cells = [
            Cell("conv1_1", "1-5", 0.1, 0.9),  # ranks 1 and 4
            Cell("conv2_1", "1-5", 0.2, 0.8),  # ranks 2 and 3: the worse is 3
            Cell("conv3_1", "1-5", 0.4, 0.7),  # ranks 3 and 2: the worse is 3, the sum is the same, and it comes later
            Cell("conv4_1", "1-5", 0.9, 0.1),  # ranks 4 and 1
        ]
        cell, choice = recommended_cell(cells)
        assert cell == cells[1]
        assert (choice.winner, choice.runner_up, choice.margin) == ("conv2_1 | 1-5", "conv3_1 | 1-5", 0)

    def test_the_unit_of_a_distance_does_not_count(self) -> None:
        cells = [Cell("conv1_1", str(i), i / 10, (9 - i) ** 2 / 100) for i in range(10)]
        other = [Cell(c.content_layer, c.window, c.content_distance**3, 1000 * c.style_distance) for c in cells]
        assert recommended_cell(other)[0].window == recommended_cell(cells)[0].window

    @given(CELLS)
    def test_no_cell_is_better_in_both(self, cells: list[Cell]) -> None:
        found, _ = recommended_cell(cells)
        assert not any(
            c.content_distance < found.content_distance and c.style_distance < found.style_distance for c in cells
        )

    @given(CELLS.filter(lambda cells: len({c.content_distance for c in cells}) == len(cells) > 2))
    def test_it_is_not_the_extreme_of_either_where_there_is_a_balanced_one(self, cells: list[Cell]) -> None:
        """A cell that is best at one and worst at the other wins only if every other cell is worst at something too."""
        found, _ = recommended_cell(cells)
        worst = max(c.content_distance for c in cells), max(c.style_distance for c in cells)
        if any(c.content_distance < worst[0] and c.style_distance < worst[1] for c in cells):
            assert found.content_distance < worst[0]

    @given(CELLS)
    def test_it_has_the_best_worse_rank(self, cells: list[Cell]) -> None:
        found, _ = recommended_cell(cells)
        ranks = [worse_rank(cells, cell.content_distance, cell.style_distance) for cell in cells]
        assert worse_rank(cells, found.content_distance, found.style_distance) == min(ranks)

    def test_worse_rank_by_hand(self) -> None:
        cells = [Cell("conv1_1", str(i), i / 10, 1 - i / 10) for i in range(10)]
        assert worse_rank(cells, 0.2, 0.8) == 8
        assert worse_rank(cells, 0.25, 0.05) == 4
        assert worse_rank(cells, 0.0, 0.0) == 1
        assert worse_rank(cells, 2.0, 0.0) == 11


class TestParetoFront:
    """Cells that no other one beats in both distances."""

    def test_by_hand(self) -> None:
        a, b, c, d = (Cell("conv1_1", str(i), *xy) for i, xy in enumerate([(1, 4), (2, 2), (3, 3), (4, 1)]))
        assert pareto_front([c, d, b, a]) == [a, b, d]

    @given(CELLS)
    def test_every_cell_is_on_it_or_beaten_by_one_that_is(self, cells: list[Cell]) -> None:
        front = pareto_front(cells)
        for one in front:
            assert not any(
                c.content_distance < one.content_distance and c.style_distance < one.style_distance for c in cells
            )
        for cell in cells:
            assert any(
                f.content_distance <= cell.content_distance and f.style_distance <= cell.style_distance for f in front
            )

    @given(CELLS)
    def test_the_recommended_cell_is_as_good_as_one_on_it(self, cells: list[Cell]) -> None:
        found, _ = recommended_cell(cells)
        matches = [(f.content_distance, f.style_distance) for f in pareto_front(cells)]
        assert (found.content_distance, found.style_distance) in matches
