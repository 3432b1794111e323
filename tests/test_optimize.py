"""The loop: on problems whose answer is known, and on pictures with the real network."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from engine_support import finished, make_job, picture, pixels
from torch import Tensor

from nst.engine import adain, init
from nst.engine.jobs import Init, Optimizer
from nst.engine.losses import content_loss, gram_distance, gram_matrix
from nst.engine.optimize import PATIENCE, SETTLING, Objective, Outcome, State, _Schedule, minimize
from nst.engine.parametrize import Fourier, Parametrization, Pixels, Sigmoid
from nst.engine.vgg import Encoder
from nst.engine.weights import VGGWeights
from nst.errors import DivergedError

NOISE = torch.rand(1, 3, 3, 3, generator=torch.Generator().manual_seed(0))
TARGET = torch.nn.functional.interpolate(0.8 * NOISE[:, :1] + 0.2 * NOISE, (8, 10), mode="bicubic").clamp(0.05, 0.95)
GREY = torch.full((1, 3, 8, 10), 0.5)


def distance(pictures: Tensor, _numbers: Sequence[int] = (0,)) -> Tensor:
    return (pictures - TARGET).square().sum((1, 2, 3))


def minimize_one(objective: Objective, start: Tensor, parametrization: Parametrization, **options: Any) -> Outcome:
    """A batch of one."""
    (outcome,) = minimize(objective, start, parametrization, **options)
    return outcome


PAIRS = [
    pytest.param(optimizer, parametrization, id=f"{optimizer}-{type(parametrization).__name__}")
    for optimizer in ("adam", "lbfgs")
    for parametrization in (Pixels(), Sigmoid(), Fourier(8, 10))
    if (optimizer, type(parametrization)) != ("lbfgs", Pixels)  # L-BFGS would leave the gamut
]


class TestKnownProblem:
    """The nearest picture to a given one is that one."""

    @pytest.mark.parametrize(("optimizer", "parametrization"), PAIRS)
    def test_is_solved(self, optimizer: Optimizer, parametrization: Parametrization) -> None:
        iterations = 300 if optimizer == "adam" else 100
        outcome = minimize_one(distance, GREY, parametrization, iterations=iterations, optimizer=optimizer)
        # Of Fourier coefficients the finest ones move least.
        tolerance = 0.1 if isinstance(parametrization, Fourier) else 0.02
        torch.testing.assert_close(outcome.picture, TARGET, atol=tolerance, rtol=0)
        assert outcome.losses[-1] < 0.01 * outcome.losses[0]

    @pytest.mark.parametrize(("optimizer", "parametrization"), PAIRS)
    def test_a_goal_outside_the_gamut_is_approached_from_inside(
        self, optimizer: Optimizer, parametrization: Parametrization
    ) -> None:
        """The nearest picture to one that is brighter than white and darker than black is black and white."""
        goal = 6 * TARGET - 2.5
        found = minimize_one(
            lambda x, _: (x - goal).square().sum((1, 2, 3)), GREY, parametrization,
            iterations=60, optimizer=optimizer, learning_rate=0.1,
            on_iteration=lambda state: in_gamut(state.picture()),
        )  # fmt: skip
        in_gamut(found.picture)
        assert found.losses[-1] < found.losses[0]
        assert found.picture[goal > 1.5].mean() > 0.8
        assert found.picture[goal < -0.5].mean() < 0.2

    @pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
    def test_ends_where_its_loss_is_low_enough(self, optimizer: Optimizer) -> None:
        options: dict[str, Any] = {"iterations": 20, "optimizer": optimizer}
        whole = minimize_one(distance, GREY, Sigmoid(), **options).losses
        wanted = whole[4] * 1.0001
        assert minimize_one(distance, GREY, Sigmoid(), stop_loss=wanted, **options).losses == whole[:5]

    def test_the_first_step_of_adam_is_the_learning_rate(self) -> None:
        """Kingma & Ba (2015), algorithm 1: m/√v is the sign of the gradient at first."""
        outcome = minimize_one(distance, GREY, Pixels(), iterations=1, learning_rate=0.05)
        torch.testing.assert_close(outcome.picture, GREY + 0.05 * (TARGET - GREY).sign())

    def test_adam_is_torchs(self) -> None:
        """With gradients of length 1, and a rate that falls to 0."""
        variable = GREY.clone().requires_grad_()
        adam = torch.optim.Adam([variable], lr=0.03, betas=(0.8, 0.99))
        falling = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 1 - step / 12)
        losses = []
        for _ in range(12):
            adam.zero_grad()
            loss = distance(variable).sum()
            loss.backward()
            assert variable.grad is not None
            variable.grad /= variable.grad.norm()
            losses.append(loss.item())
            adam.step()
            falling.step()
        outcome = minimize_one(distance, GREY, Pixels(), iterations=12, learning_rate=0.03)
        assert outcome.losses == pytest.approx(losses)
        torch.testing.assert_close(outcome.picture, variable.detach())

    def test_no_gradient_rules_by_its_size(self) -> None:
        """An objective a thousand times as steep is gone down the same way."""
        whole, thousand = (
            minimize_one(lambda x, _, k=k: k * distance(x), GREY, Sigmoid(), iterations=20) for k in (1, 1000)
        )
        torch.testing.assert_close(whole.picture, thousand.picture)

    def test_lbfgs_is_torchs(self) -> None:
        """Called for one iteration at a time, so that each is seen, it goes where torch's goes by itself."""

        def curved(x: Tensor, _numbers: Sequence[int] = (0,)) -> Tensor:  # of Rosenbrock's kind
            a, b = x.flatten(1)[:, :-1], x.flatten(1)[:, 1:]
            return (10 * (b - a**2).square() + (0.7 - a).square()).sum(1)

        variable = torch.logit(TARGET).requires_grad_()
        lbfgs = torch.optim.LBFGS(
            [variable], max_iter=25, max_eval=1000, history_size=20, line_search_fn="strong_wolfe",
            tolerance_grad=0, tolerance_change=0,
        )  # fmt: skip
        evaluations = 0

        def closure() -> Tensor:
            nonlocal evaluations
            evaluations += 1
            lbfgs.zero_grad()
            loss = curved(torch.sigmoid(variable)).sum()
            loss.backward()
            return loss

        lbfgs.step(closure)
        outcome = minimize_one(curved, TARGET, Sigmoid(), iterations=25, optimizer="lbfgs")
        torch.testing.assert_close(outcome.picture, torch.sigmoid(variable.detach()), atol=1e-3, rtol=0)
        assert len(outcome.losses) == 25
        assert outcome.losses[-1] < 0.5 * outcome.losses[0]
        assert outcome.evaluations == evaluations, "no point is evaluated twice"

    def test_lbfgs_stops_where_nothing_is_lower(self) -> None:
        flat = minimize_one(lambda x, _: 0 * x.sum((1, 2, 3)) + 1, GREY, Sigmoid(), iterations=20, optimizer="lbfgs")
        assert flat.losses == (1.0,)
        torch.testing.assert_close(flat.picture, GREY)

    @pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
    def test_a_plateau_ends_it_where_a_tolerance_is_given(self, optimizer: Optimizer) -> None:
        def shifted(x: Tensor, _numbers: Sequence[int]) -> Tensor:
            return 1 + distance(x)

        def run(tolerance: float) -> tuple[float, ...]:
            options: Any = {"iterations": 80, "optimizer": optimizer, "learning_rate": 0.1}
            return minimize_one(shifted, GREY, Sigmoid(), tolerance=tolerance, **options).losses

        def fell(losses: tuple[float, ...]) -> float:
            before = min(losses[:-PATIENCE])
            return (before - min(losses[-PATIENCE:])) / before

        whole = run(0)
        assert PATIENCE < len(run(0.3)) < len(run(0.05)) < len(whole)
        for tolerance in (0.3, 0.05):
            short = run(tolerance)
            level = short if optimizer == "lbfgs" else short[:-SETTLING]
            assert level == whole[: len(level)]
            assert fell(level) < tolerance
            assert len(level) == PATIENCE + 1 or fell(level[:-1]) >= tolerance

    def test_the_rate_falls_to_0_before_the_end(self) -> None:
        """Whether that is the end of a whole run, or where the loss was level; near the end nothing changes."""
        whole, settling, late = (_Schedule(0.1, 100) for _ in range(3))
        settling.settle(30)
        settling.settle(35)  # on the way down it is level too
        late.settle(100 - SETTLING)
        assert (whole.last, settling.last, late.last) == (100, 30 + SETTLING, 100)
        rates = [schedule.rate(step) for schedule in (whole, late) for step in (1, 51, 100)]
        assert rates == pytest.approx(2 * [0.1, 0.05, 0.001])
        down = [settling.rate(step) for step in range(31, 31 + SETTLING)]
        assert down == pytest.approx([0.07 * (1 - i / SETTLING) for i in range(SETTLING)])

    @pytest.mark.parametrize("start", ["noise", "content"])
    def test_a_run_that_ends_early_ends_nearly_as_low(self, start: Init) -> None:
        layers = {"content_layers": ("conv4_2",), "style_layers": ("conv1_1", "conv2_1", "conv3_1")}
        whole, early = (finished(make_job(init=start, iterations=200, tolerance=t, **layers)) for t in (0, 0.01))
        used = len(early.losses)
        assert used < 130
        assert early.quality.final_loss < 1.15 * whole.quality.final_loss
        assert early.quality.final_loss < early.losses[used - SETTLING]
        as_many = finished(make_job(init=start, iterations=used, **layers))
        assert early.quality.final_loss < 1.02 * as_many.quality.final_loss

    def test_a_start_outside_the_gamut_is_brought_in(self) -> None:
        seen: list[Tensor] = []

        def objective(x: Tensor, _numbers: Sequence[int]) -> Tensor:
            seen.append(x.detach().clone())
            return distance(x)

        minimize_one(objective, 3 * TARGET - 1, Pixels(), iterations=1)
        assert torch.equal(seen[0], (3 * TARGET - 1).clamp(0, 1))

    def test_the_start_is_left_alone(self) -> None:
        start = GREY.clone()
        for pair in PAIRS:
            optimizer, parametrization = pair.values
            minimize_one(distance, start, parametrization, iterations=2, optimizer=optimizer)
        assert torch.equal(start, GREY)
        assert not start.requires_grad


