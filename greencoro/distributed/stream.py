"""What a connection runs over, whatever carries it: the interface that every transport keeps.

A stream delivers bytes in order, without loss, until it ends. All of it lives on the reactor's thread, but
for `Stream.write` and what `Shared` says, which need the reactor's turn only; no call blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from greencoro.distributed.fields import Buffer
from greencoro.distributed.handshake import TlsBinding
from greencoro.distributed.location import Location

__all__ = ["Listener", "Receiver", "Shared", "Stream", "Transport"]


class Receiver(Protocol):
    """Whoever a stream reports to."""

    def on_secured(self, binding: TlsBinding) -> None:
        """The stream is inside TLS and both sides are believed; comes once, before anything else, and only then."""

    def on_data(self, data: memoryview) -> None:
        """Bytes came; ``data`` is valid during the call only."""

    def on_writable(self) -> None:
        """What a blocked stream had kept is written; more may follow."""

    def on_end(self, error: OSError | None) -> None:
        """Nothing will come any more: the other side closed (None) or the stream broke. Called once at most.

        Args:
            error: A `NetworkError` where the stream itself knows what it means: the other side was not believed.
        """


class Shared(Protocol):
    """How the user hub reads from a stream in the reactor's place (`hub_io`); whoever calls has the reactor's turn."""

    @property
    def descriptor(self) -> int | None:
        """What is readable where there is something to take; None where the stream has ended."""

    def take(self, limit: int = 0) -> memoryview | None:
        """What came, valid during the turn; None where there is nothing, empty at the stream's end.

        Args:
            limit: Longest piece, in bytes; 0: as much as one read brings.

        Raises:
            OSError: The stream broke.
        """

    def read_now(self) -> bool:
        """Report what came, or the end, to the receiver; False where there is nothing. On the reactor's thread."""

    def pause_reading(self) -> None:
        """Somebody else takes what comes. On the reactor's thread."""

    def resume_reading(self) -> None:
        """Report what comes once more. On the reactor's thread."""


class Stream(Protocol):
    """One two-way stream of bytes."""

    #: Who is at the other end, as text for messages; an address limit counts by it.
    peer_address: str

    @property
    def shared(self) -> Shared | None:
        """None where nobody can read from it but the reactor."""

    def open(self, receiver: Receiver) -> None:
        """Begin to report to ``receiver``."""

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Send ``buffers``; what the network does not take now is kept and `blocked` is true until it is gone."""

    @property
    def blocked(self) -> bool:
        """Is something kept that was written? Inside TLS also until its handshake is over."""

    @property
    def sent_bytes(self) -> int:
        """What the network has taken so far; of a blocked stream it grows with `flush` while the other side reads."""

    def flush(self) -> None:
        """Give the network of what is kept as much as it has room for; on the reactor's thread.

        That is done by itself as well, but late: a kernel may say only that a third of its buffer is free, which on a
        slow network takes many seconds.
        """

    def close(self, on_sent: Callable[[], None]) -> None:
        """Send what is kept, then end. Reports nothing any more.

        Args:
            on_sent: Called once, when the other side has taken it all and ended as well, or can be waited for no more.
        """

    def abort(self) -> None:
        """End now; what is kept is dropped. Reports nothing any more."""

    def reset(self) -> None:
        """As `abort`, and the other side is told that the stream broke, where whatever is between passes that on.

        For one that acknowledges nothing, too: what the network was given and has not sent is dropped. To send that
        again and again, as `abort` leaves it to the network to do, would keep the end of the stream from one that still
        hears, and the memory from us.
        """


class Listener(Protocol):
    """Where streams come in."""

    #: Where it listens.
    location: Location

    def start(self, on_stream: Callable[[Stream], None]) -> None:
        """Begin to accept, once or again; on the reactor's thread."""

    def stop(self) -> None:
        """Accept nobody until `start`; on the reactor's thread."""

    def close(self) -> None:
        """Stop, for good; on the reactor's thread."""


class Transport(Protocol):
    """A way to make streams."""

    def listen(self, location: Location) -> Listener:
        """Take a place to listen at (port 0: any free one); any thread.

        Raises:
            OSError: It cannot be had; the message says why.
        """

    def adopt(self, descriptor: int) -> Listener:
        """Listen at a duplicate of a listening socket that somebody else opened; any thread.

        Raises:
            OSError, ValueError: It is none, or none of this kind.
        """

    def dial(
        self, location: Location, timeout: float, on_done: Callable[[Stream | None, OSError | None], None]
    ) -> Callable[[], None]:
        """Connect; ``on_done(stream, None)`` or ``on_done(None, error)`` follows, on the reactor's thread.

        Returns:
            A function that gives the attempt up; then ``on_done`` is not called.
        """
