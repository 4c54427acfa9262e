"""The pool of greenlets on which coroutines run.

A coroutine is bound to a worker when it first runs, and the worker goes back to the free list when it ends: a recycled
worker costs 1.2 us where a fresh greenlet costs 12 (measured, CPython 3.11). A worker whose coroutine ended and that
finds a new one next in the ready queue takes it on at once, without any switch.

A coroutine must not see what an earlier one on the same worker left behind: its context variables are reset, and a
worker that something refers to weakly (the greenlet-local data of `gevent.local` hang on such references, and in a
patched process `threading.local` is that) is not used again.

Idle workers beyond `_KEEP` end. Most are kept, because ending a large part of them leaves the process with tens of
thousands of memory maps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import Context
from typing import Any
from weakref import getweakrefcount

import gevent
from greenlet import greenlet

from greencoro.hub import userhub

__all__ = ["Start", "Turn", "Worker"]

_log = logging.getLogger(__name__)

_KEEP = 100_000

_free: list[Worker] = []


class Worker(greenlet):
    """A greenlet that runs one coroutine after another.

    Attributes:
        coro: The coroutine it runs now, None while it is idle.

        turn (Turn | None): What it is to run next.

        suspension: The wait of the `Coro.suspend` that its coroutine is in; None while there is none.

        debts: Where its coroutine, a generator, has put more into mailboxes than there was room for: each `Room`, and
            how long to wait for that; None while there is none.
    """

    # What a coroutine needs on its worker only stands here, for those that wait on none are the many.
    __slots__ = ("coro", "debts", "suspension", "turn")

    coro: Any
    turn: Turn | None
    suspension: Any
    debts: dict[Any, float] | None
    gr_context: Context | None

    def run(self) -> None:
        turn = self.turn
        assert turn is not None
        # No condition here: 3.11 would not notice then that this loop runs often, and would never specialise its code.
        while True:
            turn.run(self)
            following = userhub.next_ready()
            if isinstance(following, Turn) and not getweakrefcount(self):
                turn = following
                continue
            if getweakrefcount(self) or len(_free) >= _KEEP:
                # The greenlet ends here and its parent, the hub, goes on. The one just taken keeps its turn: where
                # every other one of many ends late, the holes between them are memory maps by the ten thousand.
                self.coro = None
                if following is not None:
                    userhub.ready_first(following)
                return
            # What the coroutine was called with must not stay with an idle worker.
            turn = None
            turn = self._idle(following)
            if turn is None:
                return

    def _idle(self, following: Any) -> Turn | None:
        """Let ``following`` (None: the hub) go on until there is something to run; None where there will be nothing."""
        self.coro = self.turn = None
        _free.append(self)
        try:
            if following is not None:
                following.switch()
            while self.turn is None:
                userhub.park()
        except BaseException as error:
            # Whoever kept the greenlet of an earlier coroutine (a `gevent.Timeout` left running, a late `kill`) throws
            # into it now: there is nobody to tell.
            _log.debug("an idle worker ended: %r", error)
            if self in _free:
                _free.remove(self)
            return None
        return self.turn


class Turn:
    """An entry of the ready queue that stands for a coroutine which any worker can go on with."""

    __slots__ = ()

    def switch(self) -> None:
        """Bind the coroutine to a worker and switch to it."""
        if _free:
            worker = _free.pop()
        elif userhub.in_hub_callback():
            worker = Worker(parent=gevent.get_hub())
            worker.coro = worker.suspension = worker.debts = None
        else:
            # A greenlet begins, for as long as it lives, at the recursion depth of the one that first switches to it.
            # The hub's is small; here it may be anybody's.
            userhub.ready_first(self)
            userhub.switch_to_hub()
            return
        worker.turn = self
        worker.switch()

    def run(self, worker: Worker) -> None:
        """Go on with the coroutine; called by the worker, to which nothing of the coroutine's may stick afterwards."""
        raise NotImplementedError


class Start(Turn):
    """The turn at which a coroutine's function begins.

    Args:
        coro: The coroutine.

        target: Its function, with positional arguments and keywords.

        takes_coro: Is the coroutine given to it as `coro`?
    """

    __slots__ = ("_coro", "args", "kwargs", "takes_coro", "target")

    def __init__(
        self,
        coro: Any,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        takes_coro: bool,
    ) -> None:
        self._coro = coro
        self.target = target
        self.args = args
        # An empty dict is 64 bytes, for as long as the coroutine waits.
        self.kwargs = kwargs or None
        self.takes_coro = takes_coro

    def run(self, worker: Worker) -> None:
        coro = worker.coro = self._coro
        coro._run(worker, self)
        if worker.gr_context is not None:
            worker.gr_context = None  # type: ignore[misc]
