"""The results of many calls in their order, with a bounded look-ahead."""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from greencoro.compute.futures import JobFuture
from greencoro.hub import native

__all__ = ["Call", "chunks", "one_by_one", "results_in_order", "run_chunk"]

#: The arguments of one.
Call = tuple[Any, ...]


def results_in_order(
    submit: Callable[..., JobFuture],
    cancel: Callable[[Iterable[JobFuture]], object],
    calls: Iterator[Call],
    room: Callable[[], int],
    timeout: float | None,
) -> Generator[Any, None, None]:
    """The result of each call, in order; the first calls are submitted before this returns.

    Args:
        cancel: Called with those whose results nobody will take, perhaps by the garbage collector: must take no lock.

        room: Says how many may be submitted whose results nobody has taken.

        timeout (float | None): How long, from now on, results are waited for, in seconds.
    """
    deadline = None if timeout is None else native.monotonic() + timeout
    futures: deque[JobFuture] = deque()

    def fill() -> None:
        for call in itertools.islice(calls, max(0, room() - len(futures))):
            futures.append(submit(*call))

    def results() -> Generator[Any, None, None]:
        try:
            yield None
            while futures:
                result = futures[0].result_by(deadline, timeout)
                futures.popleft()
                fill()
                yield result
        finally:
            cancel(futures)

    begun = _begun(results())
    fill()
    return begun


def chunks(calls: Iterator[Call], size: int) -> Iterator[list[Call]]:
    """So many calls at a time."""
    while chunk := list(itertools.islice(calls, size)):
        yield chunk


def run_chunk(function: Callable[..., Any], calls: list[Call]) -> list[Any]:
    """What a server runs of them."""
    return [function(*call) for call in calls]


def one_by_one(results: Generator[list[Any], None, None]) -> Iterator[Any]:
    """The results in those of chunks."""

    def each() -> Generator[Any, None, None]:
        with contextlib.closing(results):
            yield None
            for chunk in results:
                yield from chunk

    return _begun(each())


def _begun(results: Generator[Any, None, None]) -> Generator[Any, None, None]:
    """Past its first yield: one that was not begun does nothing when it is closed, or collected."""
    next(results)
    return results
