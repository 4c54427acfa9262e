"""What must hold whatever bytes come: only the documented errors, bounded memory, nothing that was not sent."""

from __future__ import annotations

import hmac
import itertools
import json
import pickle
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from unittest import mock

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from greencoro.distributed import codec, messages, refs, transfer_words
from greencoro.distributed.assembly import Assembly
from greencoro.distributed.datagrams import Ping
from greencoro.distributed.decoding import decode
from greencoro.distributed.handshake import MAX_FRAME_BYTES, Handshake
from greencoro.distributed.handshake_states import Role, State
from greencoro.distributed.hello import Hello
from greencoro.distributed.identity import Identity
from greencoro.distributed.kinds import Kind
from greencoro.distributed.location import Location
from greencoro.distributed.noise import HandshakeState
from greencoro.distributed.outbox import CHUNK_HEADER, FIRST, MAX_STREAMS
from greencoro.distributed.plain_names import is_plain
from greencoro.distributed.preamble import MAGIC, PROTOCOL
from greencoro.distributed.record import Batch, Control, Opener, Record, Sealer
from greencoro.errors import (
    AuthenticationError,
    IncompatibleVersion,
    LocalProtocolError,
    RemoteProtocolError,
    TransferError,
)

PSK = bytes(range(32))
KEY = bytes(range(100, 132))
PREAMBLE = struct.pack(">9sH5s", MAGIC, PROTOCOL, bytes(5))
#: What a peer can be told that it did wrong; anything else is a bug here.
REFUSALS = (AuthenticationError, IncompatibleVersion, RemoteProtocolError)


class Edit(NamedTuple):
    """One thing that is done to a stream on its way; numbers are taken modulo what there is."""

    #: 0: flip a bit; 1: leave bytes out; 2: repeat bytes; 3: put in others; 4: swap what follows; 5: end here.
    kind: int
    place: int
    count: int


def damaged(data: bytes, edits: Iterable[Edit]) -> bytes:
    """``data`` as somebody on the way makes it."""
    for kind, place, count in edits:
        at = place % (len(data) + 1)
        to = min(len(data), at + 1 + count % 300)
        match kind % 6:
            case 0 if at < len(data):
                data = data[:at] + bytes((data[at] ^ 1 << count % 8,)) + data[at + 1 :]
            case 1:
                data = data[:at] + data[to:]
            case 2:
                data = data[:to] + data[at:to] + data[to:]
            case 3:
                data = data[:at] + bytes((count % 256,)) * (1 + count % 40) + data[at:]
            case 4:
                data = data[:at] + data[to : 2 * to - at] + data[at:to] + data[2 * to - at :]
            case 5:
                data = data[:at]
    return data


