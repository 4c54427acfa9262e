"""The shell of a connection: a stream and the clock on one side, the pure `Connection` on the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from greencoro.distributed.connection import Connection, Established, Introduced
from greencoro.distributed.handshake import TlsBinding
from greencoro.distributed.hello import Hello
from greencoro.distributed.hub_io import HubIo
from greencoro.distributed.messages import Bye, Message, Ping
from greencoro.distributed.reactor import Reactor
from greencoro.distributed.stream import Stream
from greencoro.errors import NetworkError, PeerLost, PeerUnreachable
from greencoro.hub import native

__all__ = ["Owner", "Wire"]

_log = logging.getLogger(__name__)

#: Records sealed in a row before other connections get their turn.
_RECORDS_PER_TURN = 16


class Owner(Protocol):
    """Whoever a wire belongs to: first the table of peers, which decides, then the peer's link."""

    def on_introduced(self, wire: Wire, hello: Hello) -> None:
        """The other side said who it is; nothing was answered yet."""

    def on_established(self, wire: Wire, hello: Hello) -> None:
        """The other side is authenticated; ``wire.source`` is to be set."""

    def on_message(self, wire: Wire, message: Message) -> None:
        """A message of the authenticated peer."""

    def on_closed(self, wire: Wire, error: NetworkError) -> None:
        """The connection is over; called once, unless `Wire.close` or `Wire.abort` came first."""


