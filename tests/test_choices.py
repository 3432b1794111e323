"""The rules by which studies choose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nst.engine.layers import LAYERS
from nst.studies.choices import (
    CLASSIC_CELL,
    Cell,
    best_finalist,
    best_layer,
    best_window,
    pareto_front,
    proposals,
    shortlist,
)

DISTANCES = st.floats(0, 10, allow_nan=False)
CELLS = st.lists(st.tuples(DISTANCES, DISTANCES), min_size=1, max_size=30).map(
    lambda pairs: [Cell("conv1_1", str(number), *pair) for number, pair in enumerate(pairs)]
)


class TestBestLayer:
    """The deepest one that keeps enough."""

    def test_by_hand(self) -> None:
        """Both contents agree on all but conv3_1, which keeps enough of one of them only."""
        choice = best_layer(
            {"conv1_1": [0.99, 0.98], "conv2_1": [0.8, 0.79], "conv3_1": [0.45, 0.56], "conv4_1": [0.2, 0.201]}, 0.5
        )
        assert choice.winner == "conv3_1"
        assert choice.alike == (), "of the others, each is on one side of 0.5 beyond chance"
        assert choice.numbers["conv3_1"].mean == pytest.approx(0.505)
        assert choice.rule == "the deepest layer whose reconstructions have an SSIM of 0.5 or more on average"

    def test_a_deeper_layer_that_may_reach_it_is_not_told_apart(self) -> None:
        choice = best_layer({"conv2_1": [0.7, 0.71, 0.69], "conv3_1": [0.55, 0.4, 0.5]}, 0.5)
        assert (choice.winner, choice.alike) == ("conv2_1", ("conv3_1",))

    def test_depth_counts_not_the_order_they_are_given_in(self) -> None:
        given = {"conv4_1": [0.6], "conv1_1": [0.9], "conv5_1": [0.55], "conv2_1": [0.7]}
        assert best_layer(given, 0.5).winner == "conv5_1"

    def test_where_none_keeps_enough_the_rule_says_so(self) -> None:
        choice = best_layer({"conv1_1": [0.3, 0.32], "conv2_1": [0.4, 0.41], "conv3_1": [0.1, 0.6]}, 0.7)
        assert choice.winner == "conv2_1"
        assert choice.rule == "the highest SSIM on average, as no layer reaches 0.7"
        assert choice.alike == ("conv3_1",)
        assert choice.numbers["conv1_1"].mean == pytest.approx(0.095)

    @pytest.mark.parametrize("order", [("conv2_1", "conv4_1"), ("conv4_1", "conv2_1")])
    def test_the_clearest_one_where_none_keeps_enough_and_of_equal_ones_the_shallower(
        self, order: tuple[str, ...]
    ) -> None:
        assert best_layer({**{layer: [0.4] for layer in order}, "conv5_1": [0.1]}, 0.5).winner == "conv2_1"

    @given(st.dictionaries(st.sampled_from(LAYERS), st.floats(0, 1), min_size=1), st.floats(0, 1))
    def test_nothing_deeper_keeps_enough(self, ssim: dict[str, float], least: float) -> None:
        winner = best_layer({layer: [value] for layer, value in ssim.items()}, least).winner
        enough = [layer for layer in ssim if ssim[layer] >= least]
        if enough:
            assert winner == max(enough, key=LAYERS.index)
        else:
            assert ssim[winner] == max(ssim.values())

    @pytest.mark.parametrize(("winner", "around"), [(0, (0, 1)), (3, (2, 3, 4)), (15, (14, 15))])
    def test_the_shortlist_is_the_best_and_its_neighbours(self, winner: int, around: tuple[int, ...]) -> None:
        ssim = {layer: [0.9 if number <= winner else 0.1] for number, layer in enumerate(LAYERS)}
        assert shortlist(ssim, 0.5) == [LAYERS[number] for number in around]


class TestBestWindow:
    """The smallest style distance."""

    def test_by_hand(self) -> None:
        """Styles differ tenfold; 3-7 is always a tenth further than 2-6, and 1-5 now and then closer."""
        choice = best_window({"1-5": [0.09, 1.3], "2-6": [0.1, 1.0], "3-7": [0.11, 1.1]})
        assert choice.winner == "2-6"
        assert choice.numbers["3-7"].mean == pytest.approx(1.1)
        assert choice.alike == ("1-5",)

    def test_one_run_tells_nothing_apart(self) -> None:
        assert best_window({"1-5": [0.3], "2-6": [0.1]}).alike == ("1-5",)

    def test_a_style_that_is_far_from_all_has_no_more_say(self) -> None:
        near, far = [0.1, 0.2, 0.1], [0.2, 0.1, 0.2]
        distances = {"1-5": [*near, 50.0], "2-6": [*far, 49.0]}
        assert best_window(distances).winner == "1-5"


class TestFinalists:
    """The grid proposes by the best worse rank; then mean ranks over all pairs and noises count."""

    def test_proposals_by_hand(self) -> None:
        cells = [
            Cell("conv1_1", "1-5", 0.1, 0.9),  # ranks 1 and 4
            Cell("conv2_1", "1-5", 0.2, 0.8),  # ranks 2 and 3: the worse is 3
            Cell("conv3_1", "1-5", 0.4, 0.7),  # ranks 3 and 2: the worse is 3, the sum is the same, and it comes later
            Cell("conv4_1", "1-5", 0.9, 0.1),  # ranks 4 and 1
        ]
        assert proposals(cells, 2) == cells[1:3]

    def test_the_classic_cell_is_not_proposed_as_it_takes_part_anyway(self) -> None:
        cells = [Cell("conv4_2", "classic", 0.1, 0.1), Cell("conv4_2", "1-5", 0.2, 0.2)]
        assert proposals(cells, 5) == cells[1:]
        assert cells[0].name == CLASSIC_CELL

    def test_the_unit_of_a_distance_does_not_count(self) -> None:
        cells = [Cell("conv1_1", str(i), i / 10, (9 - i) ** 2 / 100) for i in range(10)]
        other = [Cell(c.content_layer, c.window, c.content_distance**3, 1000 * c.style_distance) for c in cells]
        assert [c.window for c in proposals(other, 3)] == [c.window for c in proposals(cells, 3)]

    @given(CELLS)
    def test_no_cell_is_better_in_both_than_the_first_proposal(self, cells: list[Cell]) -> None:
        found = proposals(cells, 1)[0]
        assert not any(
            c.content_distance < found.content_distance and c.style_distance < found.style_distance for c in cells
        )

    def test_the_winner_by_hand(self) -> None:
        """At one weight b is balanced and a is not; but a's curve is lower by half wherever it has b's content."""

        def curve(*points: tuple[float, float]) -> list[list[tuple[float, float]]]:
            return [list(points)] * 3

        # Style is 1 / content for a, 2 / content for b: straight lines in logarithms.
        choice = best_finalist({"a": curve((0.5, 2.0), (4.0, 0.25)), "b": curve((1.0, 2.0), (2.0, 1.0))})
        assert choice.winner == "a"
        assert choice.numbers["b"].mean == pytest.approx(2.0)
        assert choice.alike == ()
        assert choice.rule == (
            "the smallest style distance at equal content distance, on geometric average over pairs and noises"
        )

    def test_what_is_closer_on_some_pairs_only_is_not_told_apart(self) -> None:
        near, far = [(0.5, 2.0), (2.0, 0.5)], [(0.5, 3.0), (2.0, 0.75)]
        choice = best_finalist({"a": [near, near, far], "b": [far, far, near]})
        assert (choice.winner, choice.alike) == ("a", ("b",))

    @given(
        st.lists(
            st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), min_size=2, max_size=4), min_size=2, max_size=5
        )
    )
    def test_who_is_beaten_at_every_weight_does_not_win(self, curves: list[list[tuple[float, float]]]) -> None:
        """The same points, all twice as far from the style, are never chosen."""
        worse = [[(content, 2 * style) for content, style in curve] for curve in curves]
        choice = best_finalist({"a": curves, "b": worse})
        assert choice.winner == "a"
        assert choice.numbers["b"].mean == pytest.approx(2.0)

    def test_one_run_tells_nothing_apart(self) -> None:
        choice = best_finalist({"a": [[(1.0, 1.0), (2.0, 0.5)]], "b": [[(1.0, 3.0), (2.0, 1.0)]]})
        assert (choice.winner, choice.alike) == ("a", ("b",))

    def test_one_weight_alone_compares_style_distances(self) -> None:
        assert best_finalist({"a": [[(1.0, 2.0)]] * 2, "b": [[(2.0, 1.0)]] * 2}).winner == "b"


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
