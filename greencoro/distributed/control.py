"""What the two ends of a connection say about that itself, in records of their own.

A message is one byte of kind, then that kind's fields in network order; PING, PONG and BYE are those of `kinds`:

======= ===============================================================================
kind    fields
======= ===============================================================================
PING, PONG
BYE     (here where this side leaves in the record that proves it)
ACK     u64 how many records of messages have come, since the session began
RESUME  the same, 32 bytes of proof (`session`): the side that dialled wants to go on
RESUMED the same, 32 bytes of proof: the other side goes on; in place of WELCOME
======= ===============================================================================

None of them is ever sent again: who goes on over another connection says what is true then.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, TypeAlias

from greencoro.distributed import decoding
from greencoro.distributed.fields import Buffer
from greencoro.distributed.kinds import Kind
from greencoro.distributed.messages import Bye, Ping, Pong
from greencoro.errors import RemoteProtocolError

__all__ = ["Ack", "ControlMessage", "Resume", "Resumed", "decode"]

_ACK, _RESUME, _RESUMED = 25, 26, 27

_COUNT = struct.Struct("!BQ")
_PROVED = struct.Struct("!BQ32s")


class Ack(NamedTuple):
    """So many records came."""

    received: int

    def encode(self) -> list[Buffer]:
        return [_COUNT.pack(_ACK, self.received)]


class Resume(NamedTuple):
    """Let us go on; so many records came here."""

    received: int
    proof: bytes

    def encode(self) -> list[Buffer]:
        return [_PROVED.pack(_RESUME, self.received, self.proof)]


class Resumed(NamedTuple):
    """We go on; so many records came here."""

    received: int
    proof: bytes

    def encode(self) -> list[Buffer]:
        return [_PROVED.pack(_RESUMED, self.received, self.proof)]


ControlMessage: TypeAlias = Ping | Pong | Bye | Ack | Resume | Resumed


def decode(data: Buffer) -> ControlMessage:
    """The message in ``data``.

    Raises:
        RemoteProtocolError: It is none.
    """
    try:
        kind = data[0]
        if kind == _ACK:
            return Ack(_COUNT.unpack(data)[1])
        if kind == _RESUME:
            return Resume(*_PROVED.unpack(data)[1:])
        if kind == _RESUMED:
            return Resumed(*_PROVED.unpack(data)[1:])
    except (struct.error, IndexError) as error:
        raise RemoteProtocolError(f"malformed message about the connection: {error}") from None
    if kind in (Kind.PING, Kind.PONG, Kind.BYE):
        message = decoding.decode(data)
        assert isinstance(message, Ping | Pong | Bye)
        return message
    raise RemoteProtocolError(f"unknown kind of message about the connection: {kind}")
