"""A connection served by the user hub while that turns.

To hand a message from the reactor's thread to the user hub's, or back, costs more than all the rest of its way. So
while messages come and go over a connection, the user hub reads from it and writes to it itself, between two turns of
its coroutines. It does so in the reactor's place: it holds `Reactor.turn`, as the reactor's thread does during each of
its callbacks. So at each moment one thread is the reactor, and all that is written for one thread holds.

A coroutine that computes keeps the hub from that. So the reactor looks every `_LOOK_SECONDS`. What the hub left lying
it deals with itself; where that comes twice in a row, or nothing comes for a while, it takes the connection back. And
the hub never waits for its turn for longer than `_PATIENCE_SECONDS`: where it did so in vain, it leaves to the reactor
what is to be sent over other connections. It leaves a connection itself over which much data comes, or much that is the
reactor's.

The hub deals with the messages of coroutines only. The first one of another kind goes to the reactor's thread, with all
that came behind it, and so does every error: what deals with those has timers and watchers of the reactor's loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from greencoro.distributed.connection import Connection
from greencoro.distributed.hub_door import Door
from greencoro.distributed.messages import Credit, Deliver, Gone, Ping, Pong, Result, Send
from greencoro.distributed.reactor import Reactor, Timer
from greencoro.distributed.stream import Shared, Stream
from greencoro.errors import NetworkError, PeerLost
from greencoro.hub import native, userhub

__all__ = ["HUB_KINDS", "HubIo"]

_LOOK_SECONDS = 0.005
#: Looks at which there was nothing to do before the reactor takes the connection back.
_IDLE_LOOKS = 20
#: Looks at which the hub had left something lying before the reactor takes the connection back, for so many seconds.
_MISSED_LOOKS = 2
_PAUSE_SECONDS = 1.0
#: So many flushes and reads, each within so many seconds of the one before, give the connection to the hub.
_BUSY_TIMES = 4
_BUSY_SECONDS = 0.02
#: To look at each costs the reactor a moment: so many connections at once, and no more.
_MAX_SERVED = 16
#: Records the hub sends in a row; what is more, the reactor's thread seals while coroutines run.
_RECORDS = 2
#: So often what is queued is sent before the coroutines have had their turn.
_EARLY_FLUSHES = 2
#: At most so much is read before coroutines have their turn.
_READ_BYTES = 64 * 1024
#: After so many reads in a row that the reactor would have done better it takes the connection back.
_POOR_READS = 4
#: So long the hub waits for the reactor's turn before it lets coroutines go on. Callbacks of the reactor are short.
_PATIENCE_SECONDS = 0.005

#: Kinds of messages that the hub deals with.
HUB_KINDS = frozenset((Credit, Deliver, Gone, Ping, Pong, Result, Send))

_get_ident = native.get_ident


class Served(Protocol):
    """What is needed of the shell of the connection."""

    stream: Stream
    connection: Connection
    owner: Any

    def handle(self, events: Sequence[Any]) -> None:
        """Deal with what came."""

    def on_end(self, error: OSError | None) -> None:
        """The stream broke."""

    def fail(self, error: NetworkError) -> None:
        """End the connection: at once nothing more is sent or heard, the rest is the reactor's thread's."""

    def fail_by_bug(self, error: Exception) -> None:
        """As `fail`, for a fault of ours."""


class Queue(Protocol):
    """What is needed of the link whose messages go over the connection."""

    def flush(self, records: int | None = None) -> None:
        """Send what is queued, ``records`` at once."""

    def flush_if_told(self) -> bool:
        """Send what somebody was told to send and has not; False where nobody is to send anything."""


_door = Door()
# When the hub waited in vain last.
_in_vain_at = -1.0


class HubIo:
    """Of one connection, whether the user hub serves it, and how.

    Attributes:
        is_on (bool): Does the hub read from it and write to it?

        queue (Queue | None): The link whose messages go over the connection, once that is decided.
    """

    __slots__ = (
        "_behind",
        "_busy_at",
        "_busy_times",
        "_descriptor",
        "_early_flushes",
        "_idle_looks",
        "_is_served",
        "_missed_looks",
        "_not_before",
        "_poor_reads",
        "_reactor",
        "_shared",
        "_timer",
        "_turns",
        "_turns_seen",
        "_will_flush",
        "_wire",
        "is_on",
        "queue",
    )

    def __init__(self, reactor: Reactor, wire: Served, shared: Shared) -> None:
        self.queue: Queue | None = None
        self._reactor = reactor
        self._wire = wire
        self._shared = shared
        # Is the connection the hub's, or about to be? The reactor decides.
        self._is_served = False
        self.is_on = False
        # The hub's.
        self._descriptor = -1
        self._will_flush = False
        self._early_flushes = 0
        self._poor_reads = 0
        self._turns = 0
        # Events that were left to the reactor's thread, which it has not dealt with: nothing may overtake them.
        self._behind = 0
        # The reactor's.
        self._timer: Timer | None = None
        self._turns_seen = 0
        self._idle_looks = 0
        self._missed_looks = 0
        self._busy_times = 0
        self._busy_at = 0.0
        self._not_before = 0.0

    # Any thread.

    def will_flush(self) -> bool:
        """Is the caller on the hub, and does that serve this? Then it will flush once the coroutines had their turn."""
        if not self.is_on or _get_ident() != userhub.ident:
            return False
        if not self._will_flush:
            userhub.call_soon(self._flush)
            self._will_flush = True
        return True

    def flush_now(self) -> None:
        """Send what is queued, if the caller is on the hub, has not done so often, and the reactor is not busy.

        A coroutine that sends on and on is better off with the reactor, which seals while it runs: that finds it out.
        """
        if not self.is_on or _get_ident() != userhub.ident or self._early_flushes >= _EARLY_FLUSHES:
            return
        self._early_flushes += 1
        self._in_turn(self._flush_queue, 0.0)

    # The hub.

    def _in_turn(self, function: Callable[[], None], patience: float = _PATIENCE_SECONDS) -> bool:
        """Call ``function()`` in the reactor's place; False (and it is not called) where the turn takes longer."""
        turn = self._reactor.turn
        # Where the hub has the main thread, a signal's handler may raise after any call that is made from here: after
        # that of `acquire`, too, when the turn is taken and nobody knows. So `map` makes that call: between its return
        # and ``is_mine`` no handler runs.
        attempt = map(turn.acquire, (True,), (patience,))
        is_mine = False
        try:
            (is_mine,) = attempt
            if is_mine:
                function()
        finally:
            if is_mine:
                turn.release()
        if patience and not is_mine:
            global _in_vain_at
            _in_vain_at = native.monotonic()
        return is_mine

    def _accept(self) -> None:
        if not self._in_turn(self._begin_to_serve):
            userhub.post(self._accept)

    def _begin_to_serve(self) -> None:
        descriptor = self._shared.descriptor
        if not self._is_served or self.is_on or descriptor is None:
            return
        # In this order: where Ctrl-C comes in the middle, the reactor finds at its looks that the hub does nothing.
        self._descriptor = descriptor
        self._poor_reads = 0
        self._reactor.post(self._begin)
        self.is_on = True
        try:
            _door.add(descriptor, self)
        except OSError:
            # The process has no descriptor left for the set: then the reactor goes on alone.
            self.is_on = False
            self._reactor.post(self._take_back_for_a_while)

    def read(self) -> bool:
        """Take what came and deal with it; False where the reactor is busy for long, and it stays readable."""
        return self._in_turn(self._read)

    def _read(self) -> None:
        if not self.is_on:
            return
        self._turns += 1
        wire = self._wire
        try:
            data = self._shared.take(_READ_BYTES)
            if data:
                is_left = self._deal_with(wire.connection.receive_data(data, native.monotonic()))
                if wire.connection.is_urgent:
                    self._flush_queue()
                self._judge(is_left or len(data) == _READ_BYTES)
            elif data is not None:
                self._leave()
                wire.on_end(None)
        except NetworkError as error:
            self._leave()
            wire.fail(error)
        except OSError as error:
            self._leave()
            wire.on_end(error)
        except Exception as error:
            self._leave()
            wire.fail_by_bug(error)
        except BaseException as error:
            # Ctrl-C, where the hub has the main thread: half of what came may have been dealt with.
            self._leave()
            wire.fail(PeerLost(f"reading was interrupted by {type(error).__name__}"))
            raise

    def _judge(self, was_poor: bool) -> None:
        # Much data keeps coroutines waiting here, and would be opened while they run there. And what is left to the
        # reactor's thread has come a longer way, and would pile up where that takes longer to deal with it.
        self._poor_reads = self._poor_reads + 1 if was_poor else 0
        if self._poor_reads == _POOR_READS:
            self._leave()
            self._reactor.post(self._take_back_for_a_while)

    def _deal_with(self, events: Sequence[Any]) -> bool:
        """Returns whether something of it was left to the reactor's thread."""
        wire = self._wire
        on_message = wire.owner.on_message
        was_asked = False
        for index, event in enumerate(events):
            kind = type(event)
            if self._behind or kind not in HUB_KINDS:
                self._leave_to_reactor(wire.handle, events[index:])
                return True
            if kind is Ping:
                if was_asked:
                    continue
                was_asked = True  # one answer will do for all that came at once
            on_message(wire, event)
        return False

    def _flush(self) -> None:
        self._will_flush = False
        self._early_flushes = 0
        self._turns += 1
        if self.queue is None:
            return
        # One wait is for all that are flushed in a row.
        patience = 0.0 if native.monotonic() < _in_vain_at + _PATIENCE_SECONDS else _PATIENCE_SECONDS
        if not self._in_turn(self._flush_queue, patience):
            self._reactor.post(self.queue.flush)

    def _flush_queue(self) -> None:
        if self.queue is not None:
            self.queue.flush(_RECORDS)

    # In the reactor's turn.

    def put_behind(self, function: Callable[[Any], object], argument: Any) -> bool:
        """Where something was left to the reactor's thread that it has not come to, call ``function(argument)`` after.

        Returns:
            bool: False (and it is not called) where nothing was.
        """
        if self._behind:
            self._leave_to_reactor(function, argument)
        return self._behind > 0

    def _leave_to_reactor(self, function: Callable[[Any], object], argument: Any) -> None:
        self._behind += 1
        self._reactor.post(self._catch_up, function, argument)

    def _leave(self) -> None:
        if self.is_on:
            _door.remove(self._descriptor)
            self.is_on = False

    # The reactor's thread.

    def busy(self) -> None:
        """Something came or went: from a certain rate on the hub is to serve the connection."""
        if self._is_served or self.queue is None:
            return
        now = native.monotonic()
        self._busy_times = self._busy_times + 1 if now - self._busy_at < _BUSY_SECONDS else 0
        self._busy_at = now
        if self._busy_times < _BUSY_TIMES or now < self._not_before or not userhub.is_started():
            return
        if self._reactor.hub_served < _MAX_SERVED and _door.is_possible:
            self._reactor.hub_served += 1
            self._is_served = True
            userhub.post(self._accept)

    def _begin(self) -> None:
        if self._is_served and self.is_on and self._timer is None:
            self._shared.pause_reading()
            self._busy_times = self._idle_looks = self._missed_looks = 0
            self._timer = self._reactor.call_later(_LOOK_SECONDS, self._look)

    def _catch_up(self, function: Callable[[Any], object], argument: Any) -> None:
        self._behind -= 1
        function(argument)

    def _look(self) -> None:
        if self._turns != self._turns_seen:
            self._turns_seen = self._turns
            self._idle_looks = self._missed_looks = 0
        elif not self._behind:
            if self._do_what_lies():
                self._missed_looks += 1
            else:
                self._idle_looks += 1
        if not self._is_served:
            return
        if self._missed_looks >= _MISSED_LOOKS:
            self._take_back_for_a_while()
        elif self._idle_looks >= _IDLE_LOOKS:
            self._take_back()
        else:
            self._timer = self._reactor.call_later(_LOOK_SECONDS, self._look)

    def _do_what_lies(self) -> bool:
        """Read and send what the hub has not; was there anything?"""
        left = self.queue is not None and self.queue.flush_if_told()
        return self._shared.read_now() or left

    def _take_back_for_a_while(self) -> None:
        self._not_before = native.monotonic() + _PAUSE_SECONDS
        self._take_back()

    def _take_back(self) -> None:
        if self._is_served:
            self.stop()
            self._shared.resume_reading()

    def stop(self) -> None:
        """The hub serves it no more."""
        if not self._is_served:
            return
        self._is_served = False
        self._leave()
        self._reactor.hub_served -= 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.queue is not None:
            # The hub was told, and comes to its turn or not.
            self.queue.flush_if_told()
