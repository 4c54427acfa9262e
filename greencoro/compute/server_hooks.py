"""What the user of a `RemoteCoroScheduler` wants called when servers come and go."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from greencoro.compute.dispatcher import Dispatcher
from greencoro.compute.job_launcher import JobLauncher
from greencoro.compute.server_pool import Server
from greencoro.compute.status import Status
from greencoro.hub import native
from greencoro.hub.binding import bind
from greencoro.hub.coroutine import Coro
from greencoro.hub.telling import tell

__all__ = ["ServerHooks"]

_log = logging.getLogger(__name__)

#: A function, and how many arguments it is called with.
_ARGUMENTS = {"proc_status": 2, "proc_available": 1, "proc_close": 2}
#: What set-ups that are terminated are given, all together, for their ``finally`` blocks.
_GRACE_SECONDS = 0.5


class _Met:
    """In the mailbox of the status coroutine: a server is ready. In its place among what else is told there."""

    __slots__ = ("server",)

    def __init__(self, server: Server) -> None:
        self.server = server


class ServerHooks:
    """Calls them, each in a coroutine of its own, so that none holds up another.

    Args:
        launcher: The computation's.

        proc_status, proc_available, proc_close: See `RemoteCoroScheduler`.

    Raises:
        TypeError: One of them is not callable, or not with the arguments it will get.
    """

    def __init__(
        self,
        launcher: JobLauncher,
        proc_status: Callable[..., Any] | None,
        proc_available: Callable[..., Any] | None,
        proc_close: Callable[..., Any] | None,
    ) -> None:
        hooks = {"proc_status": proc_status, "proc_available": proc_available, "proc_close": proc_close}
        for name, hook in hooks.items():
            if hook is not None:
                bind(hook, (None,) * _ARGUMENTS[name], {})
        self._launcher = launcher
        self._proc_status = proc_status
        self._proc_available = proc_available
        self._proc_close = proc_close
        self._status_coro: Coro | None = None
        # Held for a few lines.
        self._lock = native.Lock()
        #: Those that find out now whether a server may be used.
        self._asked: set[Coro] = set()
        self._is_leaving = False
        #: The servers of which leave was taken; by id.
        self._left: set[str] = set()

    def attach(self, dispatcher: Dispatcher) -> None:
        """Say whom to tell whether a server may be used."""
        self._dispatcher = dispatcher

    @property
    def status_coro(self) -> Coro:
        """Takes `Status` messages for ``proc_status``."""
        with self._lock:
            if self._status_coro is None:
                self._status_coro = Coro(self._take_status)
                self._status_coro.name = "RemoteCoroScheduler"
                self._status_coro.set_daemon()
            return self._status_coro

    # On the user hub.

    def meet(self, server: Server) -> None:
        """A server is ready: find out whether it may be used."""
        if self._proc_status is not None:
            self.status_coro.put_past_limit(_Met(server))
        elif self._proc_available is not None:
            self._spawn(self._find_out, server)
        else:
            self._dispatcher.open(server)

    def left(self, server: Server) -> None:
        """A server that was used is gone."""
        if self._proc_close is not None and server.id not in self._left:
            self._spawn(self._proc_close, Status.ServerClosed, server.location)
        self._left.discard(server.id)

    # Any thread or coroutine.

    def take_leave(self) -> None:
        """The computation is about to be closed: end set-ups, and let each server that is used be cleaned up."""
        with self._lock:
            self._is_leaving = True
            # One of them may be who closes it.
            asked = self._asked - {Coro.current()}
        for coro in asked:
            coro.terminate()
        deadline = native.monotonic() + _GRACE_SECONDS
        for coro in asked:
            _ended_well(coro, max(0.0, deadline - native.monotonic()))
        if self._proc_close is None:
            return
        leaving: list[Coro] = []
        for server in self._dispatcher.used():
            if server.id not in self._left:
                self._left.add(server.id)
                leaving.append(self._spawn(self._proc_close, Status.ServerInitialized, server.location))
        for coro in leaving:
            _ended_well(coro)

    # Coroutines.

    def _take_status(self, coro: Coro) -> None:
        while True:
            message = coro.receive()
            if isinstance(message, _Met):
                self._spawn(self._find_out, message.server)
                continue
            # Of servers that are ready it is asked by `_find_out`, once, whoever else passes that on.
            is_known = isinstance(message, Status) and message.status == Status.ServerInitialized
            if isinstance(message, Status) and not is_known and self._proc_status is not None:
                self._spawn(self._proc_status, message.status, message.info)

    def _find_out(self, server: Server) -> None:
        location = server.location
        for name, hook, args in (
            ("proc_status", self._proc_status, (Status.ServerInitialized, location)),
            ("proc_available", self._proc_available, (location,)),
        ):
            if hook is not None and not self._ask(hook, *args):
                if self._is_leaving:
                    return
                tell(_log, logging.WARNING, f"server {location} is not used: {name} said so, or failed")
                self._dispatcher.refuse(server, f"was refused by {name}")
                return
        self._dispatcher.open(server)

    def _ask(self, hook: Callable[..., Any], *args: Any) -> bool:
        with self._lock:
            if self._is_leaving:
                return False
            coro = self._spawn(hook, *args)
            self._asked.add(coro)
        try:
            return _ended_well(coro)
        finally:
            with self._lock:
                self._asked.discard(coro)

    def _spawn(self, function: Callable[..., Any], *args: Any) -> Coro:
        coro = self._launcher.client.runtime.spawn(function, *args)
        coro.set_daemon()
        return coro


def _ended_well(coro: Coro, timeout: float | None = None) -> bool:
    """Did a function return 0 or None, in time? What it raised is logged where it ended."""
    try:
        value = coro.value(timeout)
    except Exception:
        return False
    return value is None or value == 0
