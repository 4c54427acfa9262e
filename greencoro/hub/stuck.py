"""Who waits for what nobody is left to bring.

Where the main thread waits without a limit, and it is certain that nothing can ever wake anything in this process any
more, that is said in words, once; the wait goes on. Certain means: the main thread and the user hub's are the only ones
(the watchdog's apart), no timer, no descriptor and no callback is pending on a hub, no signal has a handler that could
do something, and there is no network. What cannot be looked into (a thread of a library, a signal handler of the
program's, another loop than gevent's usual one) counts as something that may still happen.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

from gevent import monkey

from greencoro.hub import names, native, userhub, watchdog
from greencoro.hub.completion import Completion
from greencoro.hub.telling import tell
from greencoro.hub.whereabouts import is_hub_idle, place_of, stack_of_hub, whereabouts

__all__ = ["Lookout", "wait"]

_log = logging.getLogger(__name__)

_FIRST_LOOK_SECONDS = 0.05
_LAST_LOOK_SECONDS = 1.0
_ANSWER_SECONDS = 0.2
_NAMED = 5

#: Caught by the interpreter's fault handler, and by the C library for its own ends: nothing goes on after the ones,
#: nothing of a program's runs at the others.
_OUTSIDE = frozenset({signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, 32, 33})

_get_native_id: Callable[[], int] = monkey.get_original("_thread", "get_native_id")


def wait(outcome: Completion, timeout: float | None, waiting: Callable[[], Iterable[Any]]) -> bool:
    """``outcome.wait(timeout)``, with a `Lookout` where that has no limit."""
    if timeout is None:
        return Lookout(waiting).wait(outcome)
    return outcome.wait(timeout)


class Lookout:
    """Waits, and says so when the wait turns out to have no end.

    Args:
        waiting: The coroutines of which somebody waits for the end; those are named.
    """

    def __init__(self, waiting: Callable[[], Iterable[Any]]) -> None:
        self._waiting = waiting
        #: Did it say that nothing can go on?
        self.has_spoken = False
        self._is_over = False
        self._pause = _FIRST_LOOK_SECONDS
        self._seen_before = False

    def wait(self, outcome: Completion, timeout: float | None = None) -> bool:
        """Wait as `Completion.wait`; in the main thread, looking out. False after ``timeout`` seconds."""
        deadline = None if timeout is None else native.monotonic() + timeout
        if userhub.on_hub() or _get_native_id() != os.getpid():
            return outcome.wait(timeout)
        while True:
            left = None if deadline is None else deadline - native.monotonic()
            if self._is_over:
                return outcome.wait(left)
            if outcome.wait(self._pause if left is None else min(self._pause, left)):
                return True
            if deadline is not None and native.monotonic() >= deadline:
                return False
            self._look()

    def _look(self) -> None:
        if not _is_all_still():
            self._seen_before = False
            self._pause = min(2 * self._pause, _LAST_LOOK_SECONDS)
        elif not self._seen_before:
            # Twice, with a pause between: being wrong would be worse than being late.
            self._seen_before = True
        else:
            self._is_over = True
            if not _is_a_hidden_watcher_active():
                self.has_spoken = True
                tell(_log, logging.WARNING, _sentence(tuple(self._waiting())))


def _is_all_still() -> bool:
    if names.default.network is not None or not _are_threads_known() or _may_a_signal_do_something():
        return False
    own_hub = native.thread_hub()
    if own_hub is not None and not _is_quiet(own_hub.loop, watchers=0):
        return False
    if not is_hub_idle(stack_of_hub()):
        return False
    answer = Completion()
    userhub.post(_ask_user_hub, answer)
    return answer.wait(_ANSWER_SECONDS) and answer.value is True


def _ask_user_hub(answer: Completion) -> None:
    hub = native.thread_hub()
    # The one watcher is the doorway through which this call came.
    answer.set(not userhub._ready and not userhub._posted and _is_quiet(hub.loop, watchers=1))


def _is_quiet(loop: Any, watchers: int) -> bool:
    from gevent.libev import corecext

    if type(loop) is not corecext.loop:
        return False
    still: bool = loop.activecnt == watchers and loop.pendingcnt == 0 and not loop._callbacks
    return still


def _are_threads_known() -> bool:
    known = {native.get_ident(), userhub.ident, watchdog.thread_ident()} - {None}
    try:
        # Threads that never ran Python may still come to call it.
        count = len(os.listdir("/proc/self/task"))
    except OSError:
        return False
    return set(sys._current_frames()) == known and count == len(known)


def _may_a_signal_do_something() -> bool:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            caught = next(int(line.split()[1], 16) for line in file if line.startswith("SigCgt:"))
    except (OSError, StopIteration):
        return True
    return any(not _does_nothing(number) for number in range(1, 65) if caught >> (number - 1) & 1)


def _does_nothing(number: int) -> bool:
    """Is a signal that is caught unable to wake anything?"""
    try:
        handler = signal.getsignal(number)
    except ValueError:  # the C library's own
        handler = None
    if callable(handler):
        return handler is signal.default_int_handler or getattr(handler, "__module__", "") == "greencoro.hub.stacks"
    return number in _OUTSIDE


def _is_a_hidden_watcher_active() -> bool:
    """Is there a watcher that its loop does not count (``ref=False``)?"""
    from gevent.libev import corecext

    for thing in gc.get_objects():
        kind = type(thing)
        # Nothing forks in a process where nothing runs.
        if issubclass(kind, corecext.watcher) and kind is not corecext.fork and thing.active and not thing.ref:
            return True
    return False


def _sentence(waiting: tuple[Any, ...]) -> str:
    clauses = [clause for coro in sorted(waiting, key=lambda coro: coro.id)[:_NAMED] if (clause := _clause(coro))]
    if len(waiting) > _NAMED:
        clauses.append(f"{len(waiting) - _NAMED} more wait as well")
    return "; ".join(clauses) + f"; Ctrl-C ends {'it' if len(waiting) == 1 else 'them'}"


def _clause(coro: Any) -> str:
    seen = whereabouts(coro)
    if seen is None:
        return ""
    place = place_of(seen.frames)
    what = _FOR.get(seen.call, " for what nobody is left to do")
    return f"{coro!r} {seen.state}{f' ({place})' if place else ''}{what}"


_FOR = {
    "receive": " for a message that nobody is left to send",
    "suspend": ", and nobody is left to resume it",
}
