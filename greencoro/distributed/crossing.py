"""Connections that came in and wait for what comes of a dial of ours, where both sides dial.

To refuse one at once would rely on our dial, and that one may be cut off by the other side still: then neither would be
left. So it is answered once our dial is over. Where that one has made the two peers, the other side has given its own
up by then, or does so at the answer.
"""

from __future__ import annotations

from collections.abc import Callable

from greencoro.distributed.dial import Dial
from greencoro.distributed.hello import Hello
from greencoro.distributed.wire import Wire

__all__ = ["Crossings"]


class Crossings:
    """See the module; on the reactor's thread.

    Args:
        crossed: The dial of ours that is likely to lead to where this connection is from, as this hello says; or None.

        take_up: Called with a connection, and what it said, that need not wait any more.
    """

    def __init__(self, crossed: Callable[[Wire, Hello], Dial | None], take_up: Callable[[Wire, Hello], None]) -> None:
        self._crossed = crossed
        self._take_up = take_up
        self._waiting: dict[Wire, Hello] = {}

    def put_off(self, wire: Wire, hello: Hello) -> None:
        """Send nothing by ``wire`` as long as a dial crosses it."""
        wire.held = True
        self._waiting[wire] = hello
        self.look()

    def forget(self, wire: Wire) -> None:
        """This one is over, or has proved itself without an answer, as one inside TLS could."""
        if self._waiting.pop(wire, None) is not None:
            wire.held = False

    def look(self) -> None:
        """Another one waits, or one of our dials is over, or its connection.

        Of those that one dial crosses the latest waits, for nobody dials us twice at once; so no more wait than we
        dial, whatever they say of themselves.
        """
        dials: set[Dial] = set()
        for wire, hello in reversed(list(self._waiting.items())):
            dial = self._crossed(wire, hello)
            if dial is not None and dial not in dials:
                dials.add(dial)
                continue
            del self._waiting[wire]
            if dial is not None:
                wire.reset()
                continue
            wire.held = False
            self._take_up(wire, hello)
            wire.flush()
