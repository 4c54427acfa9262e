"""Connections that came in and have not proved themselves; there is room for so many."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from greencoro.config import Settings
from greencoro.distributed.dial import Dial
from greencoro.distributed.hello import Hello
from greencoro.distributed.stream import Stream
from greencoro.distributed.wire import Wire

__all__ = ["Incoming"]


class Incoming:
    """See the module; on the reactor's thread.

    Args:
        new_wire: Makes the shell of a connection that came in.
    """

    def __init__(self, settings: Settings, new_wire: Callable[[Stream], Wire]) -> None:
        self._settings = settings
        self._new_wire = new_wire
        # Oldest first; who they say they are, once they do.
        self._unproven: OrderedDict[Wire, Hello | None] = OrderedDict()
        self._closed = False

    def let_in(self, stream: Stream) -> None:
        """A connection came in."""
        if self._closed:
            stream.abort()
            return
        self._make_room(stream.peer_address)
        wire = self._new_wire(stream)
        self._unproven[wire] = None
        wire.open()

    def introduced(self, wire: Wire, hello: Hello) -> None:
        """It said who it is."""
        self._unproven[wire] = hello

    def take_out(self, wire: Wire) -> bool:
        """It proved itself, is put off, or is over; False where it is not among them."""
        if wire not in self._unproven:
            return False
        del self._unproven[wire]
        return True

    def take_up(self, wire: Wire, hello: Hello) -> None:
        """Go on with a connection that came in and was put off."""
        self._make_room(wire.stream.peer_address)
        self._unproven[wire] = hello

    @property
    def has_any(self) -> bool:
        """Is somebody coming in who has not proved itself?"""
        return bool(self._unproven)

    def has_one_of(self, dial: Dial) -> bool:
        """Did somebody whom ``dial`` aims at dial us, and has only to prove itself?"""
        return any(hello is not None and dial.aims_at(hello) for hello in self._unproven.values())

    def drop(self, incarnation: bytes) -> None:
        """Drop the connections that one has dialled who answered a dial of ours."""
        for wire, hello in list(self._unproven.items()):
            if hello is not None and hello.incarnation == incarnation:
                self._drop(wire)

    def close(self) -> None:
        """Drop them all; nobody comes in any more."""
        self._closed = True
        for wire in list(self._unproven):
            self._drop(wire)

    def _make_room(self, address: str) -> None:
        per_address = [w for w in self._unproven if w.stream.peer_address == address]
        if len(per_address) >= self._settings.max_unauthenticated_per_address:
            self._drop_oldest(per_address)
        elif len(self._unproven) >= self._settings.max_unauthenticated:
            self._drop_oldest(list(self._unproven))

    def _drop_oldest(self, wires: list[Wire]) -> None:
        # Those that showed that they know the secret come last, before them those that said anything: nobody can fill
        # the places with such as easily.
        progress = {wire: (self._unproven[wire] is not None, wire.connection.heard_at is not None) for wire in wires}
        self._drop(min(wires, key=progress.__getitem__))

    def _drop(self, wire: Wire) -> None:
        del self._unproven[wire]
        wire.reset()