class TestBookkeeping:
    """What a callback sees, and what is counted."""

    @pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
    def test_losses_belong_to_the_pictures_seen(self, optimizer: Optimizer) -> None:
        """losses[i] is the objective of the picture after i iterations; the last picture is the outcome."""
        states: list[State] = []
        pictures = [GREY]

        def watch(state: State) -> None:
            states.append(state)
            pictures.append(state.picture())

        outcome = minimize_one(distance, GREY, Sigmoid(), iterations=6, optimizer=optimizer, on_iteration=watch)
        assert [state.iteration for state in states] == [1, 2, 3, 4, 5, 6]
        assert [state.loss for state in states] == list(outcome.losses)
        assert [distance(p).item() for p in pictures[:-1]] == pytest.approx(list(outcome.losses), rel=1e-4)
        assert torch.equal(pictures[-1], outcome.picture)

    @pytest.mark.parametrize("parametrization", [Pixels(), Sigmoid(), Fourier(8, 10)], ids=lambda p: type(p).__name__)
    def test_a_picture_that_was_asked_for_does_not_change_any_more(self, parametrization: Parametrization) -> None:
        seen: list[Tensor] = []
        copies: list[Tensor] = []

        def watch(state: State) -> None:
            seen.append(state.picture())
            copies.append(seen[-1].clone())

        minimize_one(distance, GREY, parametrization, iterations=3, on_iteration=watch)
        assert all(torch.equal(a, b) for a, b in zip(seen, copies, strict=True))
        assert not torch.equal(seen[0], seen[1])

    @pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
    def test_evaluations_are_counted_apart_from_iterations(self, optimizer: Optimizer) -> None:
        calls = 0

        def counted(x: Tensor, _numbers: Sequence[int]) -> Tensor:
            nonlocal calls
            calls += 1
            return distance(x).sqrt() + x.square().sum((1, 2, 3))

        outcome = minimize_one(counted, GREY, Sigmoid(), iterations=8, optimizer=optimizer)
        assert outcome.evaluations == calls
        assert len(outcome.losses) == 8
        assert calls == 8 if optimizer == "adam" else calls > 8

    def test_time_goes_forward(self) -> None:
        outcome = minimize_one(distance, GREY, Pixels(), iterations=5)
        assert list(outcome.elapsed) == sorted(outcome.elapsed)
        assert outcome.elapsed[0] > 0
        assert outcome.elapsed[-1] < outcome.seconds