def pieces(data: bytes, cuts: Sequence[int]) -> Iterator[memoryview]:
    """``data`` cut at these places, taken modulo its length."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, stop in itertools.pairwise(places):
        yield memoryview(data)[start:stop]


def identity(number: int) -> Identity:
    """Who one of two sides is; always the same."""
    return Identity(bytes((number,)) * 32)


def hello(number: int) -> Hello:
    """What it says of itself."""
    location = Location("127.0.0.1", 1000 + number)
    return Hello(identity(number).incarnation, location, f"peer {number}", "3.11", "0.1", 100, 10_000, 10_000)


def is_harmless(location: Location) -> bool:
    """May it stand in a log line, and travel?"""
    text = str(location)
    return text.isprintable() and " " not in text and len(location.addr.encode()) <= 255


def handshake(role: Role) -> Handshake:
    """One side; always the same bytes."""
    number = 1 if role is Role.INITIATOR else 2
    return Handshake(role, PSK, hello(number), identity(number), bytes((number,)) * 32, "print")


def check_handshake(role: Role, data: bytes, cuts: Sequence[int] = ()) -> Handshake:
    """A side takes anything, and ends proved, refused, or waiting for more with little in its hands."""
    side = handshake(role)
    for piece in pieces(data, cuts):
        try:
            side.receive_data(bytes(piece))
        except REFUSALS:
            assert side.state is State.FAILED and not side.done and not side.peer_confirmed
            try:
                side.receive_data(b"x")
            except LocalProtocolError:
                return side
            raise AssertionError("a handshake that failed went on") from None
        if side.done:
            # Whoever is here knew the secret.
            assert Hello.decode(side.peer_hello.encode()) == side.peer_hello
            assert side.peer_confirmed is (role is Role.INITIATOR)
            return side
        assert len(side._received) < MAX_FRAME_BYTES + 2
    return side


def check_introduction(payload: bytes) -> None:
    """A holder of the secret says anything as to who it is."""
    payload = payload[:3000]
    noise = HandshakeState(initiator=True, prologue=PREAMBLE * 2, psk=PSK, ephemeral_private=b"\x07" * 32)
    message = noise.write_message(payload)
    side = check_handshake(Role.RESPONDER, PREAMBLE + struct.pack(">H", len(message)) + message)
    assert side.done or side.state is State.FAILED
    if side.done:
        assert is_harmless(side.peer_hello.location)
        assert ":" in side.peer_hello.location.addr or side.peer_hello.encode() == payload


def opened(opener: Opener, data: bytes, cuts: Sequence[int] = ()) -> list[Record]:
    """The records that come out before the stream is refused or at its end."""
    records: list[Record] = []
    given = 0
    for piece in pieces(data, cuts):
        given += len(piece)
        try:
            records += opener.receive_data(piece)
        except REFUSALS:
            assert opener.buffered_bytes == 0
            try:
                opener.receive_data(b"")
            except LocalProtocolError:
                return records
            raise AssertionError("a stream of records that was refused went on") from None
        assert opener.buffered_bytes <= given
    return records


def rearranged(records: list[bytes], moves: Iterable[Edit]) -> list[bytes]:
    """Whole records as somebody on the way sends them: repeated, left out, swapped, or said to be of another type."""
    records = list(records)
    for kind, place, count in moves:
        if not records:
            break
        at, other = place % len(records), count % len(records)
        match kind % 4:
            case 0:
                records.insert(other, records[at])
            case 1:
                del records[at]
            case 2:
                records[at], records[other] = records[other], records[at]
            case 3:
                records[at] = records[at][:4] + bytes((records[at][4] ^ 1,)) + records[at][5:]
    return records


def check_damaged_records(
    contents: Sequence[bytes], moves: Iterable[Edit], edits: Iterable[Edit], cuts: Sequence[int]
) -> None:
    """What comes out of a sealed stream that somebody altered is what was sent, up to some record, and no more."""
    sealer = Sealer(KEY)
    sent: list[list[bytes]] = []
    records: list[bytes] = []
    for number, content in enumerate(contents):
        if number % 3 == 2:
            records.append(b"".join(sealer.chunk(content[:9], content)))
            sent.append([content[:9], content])
        else:
            records.append(b"".join(sealer.batch([content, content[::-1]])))
            sent.append([content, content[::-1]])
    wire = damaged(b"".join(rearranged(records, moves)), edits)
    came = [
        [*map(bytes, record.messages)] if isinstance(record, Batch) else [record.header, bytes(record.data)]
        for record in opened(Opener(KEY), wire, cuts)
    ]
    assert came == sent[: len(came)]
    if wire == b"".join(records):
        assert len(came) == len(sent)


def check_plaintext(data: bytes, kind: int, cuts: Sequence[int] = ()) -> None:
    """A peer seals anything as the contents of a record; it is taken apart without loss, or refused."""
    header = struct.pack(">IB3x", len(data) + 16, kind)
    record = header + AESGCM(KEY).encrypt(bytes(12), data, header)
    for each in opened(Opener(KEY), record, cuts):
        if isinstance(each, Batch | Control):
            size = 4 + 4 * len(each.messages) + sum(map(len, each.messages))
        else:
            size = 2 + len(each.header) + len(each.data)
        assert size == len(data)


def encoded(message: Any) -> bytes:
    """The bytes of a message."""
    if isinstance(message, messages.Send):
        return messages.send_header(message.target) + bytes(message.payload)
    if isinstance(message, messages.Deliver | messages.Notice | messages.ChannelSend | messages.ChannelDeliver):
        return message.header() + bytes(message.payload)
    return b"".join(message.encode())


def check_message(data: bytes) -> None:
    """Any bytes are a message that would be sent the same way, or are refused; whatever holds them."""
    try:
        message = decode(data)
    except RemoteProtocolError:
        try:
            decode(memoryview(data))
        except RemoteProtocolError:
            return
        raise AssertionError("a view was taken where bytes were refused") from None
    assert decode(memoryview(data)) == message
    if isinstance(message, messages.Locate):
        # A truth value can be written in many ways.
        assert decode(encoded(message)) == message
    elif isinstance(message, messages.Request | messages.Reply):
        # So can JSON, of more bytes and of fewer.
        again = decode(encoded(message))
        assert isinstance(again, type(message))
        assert again._replace(header_bytes=message.header_bytes) == message
    else:
        assert encoded(message) == data
    assert not isinstance(message, messages.Notice) or message.outcome in (0, 1, 2)


def check_payload(data: bytes) -> None:
    """Any bytes are a pickle and buffers with nothing before, between or behind them, or are refused."""
    for given in (data, memoryview(data), memoryview(bytearray(data))):
        found: list[bytes] = []

        def load(pickled: memoryview, buffers: Iterable[Any] = (), found: list[bytes] = found) -> None:
            # In place of pickle, which does what whoever made the bytes wants.
            found += map(bytes, (pickled, *buffers))

        with mock.patch.object(codec.pickle, "loads", load):
            try:
                codec.loads(given)
            except RemoteProtocolError:
                assert not found and data[:2] != bytes(2)
                continue
        pickled, *buffers = found
        table = struct.pack(f"!{len(buffers)}QQ", *map(len, buffers), len(pickled)) if buffers else b""
        assert struct.pack("!H", len(buffers)) + table + b"".join(found) == data


def check_objects(objects: list[bytes | bytearray]) -> None:
    """What is sent arrives; what can be changed here can be changed there, and is another then."""
    whole = [*objects, *map(pickle.PickleBuffer, objects)]
    data = b"".join(codec.dumps(whole))
    arrived = codec.loads(bytearray(data))
    assert [bytes(each) for each in arrived] == [bytes(each) for each in objects] * 2
    assert [type(each) for each in arrived[: len(objects)]] == list(map(type, objects))
    check_payload(data)


def check_header(header: Mapping[str, Any]) -> None:
    """The header of a request is read, or refused; and names no place but one below a directory."""
    readers = (
        transfer_words.Offer.of,
        transfer_words.Place.of,
        transfer_words.Word.of,
        transfer_words.read_digest,
        transfer_words.read_answer,
        lambda header: refs.from_json(header.get("other")),
        lambda header: [transfer_words.read_number(header, name) for name in ("at", "transfer")],
    )
    for read in readers:
        try:
            result = read(header)
        except (RemoteProtocolError, TransferError):
            continue
        place = result.place if isinstance(result, transfer_words.Offer) else result
        if isinstance(place, transfer_words.Place):
            assert all(map(is_plain, (*place.directory, place.file)))
        if isinstance(result, transfer_words.Offer):
            assert transfer_words.Offer.of(result.header()) == result
        if isinstance(result, refs.Reference):
            assert len(result.incarnation) == 16 and is_harmless(result.location)


def check_json(data: bytes) -> None:
    """As `check_header`, from what a peer writes."""
    body = struct.pack("!BI", Kind.REQUEST, 1) + bytes(4) + struct.pack("!I", len(data)) + data + bytes(4)
    try:
        request = decode(body)
    except RemoteProtocolError:
        return
    assert isinstance(request, messages.Request)
    json.dumps(request.header, allow_nan=False)
    check_header(request.header)


def check_datagram(data: bytes) -> None:
    """Any datagram is a ping that would be sent the same way, or nothing."""
    # As it is, and with the proof of somebody who knows the key.
    for datagram in (data, data + hmac.digest(KEY, data, "sha256")):
        ping = Ping.decode(datagram, KEY)
        if ping is not None:
            assert is_harmless(ping.location)
            # An IPv6 address can be written in many ways.
            assert ":" in ping.location.addr or ping.encode(KEY) == datagram
            assert Ping.decode(ping.encode(KEY), KEY) == ping


def check_chunks(limit: int, chunks: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """Chunks make whole messages of what came, no larger than allowed, until they are refused; the messages."""
    assembly = Assembly(limit, MAX_STREAMS * limit)
    made: list[bytes] = []
    given = 0
    announced: dict[int, int] = {}
    for header, data in chunks:
        given += len(data)
        try:
            whole = assembly.add(header, memoryview(data))
        except RemoteProtocolError:
            break
        number, flags, size = CHUNK_HEADER.unpack(header)
        if flags & FIRST:
            announced[number] = size
        held = sum(len(collected) for collected, _ in assembly._streams.values())
        assert len(assembly._streams) <= MAX_STREAMS and held <= given
        assert all(len(collected) <= size <= limit for collected, size in assembly._streams.values())
        if whole is not None:
            assert len(whole) == announced[number] <= limit and bytes(whole).endswith(data)
            assert number not in assembly._streams
            made.append(bytes(whole))
    return made
