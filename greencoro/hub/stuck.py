"""Who waits for what nobody is left to bring.

Where the main thread waits without a limit, and it is certain that nothing can ever wake anything in this process any
more, that is said in words, once; the wait goes on. Certain means: the main thread and the user hub's are the only ones
(the watchdog's apart, and those of thread pools that have no task), no timer, no descriptor and no callback is pending
on a hub, no signal has a handler that could do something, and there is no network. What cannot be looked into (a thread
of a library, a signal handler of the program's, another loop than gevent's usual one) counts as something that may
still happen.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Callable, Iterable
from typing import Any

from gevent import monkey

from greencoro.hub import late_signals, names, native, userhub, watchdog
from greencoro.hub.completion import Completion
from greencoro.hub.frames import thread_idents
from greencoro.hub.telling import tell
from greencoro.hub.whereabouts import is_hub_idle, place_of, stack_of_hub, whereabouts

__all__ = ["Lookout", "idle_threads", "wait"]

_log = logging.getLogger(__name__)

_FIRST_LOOK_SECONDS = 0.05
_LAST_LOOK_SECONDS = 1.0
_ANSWER_SECONDS = 0.2
_NAMED = 5

#: Native threads that only do what they are given -> what tells one given thing from the next; None: they are at it.
idle_threads: dict[int, Callable[[], object | None]] = {}

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
    given = _last_given()
    if names.default.network is not None or not _are_threads_known(set(given)) or _may_a_signal_do_something():
        return False
    own_hub = native.thread_hub()
    if own_hub is not None and not _is_quiet(own_hub.loop, watchers=0):
        return False
    if not is_hub_idle(stack_of_hub()):
        return False
    answer = Completion()
    userhub.post(_ask_user_hub, answer)
    # Where something was given to a thread and done meanwhile, its result may have come after the hub was looked at.
    return answer.wait(_ANSWER_SECONDS) and answer.value is True and _last_given() == given


def _last_given() -> dict[int, object]:
    """What the idle threads did last, by thread."""
    return {ident: last for ident, ask in list(idle_threads.items()) if (last := ask()) is not None}


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


def _are_threads_known(idle: set[int]) -> bool:
    current = thread_idents()
    # In a process that was forked those of its parent are among the idle.
    known = ({native.get_ident(), userhub.ident, watchdog.thread_ident()} - {None}) | (idle & current)
    try:
        # Threads that never ran Python may still come to call it.
        count = len(os.listdir("/proc/self/task"))
    except OSError:
        return False
    return current == known and count == len(known)


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
            if late_signals.is_timer(thing):
                continue
            return True
    return False


def _sentence(waiting: tuple[Any, ...]) -> str:
    # What they do, in words -> those that do it.
    groups: dict[tuple[str, str], list[Any]] = {}
    for coro in sorted(waiting, key=lambda coro: coro.id):
        seen = whereabouts(coro)
        if seen is not None:
            place = place_of(seen.frames)
            what = _FOR.get(seen.call, " for what nobody is left to do")
            groups.setdefault((seen.state, f"{f' ({place})' if place else ''}{what}"), []).append(coro)
    clauses = [_clause(coros, *words) for words, coros in list(groups.items())[:_NAMED]]
    more = sum(map(len, list(groups.values())[_NAMED:]))
    if more:
        clauses.append("1 more waits as well" if more == 1 else f"{more} more wait as well")
    return "; ".join(clauses) + f"; Ctrl-C ends {'it' if len(waiting) == 1 else 'them'}"


def _clause(coros: list[Any], state: str, what: str) -> str:
    if len(coros) == 1:
        return f"{coros[0]!r} {state}{what}"
    named = ", ".join(map(repr, coros[:_NAMED]))
    more = f" and {len(coros) - _NAMED} more" if len(coros) > _NAMED else ""
    verb, _, rest = state.partition(" ")
    return f"{len(coros)} coroutines ({named}{more}) {' '.join(filter(None, (_PLURALS[verb], rest)))}{what}"


_PLURALS = {"has": "have", "is": "are", "runs": "run", "sleeps": "sleep", "waits": "wait"}

_FOR = {
    "receive": " for a message that nobody is left to send",
    "call": " for an answer that nobody is left to give",
    "suspend": ", and nobody is left to resume it",
    "value": " for the end of one that cannot go on either",
    "finish": " for the end of one that cannot go on either",
    "Lock.acquire": " for its holder, and nobody is left to release it",
    "RLock.acquire": " for its holder, and nobody is left to release it",
    "Semaphore.acquire": " for a permit that nobody is left to release",
    "Condition.wait": " for a notification that nobody is left to give",
    "Event.wait": ", and nobody is left to set it",
}
