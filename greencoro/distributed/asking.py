"""Requests to coroutines of other processes, and their answers: `RemoteCoro.call`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from greencoro.distributed import calls, messages, refs
from greencoro.distributed.codec import Codec
from greencoro.distributed.elsewhere import may_wait
from greencoro.distributed.link import Entry, Link
from greencoro.distributed.location import Location
from greencoro.distributed.proxies import RemoteCoro
from greencoro.distributed.reaching import wait_for_answer
from greencoro.distributed.refs import Reference, reduced
from greencoro.distributed.user_code import in_words, is_interruption, reason
from greencoro.errors import (
    BrokenResource,
    DeadlineExceeded,
    GreencoroError,
    MonitorException,
    PeerLost,
    RemoteError,
    RemoteProtocolError,
    WouldBlock,
)
from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.requests import Request

__all__ = ["ANSWER", "Answers", "RemoteRequest", "ReplyAddress"]

ANSWER = "greencoro.answer"

_OVER: Any = object()


class ReplyAddress(NamedTuple):
    """Where an answer goes; it travels as a `Reference`, whose number nobody else can guess."""

    answers: Answers
    reference: Reference

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self.reference)


class RemoteRequest(Request):
    """A `Request` of another process; it may be passed on to whoever is to answer."""

    __slots__ = ("_address", "_is_answered")

    def __init__(self, message: Any, address: ReplyAddress) -> None:
        self.message = message
        self._address = address
        self._is_answered = False

    def reply(self, value: Any = None) -> int:
        """Let the caller's `call` return ``value``.

        Returns:
            int: 0 where the answer is on its way, though the caller may not wait any more; -1 where it was answered
            before here, or the caller's process is lost.

        Raises:
            LocalProtocolError, Exception: It is too large, or what pickling it raises; it is not answered then.
        """
        return self._send({"failed": False}, b"".join(self._address.answers.codec.dumps(value, b"")))

    def fail(self, error: BaseException) -> int:
        """Let the caller's `call` raise ``error``; 0 or -1 as `reply`. One that cannot be pickled goes in words."""
        if not isinstance(error, BaseException):
            raise TypeError(f"fail() takes an exception, not {error!r}")
        header = {"failed": True, "text": reason(error)}
        try:
            payload = b"".join(self._address.answers.codec.dumps(error, b""))
        except BaseException as why:
            if is_interruption(why):
                raise
            payload = b""
        return self._send(header, payload)

    def _send(self, header: dict[str, Any], payload: bytes) -> int:
        if self._is_answered:
            return -1
        sent = self._address.answers.send(self._address.reference, header, payload)
        self._is_answered = True
        return 0 if sent else -1

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteRequest, (self.message, self._address)

    def __repr__(self) -> str:
        return f"<Request {self.message!r}{' (answered)' if self._is_answered else ''}>"


