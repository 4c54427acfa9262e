"""What the fuzzer calls: each takes any bytes, and raises where something does not hold."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from greencoro.distributed import messages
from greencoro.distributed.connection import Connection, Limits
from greencoro.distributed.datagrams import Ping
from greencoro.distributed.handshake_states import Role
from greencoro.distributed.location import Location
from greencoro.distributed.outbox import CHUNK_HEADER
from greencoro.distributed.record import Opener
from tests.fuzz import checks
from tests.fuzz.checks import KEY, PREAMBLE, PSK, REFUSALS, Edit, damaged, encoded, hello, identity

LIMITS = Limits(1.0, 4.0, 4096, 30_000, 4096)


class Target(NamedTuple):
    """A function of bytes, and some bytes that lead far into it."""

    run: Callable[[bytes], None]
    seeds: list[bytes]


class Choices:
    """Numbers from the front of some bytes; zeros behind their end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, size: int = 1) -> int:
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at], "big")

    def edits(self) -> list[Edit]:
        return [Edit(self.number(), self.number(2), self.number(2)) for _ in range(self.number() % 5)]

    def cuts(self) -> list[int]:
        return [self.number(2) for _ in range(self.number() % 4)]

    def some(self) -> bytes:
        """Up to 255 bytes."""
        size = self.number()
        self._at += size
        return self._data[self._at - size : self._at]

    def rest(self) -> bytes:
        return self._data[self._at :]

    def __bool__(self) -> bool:
        return self._at < len(self._data)


def _handshake(data: bytes) -> None:
    choices = Choices(data)
    role = (Role.INITIATOR, Role.RESPONDER)[choices.number() % 2]
    start = (b"", PREAMBLE)[choices.number() % 2]
    side = checks.check_handshake(role, start + choices.rest(), choices.cuts())
    assert not side.done


def _records(data: bytes) -> None:
    choices = Choices(data)
    moves, edits, cuts = choices.edits(), choices.edits(), choices.cuts()
    contents = []
    while choices and len(contents) < 6:
        contents.append(choices.some())
    checks.check_damaged_records(contents, moves, edits, cuts)


def _plaintext(data: bytes) -> None:
    choices = Choices(data)
    kind, cuts = choices.number() % 3, choices.cuts()
    checks.check_plaintext(choices.rest(), kind, cuts)


def _unsealed(data: bytes) -> None:
    choices = Choices(data)
    cuts = choices.cuts()
    checks.opened(Opener(None), choices.rest(), cuts)


def _chunks(data: bytes) -> None:
    choices, chunks = Choices(data), []
    while choices and len(chunks) < 50:
        number, flags, size = choices.number() % 4, choices.number(), choices.number()
        chunks.append((CHUNK_HEADER.pack(number, flags, size), choices.some()))
    checks.check_chunks(200, chunks)


def _messages_of(data: bytes) -> list[bytes]:
    choices, made = Choices(data), []
    while choices and len(made) < 6:
        # Some of them in chunks.
        repeated = 1 + choices.number() % 100
        made.append(choices.some() * repeated)
    return made


def _said(contents: list[bytes]) -> bytes:
    """All that an initiator says that sends these."""
    one = Connection(Role.INITIATOR, PSK, hello(1), identity(1), b"\1" * 32, "print", LIMITS, 0.0)
    other = Connection(Role.RESPONDER, PSK, hello(2), identity(2), b"\2" * 32, "print", LIMITS, 0.0)
    said = b""
    for _ in range(3):
        data = b"".join(b"".join(record) for record in iter(one.data_to_send, []))
        said += data
        other.receive_data(data, 0.0)
        one.receive_data(b"".join(b"".join(record) for record in iter(other.data_to_send, [])), 0.0)
    for content in contents:
        message = messages.send_header(1) + content
        one.push(1, message, len(message))
    return said + b"".join(b"".join(record) for record in iter(one.data_to_send, []))


