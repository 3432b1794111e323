"""Threads that bring jobs at the same time: who runs with whom."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from flows.joining import Joiner


class Work:
    """Doubles numbers, and waits with the first batch until told; 13 cannot be doubled."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.first_runs = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.first_runs.set()
        assert self.go_on.wait(20)
        if 13 in numbers:
            raise ValueError("13 cannot be doubled")
        return [2 * number for number in numbers]


def brought(work: Work, numbers: Sequence[int], most: int) -> list[int | Exception]:
    """0 runs first; then, all at once, the numbers.  Kinds are odd and even."""
    joiner = Joiner(work)
    with ThreadPoolExecutor(len(numbers) + 1) as threads:
        futures = [threads.submit(joiner, 0, "even", lambda: most)]
        assert work.first_runs.wait(20)
        futures += [threads.submit(joiner, n, "odd" if n % 2 else "even", lambda: most) for n in numbers]
        while len(joiner._waiting) < len(futures):
            threading.Event().wait(0.01)
        work.go_on.set()
        return [future.exception() or future.result() for future in futures]  # type: ignore[misc]


def test_those_of_a_kind_that_wait_run_together() -> None:
    work = Work()
    assert brought(work, [1, 2, 3, 4, 5], most=8) == [0, 2, 4, 6, 8, 10]
    assert work.batches[0] == [0]
    assert sorted(sorted(batch) for batch in work.batches[1:]) == [[1, 3, 5], [2, 4]]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_no_more_than_wanted(most: int) -> None:
    work = Work()
    assert brought(work, [2, 4, 6, 8, 10], most) == [0, 4, 8, 12, 16, 20]
    assert sorted(map(len, work.batches)) == {1: [1] * 6, 2: [1, 1, 2, 2], 3: [1, 2, 3]}[most]


def test_a_batch_that_fails_is_halved_until_only_the_guilty_fails() -> None:
    work = Work()
    *others, failed = brought(work, [1, 3, 5, 13], most=8)
    assert others == [0, 2, 6, 10]
    assert str(failed) == "13 cannot be doubled"
    assert sorted(map(len, work.batches[1:])) == [1, 1, 2, 2, 4]