def in_gamut(pictures: Tensor) -> None:
    assert pictures.isfinite().all()
    assert pictures.min() >= 0
    assert pictures.max() <= 1


@pytest.fixture(scope="module")
def starts(data: object) -> dict[Init, Tensor]:
    content, style = picture("content", "egeskov"), picture("style", "great_wave")
    return {
        "content": content,
        "noise": init.noise("uniform", content.shape[-2], content.shape[-1], 0),
        "adain": adain.load(torch.float32, torch.device("cpu"))(content, [(style, 1.0)]),
    }


@pytest.mark.parametrize("start", ["content", "noise", "adain"])
@pytest.mark.parametrize("parametrization", ["pixels", "fourier"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_the_loss_falls_and_no_picture_on_the_way_leaves_the_gamut(
    optimizer: Optimizer, parametrization: str, start: Init, starts: dict[Init, Tensor], weights: VGGWeights
) -> None:
    encoder = Encoder(weights, "conv3_1")
    content, style = starts["content"], picture("style", "great_wave")
    with torch.no_grad():
        target = encoder(content, ["conv3_1"])["conv3_1"]
        grams = {name: gram_matrix(f) for name, f in encoder(style, ["conv1_1", "conv2_1"]).items()}

    def objective(x: Tensor, _numbers: Sequence[int]) -> Tensor:
        features = encoder(x, ["conv1_1", "conv2_1", "conv3_1"])
        styles = [gram_distance(features[name], gram) for name, gram in grams.items()]
        return content_loss(features["conv3_1"], target) + 10 * torch.stack(styles).mean(0)

    variable: Parametrization = Pixels() if optimizer == "adam" else Sigmoid()
    if parametrization == "fourier":
        variable = Fourier(content.shape[-2], content.shape[-1])
    seen = []
    outcome = minimize_one(
        objective, starts[start], variable,
        iterations=8, optimizer=optimizer, on_iteration=lambda state: seen.append(state.picture()),
    )  # fmt: skip
    assert len(seen) == 8
    for each in (*seen, outcome.picture):
        in_gamut(each)
    assert outcome.losses[-1] < 0.8 * outcome.losses[0]
    if optimizer == "lbfgs":  # each line search ends lower
        assert all(after < before for before, after in itertools.pairwise(outcome.losses))


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("parametrization", ["pixels", "fourier"])
def test_both_precisions_reach_the_same_loss(optimizer: str, parametrization: str) -> None:
    exact, rough = (
        finished(make_job(iterations=25, precision=precision, optimizer=optimizer, parametrization=parametrization))
        for precision in ("float32", "bfloat16")
    )
    assert exact.environment.precision == "float32"
    assert rough.environment.precision == "bfloat16"
    assert rough.losses[-1] == pytest.approx(exact.losses[-1], rel=0.05 if optimizer == "adam" else 0.1)
    assert pixels(rough.png).shape == pixels(exact.png).shape


class TestNumbersThatAreNone:
    """An optimisation that leaves the numbers ends with an error, not with a picture."""

    @pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
    def test_a_loss(self, optimizer: Any) -> None:
        def falling(pictures: Tensor, numbers: Sequence[int]) -> Tensor:
            return (pictures - 0.9).log().sum((1, 2, 3))

        start = torch.full((1, 3, 4, 4), 0.8)
        with pytest.raises(DivergedError, match="after 0 iterations the loss is nan; lower learning_rate or"):
            minimize(falling, start, Pixels() if optimizer == "adam" else Sigmoid(), iterations=5, optimizer=optimizer)

    def test_a_gradient_in_the_last_iteration(self) -> None:
        def steep(pictures: Tensor, numbers: Sequence[int]) -> Tensor:
            return pictures.sqrt().sum((1, 2, 3))  # finite, and its slope at 0 is not

        with pytest.raises(DivergedError, match="after 1 iterations the picture is not finite; lower learning_rate"):
            minimize(steep, torch.zeros(1, 3, 4, 4), Pixels(), iterations=1)


class TestStopping:
    """A callback may end a picture early."""

    @pytest.mark.parametrize(("optimizer", "parametrization"), PAIRS)
    def test_it_ends_there_with_the_picture_as_it_was(
        self, optimizer: Optimizer, parametrization: Parametrization
    ) -> None:
        seen: list[Tensor] = []

        def stop_after_three(state: State) -> bool:
            seen.append(state.picture())
            return state.iteration == 3

        outcome = minimize_one(
            distance, GREY, parametrization, iterations=50, optimizer=optimizer, on_iteration=stop_after_three
        )
        assert (len(seen), len(outcome.losses)) == (3, 3)
        assert torch.equal(outcome.picture, seen[-1])

    def test_the_others_of_its_batch_go_on(self) -> None:
        starts = torch.cat([GREY, GREY])
        first, second = minimize(
            distance,
            starts,
            Pixels(),
            iterations=9,
            on_iteration=lambda state: state.number == 0 and state.iteration == 4,
        )
        assert (len(first.losses), len(second.losses)) == (4, 9)
        assert torch.equal(second.picture, minimize_one(distance, GREY, Pixels(), iterations=9).picture)