class Wire:
    """One connection in the reactor; everything here runs in its turn, on its thread but for what `HubIo` calls.

    Whatever goes wrong here, a bug of ours included, ends this connection and no other: going on after half a record
    would be a gap that nobody is told of.
    """

    def __init__(
        self,
        reactor: Reactor,
        stream: Stream,
        connection: Connection,
        owner: Owner,
        tick_seconds: float,
        deadline: float,
    ) -> None:
        self.stream = stream
        self.connection = connection
        self.owner = owner
        #: Called before each record: moves queued messages into the connection; tells whether there are more.
        self.source: Callable[[Connection], bool] | None = None
        #: Nothing is sent while this is set, save by `close`.
        self.held = False
        self._reactor = reactor
        self._tick_seconds = tick_seconds
        #: The link that the side which dialled knew of before it was answered, if there was one. It proves itself only
        #: where it has none any more, or to go on with it.
        self.known_link: Any = None
        #: How the user hub serves it while that turns; None where it cannot.
        self.hub_io: HubIo | None = None
        self._closed = False
        #: Did the stream end under it, or did somebody alter what it carried? Then another connection can go on.
        self.is_broken = False
        #: Did the other side end it, as the kernel does for a process that dies? Who resets it may be in between.
        self.was_ended_there = False
        #: There may be a gap in what was heard or sent: no other connection can go on.
        self.is_ruined = False
        # It will end once the reactor's thread comes to it, and neither sends nor hears till then.
        self._halted = False
        self._flushing = False
        self._will_flush = False
        #: How much was sent when the clock was last looked at.
        self._sent_bytes = -1
        self._timer = reactor.call_later(deadline, self._too_slow)
        self._deadline = deadline

    def open(self) -> None:
        """Begin: the side that dialled speaks first."""
        self.stream.open(self)
        self.flush()

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def is_over(self) -> bool:
        """Is what it brought of no more interest? A link that goes on with another connection counts on all of that."""
        return self._closed and not (self.is_broken and self.source is not None)

    def on_secured(self, binding: TlsBinding) -> None:
        try:
            self.connection.bind(binding)
        except Exception as error:
            self.fail_by_bug(error)

    def on_data(self, data: memoryview) -> None:
        if self._halted:
            return
        try:
            events = self.connection.receive_data(data, native.monotonic())
        except NetworkError as error:
            # What the connection has to say about it (another protocol number: our own) still goes out.
            self.flush()
            self.fail(error)
            return
        except Exception as error:
            self.fail_by_bug(error)
            return
        if self.hub_io is None or not self.hub_io.put_behind(self.handle, events):
            self.handle(events)

    def handle(self, events: Sequence[Any]) -> None:
        """Deal with what came in; on the reactor's thread."""
        try:
            self._handle(events)
        except NetworkError as error:
            self.fail(error)
        except Exception as error:
            self.fail_by_bug(error)
        self.flush()

    def _handle(self, events: Sequence[Any]) -> None:
        was_asked = False
        for event in events:
            if self.is_over:
                return
            if isinstance(event, Introduced):
                self.owner.on_introduced(self, event.hello)
            elif isinstance(event, Established):
                self._timer.cancel()
                self._timer = self._reactor.call_later(self._tick_seconds / 2, self._tick)
                shared = self.stream.shared
                if shared is not None:
                    self.hub_io = HubIo(self._reactor, self, shared)
                self.owner.on_established(self, event.hello)
            elif not (was_asked and type(event) is Ping):
                was_asked = was_asked or type(event) is Ping  # one answer will do for all that came at once
                # Asked for each time: the first message may be what makes the link the owner.
                self.owner.on_message(self, event)

    def on_writable(self) -> None:
        self.flush()

    def on_end(self, error: OSError | None) -> None:
        if self.hub_io is not None and self.hub_io.put_behind(self._end, error):
            self._halted = True
            if self._reactor.is_current:
                # Its stream is closed at once.
                self._leave_hub()
        else:
            self._end(error)

    def _end(self, error: OSError | None) -> None:
        if isinstance(error, NetworkError):
            self._stop(error)
            return
        if error is not None:
            self._stop(PeerLost(f"the connection broke: {error.strerror or error}"))
            return
        self.was_ended_there = True
        try:
            self.connection.receive_eof()
        except NetworkError as reason:
            self._stop(reason)

    def flush(self, records: int | None = None) -> None:
        """Send as much as the stream takes, ``records`` at once; the rest a little later."""
        if self._flushing or self._closed:
            return
        self._flushing = True
        try:
            if self._send_records(records or _RECORDS_PER_TURN) and not self._will_flush:
                self._will_flush = True
                self._reactor.post(self._flush_on)
        except NetworkError as error:
            self.fail(error)
        except Exception as error:
            self.fail_by_bug(error)
        except BaseException as error:
            # Ctrl-C, where the user hub has the main thread: what was sealed may not have gone.
            self.fail(PeerLost(f"sending was interrupted by {type(error).__name__}"))
            raise
        finally:
            self._flushing = False
        if self.hub_io is not None and not (self._closed or self._halted) and self._reactor.is_current:
            self.hub_io.busy()

    def _flush_on(self) -> None:
        self._will_flush = False
        self.flush()

    def _send_records(self, limit: int) -> bool:
        """True where there may be more after ``limit`` records."""
        for _ in range(limit):
            if self._closed or self.held or self._halted or self.stream.blocked:
                return False
            more = self.source is not None and self.source(self.connection)
            record = self.connection.data_to_send()
            if not record:
                return False
            self.stream.write(record)
            if not more and self.connection.is_empty:
                return False
        return True

    def _tick(self) -> None:
        # Else it is not seen for long that a peer at a slow network reads.
        self.stream.flush()
        if self._closed:
            return
        sent_before, self._sent_bytes = self._sent_bytes, self.stream.sent_bytes
        try:
            self.connection.tick(native.monotonic(), self.stream.blocked, self._sent_bytes != sent_before)
        except NetworkError as error:
            if self.connection.is_silent:
                # It does not acknowledge, or read, what it was sent, and may well hear.
                self._leave_hub()
                self.stream.reset()
                self.fail(error)
            else:
                # Its key has sealed enough, and the next connection has another one.
                self.on_end(error)
            return
        self._timer = self._reactor.call_later(self._tick_seconds / 2, self._tick)
        self.flush()

    def _too_slow(self) -> None:
        self.stream.reset()
        # Whoever said something is there, and may only be busy.
        kind = PeerUnreachable if self.connection.heard_at is None else PeerLost
        self.fail(kind(f"the handshake took longer than {self._deadline:g} s"))

    def fail_by_bug(self, error: Exception) -> None:
        """End now, for ``error`` is a fault of ours."""
        self._reactor.log.log(_log, logging.ERROR, "a connection failed by a bug in greencoro", error=error)
        self.fail(PeerLost(f"a bug in greencoro: {type(error).__name__}: {error}"))

    def fail(self, error: NetworkError) -> None:
        """End now and tell the owner why; unless somebody altered what came, no other connection can go on."""
        if self._closed:
            return
        if self.connection.is_altered:
            # Nothing of that got in, nor of what was behind it.
            self.on_end(error)
            return
        self.is_ruined = True
        self._stop(error)

    def _stop(self, error: NetworkError) -> None:
        if self._closed:
            return
        if not self._reactor.is_current:
            # What comes behind a message that is missing must not go out, nor be heard.
            self._halted = True
            self._reactor.post(self._stop, error)
            return
        self.is_broken = not self.is_ruined
        self.abort()
        self.owner.on_closed(self, error)

    def give_way(self, on_over: Callable[[], None]) -> None:
        """Another connection goes on with what this one carries: end, and the owner is not told.

        Args:
            on_over: Called when all that was heard is dealt with.
        """
        self._halted = True
        # At once: what it read from now on would be counted as heard, and dealt with too late.
        self._leave_hub()
        if self.hub_io is None or not self.hub_io.put_behind(self._gave_way, on_over):
            self._gave_way(on_over)

    def _gave_way(self, on_over: Callable[[], None]) -> None:
        if not self._closed:
            self.is_broken = not self.is_ruined
            self.abort()
        on_over()

    def close(self, reason: str, on_sent: Callable[[], None]) -> None:
        """Say goodbye and end, once what is queued is sent; the owner is not told.

        Args:
            on_sent: Called when the other side has taken it all, or will not any more.
        """
        if self._closed:
            on_sent()
            return
        self._closed = True
        self._leave_hub_for_good()
        self._timer.cancel()
        if self.connection.established and not self._halted:
            try:
                self.connection.session.lift_bound()
                self._write_all()
                self.source = None
                self.connection.push_goodbye(Bye(reason).encode())
                self._write_all()
            except NetworkError as error:
                self._reactor.log.log(_log, logging.WARNING, "not all could be sent at the end: %s", str(error))
        self.stream.close(on_sent)

    def _leave_hub(self) -> None:
        # While the stream is open: what the hub watches knows nothing of a descriptor that is closed.
        if self.hub_io is not None:
            self.hub_io.stop()

    def _leave_hub_for_good(self) -> None:
        self._leave_hub()
        # Each has the other: what is queued would be kept until the garbage collector comes.
        self.hub_io = None

    def _write_all(self) -> None:
        while True:
            if self.source is not None:
                self.source(self.connection)
            record = self.connection.data_to_send()
            if not record:
                return
            self.stream.write(record)

    def abort(self) -> None:
        """End now; the owner is not told."""
        self._end_with(self.stream.abort)

    def reset(self) -> None:
        """As `abort`, where the other side is to see that it was cut off: an end in silence looks like a refusal."""
        self._end_with(self.stream.reset)

    def _end_with(self, end: Callable[[], None]) -> None:
        self._closed = True
        self._leave_hub_for_good()
        self._timer.cancel()
        end()
