"""The watchdog: it tells which coroutine keeps the user hub from turning.

A native thread looks at the hub's thread a few times in `max_blocked_seconds`. Where it finds the hub waiting for work
that is all. Where something runs it posts a question, which a hub that turns answers at once. A question that stays
unanswered for so long is reported, once, with the coroutine and the line at which it is; the answer, when it comes,
ends the blockage. What coroutines of one name do in one function over and over, such as the jobs of a server that are
meant to compute, is a warning the first time.

Time in which the watchdog itself did not run either, and the hub's thread did not compute, does not count: the process
was stopped, or under a debugger, or something else had the interpreter.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from gevent import monkey

from greencoro.hub import native, userhub
from greencoro.hub.telling import tell
from greencoro.hub.whereabouts import is_hub_idle, place_of, running_here, stack_of_hub, users_frames

__all__ = [
    "Blockage",
    "Question",
    "add_listener",
    "configure",
    "limited_to",
    "remove_listener",
    "start",
    "stop",
    "thread_ident",
]

_log = logging.getLogger(__name__)

#: Looks in one `max_blocked_seconds`.
_LOOKS = 4
#: A look that comes later than this was kept from coming.
_LATE_SECONDS = 0.05
#: So many are known to have been warned of: what a coroutine is called may differ each time.
_MAX_WARNED = 1000
#: Somebody looks at a program that stands in these: it waits for a person.
_DEBUGGERS = frozenset({"bdb", "pdb", "pydevd", "_pydevd_bundle", "debugpy", "ipdb", "pudb"})

_WAY_OUT = (
    "it waits in a call that stops all coroutines: run the program with `greencoro run`, or call "
    "gevent.monkey.patch_all() before anything else is imported, and such calls let the others go on "
    "(for time.sleep() there is greencoro.sleep() as well)"
)

_get_native_id: Callable[[], int] = monkey.get_original("_thread", "get_native_id")


@dataclass(frozen=True)
class Blockage:
    """A time in which the user hub did not turn.

    Attributes:
        coro (Coro | None): Who kept it from turning; None for a plain greenlet or a callback.

        place (str): ``file:line in function()`` of the program's own code, as it was when this was reported; empty
            where none of it runs.

        seconds (float): How long it has lasted, at least.

        is_over (bool): Does the hub turn again?
    """

    coro: Any
    place: str
    seconds: float
    is_over: bool = False

    def __str__(self) -> str:
        who = "a plain greenlet or a callback" if self.coro is None else f"coroutine {self.coro!r}"
        at = f", at {self.place}" if self.place else ""
        return f"the hub has not turned for {self.seconds:.2f} s: {who} keeps it from that{at}"


Listener = Callable[[Blockage], object]


class Question:
    """A question put to the hub: how long it has stayed unanswered, without the time that does not count.

    Args:
        now (float): Of any clock that does not go back, in seconds.

        computed (float | None): What the hub's thread has computed since it began, in seconds; None: not known.
    """

    def __init__(self, now: float, computed: float | None) -> None:
        self._asked_at = now
        self._idle_seconds = 0.0
        self._computed_before = self._computed = computed

    def look(self, now: float, late: float, computed: float | None) -> None:
        """Take notice of one more look, ``late`` seconds after it was due."""
        before, self._computed = self._computed, computed
        if late > _LATE_SECONDS and (before is None or computed is None or computed - before < late / 2):
            self._idle_seconds += late

    def excuse(self, now: float) -> None:
        """Begin anew: nothing until now counts."""
        self._asked_at, self._idle_seconds, self._computed_before = now, 0.0, self._computed

    def seconds(self, now: float) -> float:
        """For how long the hub has not answered."""
        return now - self._asked_at - self._idle_seconds

    def waits(self, now: float) -> bool:
        """Has the hub's thread computed next to nothing meanwhile?"""
        if self._computed is None or self._computed_before is None:
            return False
        return self._computed - self._computed_before < self.seconds(now) / 10


class _Override:
    """A limit that goes before the usual one, equal to no other."""

    def __init__(self, limit: float | None) -> None:
        self.limit = limit


