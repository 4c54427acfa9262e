"""One connection as bytes in, events out.

First the handshake, then records in both directions, watched over by heartbeats. The records are sealed, unless TLS
does that for the whole stream (`Connection.bind`). What they carry is the session's, which may have begun over another
connection (`session`). No socket, no clock: the shell (`wire`) feeds what arrived, sends what `data_to_send` gives, and
calls `tick`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from greencoro.distributed import control
from greencoro.distributed.control import Ack, Resume, Resumed
from greencoro.distributed.decoding import decode
from greencoro.distributed.fields import Buffer
from greencoro.distributed.handshake import Handshake, TlsBinding
from greencoro.distributed.handshake_states import Role
from greencoro.distributed.hello import Hello
from greencoro.distributed.identity import Identity, check_proof
from greencoro.distributed.membership import Health, Liveness
from greencoro.distributed.messages import Message, Ping, Pong
from greencoro.distributed.outbox import BARRIER, Parcel
from greencoro.distributed.record import Batch, Chunk, Control, Opener, Sealer
from greencoro.distributed.session import Session
from greencoro.errors import AuthenticationError, LocalProtocolError, PeerLost, RemoteProtocolError

__all__ = ["Connection", "Established", "Event", "Introduced", "Limits"]


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

    It may be a replay, or a lie: so it decides no more than which of those that came in keep a place or wait, and that
    a dial of ours waits a second for one that comes from there.
    """

    hello: Hello


@dataclass(frozen=True)
class Established:
    """The other side is proved to know the secret, to be who it says, and to be live; from now on messages flow."""

    hello: Hello


#: What the bytes that arrived say.
Event: TypeAlias = Introduced | Established | Message | Resumed