def _connection(data: bytes) -> None:
    choices = Choices(data)
    edits, cuts = choices.edits(), choices.cuts()
    sent = _messages_of(choices.rest())
    said = _said(sent)
    heard = damaged(said, edits)
    end = Connection(Role.RESPONDER, PSK, hello(2), identity(2), b"\2" * 32, "print", LIMITS, 0.0)
    came: list[bytes] = []
    try:
        for piece in checks.pieces(heard, cuts):
            events = end.receive_data(piece, 0.0)
            came += [bytes(event.payload) for event in events if isinstance(event, messages.Send)]
    except REFUSALS:
        assert not said.startswith(heard)
    assert came == sent[: len(came)]
    if heard == said:
        assert came == sent


def _codec(data: bytes) -> None:
    choices = Choices(data)
    if choices.number() % 2 == 0:
        checks.check_payload(choices.rest())
        return
    made: list[bytes | bytearray] = []
    while choices and len(made) < 6:
        kind, repeated = choices.number(), 1 + choices.number() ** 2
        made.append((bytes if kind % 2 else bytearray)(choices.some() * repeated))
    checks.check_objects(made)


_EDITS = bytes((1, 0, 0, 40, 0, 3, 2, 0, 9, 0, 70))
_BODY = struct.pack(">11sBB16sHB", b"greencoro-d", 1, 0x83, b"i" * 16, 7, 9) + b"127.0.0.1"
_OFFER = (
    b'{"transfer":1,"directory":["a"],"file":"f","size":5,"mtime_ns":0,"mode":420,"overwrite":true,"timeout":5.0,'
    b'"other":["127.0.0.1",5,"00000000000000000000000000000000",7,"name"],"do":"send","written":1,"stat":[]}'
)

_PAYLOADS = [
    b"\0\0\x80\5K\1.",
    struct.pack("!HQQ", 1, 3, 4) + b"\x80\5N.abc",
    struct.pack("!HQQQ", 2, 3, 0, 4) + b"\x80\5N.abc",
]

TARGETS = {
    "handshake": Target(_handshake, [b"\0\0" + PREAMBLE, b"\1\1\0\x30" + bytes(48), b"\0\1\0\x30" + bytes(48)]),
    "introduction": Target(checks.check_introduction, [hello(1).encode(), hello(2).encode()]),
    "records": Target(_records, [_EDITS + b"\0\0\5hello\3one\4four", b"\0\0\0\5hello\3one\4four"]),
    "plaintext": Target(_plaintext, [b"\0\0\0\0\0\1\0\0\0\2hi", b"\1\0\0\2xxdata"]),
    "unsealed": Target(_unsealed, [b"\0\0\0\0\x0a\0\0\0\0\0\0\0\1\0\0\0\2hi", b"\0\0\0\0\6\1\0\0\0\0\2xxda"]),
    "chunks": Target(_chunks, [b"\1\1\4\2ab\1\2\4\2cd", b"\2\3\2\2ab"]),
    "messages": Target(
        checks.check_message,
        [
            *map(
                encoded,
                [
                    messages.Send(1, b"x"),
                    messages.Notice(1, 1, "a", "b", "c", b"d"),
                    messages.Locate(1, True, "coro", "name"),
                    messages.Located(1, 2, "name"),
                    messages.Bye("reason"),
                    messages.Terminate(1, 2, True),
                    messages.Unlock(b"k" * 16),
                    messages.Unlocked(b"k" * 16),
                    messages.Request(1, "operation", {"a": [1, None, 2.5, "x"]}, [b"12", b"3"]),
                    messages.Reply(1, True, {}, [b""]),
                    messages.ChannelSend(1, 2, [(b"i" * 16, 7)], b"x"),
                    messages.ChannelDeliver(1, 2, 3, 4, 5.0, [(b"i" * 16, 7)], b"x"),
                ],
            )
        ],
    ),
    "codec": Target(_codec, [b"\0" + payload for payload in _PAYLOADS] + [b"\1\2\5hello\0\xff\3abc"]),
    "json": Target(checks.check_json, [_OFFER, b"{}"]),
    "datagrams": Target(checks.check_datagram, [_BODY, Ping(b"i" * 16, Location("::1", 7)).encode(KEY)]),
    "connection": Target(_connection, [_EDITS + b"\0\5hello\x63\xff" + bytes(255) + b"\0\1x", b"\0\0\0\5hello\0\1x"]),
}
