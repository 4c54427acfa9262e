"""Request: a message that wants an answer."""

from __future__ import annotations

from typing import Any

from greenlet import getcurrent

from greencoro.errors import BrokenResource, DeadlineExceeded, MonitorException, WouldBlock
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
    may_wait = timeout is None or timeout > 0
    if may_wait and native.thread_hub() is getcurrent():
        # Said before the coroutine is asked something whose answer nobody hears.
        raise WouldBlock("a callback of the hub may not wait for an answer")
    deadline = None if timeout is None else native.monotonic() + timeout
    answer = Completion()

    def over(ended: Any) -> None:
        answer.fail(_without_answer(ended))

    if not coro.add_observer(over):
        raise _without_answer(coro)
    try:
        delivered = coro._deliver(Request(message, answer), timeout, "asyncio.to_thread(coro.call, message)")
        if delivered != 1 and coro.is_alive():
            limit = "" if timeout is None else f" within {timeout} s"
            raise DeadlineExceeded(f"{coro!r} had no room for the request{limit}")
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
