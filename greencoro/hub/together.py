"""Several functions of one caller, run beside each other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from greencoro.errors import CoroTerminated, DeadlineExceeded
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.descriptors import left

__all__ = ["Together"]


class Together:
    """Runs functions, each in a daemon coroutine of its own, for the time of a ``with`` block.

    What is not through when the block is left is terminated, and gone when that is done.

    Args:
        tasks: The functions by name; they take nothing.
    """

    def __init__(self, tasks: dict[str, Callable[[], object]]) -> None:
        self._tasks = tasks
        self._ends: dict[str, Completion] = {name: Completion() for name in tasks}
        self._coros: list[Coro] = []

    def __enter__(self) -> Together:
        for name, task in self._tasks.items():
            coro = Coro(self._run, task, self._ends[name])
            coro.set_daemon()
            self._coros.append(coro)
        return self

    @staticmethod
    def _run(task: Callable[[], object], end: Completion) -> None:
        try:
            end.set(task())
        except Exception as error:
            end.fail(error)

    def wait_for(self, name: str, deadline: float | None) -> None:
        """Wait for the end of one; nothing where there is none of that name.

        Raises:
            DeadlineExceeded: It was not through at ``deadline``.

            Exception: What it raised.
        """
        if name in self._ends and not self._ends[name].wait(left(deadline)):
            raise DeadlineExceeded(f"{name} was not through in time")
        self.raise_error(name)

    def raise_error(self, name: str) -> None:
        """Raise what one raised, if it did."""
        if name in self._ends and self._ends[name].done:
            self._ends[name].result()

    def __exit__(self, *error: object) -> None:
        for coro in self._coros:
            coro.terminate()
        for coro in self._coros:
            with contextlib.suppress(CoroTerminated):
                coro.value()
