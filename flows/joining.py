"""Jobs that the threads of a worker hold at the same time, run together as batches.

Each job stays a task of its own, with its name, its retries and its stored result.
"""

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(eq=False)
class _Ticket(Generic[T, R]):
    """What one thread waits for."""

    kind: Hashable
    item: T
    result: R | None = None
    error: Exception | None = None
    done: bool = False


class Joiner(Generic[T, R]):
    """Runs one batch at a time.  What comes meanwhile waits, and what is of one kind is the next batch.

    Args:
        run: does a batch; returns a result for each of its items.
    """

    def __init__(self, run: Callable[[Sequence[T]], Sequence[R]]) -> None:
        self._run = run
        self._waiting: list[_Ticket[T, R]] = []
        self._turn = threading.Lock()

    def __call__(self, item: T, kind: Hashable, most: Callable[[], int]) -> R:
        """The result of `item`, which ran in a batch of items of its kind.

        Args:
            most: how many at most; asked when nothing else runs.

        Raises:
            Exception: what `run` raised for the item alone.  A batch for which it raises, as one that is too large for
                the memory of a GPU, is halved until it does not, so that no item fails for another's fault.
        """
        ticket: _Ticket[T, R] = _Ticket(kind, item)
        self._waiting.append(ticket)
        with self._turn:
            if not ticket.done:
                others = [other for other in self._waiting if other.kind == kind and other is not ticket]
                self._do([ticket, *others[: most() - 1]])
        if ticket.error is not None:
            raise ticket.error
        assert ticket.result is not None
        return ticket.result

    def _do(self, batch: list[_Ticket[T, R]]) -> None:
        try:
            results = self._run([ticket.item for ticket in batch])
        except Exception as error:
            if len(batch) > 1:
                half = len(batch) // 2
                self._do(batch[:half])
                self._do(batch[half:])
                return
            batch[0].error = error
        else:
            for ticket, result in zip(batch, results, strict=True):
                ticket.result = result
        for ticket in batch:
            ticket.done = True
            self._waiting.remove(ticket)
