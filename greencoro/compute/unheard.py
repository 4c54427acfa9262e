"""Says of jobs that have failed what nobody has asked for."""

from __future__ import annotations

import itertools
import logging
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from greencoro.distributed.outcomes import Undecoded
from greencoro.distributed.proxies import RemoteCoro
from greencoro.hub import native, userhub
from greencoro.hub.telling import tell

__all__ = ["Unheard"]

_log = logging.getLogger(__name__)

#: Whoever has a reference may ask so long after the job's end, before it is said anyway.
_PATIENCE_SECONDS = 30.0
#: Of jobs of one function that raise the same, one in so many seconds is told of in full.
_PAUSE_SECONDS = 60.0
#: So many failures wait to be asked for; of more the first is told at once.
_MOST_FAILURES = 1000
#: So many kinds of failures are told apart; of more the one told of first counts as new again.
_MOST_KINDS = 1000


class _Failure(NamedTuple):
    """A job that has failed; what is needed of it once there is no reference to it."""

    reference: weakref.ref[RemoteCoro]
    timer: Any
    line: str
    kind: tuple[str, str]


class Unheard:
    """The failed jobs of one computation; in the user hub's thread.

    A job is told of when its reference is gone, when nobody has asked for its end in half a minute, or when the
    computation is over.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._failures: dict[int, _Failure] = {}
        #: By function and exception: when one was told of in full, and how many there were since.
        self._told: dict[tuple[str, str], tuple[float, int]] = {}
        self._is_over = False

    def over(self, coro: Any, outcome: Any) -> None:
        """A job is over, to which there is a reference, and of whose end nobody is told anyway."""
        # What has failed in this process (`inline`) is an object.
        if not isinstance(coro, RemoteCoro) or not isinstance(outcome, Undecoded) or outcome.kind != "exception":
            return
        number = next(self._numbers)
        line = f"uncaught exception in coroutine {coro!r}, whose value nobody has asked for:\n{outcome.text}"
        self._failures[number] = _Failure(
            weakref.ref(coro, _posting(self._tell, number)),
            userhub.call_later(_PATIENCE_SECONDS, self._tell, number),
            line,
            (coro.name, outcome.error_type),
        )
        coro.when_asked(_posting(self._forget, number))
        if self._is_over:
            self._tell(number)
        elif len(self._failures) > _MOST_FAILURES:
            self._tell(next(iter(self._failures)))

    def close(self) -> None:
        """The computation is over."""
        self._is_over = True
        for number in list(self._failures):
            self._tell(number)
        while self._told:
            self._tell_the_rest(next(iter(self._told)))

    def _forget(self, number: int) -> _Failure | None:
        failure = self._failures.pop(number, None)
        if failure is not None:
            failure.timer.close()
        return failure

    def _tell(self, number: int) -> None:
        failure = self._forget(number)
        if failure is None:
            return
        coro = failure.reference()
        if coro is not None and coro.is_asked:
            return  # what says so has not come here yet
        now = native.monotonic()
        told_at, more = self._told.get(failure.kind, (None, 0))
        if told_at is not None and now - told_at < _PAUSE_SECONDS:
            self._told[failure.kind] = told_at, more + 1
            return
        self._told[failure.kind] = now, 0
        others = f"\nand {more} more like it, before" if more else ""
        tell(_log, logging.ERROR, failure.line + others)
        if len(self._told) > _MOST_KINDS:
            self._tell_the_rest(next(iter(self._told)))

    def _tell_the_rest(self, kind: tuple[str, str]) -> None:
        """Of those alike that were only counted."""
        _, more = self._told.pop(kind)
        if more:
            name, error_type = kind
            tell(_log, logging.ERROR, f"uncaught exceptions in {more} more coroutines {name}: {error_type}")


def _posting(function: Callable[[int], object], number: int) -> Callable[..., None]:
    """For any thread, and for weak references, which call it with themselves."""
    return lambda *reference: userhub.post(function, number)