class _Watchdog:
    def __init__(self, usual_limit: float | None) -> None:
        self.usual_limit = usual_limit
        #: In the order in which they came. Replaced as a whole, so that it can be read without a lock.
        self.overrides: tuple[_Override, ...] = ()
        self.listeners: list[Listener] = []
        self.thread = native.Thread(self._watch, "greencoro-watchdog")
        self.stopping = False
        # Released to wake the thread before its time.
        self._asleep = native.Lock()
        self._asleep.acquire()
        self._question: Question | None = None
        self._number = 0
        self._answered = 0
        self._answered_at = 0.0
        self._reported: Blockage | None = None
        self._reported_at = 0.0
        self._native_id = 0
        self._gave_way_out = False
        #: Names of coroutines with the functions in which they kept the hub from turning.
        self._warned: set[tuple[str, str]] = set()

    @property
    def limit(self) -> float | None:
        """The one in force: the latest override, else the usual one."""
        overrides = self.overrides
        return overrides[-1].limit if overrides else self.usual_limit

    def wake(self) -> None:
        # Two threads may find it locked at once, and the second has nothing to release.
        if self._asleep.locked():
            try:
                self._asleep.release()
            except RuntimeError:
                return

    def learn_thread(self) -> None:
        """On the hub: learn which thread it is."""
        self._native_id = _get_native_id()

    def _answer(self, number: int) -> None:
        self._answered_at = native.monotonic()
        self._answered = number
        if self._reported is not None:
            self.wake()

    def _watch(self) -> None:
        while not self.stopping:
            limit = self.limit
            pause = -1.0 if limit is None else limit / _LOOKS
            due_at = native.monotonic() + pause
            self._asleep.acquire(True, pause)
            if self.stopping or not userhub.is_started():
                continue
            now = native.monotonic()
            self._look(now, now - due_at)

    def _look(self, now: float, late: float) -> None:
        question = self._question
        if question is not None and self._answered == self._number:
            self._question = question = None
            self._tell_end()
        limit = self.limit
        if limit is None:
            return
        stack = stack_of_hub()
        if question is None:
            if not is_hub_idle(stack):
                self._question = Question(now, self._computed_seconds())
                self._number += 1
                userhub.post(self._answer, self._number)
            return
        question.look(now, late, self._computed_seconds())
        if any(_package_of(frame) in _DEBUGGERS for frame in stack):
            question.excuse(now)
        elif self._reported is None and question.seconds(now) >= limit and not is_hub_idle(stack):
            self._report(question, now, stack)

    def _report(self, question: Question, now: float, stack: list[FrameType]) -> None:
        place = place_of(users_frames(stack))
        self._reported_at = now
        self._reported = blockage = Blockage(running_here(stack), place, question.seconds(now))
        line = str(blockage)
        if not self._gave_way_out and question.waits(now) and not monkey.is_module_patched("time"):
            self._gave_way_out = True
            line = f"{line}; {_WAY_OUT}"
        self._inform(blockage)
        if self._is_new(blockage):
            tell(_log, logging.WARNING, line)
        else:
            _log.info("%s", line)
        if self._answered == self._number:
            # It came before the hub could know that somebody waits for it.
            self.wake()

    def _is_new(self, blockage: Blockage) -> bool:
        """Has nobody been warned of such a one?"""
        file, _, line_and_function = blockage.place.rpartition(":")
        what = str(getattr(blockage.coro, "name", "")), file + line_and_function.lstrip("0123456789")
        if what in self._warned:
            return False
        if len(self._warned) == _MAX_WARNED:
            self._warned.clear()
        self._warned.add(what)
        return True

    def _tell_end(self) -> None:
        blockage, self._reported = self._reported, None
        if blockage is None:
            return
        seconds = blockage.seconds + max(0.0, self._answered_at - self._reported_at)
        over = Blockage(blockage.coro, blockage.place, seconds, is_over=True)
        self._inform(over)
        # In words: a log record may be kept for long, and would keep the coroutine.
        who = "a plain greenlet or a callback" if over.coro is None else f"coroutine {over.coro!r}"
        _log.info("the hub turns again after %.2f s, in which %s kept it from that", over.seconds, who)

    def _inform(self, blockage: Blockage) -> None:
        for listener in tuple(self.listeners):
            try:
                listener(blockage)
            except Exception:
                _log.exception("a listener of the watchdog failed")

    def _computed_seconds(self) -> float | None:
        """CPU time of the hub's thread, or None where it cannot be told."""
        try:
            with open(f"/proc/self/task/{self._native_id}/stat", encoding="ascii", errors="replace") as file:
                # The name, in parentheses, may contain anything.
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _package_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


# Of what tells the limit: the watchdog itself, what was configured, and the overrides.
_lock = native.Lock()
_watchdog: _Watchdog | None = None
# What `configure` was given, in a tuple as it may be None.
_configured: tuple[float | None] | None = None


def start(limit: float | None) -> None:
    """Watch the user hub, which was started or adopted; where it is watched already, nothing.

    Args:
        limit (float | None): How long it may go without a turn before that is reported, in seconds; None: for ever.
            What `configure` was given goes before it.
    """
    global _watchdog
    with _lock:
        if _watchdog is not None:
            return
        _watchdog = _Watchdog(limit if _configured is None else _configured[0])
    userhub.post(_watchdog.learn_thread)
    _watchdog.thread.start()


def configure(limit: float | None) -> None:
    """Let ``limit`` be the usual one of this process, whether the hub is watched already or not.

    It stays that until another is configured. Where `limited_to` holds, that one goes before it.
    """
    global _configured
    with _lock:
        _configured = (limit,)
        if _watchdog is None:
            return
        _watchdog.usual_limit = limit
    _watchdog.wake()


def stop() -> None:
    """End the watchdog's thread, for good."""
    if _watchdog is not None:
        _watchdog.stopping = True
        _watchdog.wake()
        _watchdog.thread.join(1.0)


def thread_ident() -> int | None:
    """Identity of the watchdog's thread; None where there is none."""
    return None if _watchdog is None else _watchdog.thread.ident


@contextlib.contextmanager
def limited_to(limit: float | None) -> Iterator[None]:
    """Report a hub that does not turn for ``limit`` seconds (None: never) during the block, whatever is configured.

    Of several such blocks the one that began last has its way; they may end in any order.

    Raises:
        RuntimeError: Nothing is watched yet: there is no coroutine.
    """
    watchdog, override = _started(), _Override(limit)
    with _lock:
        watchdog.overrides += (override,)
    watchdog.wake()
    try:
        yield
    finally:
        with _lock:
            watchdog.overrides = tuple(other for other in watchdog.overrides if other is not override)
        watchdog.wake()


def add_listener(listener: Listener) -> None:
    """Call ``listener(blockage)`` in the watchdog's thread when a blockage is reported, and when it is over.

    Raises:
        RuntimeError: Nothing is watched yet: there is no coroutine.
    """
    _started().listeners.append(listener)


def remove_listener(listener: Listener) -> None:
    """Do not call ``listener`` any more."""
    _started().listeners.remove(listener)


def _started() -> _Watchdog:
    if _watchdog is None:
        raise RuntimeError("the watchdog has nothing to watch before the first coroutine")
    return _watchdog
