"""One connection as bytes in, events out.

First the handshake, then records of messages in both directions, watched over by heartbeats. The records are sealed,
unless TLS does that for the whole stream (`Connection.bind`). No socket, no clock: the shell (`wire`) feeds what
arrived, sends what `data_to_send` gives, and calls `tick`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from greencoro.distributed import messages
from greencoro.distributed.assembly import Assembly
from greencoro.distributed.handshake import Handshake, TlsBinding
from greencoro.distributed.handshake_states import Role
from greencoro.distributed.hello import Hello
from greencoro.distributed.membership import Health, Liveness
from greencoro.distributed.messages import Message
from greencoro.distributed.outbox import Outbox, Parcel
from greencoro.distributed.record import Batch, Opener, Sealer
from greencoro.errors import LocalProtocolError, PeerLost

__all__ = ["Connection", "Established", "Introduced", "Limits"]

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Limits:
    """The settings a connection needs (`config.Settings` has what each means)."""

    tick_seconds: float
    peer_timeout_seconds: float
    max_handshake_frame_bytes: int
    max_message_bytes: int
    chunk_bytes: int


@dataclass(frozen=True)
class Introduced:
    """The other side said who it is; a responder may still put off, or not give, its answer.

    It may be a replay: nothing else may be based on it.
    """

    hello: Hello


@dataclass(frozen=True)
class Established:
    """The other side is proved to know the secret and to be live; from now on messages flow."""

    hello: Hello


class Connection:
    """One side of one connection.

    Args:
        role: Whether this side dialled.

        psk: The handshake key of this runtime's secret.

        hello: What this runtime tells about itself.

        ephemeral_private: 32 random bytes, never used before.

        fingerprint: The secret's, for messages.

        limits: What is accepted from the other side, and its clocks.

        now: Seconds on a monotonic clock.
    """

    def __init__(
        self,
        role: Role,
        psk: bytes,
        hello: Hello,
        ephemeral_private: bytes,
        fingerprint: str,
        limits: Limits,
        now: float,
    ) -> None:
        self.role = role
        self._limits = limits
        self._handshake = Handshake(
            role, psk, hello, ephemeral_private, fingerprint, max_frame_bytes=limits.max_handshake_frame_bytes
        )
        self._is_inside_tls = False
        self._sealer: Sealer | None = None
        self._opener: Opener | None = None
        self._assembly = Assembly(limits.max_message_bytes, hello.max_queue_bytes)
        self._liveness = Liveness(now, limits.tick_seconds, limits.peer_timeout_seconds)
        self._outbox = Outbox(limits.chunk_bytes, hello.max_queue_bytes)
        self.established = False
        #: Who the peer is, once that is established.
        self.peer_incarnation = b""
        # Whether it reads, judged as whether it is alive.
        self._reading = Liveness(now, limits.tick_seconds, limits.peer_timeout_seconds)
        #: Given up because nothing was heard, or read by it, for the whole time-out.
        self.is_silent = False

    @property
    def peer_hello(self) -> Hello:
        return self._handshake.peer_hello

    @property
    def heard_at(self) -> float | None:
        """When something arrived last, in seconds on the monotonic clock; None: never."""
        return self._liveness.heard_at

    def bind(self, binding: TlsBinding) -> None:
        """The stream is inside TLS: what opens it is tied to that, and records need no seal of their own.

        Raises:
            LocalProtocolError: Something was sent or received before.
        """
        self._handshake.bind(binding)
        self._is_inside_tls = True

    def receive_data(self, data: Buffer, now: float) -> list[Introduced | Established | Message]:
        """Take in what arrived, in any cut.

        Raises:
            NetworkError: The connection is of no further use; which kind says why.
        """
        self._liveness.heard(now)
        events: list[Introduced | Established | Message] = []
        if self._opener is None:
            self._handshake.receive_data(bytes(data))
            if not self._handshake.done:
                return events
            data = self._start_records(events)
        assert self._opener is not None
        for record in self._opener.receive_data(data):
            if not self.established:
                # A responder's proof that the initiator is live and no replay.
                self._handshake.confirm_peer()
                self._establish(events)
            if isinstance(record, Batch):
                events.extend(map(messages.decode, record.messages))
            else:
                whole = self._assembly.add(record.header, record.data)
                if whole is not None:
                    events.append(messages.decode(whole))
        return events

    def receive_eof(self) -> None:
        """The other side closed the stream. Always raises.

        Raises:
            NetworkError: `PeerLost`, or before that what the handshake makes of it.
        """
        if self.heard_at is None and not self._is_inside_tls:
            raise PeerLost("the peer closed the connection before it said anything")
        if self._opener is None:
            self._handshake.receive_eof()
        if self._opener is not None and self._opener.buffered_bytes:
            raise PeerLost("the connection ended in the middle of a record")
        raise PeerLost("the peer closed the connection")

    def _start_records(self, events: list[Introduced | Established | Message]) -> bytes:
        self._sealer = Sealer(None if self._is_inside_tls else self._handshake.send_key)
        self._opener = Opener(None if self._is_inside_tls else self._handshake.receive_key)
        events.append(Introduced(self._handshake.peer_hello))
        if self._handshake.peer_confirmed:
            self._establish(events)
            # The responder waits for a first record as the proof that we are live.
            self.push(None, messages.Ping().encode(), 1)
        return self._handshake.trailing

    def _establish(self, events: list[Introduced | Established | Message]) -> None:
        self.established = True
        hello = self._handshake.peer_hello
        self.peer_incarnation = hello.incarnation
        self._outbox.max_begun_bytes = min(self._outbox.max_begun_bytes, hello.max_queue_bytes)
        events.append(Established(hello))

    def push(self, key: Hashable, message: Sequence[Buffer] | Buffer | Parcel, size: int) -> bool:
        """Queue an encoded message of ``size`` bytes; messages of one key stay in order. Returns `has_room`.

        Raises:
            LocalProtocolError: The connection is not established.
        """
        if not self.established:
            raise LocalProtocolError("nothing can be sent before the handshake is over")
        return self._outbox.push(key, message, size)

    @property
    def has_room(self) -> bool:
        """Should more be pushed before the next `data_to_send`?"""
        return self.established and self._outbox.has_room

    @property
    def is_empty(self) -> bool:
        """Is all that was pushed on its way?"""
        return not self._outbox

    @property
    def waiting(self) -> tuple[int, int]:
        """Messages and bytes that were pushed and have not gone; with those that were taken back, see `Outbox`."""
        return self._outbox.waiting_messages, self._outbox.waiting_bytes

    def forget_taken(self) -> None:
        """Let go of what is left of messages that were taken back."""
        self._outbox.forget_taken()

    def data_to_send(self) -> list[Buffer]:
        """The next record, or what the handshake has to say; empty where there is nothing to send."""
        if not self.established:
            handshake = self._handshake.data_to_send()
            return [handshake] if handshake else []
        assert self._sealer is not None
        while self._outbox:
            batch = self._outbox.next_batch()
            if batch:
                return self._sealer.batch(batch)
            if batch is None:
                chunk = self._outbox.next_chunk()
                if chunk is not None:
                    return self._sealer.chunk(*chunk)
        return []

    def tick(self, now: float, is_stuck: bool = False) -> None:
        """Look at the clock; to be called about every half tick.

        Args:
            is_stuck (bool): Something is to be sent, and none of it went since the last time.

        Raises:
            PeerLost: Silence for the whole time-out, or so long it read nothing of what was there for it; or the key
                has sealed as much as one should, and another connection, with another key, is to be made.
        """
        if self._sealer is not None and self._sealer.renewal_due:
            raise PeerLost("the key of the connection has sealed enough, a new one is needed")
        health = self._liveness.check(now)
        if health is Health.LOST:
            self.is_silent = True
            raise PeerLost(f"nothing was heard for {self._limits.peer_timeout_seconds:g} s")
        if not is_stuck:
            self._reading.heard(now)
        if self._reading.check(now) is Health.LOST:
            self.is_silent = True
            raise PeerLost(f"the peer read nothing for {self._limits.peer_timeout_seconds:g} s")
        if self.established and self._liveness.should_ping(now):
            self.push(None, messages.Ping().encode(), 1)
