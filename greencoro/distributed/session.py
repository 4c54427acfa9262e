"""What two runtimes have under way to each other, whichever connection carries it.

A connection may break at any byte. What went over it is kept here until the other side has said that it has it (ACK),
and what that side does not have goes again over the next connection, so nothing is lost and nothing comes twice. Both
sides count the records of messages, from the first one of the first connection on; those about a connection itself
(`control`) are none of them.

Who goes on with a session proves that it was there when that began: the key of a session comes from the first
connection's handshake, never travels, and is shown by what only who has it can make of the new connection's hash.

Pure: no socket, no clock, no seals.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from greencoro.distributed.assembly import Assembly
from greencoro.distributed.fields import Buffer
from greencoro.distributed.handshake_states import Role
from greencoro.distributed.outbox import Outbox
from greencoro.distributed.record import Batch, Chunk
from greencoro.errors import RemoteProtocolError

__all__ = ["Outgoing", "Session"]

#: The messages of a batch, or header and data of a chunk.
Outgoing: TypeAlias = list[Sequence[Buffer] | Buffer] | tuple[bytes, memoryview]

#: As much as the sender's `max_queue_bytes`, between these two, may be on its way without an ACK; beyond that nothing
#: new goes. It bounds what a link can carry in a round trip.
_UNACKNOWLEDGED_BYTES = 256 << 10, 16 << 20
MAX_UNACKNOWLEDGED_RECORDS = 1024
#: The receiver says what it has after so many records, and after this part of those bytes.
ACK_RECORDS = 128
_ACK_PARTS = 4

_PROOF = {Role.INITIATOR: b"greencoro 1 resume, initiator", Role.RESPONDER: b"greencoro 1 resume, responder"}


def max_unacknowledged_bytes(max_queue_bytes: int) -> int:
    """So many bytes may be on their way, without an ACK, from the side whose hello says that."""
    least, most = _UNACKNOWLEDGED_BYTES
    return min(max(max_queue_bytes, least), most)


class Session:
    """See the module.

    Args:
        max_message_bytes, max_queue_bytes: What this side takes, as in its hello.
    """

    def __init__(self, chunk_bytes: int, max_message_bytes: int, max_queue_bytes: int) -> None:
        #: What was pushed and has not gone.
        self.outbox = Outbox(chunk_bytes, max_queue_bytes)
        self._assembly = Assembly(max_message_bytes, max_queue_bytes)
        self._key = b""
        self._max_bytes = max_unacknowledged_bytes(max_queue_bytes)
        self._ack_bytes = self._max_bytes // _ACK_PARTS
        self._is_bounded = True
        # Sent: what is kept, and how many of the last of it are to go again.
        self._kept: deque[tuple[Outgoing, int]] = deque()
        self._kept_bytes = 0
        self._again = 0
        #: How many records the other side has said to have.
        self.acknowledged = 0
        #: Does nothing new go before the other side has said what it has?
        self.is_full = False
        #: Records that came.
        self.received = 0
        #: Should the other side be told now how many?
        self.is_ack_due = False
        self._said = 0
        self._unsaid_bytes = 0

    def begin(self, key: bytes, peer_queue_bytes: int) -> None:
        """The first connection is established.

        Args:
            key: What both sides of it, and nobody else, know.

            peer_queue_bytes: The ``max_queue_bytes`` of the other side's hello.
        """
        self._key = key
        self.outbox.max_begun_bytes = min(self.outbox.max_begun_bytes, peer_queue_bytes)
        self._ack_bytes = max_unacknowledged_bytes(peer_queue_bytes) // _ACK_PARTS

    # Sending.

    @property
    def is_idle(self) -> bool:
        """Is all that was pushed on its way?"""
        return not self._again and not self.outbox

    @property
    def is_acknowledged(self) -> bool:
        """Has the other side said to have all of that?"""
        return not self.outbox and not self._kept

    @property
    def unacknowledged(self) -> int:
        """How many records it has not."""
        return len(self._kept)

    def next_record(self) -> Outgoing | None:
        """What goes next: what the other side does not have of what went before, then what is new."""
        if self._again:
            self._again -= 1
            return self._kept[-1 - self._again][0]
        outbox = self.outbox
        while outbox and not self.is_full:
            before = outbox.waiting_bytes
            record: Outgoing | None = outbox.next_batch()
            if record is None:
                record = outbox.next_chunk()
            if record:
                size = before - outbox.waiting_bytes
                self._kept.append((record, size))
                self._kept_bytes += size
                if self._kept_bytes >= self._max_bytes or len(self._kept) >= MAX_UNACKNOWLEDGED_RECORDS:
                    self.is_full = self._is_bounded
                return record
        return None

    def lift_bound(self) -> None:
        """This is the end: what is left goes at once, however much it is."""
        self._is_bounded = self.is_full = False

    def acknowledge(self, count: int) -> None:
        """The other side says that it has ``count`` records.

        Raises:
            RemoteProtocolError: It said before that it has more, or it was not sent so many.
        """
        kept = self._kept
        news = count - self.acknowledged
        sent = len(kept) - self._again
        if not 0 <= news <= sent:
            raise RemoteProtocolError(f"the peer says that it has {news} records of the last {sent}")
        for _ in range(news):
            self._kept_bytes -= kept.popleft()[1]
        self.acknowledged = count
        if self.is_full:
            self.is_full = self._kept_bytes >= self._max_bytes or len(kept) >= MAX_UNACKNOWLEDGED_RECORDS

    # Receiving.

    def take(self, record: Batch | Chunk) -> Sequence[Buffer]:
        """The messages that a record completes.

        Raises:
            RemoteProtocolError: A chunk that belongs to nothing.
        """
        self.received += 1
        messages: Sequence[Buffer]
        if isinstance(record, Batch):
            messages = record.messages
            self._unsaid_bytes += len(messages[0]) if len(messages) == 1 else sum(map(len, messages))
        else:
            whole = self._assembly.add(record.header, record.data)
            messages = () if whole is None else (whole,)
            self._unsaid_bytes += len(record.data)
        if self._unsaid_bytes >= self._ack_bytes or self.received - self._said >= ACK_RECORDS:
            self.is_ack_due = True
        return messages

    @property
    def has_unsaid(self) -> bool:
        """Came anything that the other side was not told of?"""
        return self.received != self._said

    def say_received(self) -> int:
        """How many records came, which the other side is told now."""
        self._said = self.received
        self._unsaid_bytes = 0
        self.is_ack_due = False
        return self.received

    # From one connection to the next.

    @property
    def is_fresh(self) -> bool:
        """Has nothing come, and nothing gone?"""
        return not self.received and not self._kept and not self.acknowledged

    def proof(self, role: Role, handshake_hash: bytes) -> bytes:
        """What shows that the side ``role`` of the connection with that hash has this session's key."""
        return hmac.digest(self._key, _PROOF[role] + handshake_hash, "sha256")

    def is_proved_by(self, proof: bytes, role: Role, handshake_hash: bytes) -> bool:
        """Is this the `proof` of that side of that connection?"""
        return bool(self._key) and hmac.compare_digest(proof, self.proof(role, handshake_hash))

    def go_on(self, count: int) -> None:
        """There is another connection, and the other side says that it has ``count`` records.

        Raises:
            RemoteProtocolError: It cannot have so many.
        """
        # All that is kept was sent, over one connection or another, and may have come.
        self._again = 0
        self.acknowledge(count)
        self._again = len(self._kept)