class Answers:
    """Both sides of the calls of one runtime.

    Args:
        location: This runtime's.

        incarnation: This runtime's.

        link_for: The link to the incarnation of a reference.

        codec (Codec): How the answers travel.
    """

    def __init__(
        self, location: Location, incarnation: bytes, link_for: Callable[[Reference], Link | None], codec: Codec
    ) -> None:
        self.codec = codec
        self._location = location
        self._incarnation = incarnation
        self._link_for = link_for
        self._pending: dict[int, Completion] = {}

    def ask(self, coro: RemoteCoro, message: Any, timeout: float | None) -> Any:
        """Send a request to ``coro`` and wait for the answer; `Coro.call` describes it."""
        if not may_wait():
            raise WouldBlock(f"{coro!r} cannot be called where nothing may wait")
        deadline = None if timeout is None else native.monotonic() + timeout
        outcome, link = coro.watched(), coro.reach()
        if outcome is None or link is None:
            if coro.is_lost():
                raise PeerLost(f"{coro!r} answers no call: its process is lost")
            raise BrokenResource(f"{coro!r} is over and answers no call")
        answer = Completion()
        number = int.from_bytes(os.urandom(7), "big") + 1
        self._pending[number] = answer

        def over() -> None:
            answer.set(_OVER)

        outcome.add_callback(over)
        entry: Entry | bool = False
        try:
            place = Reference(self._location, self._incarnation, refs.number("answer", number), "answer")
            request = RemoteRequest(message, ReplyAddress(self, place))
            buffers = coro.encoded(request, messages.send_header(coro.id))
            entry = coro.queue(link, buffers, None, True) or coro.queue_waiting(
                link, buffers, deadline, withdrawable=True
            )
            if not isinstance(entry, Entry):
                if outcome.wait(0 if coro.is_alive() else 1.0):
                    raise _without_answer(coro, outcome)
                raise DeadlineExceeded(f"{coro!r} had no room for the request within {timeout} s")
            left = None if deadline is None else deadline - native.monotonic()
            if not wait_for_answer(link, answer, left, f"an answer of {coro!r}"):
                raise DeadlineExceeded(f"{coro!r} did not answer within {timeout} s")
        except BaseException:
            # Whoever asks no more, for want of time or because it was thrown into, does not have it asked later.
            if isinstance(entry, Entry):
                link.withdraw(entry)
            raise
        finally:
            self._pending.pop(number, None)
            outcome.remove_callback(over)
        if answer.value is _OVER:
            raise _without_answer(coro, outcome)
        return _opened(coro, *answer.value)

    def send(self, to: Reference, header: dict[str, Any], payload: bytes) -> bool:
        """Send an answer; False where whoever asked is known to be gone."""
        number = refs.kind_of(to.id)[1]
        if to.incarnation == self._incarnation:
            return self._arrived(number, header, payload)
        link = self._link_for(to)
        if link is None or link.is_lost:
            return False
        # As an answer, so that who asks and does not read is cut off.
        if not link.send_answer(messages.Request(0, ANSWER, header | {"call": number}, [payload]).encode()):
            # Whoever asked waits, so it is told; without a value to raise, it raises the text.
            text = "there is no room for the answer, others wait to be read"
            told = messages.Request(0, ANSWER, {"failed": True, "text": text, "call": number}, [b""])
            link.send_urgent(told.encode())
        return True

    def serve(self, request: calls.Request) -> None:
        """An answer came; one that nobody waits for any more is dropped."""
        number = request.header.get("call")
        if not isinstance(number, int) or len(request.parts) != 1:
            raise RemoteProtocolError("an answer with wrong fields")
        self._arrived(number, request.header, request.parts[0])

    def _arrived(self, number: int, header: dict[str, Any], payload: bytes) -> bool:
        answer = self._pending.pop(number, None)
        return answer is not None and answer.set((header, payload))


def _without_answer(coro: RemoteCoro, outcome: Completion) -> GreencoroError:
    if outcome.value is None:
        return BrokenResource(f"{coro!r} is over and answers no call")
    notice: MonitorException = coro.notice_of(outcome)
    if notice.kind == "lost":
        lost = PeerLost(f"{coro!r} answers no call: its process is lost")
        lost.__cause__ = notice.error
        return lost
    broken = BrokenResource(f"{coro!r} is over and answers no call: {_WORDS[notice.kind]}")
    broken.__cause__ = notice.error
    return broken


_WORDS = {
    "finished": "it finished",
    "exception": "it raised an exception",
    "terminated": "it was terminated",
}


def _opened(coro: RemoteCoro, header: dict[str, Any], payload: bytes) -> Any:
    """Return or raise the answer; here, for unpickling runs its own code."""
    failed, text = header.get("failed") is True, str(header.get("text", ""))
    value, why = coro.codec.opened(payload)
    if why is not None:
        words = in_words(text, why) if failed else f"an answer that cannot be decoded: {why}"
        raise RemoteError(words, "", coro.location)
    if not failed:
        return value
    remote = RemoteError(text, "", coro.location)
    if not isinstance(value, BaseException):
        raise remote
    raise value from remote
