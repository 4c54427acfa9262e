"""The message that bytes of a peer are.

They are hostile until they are checked: what is no message of one of the `kinds` ends in a `RemoteProtocolError`.
"""

from __future__ import annotations

import struct
from typing import Any

from greencoro.distributed.fields import Buffer, expect_end, read_json, read_parts, read_route, read_text
from greencoro.distributed.kinds import (
    CHANNEL_DELIVER_FIELDS,
    CHANNEL_SEND_FIELDS,
    CREDIT_FIELDS,
    DELIVER_FIELDS,
    KEY_FIELDS,
    LOCATE_FIELDS,
    LOCATED_FIELDS,
    MONITOR_FIELDS,
    NOTICE_FIELDS,
    NUMBER_FIELDS,
    REPLY_FIELDS,
    RESULT_FIELDS,
    SEND_FIELDS,
    SEND_KIND,
    TARGET_FIELDS,
    TERMINATE_FIELDS,
    Kind,
)
from greencoro.distributed.messages import (
    MAX_OPERATION_BYTES,
    Bye,
    ChannelDeliver,
    ChannelSend,
    Credit,
    Debt,
    Deliver,
    Forget,
    Gone,
    Locate,
    Located,
    Message,
    Monitor,
    Notice,
    Ping,
    Pong,
    Reply,
    Request,
    Result,
    Send,
    Terminate,
    Unlock,
    Unlocked,
    Unmonitor,
    Welcome,
    Withdraw,
)
from greencoro.distributed.refs import MAX_NAME_CHARACTERS
from greencoro.errors import RemoteProtocolError

__all__ = ["decode"]

#: So much of the reason of a `Bye` is read.
_REASON_CHARACTERS = 1000


def _decode_notice(data: Buffer) -> Notice:
    _, watch, outcome = NOTICE_FIELDS.unpack_from(data)
    if outcome > 2:
        raise RemoteProtocolError(f"a notice tells of an unknown outcome {outcome}")
    error_type, offset = read_text(data, NOTICE_FIELDS.size)
    error_text, offset = read_text(data, offset)
    traceback_text, offset = read_text(data, offset)
    return Notice(watch, outcome, error_type, error_text, traceback_text, data[offset:])


def _decode_terminate(data: Buffer) -> Terminate:
    _, target, request, hard = TERMINATE_FIELDS.unpack(data)
    if hard > 1:
        raise RemoteProtocolError(f"{hard} is no way to end a coroutine")
    return Terminate(target, request, bool(hard))


def _decode_locate(data: Buffer) -> Locate:
    _, request, wait = LOCATE_FIELDS.unpack_from(data)
    kind, offset = read_text(data, LOCATE_FIELDS.size)
    name, offset = read_text(data, offset)
    expect_end(data, offset)
    return Locate(request, bool(wait), kind, name)


def _decode_located(data: Buffer) -> Located:
    _, request, target = LOCATED_FIELDS.unpack_from(data)
    name, offset = read_text(data, LOCATED_FIELDS.size)
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
    _, number = NUMBER_FIELDS.unpack_from(data)
    operation, offset = read_text(data, NUMBER_FIELDS.size)
    if offset > NUMBER_FIELDS.size + 4 + MAX_OPERATION_BYTES:
        raise RemoteProtocolError(f"the name of an operation is longer than {MAX_OPERATION_BYTES} bytes")
    header, end = read_json(data, offset)
    return Request(number, operation, header, read_parts(data, end), end - offset)


def _decode_reply(data: Buffer) -> Reply:
    _, number, succeeded = REPLY_FIELDS.unpack_from(data)
    header, end = read_json(data, REPLY_FIELDS.size)
    return Reply(number, bool(succeeded), header, read_parts(data, end), end - REPLY_FIELDS.size)


def _decode_deliver(data: Buffer) -> Deliver:
    _, target, request = DELIVER_FIELDS.unpack_from(data)
    return Deliver(target, request, data[DELIVER_FIELDS.size :])


def _decode_channel_send(data: Buffer) -> ChannelSend:
    _, target, sender = CHANNEL_SEND_FIELDS.unpack_from(data)
    route, offset = read_route(data, CHANNEL_SEND_FIELDS.size)
    return ChannelSend(target, sender, route, data[offset:])


def _decode_channel_deliver(data: Buffer) -> ChannelDeliver:
    _, target, sender, request, n, seconds = CHANNEL_DELIVER_FIELDS.unpack_from(data)
    if not seconds >= 0:
        raise RemoteProtocolError(f"{seconds} is no time to wait")
    route, offset = read_route(data, CHANNEL_DELIVER_FIELDS.size)
    return ChannelDeliver(target, sender, request, n, seconds, route, data[offset:])


_DECODERS: dict[int, Any] = {
    Kind.DELIVER: _decode_deliver,
    Kind.RESULT: lambda data: Result(*RESULT_FIELDS.unpack(data)[1:]),
    Kind.MONITOR: lambda data: Monitor(*MONITOR_FIELDS.unpack(data)[1:]),
    Kind.NOTICE: _decode_notice,
    Kind.TERMINATE: _decode_terminate,
    Kind.GONE: lambda data: Gone(*TARGET_FIELDS.unpack(data)[1:]),
    Kind.CREDIT: lambda data: Credit(*CREDIT_FIELDS.unpack(data)[1:]),
    Kind.LOCATE: _decode_locate,
    Kind.LOCATED: _decode_located,
    Kind.FORGET: lambda data: Forget(*NUMBER_FIELDS.unpack(data)[1:]),
    Kind.PING: _decode_ping,
    Kind.PONG: _decode_pong,
    Kind.BYE: _decode_bye,
    Kind.REQUEST: _decode_request,
    Kind.REPLY: _decode_reply,
    Kind.CHANNEL_SEND: _decode_channel_send,
    Kind.CHANNEL_DELIVER: _decode_channel_deliver,
    Kind.WITHDRAW: lambda data: Withdraw(*NUMBER_FIELDS.unpack(data)[1:]),
    Kind.UNMONITOR: lambda data: Unmonitor(*TARGET_FIELDS.unpack(data)[1:]),
    Kind.WELCOME: _decode_welcome,
    Kind.DEBT: lambda data: Debt(*CREDIT_FIELDS.unpack(data)[1:]),
    Kind.UNLOCK: lambda data: Unlock(*KEY_FIELDS.unpack(data)[1:]),
    Kind.UNLOCKED: lambda data: Unlocked(*KEY_FIELDS.unpack(data)[1:]),
}


def decode(data: Buffer) -> Message:
    """The message in ``data``.

    Raises:
        RemoteProtocolError: It is none.
    """
    try:
        if data[0] == SEND_KIND:
            return Send(SEND_FIELDS.unpack_from(data)[1], data[9:])
        message: Message = _DECODERS[data[0]](data)
    except RemoteProtocolError:
        raise
    except KeyError:
        raise RemoteProtocolError(f"unknown kind of message: {data[0]}") from None
    except (struct.error, ValueError, IndexError, RecursionError) as error:
        raise RemoteProtocolError(f"malformed message: {error}") from None
    return message
