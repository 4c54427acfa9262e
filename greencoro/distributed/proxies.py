"""RemoteCoro: a reference to a coroutine of another process, with the methods of a local one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greencoro.distributed import messages
from greencoro.distributed.asked import Asked
from greencoro.distributed.elsewhere import Elsewhere, Home, may_wait
from greencoro.distributed.link import Entry, Link
from greencoro.distributed.messages import Notice, Terminate
from greencoro.distributed.outcomes import Undecoded, Watch
from greencoro.distributed.reaching import wait_for_answer
from greencoro.distributed.refs import Reference
from greencoro.distributed.watches import UnsentResult
from greencoro.errors import (
    BusyResource,
    CoroTerminated,
    DeadlineExceeded,
    MonitorException,
    NetworkError,
    PeerLost,
    RemoteError,
)
from greencoro.hub import forks, native
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.ends import Ends
from greencoro.hub.waiting import seconds

__all__ = ["RemoteCoro"]


class RemoteCoro(Elsewhere, Asked, Coro):
    """A reference to a coroutine elsewhere: send to it, deliver, monitor it, terminate it, wait for its result.

    Two references are equal where they mean the same coroutine.

    A reference works over the link with the coroutine's process that there is at its first use. When that is lost,
    `send` gives -1, `deliver` 0, `monitor`, `notify` and `terminate` -1, `value` and `call` raise `PeerLost`, from then
    on: so nobody goes on unaware that messages between may be lost. Whoever wants to go on locates the coroutine anew.
    """

    __slots__ = ("_is_asked", "_link", "_on_asked", "_outcome", "_reference", "_runtime", "kept")

    def __init__(self, runtime: Home, reference: Reference, outcome: Completion | None = None) -> None:
        self.name = self._refer(runtime, reference)
        #: What the end of a job is told to, which is kept here.
        self.kept = self._outcome = outcome
        self.id = reference.id
        self._not_asked()

    def __reduce__(self) -> tuple[Any, ...]:
        # Whoever gets it may ask there.
        self.asked()
        return super().__reduce__()

    def send(self, message: Any) -> int:
        """Queue a copy of ``message`` for the coroutine.

        Where it has read so little that the credit is used up, the caller waits (no longer than ``send_timeout``); a
        generator coroutine not here but at its next ``yield``: until then up to twice the limit is accepted.

        Returns:
            int: 0 where it is queued here, which does not say that it arrives; -1 where the coroutine is over, its
            process lost, or the wait too long: then nothing was queued.

        Raises:
            LocalProtocolError: It is larger than ``max_message_bytes``.

            WouldBlock: The credit is used up, and an asyncio loop runs in the calling thread: see `send_async`.

            Exception: What pickling it raises; the link is as it was.
        """
        buffers = self.encoded(message, messages.send_header(self.id))
        link = self.reach()
        if link is None:
            return -1
        return 0 if self.queue_or_wait(link, buffers) else -1

    async def send_async(self, message: Any) -> int:
        """`send` for code on an asyncio loop: where the credit is used up, more of it is awaited."""
        buffers = self.encoded(message, messages.send_header(self.id))
        link = self.reach()
        if link is None:
            return -1
        return 0 if await self.queue_awaiting(link, buffers) else -1

    def deliver(self, message: Any, timeout: float | None = None) -> int:
        """Send ``message`` and wait until the other process confirms that it is in the mailbox.

        Returns:
            int: 1 where it is in the mailbox of the live coroutine; 0 where that is not confirmed: it never arrived, or
            it did and the answer was lost. After a 0 a message that had not gone yet will not go.

        Raises:
            LocalProtocolError, Exception: As `send`.
        """
        timeout = seconds(timeout, "deliver()")
        deadline = None if timeout is None else native.monotonic() + timeout
        link = self.reach()
        if link is None:
            return 0
        answer = Completion()
        number = link.answers.expect(lambda result, error: answer.set(result))
        entry: Entry | bool = False
        try:
            buffers = self.encoded(message, messages.Deliver(self.id, number, b"").header())
            entry = self.queue(link, buffers, None, True) or self.queue_waiting(
                link, buffers, deadline, withdrawable=True
            )
            if not isinstance(entry, Entry):
                return 0
            left = None if deadline is None else deadline - native.monotonic()
            wait_for_answer(link, answer, left, f"{self!r} to take a message")
        finally:
            link.answers.forget(number)
            # Also where whoever waits was thrown into: it does not know of a message that comes later.
            if isinstance(entry, Entry) and not answer.done:
                link.withdraw(entry)
        return 1 if answer.value == 1 else 0

    def terminate(self, hard: bool = False) -> int:
        """Terminate the coroutine, in order with what was sent to it before.

        Args:
            hard (bool): Whether it lets itself be ended or not, as `Coro.terminate`; its process decides what that is.

        Returns:
            int: 0: its process has told it (where the caller may not wait: has been asked to); -1: it is over, or its
            process is lost or did not answer in time.
        """
        link = self.reach()
        if link is None:
            return -1
        if not may_wait():
            return 0 if self._queue_terminate(link, Terminate(self.id, 0, hard)) else -1
        answer = Completion()
        request = link.answers.expect(lambda result, error: answer.set(result))
        try:
            if self._queue_terminate(link, Terminate(self.id, request, hard)):
                wait_for_answer(link, answer, self._runtime.answer_timeout_seconds, f"{self!r} to be told of its end")
        finally:
            link.answers.forget(request)
        return 0 if answer.value == 0 else -1

    def _queue_terminate(self, link: Link, message: Terminate) -> bool:
        sender = Coro.current()
        if sender is None:
            return link.send(self.id, message.encode())
        # Behind what it sent beyond the credit, which waits apart.
        link.overdrafts.after(sender.id, lambda: link.send(self.id, message.encode()))
        return not link.is_lost

    def value(self, timeout: float | None = None) -> Any:
        """The coroutine's result, waiting for its end.

        Of a job (a coroutine started through a computation) the result is kept here; of another coroutine it can only
        be had by whoever asks before its end.

        Raises:
            DeadlineExceeded: It was not over in time; it goes on.

            CoroTerminated: It was terminated.

            Exception: What it raised, with a `RemoteError` as its cause; that itself where the class is not known
                here.

            RemoteError: It was over before anybody asked, or its result could not be transferred.

            PeerLost, ServerDied: Its process is gone.
        """
        timeout = seconds(timeout, "value()")
        outcome = self._watch()
        link = self._link
        if link is None:
            return self._result(outcome, outcome.wait(timeout), timeout)
        return self._result(outcome, wait_for_answer(link, outcome, timeout, f"the result of {self!r}"), timeout)

    async def wait(self, timeout: float | None = None) -> Any:
        """`value` for code on an asyncio loop."""
        from greencoro.hub.awaiting import until

        timeout = seconds(timeout, "wait()")
        outcome = self._watch()
        return self._result(outcome, await until(outcome, timeout), timeout)

    def _result(self, outcome: Completion, in_time: bool, timeout: float | None) -> Any:
        if not in_time:
            raise DeadlineExceeded(f"{self!r} was not over after {timeout} s")
        notice = self.notice_of(outcome)
        if notice.kind == "finished":
            if isinstance(notice.value, UnsentResult):
                raise RemoteError(
                    f"the result of {self!r} could not be transferred: {notice.value.reason}", "", self.location
                )
            return notice.value
        if notice.kind == "terminated":
            raise CoroTerminated(f"{self!r} was terminated")
        assert notice.error is not None
        # It came without a traceback; with one it would grow with every raise.
        raise notice.error.with_traceback(None)

    def notice_of(self, outcome: Completion) -> MonitorException:
        """What an outcome that is there says; in a coroutine or thread of the user's, for it unpickles.

        Raises:
            RemoteError: It was over, or unknown, before it could be watched.

            BusyResource: Too many of that process are watched here.
        """
        notice = outcome.value
        if outcome.error is not None:
            raise outcome.error.with_traceback(None)
        if notice is None:
            raise self._unknown()
        if isinstance(notice, Undecoded):
            notice = outcome.value = notice.decode(self)
        found: MonitorException = notice
        return found

    def finish(self, timeout: float | None = None) -> Any:
        """`value`: the two are the same for all coroutines."""
        return self.value(seconds(timeout, "finish()"))

    def _watch(self) -> Completion:
        self.asked()
        outcome = self._outcome
        if outcome is None or not outcome.done:
            forks.refuse()
        if outcome is None:
            outcome = self.watched()
            if outcome is None:
                if self.is_lost():
                    raise PeerLost(f"the process of {self!r} is lost")
                raise self._unknown()
            # The result is kept for as long as this reference.
            self._outcome = outcome
        return outcome

    def _unknown(self) -> RemoteError:
        return RemoteError(f"{self!r} is over or unknown, its result is not kept", "", self.location)

    def watched(self) -> Completion | None:
        """What its end is told to, for `notice_of`; at once, whether it can be watched is told to that as well.

        There is one for all references, so that whoever asks again and again does not have it watched again and again.

        Returns:
            Completion | None: None where it cannot be reached.
        """
        if self._outcome is not None and not self._outcome.done:
            return self._outcome
        link = self.reach()
        if link is None:
            return None
        outcomes, key, outcome = self._runtime.watches.outcomes, (link, self.id), Watch()
        shared = outcomes.setdefault(key, outcome)
        if shared is not outcome:
            return shared

        def on_notice(notice: Notice | None, error: NetworkError | None) -> None:
            outcomes.pop(key, None)
            outcome.hear(notice, error)

        def refused() -> None:
            outcomes.pop(key, None)
            outcome.set(None)

        try:
            self._runtime.watches.begin(link, self.id, on_notice, refused)
        except BusyResource as error:
            outcomes.pop(key, None)
            # Whoever asked meanwhile is told so as well.
            outcome.fail(error)
            raise
        return outcome

    def _add_monitor(self, monitor: Ends) -> int:
        self.asked()
        result: int = self._runtime.services.monitors.add(monitor, self)
        return result

    def _begin_monitoring(self, observed: Ends) -> int:
        if observed == self:
            raise ValueError(f"{self!r} cannot monitor itself")
        result: int = self._runtime.services.monitors.ask(self, observed)
        return result

    def monitor(self, observed: Ends) -> int:
        """``remote.monitor(me)``: called by a coroutine with itself, that is sent the notice of this one's end.

        That is how the seeds' second document writes it; ``me.monitor(remote)`` is the same.

        Returns:
            int: 0: exactly one notice will come; -1: none will.
        """
        if observed is Coro.current():
            return self._add_monitor(observed)
        return super().monitor(observed)

    def is_alive(self) -> bool:
        """Is it not known to be over? A round trip late at most where something was sent to it."""
        if self._outcome is not None and self._outcome.done:
            return False
        return self.reach() is not None

    def register(self, name: str | None = None) -> int:
        """A coroutine is registered in its own process: -1."""
        return -1

    def unregister(self, name: str | None = None) -> int:
        """A coroutine is registered in its own process: -1."""
        return -1

    def receive(
        self,
        timeout: float | None = None,
        alarm_value: Any = None,
        match: Callable[[Any], object] | None = None,
    ) -> Any:
        raise self._not_here("receive")

    def suspend(self, timeout: float | None = None, alarm_value: Any = None) -> Any:
        raise self._not_here("suspend")

    def throw(self, *exception: Any) -> int:
        raise self._not_here("throw")

    def resume(self, update: Any = None) -> int:
        raise self._not_here("resume")

    def hot_swap(self, target: Callable[..., Any], /, *args: Any, **kwargs: Any) -> int:
        raise self._not_here("hot_swap")

    def hot_swappable(self, flag: bool = True) -> int:
        """Only the coroutine itself can say so: -1."""
        return -1

    def call(self, message: Any, timeout: float | None = None) -> Any:
        """Ask the coroutine something and wait for its answer, as `Coro.call`; message and answer are copies.

        Raises:
            DeadlineExceeded: No answer came in time; a request that had not gone by then will not go.

            BrokenResource: The coroutine is over, or ended without an answer. Its cause is what it raised.

            PeerLost: Its process is lost.

            WouldBlock: Called in a hub's callback or on an asyncio loop, where nothing may wait.

            BaseException: What it gave to ``request.fail(error)``, with a `RemoteError` as its cause.

            RemoteError: The answer cannot be decoded here, or that exception could not be pickled there.
        """
        return self._runtime.services.answers.ask(self, message, seconds(timeout, "call()"))

    def link(self, other: Ends) -> int:
        """Tie the coroutine and ``other``, one of this process, together, as `Coro.link` does.

        The loss of the other's process ends a link as well, with the kind ``"lost"``.

        Returns:
            int: 0: they are linked; -1: one of them was over already, or the other process did not answer.

        Raises:
            TypeError: ``other`` is no coroutine of this process.
        """
        self._must_be_here(other, "link()")
        self.asked()
        linked: int = self._runtime.services.links.link(other, self, self.reach())
        return linked

    def unlink(self, other: Ends) -> int:
        """Undo `link`, from either side; returns 0.

        Raises:
            TypeError: ``other`` is no coroutine of this process.
        """
        self._must_be_here(other, "unlink()")
        self._runtime.services.links.unlink(other, self, self.reach())
        return 0

    def _must_be_here(self, other: Any, call: str) -> None:
        if not isinstance(other, Coro) or not other.is_local():
            raise TypeError(f"{call} of a coroutine elsewhere takes a coroutine of this process, not {other!r}")

    def set_daemon(self, flag: bool = True) -> int:
        """Only the coroutine itself can say so: -1."""
        return -1
