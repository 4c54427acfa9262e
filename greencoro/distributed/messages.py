"""What one runtime says to another, each kind in a fixed binary layout.

A message is one byte of kind, then that kind's fields in network order. Nothing here is ever pickled or evaluated; the
tail of those that carry a user's object is opaque bytes (`codec`), which only the receiving coroutine opens.

=============== =================================================================================================
kind            fields
=============== =================================================================================================
SEND            u64 target, payload
DELIVER         u64 target, u32 request, payload
RESULT          u32 request, i32 result
MONITOR         u64 target, u32 request, u64 watch
NOTICE          u64 watch, u8 outcome, str error type, str error text, str traceback, payload
TERMINATE       u64 target, u32 request (0: no answer wanted), u8 hard
GONE            u64 target: it is over, so is every credit for it
CREDIT          u64 target, u32 messages, u64 bytes
LOCATE          u32 request, u8 wait, str kind, str name
LOCATED         u32 request, u64 target (0: nothing of that name now), str name
FORGET          u32 request: the LOCATE of that number is no longer of interest
PING, PONG
BYE             str reason
REQUEST         u32 request (0: no reply wanted), str operation, str JSON, parts
REPLY           u32 request, u8 succeeded, str JSON, parts
CHANNEL_SEND    u64 channel, u64 sender, route, payload
CHANNEL_DELIVER u64 channel, u64 sender, u32 request, u32 subscribers to wait for, f64 seconds (infinite: no limit),
                route, payload
WITHDRAW        u32 request: nobody waits for the CHANNEL_DELIVER of that number any more
UNMONITOR       u64 watch: its NOTICE is no longer of interest
WELCOME
DEBT            u64 target (0: there are no more), u32 messages, u64 bytes
UNLOCK          16 bytes of a reach key
UNLOCKED        16 bytes of a reach key
=============== =================================================================================================

For ``str``, ``parts`` and ``route`` see `fields`.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from greencoro.distributed.fields import (
    Buffer,
    Route,
    expect_end,
    pack_json,
    pack_parts,
    pack_route,
    pack_text,
    read_json,
    read_parts,
    read_route,
    read_text,
)
from greencoro.distributed.refs import MAX_NAME_CHARACTERS
from greencoro.errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "MAX_OPERATION_BYTES",
    "Bye",
    "ChannelDeliver",
    "ChannelSend",
    "Credit",
    "Debt",
    "Deliver",
    "Forget",
    "Gone",
    "Kind",
    "Locate",
    "Located",
    "Message",
    "Monitor",
    "Notice",
    "Ping",
    "Pong",
    "Reply",
    "Request",
    "Result",
    "Send",
    "Terminate",
    "Unlock",
    "Unlocked",
    "Unmonitor",
    "Welcome",
    "Withdraw",
    "decode",
    "send_header",
]


class Kind(enum.IntEnum):
    """The first byte of a message."""

    SEND = 1
    DELIVER = 2
    RESULT = 3
    MONITOR = 4
    NOTICE = 5
    TERMINATE = 6
    GONE = 7
    CREDIT = 8
    LOCATE = 9
    LOCATED = 10
    FORGET = 11
    PING = 12
    PONG = 13
    BYE = 14
    REQUEST = 15
    REPLY = 16
    CHANNEL_SEND = 17
    CHANNEL_DELIVER = 18
    WITHDRAW = 19
    UNMONITOR = 20
    WELCOME = 21
    DEBT = 22
    UNLOCK = 23
    UNLOCKED = 24


_SEND = struct.Struct("!BQ")
_DELIVER = struct.Struct("!BQI")
_RESULT = struct.Struct("!BIi")
_MONITOR = struct.Struct("!BQIQ")
_NOTICE = struct.Struct("!BQB")
_TARGET = struct.Struct("!BQ")
_TERMINATE = struct.Struct("!BQIB")
_CREDIT = struct.Struct("!BQIQ")
_LOCATE = struct.Struct("!BIB")
_LOCATED = struct.Struct("!BIQ")
_NUMBER = struct.Struct("!BI")
_REPLY = struct.Struct("!BIB")
_CHANNEL_SEND = struct.Struct("!BQQ")
_CHANNEL_DELIVER = struct.Struct("!BQQIId")
_KEY = struct.Struct("!B16s")

_SEND_KIND = int(Kind.SEND)

#: Longest name of an operation. It is kept, and told again in errors, without being counted.
MAX_OPERATION_BYTES = 200
#: So much of the reason of a `Bye` is read.
_REASON_CHARACTERS = 1000


def send_header(target: int) -> bytes:
    """What stands before the payload of a SEND; on the hot path, hence no class."""
    return _SEND.pack(_SEND_KIND, target)


class Send(NamedTuple):
    """Put the payload into the mailbox of ``target``."""

    target: int
    payload: Buffer


class Deliver(NamedTuple):
    """As `Send`, and say in a `Result` whether it is there (1) or not (0)."""

    target: int
    request: int
    payload: Buffer

    def header(self) -> bytes:
        return _DELIVER.pack(Kind.DELIVER, self.target, self.request)


class Result(NamedTuple):
    """The answer to a `Deliver`, `Monitor`, `Terminate` or `ChannelDeliver`."""

    request: int
    result: int

    def encode(self) -> list[Buffer]:
        return [_RESULT.pack(Kind.RESULT, self.request, self.result)]


class Monitor(NamedTuple):
    """Send a `Notice` for ``watch`` when ``target`` is over; answered by a `Result` of 0 (it will come) or -1."""

    target: int
    request: int
    watch: int

    def encode(self) -> list[Buffer]:
        return [_MONITOR.pack(Kind.MONITOR, self.target, self.request, self.watch)]


class Notice(NamedTuple):
    """The end of a coroutine: ``outcome`` 0 finished, 1 exception, 2 terminated.

    The payload is the pickled result or exception, empty where that could not be pickled; the texts then stand for it.
    """

    watch: int
    outcome: int
    error_type: str
    error_text: str
    traceback_text: str
    payload: Buffer

    def header(self) -> bytes:
        return (
            _NOTICE.pack(Kind.NOTICE, self.watch, self.outcome)
            + pack_text(self.error_type)
            + pack_text(self.error_text)
            + pack_text(self.traceback_text)
        )


class Terminate(NamedTuple):
    """End ``target``; with a ``request`` a `Result` of 0 (it was told) or -1 (it is over or unknown) is the answer.

    ``hard``: whether it lets itself be ended or not, where its process has a way for that.
    """

    target: int
    request: int = 0
    hard: bool = False

    def encode(self) -> list[Buffer]:
        return [_TERMINATE.pack(Kind.TERMINATE, self.target, self.request, self.hard)]


class Gone(NamedTuple):
    """``target`` is over or was never there: nothing sent to it will be read."""

    target: int

    def encode(self) -> list[Buffer]:
        return [_TARGET.pack(Kind.GONE, self.target)]


class Credit(NamedTuple):
    """The receiver of this may have that many more messages and bytes under way to ``target``."""

    target: int
    messages: int
    size: int

    def encode(self) -> list[Buffer]:
        return [_CREDIT.pack(Kind.CREDIT, self.target, self.messages, self.size)]


class Locate(NamedTuple):
    """What is registered under ``name``? With ``wait`` a name bound later is told then."""

    request: int
    wait: bool
    kind: str
    name: str

    def encode(self) -> list[Buffer]:
        return [_LOCATE.pack(Kind.LOCATE, self.request, self.wait) + pack_text(self.kind) + pack_text(self.name)]


class Located(NamedTuple):
    """The answer to a `Locate`: ``target`` 0 where there is nothing of that name."""

    request: int
    target: int
    name: str

    def encode(self) -> list[Buffer]:
        return [_LOCATED.pack(Kind.LOCATED, self.request, self.target) + pack_text(self.name)]


class Forget(NamedTuple):
    """Take back the `Locate` of that number."""

    request: int

    def encode(self) -> list[Buffer]:
        return [_NUMBER.pack(Kind.FORGET, self.request)]


class Ping(NamedTuple):
    """Are you there?"""

    def encode(self) -> list[Buffer]:
        return [bytes((Kind.PING,))]


class Pong(NamedTuple):
    """I am."""

    def encode(self) -> list[Buffer]:
        return [bytes((Kind.PONG,))]


class Bye(NamedTuple):
    """This side leaves; nothing follows."""

    reason: str

    def encode(self) -> list[Buffer]:
        return [bytes((Kind.BYE,)) + pack_text(self.reason)]


class Request(NamedTuple):
    """Do ``operation``; answered by a `Reply` unless ``request`` is 0."""

    request: int
    operation: str
    header: dict[str, Any]
    parts: Sequence[Buffer]

    def encode(self) -> list[Buffer]:
        operation = pack_text(self.operation)
        if len(operation) > 4 + MAX_OPERATION_BYTES:
            raise LocalProtocolError(f"the name of an operation is longer than {MAX_OPERATION_BYTES} bytes")
        head = _NUMBER.pack(Kind.REQUEST, self.request) + operation + pack_json(self.header)
        return pack_parts(head, self.parts)


class Reply(NamedTuple):
    """What came of a `Request`; where it did not succeed the header tells the error."""

    request: int
    succeeded: bool
    header: dict[str, Any]
    parts: Sequence[Buffer]

    def encode(self) -> list[Buffer]:
        head = _REPLY.pack(Kind.REPLY, self.request, self.succeeded) + pack_json(self.header)
        return pack_parts(head, self.parts)


class ChannelSend(NamedTuple):
    """Give the payload to all who subscribe to the channel ``target``, in order with others of the same ``sender``."""

    target: int
    sender: int
    route: Route
    payload: Buffer

    def header(self) -> bytes:
        return _CHANNEL_SEND.pack(Kind.CHANNEL_SEND, self.target, self.sender) + pack_route(self.route)


class ChannelDeliver(NamedTuple):
    """As `ChannelSend`, once there are ``n`` subscribers or ``seconds`` are over; a `Result` says how many have it."""

    target: int
    sender: int
    request: int
    n: int
    seconds: float
    route: Route
    payload: Buffer

    def header(self) -> bytes:
        fixed = (Kind.CHANNEL_DELIVER, self.target, self.sender, self.request, self.n, self.seconds)
        return _CHANNEL_DELIVER.pack(*fixed) + pack_route(self.route)


class Withdraw(NamedTuple):
    """Take back the `ChannelDeliver` of that number: whoever does not have it need not get it."""

    request: int

    def encode(self) -> list[Buffer]:
        return [_NUMBER.pack(Kind.WITHDRAW, self.request)]


class Unmonitor(NamedTuple):
    """Nobody waits for the `Notice` of ``watch`` any more; it may be on its way."""

    watch: int

    def encode(self) -> list[Buffer]:
        return [_TARGET.pack(Kind.UNMONITOR, self.watch)]


class Welcome(NamedTuple):
    """The side that was dialled lets the other one in. It says nothing before but PING, or BYE where it does not."""

    def encode(self) -> list[Buffer]:
        return [bytes((Kind.WELCOME,))]


class Debt(NamedTuple):
    """So much of what the receiver of this sent to ``target`` over links that are lost was not read yet.

    Its credit on this link is less by that. These come first on a link; the last one, of target 0, says that these were
    all.
    """

    target: int
    messages: int
    size: int

    def encode(self) -> list[Buffer]:
        return [_CREDIT.pack(Kind.DEBT, self.target, self.messages, self.size)]


class Unlock(NamedTuple):
    """This side has a reference with that reach key: what it names from now on, it may."""

    key: bytes

    def encode(self) -> list[Buffer]:
        return [_KEY.pack(Kind.UNLOCK, self.key)]


class Unlocked(NamedTuple):
    """That is the reach key of this side; the answer to the first right `Unlock` on a link, and to no other."""

    key: bytes

    def encode(self) -> list[Buffer]:
        return [_KEY.pack(Kind.UNLOCKED, self.key)]


Message = (
    Send
    | Deliver
    | Result
    | Monitor
    | Notice
    | Terminate
    | Gone
    | Credit
    | Locate
    | Located
    | Forget
    | Ping
    | Pong
    | Bye
    | Request
    | Reply
    | ChannelSend
    | ChannelDeliver
    | Withdraw
    | Unmonitor
    | Welcome
    | Debt
    | Unlock
    | Unlocked
)


def _decode_notice(data: Buffer) -> Notice:
    _, watch, outcome = _NOTICE.unpack_from(data)
    if outcome > 2:
        raise RemoteProtocolError(f"a notice tells of an unknown outcome {outcome}")
    error_type, offset = read_text(data, _NOTICE.size)
    error_text, offset = read_text(data, offset)
    traceback_text, offset = read_text(data, offset)
    return Notice(watch, outcome, error_type, error_text, traceback_text, data[offset:])


def _decode_terminate(data: Buffer) -> Terminate:
    _, target, request, hard = _TERMINATE.unpack(data)
    if hard > 1:
        raise RemoteProtocolError(f"{hard} is no way to end a coroutine")
    return Terminate(target, request, bool(hard))


def _decode_locate(data: Buffer) -> Locate:
    _, request, wait = _LOCATE.unpack_from(data)
    kind, offset = read_text(data, _LOCATE.size)
    name, offset = read_text(data, offset)
    expect_end(data, offset)
    return Locate(request, bool(wait), kind, name)


def _decode_located(data: Buffer) -> Located:
    _, request, target = _LOCATED.unpack_from(data)
    name, offset = read_text(data, _LOCATED.size)
    if len(name) > MAX_NAME_CHARACTERS:
        raise RemoteProtocolError(f"what the peer found has a name of {len(name)} characters")
    expect_end(data, offset)
    return Located(request, target, name)


def _decode_bye(data: Buffer) -> Bye:
    reason, offset = read_text(data, 1)
    expect_end(data, offset)
    return Bye(reason[:_REASON_CHARACTERS])


def _decode_ping(data: Buffer) -> Ping:
    expect_end(data, 1)
    return Ping()


def _decode_pong(data: Buffer) -> Pong:
    expect_end(data, 1)
    return Pong()


def _decode_welcome(data: Buffer) -> Welcome:
    expect_end(data, 1)
    return Welcome()


def _decode_request(data: Buffer) -> Request:
    _, number = _NUMBER.unpack_from(data)
    operation, offset = read_text(data, _NUMBER.size)
    if offset > _NUMBER.size + 4 + MAX_OPERATION_BYTES:
        raise RemoteProtocolError(f"the name of an operation is longer than {MAX_OPERATION_BYTES} bytes")
    header, offset = read_json(data, offset)
    return Request(number, operation, header, read_parts(data, offset))


def _decode_reply(data: Buffer) -> Reply:
    _, number, succeeded = _REPLY.unpack_from(data)
    header, offset = read_json(data, _REPLY.size)
    return Reply(number, bool(succeeded), header, read_parts(data, offset))


def _decode_deliver(data: Buffer) -> Deliver:
    _, target, request = _DELIVER.unpack_from(data)
    return Deliver(target, request, data[_DELIVER.size :])


def _decode_channel_send(data: Buffer) -> ChannelSend:
    _, target, sender = _CHANNEL_SEND.unpack_from(data)
    route, offset = read_route(data, _CHANNEL_SEND.size)
    return ChannelSend(target, sender, route, data[offset:])


def _decode_channel_deliver(data: Buffer) -> ChannelDeliver:
    _, target, sender, request, n, seconds = _CHANNEL_DELIVER.unpack_from(data)
    if not seconds >= 0:
        raise RemoteProtocolError(f"{seconds} is no time to wait")
    route, offset = read_route(data, _CHANNEL_DELIVER.size)
    return ChannelDeliver(target, sender, request, n, seconds, route, data[offset:])


_DECODERS: dict[int, Any] = {
    Kind.DELIVER: _decode_deliver,
    Kind.RESULT: lambda data: Result(*_RESULT.unpack(data)[1:]),
    Kind.MONITOR: lambda data: Monitor(*_MONITOR.unpack(data)[1:]),
    Kind.NOTICE: _decode_notice,
    Kind.TERMINATE: _decode_terminate,
    Kind.GONE: lambda data: Gone(*_TARGET.unpack(data)[1:]),
    Kind.CREDIT: lambda data: Credit(*_CREDIT.unpack(data)[1:]),
    Kind.LOCATE: _decode_locate,
    Kind.LOCATED: _decode_located,
    Kind.FORGET: lambda data: Forget(*_NUMBER.unpack(data)[1:]),
    Kind.PING: _decode_ping,
    Kind.PONG: _decode_pong,
    Kind.BYE: _decode_bye,
    Kind.REQUEST: _decode_request,
    Kind.REPLY: _decode_reply,
    Kind.CHANNEL_SEND: _decode_channel_send,
    Kind.CHANNEL_DELIVER: _decode_channel_deliver,
    Kind.WITHDRAW: lambda data: Withdraw(*_NUMBER.unpack(data)[1:]),
    Kind.UNMONITOR: lambda data: Unmonitor(*_TARGET.unpack(data)[1:]),
    Kind.WELCOME: _decode_welcome,
    Kind.DEBT: lambda data: Debt(*_CREDIT.unpack(data)[1:]),
    Kind.UNLOCK: lambda data: Unlock(*_KEY.unpack(data)[1:]),
    Kind.UNLOCKED: lambda data: Unlocked(*_KEY.unpack(data)[1:]),
}


def decode(data: Buffer) -> Message:
    """The message in ``data``.

    Raises:
        RemoteProtocolError: It is none.
    """
    try:
        if data[0] == _SEND_KIND:
            return Send(_SEND.unpack_from(data)[1], data[9:])
        message: Message = _DECODERS[data[0]](data)
    except RemoteProtocolError:
        raise
    except KeyError:
        raise RemoteProtocolError(f"unknown kind of message: {data[0]}") from None
    except (struct.error, ValueError, IndexError, RecursionError) as error:
        raise RemoteProtocolError(f"malformed message: {error}") from None
    return message
