"""Ctrl-C between the script's end and the process's, where nobody is left to whom `KeyboardInterrupt` says anything.

What is raised there, gevent's part of the interpreter's end prints and forgets, and so does the interpreter's own. So
from the first instruction after the script a handler of our own is in force, which does not raise but ends the process.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from greenlet import getcurrent, greenlet

from greencoro.hub import native

__all__ = ["end_process_from_shutdown_on", "end_process_with", "forget_parent", "raise_meanwhile", "threads_are_over"]

_threads_are_over = False
_shutdown: Callable[[], object] | None = None
_end: Callable[[], object] | None = None


def end_process_from_shutdown_on(end: Callable[[], object]) -> None:
    """Once the script is over, have Ctrl-C call ``end()``, which does not return, in the main thread."""
    global _shutdown
    # The interpreter calls it by this name when the main thread is through.
    _shutdown = threading._shutdown  # type: ignore[attr-defined]
    steps = _steps_of_shutdown(_shutdown, end)
    next(steps)
    threading._shutdown = steps.__next__  # type: ignore[attr-defined]


def forget_parent() -> None:
    """In a process just forked: Ctrl-C and the end of the main thread are as they were before."""
    if _shutdown is not None:
        # In the parent the other may be running, and it was the parent's frame that ran it.
        threading._shutdown = _shutdown  # type: ignore[attr-defined]
    raise_meanwhile()


def threads_are_over() -> bool:
    """Has the interpreter waited for its threads, so that it calls exit functions now?"""
    return _threads_are_over


def end_process_with(end: Callable[[], object]) -> None:
    """From now on have Ctrl-C call ``end()``, wherever it comes; not where the program handles it itself."""
    global _end
    _end = end
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_interrupt)


def raise_meanwhile() -> None:
    """Have Ctrl-C raise `KeyboardInterrupt` once more, until the next `end_process_with`.

    For what unwinds when it is interrupted, and leaves no lock taken. And for waits: `stuck` cannot know what any other
    handler than Python's own might bring.
    """
    if signal.getsignal(signal.SIGINT) is _on_interrupt:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _steps_of_shutdown(shutdown: Callable[[], object], end: Callable[[], object]) -> Iterator[None]:
    # A generator, because a signal that came since the script's last instruction is handled at the next one. A
    # function's first stands outside of every `try`; that of a generator that goes on is its `yield`.
    global _threads_are_over
    while True:
        try:
            yield
            end_process_with(end)
        except KeyboardInterrupt:
            end()
        shutdown()
        _threads_are_over = True


def _on_interrupt(number: int, frame: FrameType | None) -> None:
    assert _end is not None
    if getcurrent() is native.thread_hub():
        # What ends the process may have to wait, which the hub's own greenlet cannot.
        greenlet(_end).switch()
    else:
        _end()
