"""Connecting to a host by TCP at whichever of its addresses answers.

As RFC 8305 ("happy eyeballs") has it: the addresses are tried in the order of the resolver; the next one's turn comes
when the one before has failed, or has not answered for a quarter of a second, and the first connection there is wins.
So neither an address that swallows everything nor a family this machine lacks keeps the others from being tried.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from gevent import monkey

from greencoro.distributed.location import Location
from greencoro.distributed.reactor import Reactor, Timer
from greencoro.hub import forks, native

__all__ = ["Attempt", "family_of"]

# The originals: a patched socket would wait through the hub of whoever calls, and the reactor never waits.
_socket: Any = monkey.get_original("socket", "socket")
_getaddrinfo: Any = monkey.get_original("socket", "getaddrinfo")

#: The "Connection Attempt Delay" that the RFC recommends.
_STAGGER_SECONDS = 0.25

#: Called with a connected socket and the address at its other end, or with None, "" and why there is none.
OnDone = Callable[[Any, str, "OSError | None"], object]


def family_of(address: str) -> int | None:
    """The address family of an address; None where it is the name of a host."""
    try:
        return socket.AF_INET if ipaddress.ip_address(address).version == 4 else socket.AF_INET6
    except ValueError:
        return None


class Attempt:
    """One dialling, under one time limit; on the reactor's thread, but for `__init__`'s caller posting `start`."""

    def __init__(self, reactor: Reactor, location: Location, timeout: float, on_done: OnDone) -> None:
        self._reactor = reactor
        self._location = location
        self._timeout = timeout
        self._on_done: OnDone | None = on_done
        self._untried: deque[tuple[int, str]] = deque()
        # Sockets that are connecting, each with its watcher.
        self._connecting: dict[Any, Any] = {}
        self._error = OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
        self._deadline: Timer | None = None
        self._next_turn: Timer | None = None

    def start(self) -> None:
        """Begin, unless it was given up."""
        if self._on_done is None:
            return
        self._deadline = self._reactor.call_later(self._timeout, self._timed_out)
        family = family_of(self._location.addr)
        if family is not None:
            self._try([(family, self._location.addr)])
        else:
            # The resolver blocks, and may for seconds.
            native.Thread(self._resolve, "greencoro-resolve").start()

    def _resolve(self) -> None:
        try:
            found = _getaddrinfo(self._location.addr, self._location.port, 0, socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failed = OSError(errno.EHOSTUNREACH, f"{self._location.addr}: {error}")
            self._reactor.post(self._finish, None, "", failed)
            return
        self._reactor.post(self._try, [(family, address[0]) for family, _, _, _, address in found])

    def _try(self, addresses: list[tuple[int, str]]) -> None:
        self._untried.extend(addresses)
        self._next()

    def _next(self) -> None:
        """Begin with the next address that can be tried at all."""
        self._cancel_next_turn()
        while self._untried and self._on_done is not None:
            family, address = self._untried.popleft()
            if self._begin(family, address):
                if self._untried and self._on_done is not None:
                    self._next_turn = self._reactor.call_later(_STAGGER_SECONDS, self._next)
                return
        if not self._connecting:
            self._finish(None, "", self._error)

    def _begin(self, family: int, address: str) -> bool:
        """Connect to one address; False where that has failed already."""
        try:
            sock = _socket(family, socket.SOCK_STREAM)
            forks.keep_from_children(sock, _socket.close)
        except OSError as error:
            # This machine lacks the family, or descriptors.
            self._error = error
            return False
        try:
            sock.setblocking(False)
            code = sock.connect_ex((address, self._location.port))
        except OSError as error:
            sock.close()
            self._error = error
            return False
        if code in (0, errno.EISCONN):
            self._finish(sock, address, None)
        elif code == errno.EINPROGRESS:
            self._connecting[sock] = self._reactor.watch(sock.fileno(), True, lambda: self._writable(sock, address))
        else:
            sock.close()
            self._error = OSError(code, os.strerror(code))
            return False
        return True

    def _writable(self, sock: Any, address: str) -> None:
        self._stop_watching(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not code:
            self._finish(sock, address, None)
            return
        sock.close()
        self._error = OSError(code, os.strerror(code))
        self._next()

    def _timed_out(self) -> None:
        self._finish(None, "", OSError(errno.ETIMEDOUT, f"no answer within {self._timeout:g} s"))

    def _finish(self, sock: Any, address: str, error: OSError | None) -> None:
        on_done, self._on_done = self._on_done, None
        if self._deadline is not None:
            self._deadline.cancel()
        self._cancel_next_turn()
        self._untried.clear()
        for other in list(self._connecting):
            self._stop_watching(other)
            other.close()
        if on_done is not None:
            on_done(sock, address, error)
        elif sock is not None:
            sock.close()

    def _stop_watching(self, sock: Any) -> None:
        watcher = self._connecting.pop(sock)
        watcher.stop()
        watcher.close()

    def _cancel_next_turn(self) -> None:
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None

    def give_up(self) -> None:
        """Stop; ``on_done`` is not called."""
        self._on_done = None
        self._finish(None, "", None)