class Connection:
    """One side of one connection.

    Args:
        role: Whether this side dialled.

        psk: The handshake key of this runtime's secret.

        hello: What this runtime tells about itself.

        identity: Proves that it is the incarnation that it names there.

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
        identity: Identity,
        ephemeral_private: bytes,
        fingerprint: str,
        limits: Limits,
        now: float,
    ) -> None:
        self.role = role
        self._limits = limits
        self._handshake = Handshake(
            role, psk, hello, identity, ephemeral_private, fingerprint, max_frame_bytes=limits.max_handshake_frame_bytes
        )
        self._identity = identity
        # The first thing in the first record of the side that dialled, until it has gone.
        self._proof = b""
        self._is_inside_tls = False
        self._sealer: Sealer | None = None
        self._opener: Opener | None = None
        #: What it carries. A new one, unless both sides go on with an old one.
        self.session = Session(limits.chunk_bytes, limits.max_message_bytes, hello.max_queue_bytes)
        self._outbox = self.session.outbox
        # Goes before all that is the session's.
        self._control: list[Sequence[Buffer]] = []
        # The side that dialled: what it wants to go on with. The other side: what it heard of that.
        self._to_resume: Session | None = None
        self._asked: Resume | None = None
        self._liveness = Liveness(now, limits.tick_seconds, limits.peer_timeout_seconds)
        self.established = False
        #: Who the peer is, once that is established.
        self.peer_incarnation = b""
        # Whether it reads, judged as whether it is alive.
        self._reading = Liveness(now, limits.tick_seconds, limits.peer_timeout_seconds)
        #: Given up because somebody altered what it carried, or put something in.
        self.is_altered = False
        self._acknowledged = 0
        self._was_blocked = False
        self._may_go_on = False
        #: Given up because it did not answer, or read, for the whole time-out.
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

    def receive_data(self, data: Buffer, now: float) -> list[Event]:
        """Take in what arrived, in any cut.

        Raises:
            NetworkError: The connection is of no further use; which kind says why.
        """
        self._liveness.heard(now, is_answer=not self.established)
        events: list[Event] = []
        if self._opener is None:
            self._handshake.receive_data(bytes(data))
            if not self._handshake.done:
                return events
            data = self._start_records(events)
        assert self._opener is not None
        try:
            records = self._opener.receive_data(data)
        except AuthenticationError:
            self.is_altered = self.established
            raise
        for record in records:
            if not self.established:
                said = self._take_proof(record)
                # It opened: the initiator is live and no replay.
                self._handshake.confirm_peer()
                self._establish(events)
                self._take_control(said, events, now)
            elif isinstance(record, Control):
                self._take_control(record.messages, events, now)
            else:
                events.extend(map(decode, self.session.take(record)))
        if self.session.is_ack_due:
            self._say_received()
        return events

    def _take_control(self, encoded: Sequence[Buffer], events: list[Event], now: float) -> None:
        for message in map(control.decode, encoded):
            if isinstance(message, Ack):
                was_full = self.session.is_full
                self.session.acknowledge(message.received)
                self._may_go_on = self._may_go_on or was_full
            elif isinstance(message, Resume):
                if self.role is not Role.RESPONDER or self._asked is not None or not self.session.is_fresh:
                    raise RemoteProtocolError("the peer wants to go on where something was said already")
                self._asked = message
            elif isinstance(message, Resumed):
                self._resumed(message)
                events.append(message)
            else:
                if isinstance(message, Pong):
                    self._liveness.answered(now)
                events.append(message)

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

    def _start_records(self, events: list[Event]) -> bytes:
        self._sealer = Sealer(None if self._is_inside_tls else self._handshake.send_key)
        self._opener = Opener(None if self._is_inside_tls else self._handshake.receive_key)
        events.append(Introduced(self._handshake.peer_hello))
        if self._handshake.peer_confirmed:
            self._establish(events)
        return self._handshake.trailing

    def _take_proof(self, record: Batch | Chunk | Control) -> Sequence[Buffer]:
        """Returns what else is in the record that proves who the side that dialled is."""
        if not isinstance(record, Control) or not record.messages:
            raise RemoteProtocolError("the peer speaks before it has proved who it is")
        incarnation = self._handshake.peer_hello.incarnation
        check_proof(bytes(record.messages[0]), incarnation, Role.INITIATOR, self._handshake.handshake_hash)
        return record.messages[1:]

    def _establish(self, events: list[Event]) -> None:
        self.established = True
        if self.role is Role.INITIATOR:
            self._proof = self._identity.prove(self.role, self._handshake.handshake_hash)
        hello = self._handshake.peer_hello
        self.peer_incarnation = hello.incarnation
        self.session.begin(self._handshake.session_key, hello.max_queue_bytes)
        events.append(Established(hello))

    # Going on with a session that began over another connection.

    def ask_to_resume(self, session: Session) -> None:
        """Say, before anything else, that this side wants to go on with ``session``; it dialled.

        The other side answers with RESUMED, and the session is this connection's, or with WELCOME, and it is over.
        """
        self._to_resume = session
        proof = session.proof(self.role, self._handshake.handshake_hash)
        self._control.insert(0, Resume(session.say_received(), proof).encode())

    def _resumed(self, message: Resumed) -> None:
        session, self._to_resume = self._to_resume, None
        if session is None or not self.session.is_fresh:
            raise RemoteProtocolError("the peer goes on with what nobody asked it for")
        if not session.is_proved_by(message.proof, Role.RESPONDER, self._handshake.handshake_hash):
            raise AuthenticationError("the other side goes on with a link that it has not proved to be its own")
        self._go_on(session, message.received)

    def asks_to_resume(self, session: Session) -> bool:
        """Did the side that dialled ask to go on with this very session, and prove that it is its own?"""
        asked = self._asked
        return asked is not None and session.is_proved_by(asked.proof, Role.INITIATOR, self._handshake.handshake_hash)

    def asks_too_late(self, session: Session) -> bool:
        """Has the other side said since that it has more? Then this was held up on its way, and it asked again."""
        return self._asked is not None and self._asked.received < session.acknowledged

    def resume(self, session: Session) -> None:
        """Go on with the session that the other side `asks_to_resume`.

        Raises:
            RemoteProtocolError: It says that it has more than it was sent, or has said something else meanwhile.
        """
        if self._asked is None or not self.session.is_fresh:
            raise RemoteProtocolError("the peer speaks before it is known whether it can go on")
        self._go_on(session, self._asked.received)
        proof = session.proof(self.role, self._handshake.handshake_hash)
        self.push_control(Resumed(session.say_received(), proof).encode())

    def _go_on(self, session: Session, received: int) -> None:
        session.go_on(received)
        self.session = session
        self._outbox = session.outbox
        self._acknowledged = session.acknowledged

    def push(self, key: Hashable, message: Sequence[Buffer] | Buffer | Parcel, size: int) -> bool:
        """Queue an encoded message of ``size`` bytes; messages of one key stay in order. Returns `has_room`.

        Raises:
            LocalProtocolError: The connection is not established.
        """
        if not self.established:
            raise LocalProtocolError("nothing can be sent before the handshake is over")
        return self._outbox.push(key, message, size)

    def push_control(self, message: Sequence[Buffer]) -> None:
        """Queue an encoded message about the connection itself, before all others."""
        self._control.append(message)

    def push_goodbye(self, message: Sequence[Buffer]) -> None:
        """Queue an encoded BYE behind all else; where this side has not proved itself yet, in the record that does.

        So the other side never takes for a peer whom this side does not.
        """
        if self._proof:
            self._control.append(message)
        else:
            self.push(BARRIER, message, sum(map(len, message)))

    def _say_received(self) -> None:
        self.push_control(Ack(self.session.say_received()).encode())

    @property
    def has_room(self) -> bool:
        """Should more be pushed before the next `data_to_send`?"""
        return self.established and self._outbox.has_room

    @property
    def is_empty(self) -> bool:
        """Is all that was pushed on its way?"""
        return not self._control and not self._proof and self.session.is_idle

    @property
    def is_urgent(self) -> bool:
        """Is there something to be said about the connection itself, or may go on what waited for an ACK?"""
        return bool(self._control or self._proof) or self._may_go_on

    @property
    def waiting(self) -> tuple[int, int]:
        """Messages and bytes that were pushed and have not gone; with those that were taken back, see `Outbox`."""
        outbox = self._outbox
        return outbox.waiting_messages, outbox.waiting_bytes

    @property
    def waiting_control(self) -> int:
        """How many messages about the connection itself have not gone."""
        return len(self._control)

    def forget_taken(self) -> None:
        """Let go of what is left of messages that were taken back."""
        self._outbox.forget_taken()

    def data_to_send(self) -> list[Buffer]:
        """The next record, or what the handshake has to say; empty where there is nothing to send."""
        if not self.established:
            handshake = self._handshake.data_to_send()
            return [handshake] if handshake else []
        assert self._sealer is not None
        self._may_go_on = False
        if self._control or self._proof:
            said, self._control = self._control, []
            if self._proof:
                said.insert(0, [self._proof])
                self._proof = b""
            return self._sealer.control(said)
        record = self.session.next_record()
        if record is None:
            return []
        return self._sealer.batch(record) if isinstance(record, list) else self._sealer.chunk(*record)

    def tick(self, now: float, is_blocked: bool = False, has_moved: bool = False) -> None:
        """Look at the clock; to be called about every half tick.

        Args:
            is_blocked (bool): The network does not take what is to be sent.

            has_moved (bool): It took something since the last time.

        Raises:
            PeerLost: Silence for the whole time-out, or so long it read nothing of what was there for it; or the key
                has sealed as much as one should, and another connection, with another key, is to be made.
        """
        if self._sealer is not None and self._sealer.renewal_due:
            raise PeerLost("the key of the connection has sealed enough, a new one is needed")
        health = self._liveness.check(now)
        if health is Health.LOST:
            self.is_silent = True
            raise PeerLost(f"nothing was heard, and no answer for {self._limits.peer_timeout_seconds:g} s")
        session = self.session
        # Else it was the network's buffers alone that took something, such as our pings.
        has_made_room = has_moved and self._was_blocked
        self._was_blocked = is_blocked
        # It may well read what it does not acknowledge: that comes to the same.
        is_stuck = is_blocked or (session.is_full and session.acknowledged == self._acknowledged)
        self._acknowledged = session.acknowledged
        if has_made_room:
            self._liveness.answered(now)
        if has_made_room or not is_stuck:
            self._reading.answered(now)
        if self._reading.check(now) is Health.LOST:
            self.is_silent = True
            raise PeerLost(f"the peer read nothing for {self._limits.peer_timeout_seconds:g} s")
        if self.established and self._liveness.should_ping(now):
            self.push_control(Ping().encode())
            if session.has_unsaid:
                self._say_received()

    def seconds_left(self, now: float) -> float:
        """After the end: until the peer is lost, if no other connection comes; to be asked about every half tick."""
        return self._liveness.seconds_left(now)
