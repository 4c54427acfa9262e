"""Asks others, again and again, whether they are alive; by that they know that this process is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from greencoro.compute.pulse_clock import PulseClock
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.runtime import Runtime
from greencoro.errors import PeerLost
from greencoro.hub import native, userhub

__all__ = ["Pulses"]


@dataclass(eq=False, slots=True)
class _Other:
    """Somebody who is asked.

    Attributes:
        is_asked (bool): The last question has no answer yet. There is one at a time: on a connection none is lost.
    """

    peer: PeerInfo
    operation: str
    header: dict[str, Any]
    is_asked: bool = False


class Pulses:
    """Pulses to others, from the reactor: they go out, and are answered, while coroutines compute.

    Args:
        interval (float): Seconds between two.

        on_silent: Called with the name of somebody who was not heard for five intervals, and is asked no more; on the
            user hub, as are the others.

        on_answer: Called with a name and the header of an answer; None: nobody wants to know.

        on_gap: Called with a number of seconds for which this process was stopped, where that is longer than all
            before.
    """

    def __init__(
        self,
        runtime: Runtime,
        interval: float,
        on_silent: Callable[[str], None],
        on_answer: Callable[[str, dict[str, Any]], None] | None = None,
        on_gap: Callable[[float], None] | None = None,
    ) -> None:
        self._runtime = runtime
        self._on_silent = on_silent
        self._on_answer = on_answer
        self._on_gap = on_gap
        # The reactor's from now on.
        self._clock: PulseClock[str] = PulseClock(interval, native.monotonic())
        self._others: dict[str, _Other] = {}
        self._longest_gap = 0.0
        self._looks = 0
        self._repetition = runtime.every(interval / 2, self._look)

    # Any thread.

    def watch(self, name: str, peer: PeerInfo, operation: str, header: dict[str, Any]) -> None:
        """Ask for that operation from now on; instead of what was asked for under that name before."""
        self._runtime.reactor.post(self._watch, name, _Other(peer, operation, header))

    def forget(self, name: str) -> None:
        """Ask no more; where nobody has that name, nothing."""
        self._runtime.reactor.post(self._forget, name)

    def stop(self) -> None:
        """Ask nobody any more."""
        self._repetition.stop()

    # The reactor.

    def _watch(self, name: str, other: _Other) -> None:
        self._others[name] = other
        self._clock.watch(name, native.monotonic())

    def _forget(self, name: str) -> None:
        self._others.pop(name, None)
        self._clock.forget(name)

    def _look(self) -> None:
        """Twice in an interval: who is silent? Every other time all are asked."""
        for name in self._clock.silent(native.monotonic()):
            self._forget(name)
            self._tell(self._on_silent, name)
        if self._clock.longest_gap > self._longest_gap:
            self._longest_gap = self._clock.longest_gap
            self._tell(self._on_gap, self._longest_gap)
        self._looks += 1
        if self._looks % 2:
            for name, other in self._others.items():
                if not other.is_asked:
                    self._ask(name, other)

    def _ask(self, name: str, other: _Other) -> None:
        other.is_asked = True
        answered = functools.partial(self._answered, name, other)
        if not self._runtime.request_nowait(other.peer, other.operation, other.header, answered):
            other.is_asked = False  # there is no connection now, or no room

    def _answered(self, name: str, other: _Other, reply: Any, error: Exception | None) -> None:
        other.is_asked = False
        if self._others.get(name) is not other:
            return
        if not isinstance(error, PeerLost):
            self._clock.heard(name, native.monotonic())  # be it that it could not do what it was asked for
        if reply is not None:
            self._tell(self._on_answer, name, reply.header)

    def _tell(self, callback: Callable[..., None] | None, *about: Any) -> None:
        if callback is not None and not self._repetition.is_stopped:
            userhub.post(callback, *about)
