"""Request: a message that wants an answer."""

from __future__ import annotations

from typing import Any

from greencoro.errors import BrokenResource, DeadlineExceeded, MonitorException
from greencoro.hub import native
from greencoro.hub.completion import Completion

__all__ = ["Request", "ask"]


class Request:
    """What `Coro.call` puts into the mailbox: a message, and the way to answer it.

    Attributes:
        message: What the caller gave to `call`.
    """

    __slots__ = ("_answer", "message")

    def __init__(self, message: Any, answer: Completion) -> None:
        self.message = message
        self._answer = answer

    def reply(self, value: Any = None) -> int:
        """Let the caller's `call` return ``value``.

        Returns:
            int: 0 where it does; -1 where it was answered before, or the caller waits no more.
        """
        return 0 if self._answer.set(value) else -1

    def fail(self, error: BaseException) -> int:
        """Let the caller's `call` raise ``error``; 0 or -1 as `reply`."""
        if not isinstance(error, BaseException):
            raise TypeError(f"fail() takes an exception, not {error!r}")
        return 0 if self._answer.fail(error) else -1

    def __repr__(self) -> str:
        return f"<Request {self.message!r}{' (answered)' if self._answer.done else ''}>"


def ask(coro: Any, message: Any, timeout: float | None) -> Any:
    """Send a request to ``coro`` and wait for the answer; `Coro.call` describes it."""
    deadline = None if timeout is None else native.monotonic() + timeout
    answer = Completion()

    def over(ended: Any) -> None:
        answer.fail(_without_answer(ended))

    if not coro.add_observer(over):
        raise _without_answer(coro)
    try:
        if coro.deliver(Request(message, answer), timeout) != 1 and coro.is_alive():
            raise DeadlineExceeded(f"{coro!r} had no room for the request within {timeout} s")
        if not answer.wait(None if deadline is None else deadline - native.monotonic()):
            late = DeadlineExceeded(f"{coro!r} did not answer within {timeout} s")
            # Unless the answer comes in this very moment; from here on `reply` says that nobody waits.
            answer.fail(late)
        return answer.result()
    except BaseException as error:
        answer.fail(error)
        raise
    finally:
        coro.remove_observer(over)


def _without_answer(coro: Any) -> BrokenResource:
    notice: MonitorException = coro.notice()
    broken = BrokenResource(f"{coro!r} is over and answers no call: it {_WORDS[notice.kind]}")
    broken.__cause__ = notice.error
    return broken


_WORDS = {"finished": "finished", "exception": "raised an exception", "terminated": "was terminated"}
