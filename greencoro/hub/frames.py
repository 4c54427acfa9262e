"""Frames of threads and greenlets that may be running, read in one moment.

Another thread may go on while its stack is read. So a stack is walked by one chain of C calls, in which the interpreter
lock is not given away. Up to Python 3.11 any of them may collect garbage, and whatever is freed then may give that lock
away. The stack would change under the reader; worse, `sys._current_frames` holds a lock meanwhile that each thread
takes at its end, the interpreter lock in its hands, and the process stands still for ever (CPython's issue 106883).
Hence no garbage is collected during the chain, and nothing else calls `sys._current_frames`.
"""

from __future__ import annotations

import gc
import operator
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import accumulate, chain, compress, repeat, starmap, takewhile
from types import FrameType
from typing import Any

__all__ = ["stack_of", "stack_of_thread", "thread_idents"]


def stack_of_thread(ident: int | None) -> list[FrameType]:
    """What a native thread runs right now, innermost frame first; empty where there is no such thread."""
    try:
        return _walk(map(operator.itemgetter(ident), starmap(sys._current_frames, [()])))
    except KeyError:
        return []


def stack_of(greenlet: Any) -> list[FrameType]:
    """Where a greenlet waits, innermost frame first; empty where it runs, has not begun or is over."""
    return _walk(iter((greenlet, "gr_frame")))


def thread_idents() -> set[int]:
    """The native threads that have run Python and are not over."""
    return set(_at_once(chain.from_iterable(starmap(sys._current_frames, [()]))))


def _walk(beginning: Iterator[Any]) -> list[FrameType]:
    """Frames, innermost first, beginning with an object and the names of attributes that lead from it to the first."""
    steps = accumulate(chain(beginning, repeat("f_back")), getattr)
    # The outermost frame's `f_back` is None, and so is the `gr_frame` of a greenlet that does not wait.
    return [frame for frame in _at_once(takewhile(_is_something, steps)) if isinstance(frame, FrameType)]


_is_something = partial(operator.is_not, None)


def _at_once(items: Iterable[Any]) -> list[Any]:
    """As ``list(items)``, where these are made by C code alone, without a collection of garbage in between."""
    found: list[Any] = []
    was_enabled: list[bool] = []
    try:
        found.extend(
            chain(
                # Each of these runs when the chain comes to it, and adds nothing.
                filter(was_enabled.append, starmap(gc.isenabled, [()])),
                filter(None, starmap(gc.disable, [()])),
                items,
                filter(None, map(operator.call, compress([gc.enable], was_enabled))),
            )
        )
    except BaseException:
        if was_enabled == [True]:
            gc.enable()
        raise
    return found
