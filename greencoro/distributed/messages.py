"""What one runtime says to another: a class for each of the `kinds`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from greencoro.distributed.fields import Buffer, Header, Route, pack_json, pack_parts, pack_route, pack_text
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
from greencoro.errors import LocalProtocolError

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
    "request",
    "send_header",
]

#: Longest name of an operation. It is kept, and told again in errors, without being counted.
MAX_OPERATION_BYTES = 200

#: Three that are empty.
_NO_TEXTS = 3 * pack_text("")


def send_header(target: int) -> bytes:
    """What stands before the payload of a SEND; on the hot path, hence no class."""
    return SEND_FIELDS.pack(SEND_KIND, target)


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
        return DELIVER_FIELDS.pack(Kind.DELIVER, self.target, self.request)


class Result(NamedTuple):
    """The answer to a `Deliver`, `Monitor`, `Terminate` or `ChannelDeliver`."""

    request: int
    result: int

    def encode(self) -> list[Buffer]:
        return [RESULT_FIELDS.pack(Kind.RESULT, self.request, self.result)]


class Monitor(NamedTuple):
    """Send a `Notice` for ``watch`` when ``target`` is over; answered by a `Result` of 0 (it will come) or -1."""

    target: int
    request: int
    watch: int

    def encode(self) -> list[Buffer]:
        return [MONITOR_FIELDS.pack(Kind.MONITOR, self.target, self.request, self.watch)]


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
        texts = self.error_type, self.error_text, self.traceback_text
        packed = b"".join(map(pack_text, texts)) if any(texts) else _NO_TEXTS
        return NOTICE_FIELDS.pack(Kind.NOTICE, self.watch, self.outcome) + packed


class Terminate(NamedTuple):
    """End ``target``; with a ``request`` a `Result` of 0 (it was told) or -1 (it is over or unknown) is the answer.

    ``hard``: whether it lets itself be ended or not, where its process has a way for that.
    """

    target: int
    request: int = 0
    hard: bool = False

    def encode(self) -> list[Buffer]:
        return [TERMINATE_FIELDS.pack(Kind.TERMINATE, self.target, self.request, self.hard)]


class Gone(NamedTuple):
    """``target`` is over or was never there: nothing sent to it will be read."""

    target: int

    def encode(self) -> list[Buffer]:
        return [TARGET_FIELDS.pack(Kind.GONE, self.target)]


class Credit(NamedTuple):
    """The receiver of this may have that many more messages and bytes under way to ``target``."""

    target: int
    messages: int
    size: int

    def encode(self) -> list[Buffer]:
        return [CREDIT_FIELDS.pack(Kind.CREDIT, self.target, self.messages, self.size)]


class Locate(NamedTuple):
    """What is registered under ``name``? With ``wait`` a name bound later is told then."""

    request: int
    wait: bool
    kind: str
    name: str

    def encode(self) -> list[Buffer]:
        return [LOCATE_FIELDS.pack(Kind.LOCATE, self.request, self.wait) + pack_text(self.kind) + pack_text(self.name)]


class Located(NamedTuple):
    """The answer to a `Locate`: ``target`` 0 where there is nothing of that name."""

    request: int
    target: int
    name: str

    def encode(self) -> list[Buffer]:
        return [LOCATED_FIELDS.pack(Kind.LOCATED, self.request, self.target) + pack_text(self.name)]


class Forget(NamedTuple):
    """Take back the `Locate` of that number."""

    request: int

    def encode(self) -> list[Buffer]:
        return [NUMBER_FIELDS.pack(Kind.FORGET, self.request)]


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
    #: What the header came in. To write it once more takes long, and fails where it is nested deeply.
    header_bytes: int = 0

    def encode(self) -> list[Buffer]:
        return request(self.request, self.operation, self.header, self.parts)


def request(number: int, operation: str, header: Header, parts: Sequence[Buffer]) -> list[Buffer]:
    """A `Request` as buffers, whose header may be JSON already.

    Raises:
        LocalProtocolError, TypeError, ValueError: As `pack_json` and `pack_parts`; or the operation's name is too long.
    """
    name = pack_text(operation)
    if len(name) > 4 + MAX_OPERATION_BYTES:
        raise LocalProtocolError(f"the name of an operation is longer than {MAX_OPERATION_BYTES} bytes")
    return pack_parts(NUMBER_FIELDS.pack(Kind.REQUEST, number) + name + pack_json(header), parts)


class Reply(NamedTuple):
    """What came of a `Request`; where it did not succeed the header tells the error."""

    request: int
    succeeded: bool
    header: dict[str, Any]
    parts: Sequence[Buffer]
    #: As those of a `Request`.
    header_bytes: int = 0

    def encode(self) -> list[Buffer]:
        head = REPLY_FIELDS.pack(Kind.REPLY, self.request, self.succeeded) + pack_json(self.header)
        return pack_parts(head, self.parts)


class ChannelSend(NamedTuple):
    """Give the payload to all who subscribe to the channel ``target``, in order with others of the same ``sender``."""

    target: int
    sender: int
    route: Route
    payload: Buffer

    def header(self) -> bytes:
        return CHANNEL_SEND_FIELDS.pack(Kind.CHANNEL_SEND, self.target, self.sender) + pack_route(self.route)


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
        return CHANNEL_DELIVER_FIELDS.pack(*fixed) + pack_route(self.route)


class Withdraw(NamedTuple):
    """Take back the `ChannelDeliver` of that number: whoever does not have it need not get it."""

    request: int

    def encode(self) -> list[Buffer]:
        return [NUMBER_FIELDS.pack(Kind.WITHDRAW, self.request)]


class Unmonitor(NamedTuple):
    """Nobody waits for the `Notice` of ``watch`` any more; it may be on its way."""

    watch: int

    def encode(self) -> list[Buffer]:
        return [TARGET_FIELDS.pack(Kind.UNMONITOR, self.watch)]


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
        return [CREDIT_FIELDS.pack(Kind.DEBT, self.target, self.messages, self.size)]


class Unlock(NamedTuple):
    """This side has a reference with that reach key: what it names from now on, it may."""

    key: bytes

    def encode(self) -> list[Buffer]:
        return [KEY_FIELDS.pack(Kind.UNLOCK, self.key)]


class Unlocked(NamedTuple):
    """That is the reach key of this side; the answer to the first right `Unlock` on a link, and to no other."""

    key: bytes

    def encode(self) -> list[Buffer]:
        return [KEY_FIELDS.pack(Kind.UNLOCKED, self.key)]


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
