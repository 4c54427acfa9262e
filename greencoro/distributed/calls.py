"""Requests between runtimes, for the layers above: a named operation, a JSON header, and opaque parts.

Which operations there are is up to who registers them; a runtime that registers none runs nothing for anybody.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, NamedTuple

from greencoro import errors
from greencoro.distributed import messages
from greencoro.distributed.dispatch import Dispatcher
from greencoro.distributed.fields import Buffer, Header
from greencoro.distributed.link import Link
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.per_peer import PerPeer, Tally
from greencoro.distributed.reaching import wait_for_answer
from greencoro.distributed.user_code import text_of
from greencoro.errors import (
    BrokenResource,
    BusyResource,
    DeadlineExceeded,
    GreencoroError,
    NetworkError,
    PeerLost,
    RemoteError,
    WouldBlock,
)
from greencoro.hub import exit as process_exit
from greencoro.hub import native, userhub
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.log import escape

__all__ = ["Calls", "Reply", "Request"]

_log = logging.getLogger(__name__)

#: Logs a warning for a logger: (logger, line, *arguments); any thread.
Warn = Callable[..., None]

#: One key for all requests of a link: a small one that relies on a large one before it does not overtake that.
_ORDERED = "requests"

#: So many times the size of their JSON the objects of a header are counted (see `fields.MAX_JSON_BYTES`).
_HEADER_WEIGHT = 20

#: Longest text, and longest traceback, of an error that travels.
_TEXT_CHARACTERS = 100_000

#: Greencoro's errors that are made of their message alone; only these are made again on the other side.
_BY_NAME: dict[str, type[Exception]] = {
    name: kind
    for name in errors.__all__
    if issubclass(kind := getattr(errors, name), GreencoroError) and not isinstance(kind.__init__, FunctionType)
}


class Reply(NamedTuple):
    """What came back."""

    header: dict[str, Any]
    parts: list[bytes]


class Request:
    """A request of a peer; answered once, by `reply` or `fail`, from any thread."""

    __slots__ = ("_answered", "_header_bytes", "_number", "_warn", "header", "link", "operation", "parts")

    def __init__(self, link: Link, message: messages.Request, warn: Warn) -> None:
        self.link = link
        self.operation = message.operation
        self.header = message.header
        self.parts = [bytes(part) for part in message.parts]
        self._header_bytes = message.header_bytes
        self._number = message.request
        self._answered = False
        self._warn = warn

    @property
    def peer(self) -> PeerInfo:
        """Who asks."""
        return self.link.info

    def reply(self, header: dict[str, Any] | None = None, parts: Sequence[Buffer] = ()) -> None:
        """Answer that it was done."""
        self._answer(True, header or {}, parts)

    def fail(self, error: BaseException) -> None:
        """Answer that it could not be done, and why; where nobody waits for an answer, the log says it."""
        if self._answered or not self._number:
            self._warn(
                _log,
                "operation %s, which %s asked for, failed, and nobody waits for its answer: %s: %s",
                escape(self.operation, 100),
                self.peer,
                type(error).__name__,
                escape(text_of(error)),
            )
            return
        trace = "".join(traceback.format_exception(error)).rstrip() if error.__traceback__ else ""
        # A character takes up to 12 bytes of JSON; both texts together are to fit into what the peer takes.
        limit = min(_TEXT_CHARACTERS, self.link.max_message_bytes // 32)
        self._answer(False, _told(type(error), text_of(error, limit), trace[-limit:]), ())

    def _answer(self, succeeded: bool, header: dict[str, Any], parts: Sequence[Buffer]) -> None:
        if self._answered or not self._number:
            return
        # Made first: where that fails (a header that is no JSON) it is still to be answered, by `fail`.
        encoded = messages.Reply(self._number, succeeded, header, parts).encode()
        size = sum(map(len, encoded))
        self.link.check_size(size)
        self._answered = True
        if not self.link.send_answer(encoded):
            busy = f"it was done; there is no room for the answer of {size} bytes, others wait to be read"
            encoded = messages.Reply(self._number, False, _told(BusyResource, busy, ""), ()).encode()
            # Small; that there are not too many of them is for the link to see.
            self.link.send_urgent(encoded)

    def weight(self) -> int:
        """About the memory it takes, in bytes."""
        return _HEADER_WEIGHT * self._header_bytes + sum(map(len, self.parts))


def _told(kind: type[BaseException], text: str, trace: str) -> dict[str, Any]:
    return {"error": kind.__name__[:100], "message": text, "traceback": trace}


Handler = Callable[[Request], None]


class Calls:
    """Both sides of the requests of one runtime.

    Args:
        spawn: Starts a coroutine at home in that runtime.

        max_serving, max_bytes (int): Requests of one peer, and their bytes, that may be under way here at once; more
            are refused.

        send_timeout (float): Longest wait for room on a link, in seconds, where the caller gave no other.

        warn: Logs a warning, rate-limited.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        spawn: Callable[..., Coro],
        max_serving: int,
        max_bytes: int,
        send_timeout: float,
        warn: Warn,
    ) -> None:
        self._warn = warn
        self._send_timeout = send_timeout
        #: By incarnation: what is under way, of all links.
        self.serving = PerPeer(lambda: Tally(max_serving, max_bytes))
        self._handlers: dict[str, tuple[Handler, bool]] = {}
        self._need_started_hub: set[str] = set()
        self._spawn = spawn
        dispatcher.register(messages.Request, self._on_request)
        dispatcher.register(messages.Reply, lambda link, reply: link.answers.came(reply.request, reply))

    def handle(self, operation: str, handler: Handler, on_reactor: bool = False, *, starts_hub: bool = True) -> None:
        """Let ``handler(request)`` do an operation: in a daemon coroutine of its own, or on the reactor.

        Args:
            starts_hub (bool): Start the user hub for it now. Where not, it is refused until somebody else has done so.
        """
        if not starts_hub:
            self._need_started_hub.add(operation)
        elif not on_reactor and not userhub.is_started():
            # Here, for the reactor must not wait for it.
            process_exit.start()
        self._handlers[operation] = (handler, on_reactor)

    def _on_request(self, link: Link, message: messages.Request) -> None:
        request = Request(link, message, self._warn)
        found = self._handlers.get(message.operation)
        if found is None:
            request.fail(GreencoroError(f"there is no operation {message.operation!r} at this runtime"))
            return
        handler, on_reactor = found
        if on_reactor:
            _handle(handler, request)
        elif message.operation in self._need_started_hub and not userhub.is_started():
            request.fail(BrokenResource(f"there is nothing here that {message.operation!r} could be about"))
        else:
            tally, size = self.serving.of(link.info.incarnation), request.weight()
            if not tally.enter(size):
                under_way = f"{tally.items} requests of this peer, {tally.size} bytes, are under way here already"
                request.fail(BusyResource(under_way))
                return
            userhub.post(self._start, handler, request, tally, size)

    def _start(self, handler: Handler, request: Request, tally: Tally, size: int) -> None:
        def over(_: Coro) -> None:
            tally.leave(size)

        serving = self._spawn(_handle, handler, request)
        serving.set_daemon()
        if not serving.add_observer(over):
            tally.leave(size)

    def request(
        self, link: Link, operation: str, header: Header, parts: Sequence[Buffer], timeout: float | None
    ) -> Reply:
        """Have the peer do an operation and wait for its answer.

        Raises:
            DeadlineExceeded: No answer within ``timeout`` seconds. It may be done all the same.

            BusyResource: There was no room for it here in that time, or over there; it is not done.

            PeerLost: The peer was lost meanwhile; likewise.

            GreencoroError: What the other side failed with.
        """
        answer = Completion()

        def on_answer(reply: Any, error: NetworkError | None) -> None:
            if error is not None:
                answer.fail(PeerLost(str(error)))
            else:
                answer.set(reply)

        number = link.answers.expect(on_answer, messages.Reply)
        try:
            deadline = None if timeout is None else native.monotonic() + timeout
            encoded = messages.request(number, operation, header, parts)
            if not self._queue(link, encoded, deadline) and not link.is_lost:
                raise BusyResource(f"there was no room for {operation!r} on the way to {link.info} within {timeout} s")
            left = None if deadline is None else deadline - native.monotonic()
            wait_for_answer(link, answer, left, f"an answer of {link.info}")
            reply = answer.result(0)
        except TimeoutError as error:
            if isinstance(error, GreencoroError):
                raise
            raise DeadlineExceeded(f"{link.info} did not answer {operation!r} within {timeout} s") from None
        finally:
            link.answers.forget(number)
        if not reply.succeeded:
            raise _error_of(reply.header, link)
        return Reply(reply.header, [bytes(part) for part in reply.parts])

    def request_nowait(
        self,
        link: Link,
        operation: str,
        header: dict[str, Any],
        on_answer: Callable[[Reply | None, Exception | None], None],
    ) -> bool:
        """Have the peer do an operation, and call ``on_answer(reply, None)`` or ``on_answer(None, error)`` once.

        From any thread and never waiting. It is called on the reactor, where the peer is lost before it answers too; in
        no other case is there a limit to how long that takes.

        Returns:
            bool: False where it is not queued and nothing will be called: there is no room, or the peer is lost.

        Raises:
            TypeError, ValueError: The header is no JSON. Here and where it is too large nothing will be called either.

            LocalProtocolError: It is larger than what this side or the peer takes.
        """

        def answered(reply: Any, error: NetworkError | None) -> None:
            if error is not None:
                on_answer(None, PeerLost(str(error)))
            elif not reply.succeeded:
                on_answer(None, _error_of(reply.header, link))
            else:
                on_answer(Reply(reply.header, [bytes(part) for part in reply.parts]), None)

        number = link.answers.enter(answered, messages.Reply)
        try:
            if link.send_if_room(_ORDERED, messages.Request(number, operation, header, ()).encode(), None):
                return True
        except Exception:
            if not link.answers.forget(number):
                return True
            raise
        # Where the loss took it out first, it has been called.
        return not link.answers.forget(number)

    def post(self, link: Link, operation: str, header: Header, parts: Sequence[Buffer]) -> int:
        """Have the peer do an operation, without an answer.

        Returns:
            int: 0 where it is queued; -1 where the peer is lost.

        Raises:
            BusyResource: There was no room on the way to it for ``send_timeout`` seconds, or at all where nothing may
                wait.
        """
        encoded = messages.request(0, operation, header, parts)
        if self._queue(link, encoded, native.monotonic() + self._send_timeout):
            return 0
        if link.is_lost:
            return -1
        raise BusyResource(f"there was no room for {operation!r} on the way to {link.info}")

    def post_nowait(self, link: Link, operation: str, header: dict[str, Any], parts: Sequence[Buffer]) -> bool:
        """As `post`, and never waits; False where it is not queued: there is no room, or the peer is lost."""
        return link.send_if_room(_ORDERED, messages.Request(0, operation, header, parts).encode(), None)

    def undo(self, link: Link, operation: str, header: dict[str, Any]) -> None:
        """Post what takes back a request; where there is no room for it the log says so."""
        try:
            self.post(link, operation, header, ())
        except BusyResource as error:
            self._warn(_log, "what a request asked for is not taken back: %s", error)

    def _queue(self, link: Link, buffers: Sequence[Buffer], deadline: float | None) -> bool:
        """Queue a request as soon as there is room; False where the time was over or the peer lost before."""
        if link.send_if_room(_ORDERED, buffers, None):
            return True
        if Coro.current() is None and native.asyncio_loop_runs():
            return False
        while not link.is_lost:
            changed = Completion()
            waiter = changed.set
            try:
                if link.send_if_room(_ORDERED, buffers, waiter):
                    return True
                # A loss just before the waiter was there to hear of it.
                if link.is_lost or not changed.wait(None if deadline is None else deadline - native.monotonic()):
                    return False
            except WouldBlock:
                return False
            finally:
                link.forget_waiter(None, waiter)
        return False


def _handle(handler: Handler, request: Request) -> None:
    try:
        handler(request)
    except BaseException as error:
        # Whatever ends this, whoever asked is told.
        request.fail(error)
        if not isinstance(error, Exception):
            raise


def _error_of(header: dict[str, Any], link: Link) -> Exception:
    name, message = str(header.get("error", "")), str(header.get("message", ""))
    trace = str(header.get("traceback", ""))
    kind = _BY_NAME.get(name)
    if kind is None:
        return RemoteError(f"{name}: {message}", trace, link.info.location)
    error = kind(message)
    if trace:
        error.__cause__ = RemoteError(f"{name}: {message}", trace, link.info.location)
    return error
