"""What the reactor calls again and again, for the layers above."""

from __future__ import annotations

from collections.abc import Callable

from greencoro.distributed.reactor import Reactor, Timer

__all__ = ["Repetition", "Repetitions"]


class Repetition:
    """Something that is called every so many seconds until `stop`; any thread may call that."""

    def __init__(self, repetitions: Repetitions, callback: Callable[[], object]) -> None:
        self._repetitions = repetitions
        self._callback = callback
        self._stopped = False

    def stop(self) -> None:
        """Call it no more; a second time, nothing. Only a call that has begun on the reactor may still be under way."""
        self._stopped = True
        self._repetitions.drop(self)

    @property
    def is_stopped(self) -> bool:
        return self._stopped

    def call(self) -> None:
        """Call it once, unless it is stopped."""
        if not self._stopped:
            self._callback()


class Repetitions:
    """Those of one runtime, which end with it."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._timers: dict[Repetition, Timer] = {}
        self._closed = False

    # Any thread.

    def start(self, seconds: float, callback: Callable[[], object]) -> Repetition:
        """Have ``callback()`` called every ``seconds``, first in so many; after the end of the runtime, never."""
        repetition = Repetition(self, callback)
        self._reactor.post(self._start, repetition, seconds)
        return repetition

    def drop(self, repetition: Repetition) -> None:
        """Forget one that was stopped."""
        self._reactor.post(self._drop, repetition)

    # The reactor's thread.

    def _start(self, repetition: Repetition, seconds: float) -> None:
        if self._closed:
            repetition.stop()
        else:
            # Where it was stopped meanwhile, that follows.
            self._timers[repetition] = self._reactor.call_every(seconds, repetition.call)

    def _drop(self, repetition: Repetition) -> None:
        timer = self._timers.pop(repetition, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Stop all."""
        self._closed = True
        for repetition in list(self._timers):
            repetition.stop()
