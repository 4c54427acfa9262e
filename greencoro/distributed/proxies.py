"""RemoteCoro: a reference to a coroutine of another process, with the methods of a local one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greencoro.distributed import messages
from greencoro.distributed.elsewhere import Elsewhere, Home, dumps, may_wait
from greencoro.distributed.link import Entry
from greencoro.distributed.messages import Notice, Terminate
from greencoro.distributed.refs import Reference
from greencoro.distributed.watches import UnsentResult, decode_notice, fitting, in_words
from greencoro.errors import (
    CoroTerminated,
    DeadlineExceeded,
    MonitorException,
    NetworkError,
    RemoteError,
)
from greencoro.hub import exit as process_exit
from greencoro.hub import native, userhub
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.mailbox import Encoded
from greencoro.hub.waiting import seconds

__all__ = ["RemoteCoro"]


class RemoteNotice(Encoded):
    """An exit notice in a mailbox, as it came."""

    __slots__ = ("_coro", "_notice")

    def __init__(self, coro: RemoteCoro, notice: Notice) -> None:
        self._coro = coro
        self._notice = notice

    def decode(self) -> tuple[bool, Any]:
        return True, decode_notice(self._coro, self._notice, self._coro.location)


class RemoteCoro(Elsewhere, Coro):
    """A reference to a coroutine elsewhere: send to it, deliver, monitor it, terminate it, wait for its result.

    Two references are equal where they mean the same coroutine.
    """

    __slots__ = ("_outcome", "_reference", "_runtime")

    def __init__(self, runtime: Home, reference: Reference, outcome: Completion | None = None) -> None:
        self.name = self._refer(runtime, reference)
        self._outcome = outcome
        self.id = reference.id

    def send(self, message: Any) -> int:
        """Queue a copy of ``message`` for the coroutine.

        Where it has read so little that the credit is used up, the caller waits (no longer than ``send_timeout``).

        Returns:
            int: 0 where it is queued here, which does not say that it arrives; -1 where the coroutine is over, its
            process lost, or the wait too long: then nothing was queued.

        Raises:
            LocalProtocolError: It is larger than ``max_message_bytes``.

            WouldBlock: The credit is used up, and an asyncio loop runs in the calling thread: see `send_async`.

            Exception: What pickling it raises; the link is as it was.
        """
        buffers = dumps(message, messages.send_header(self.id))
        link = self.reach()
        if link is None:
            return -1
        if link.send_credited(self.id, buffers, None):
            return 0
        deadline = native.monotonic() + self._runtime.send_timeout_seconds
        return 0 if self.queue_waiting(link, buffers, deadline) else -1

    async def send_async(self, message: Any) -> int:
        """`send` for code on an asyncio loop: where the credit is used up, more of it is awaited."""
        from greencoro.hub.awaiting import until

        buffers = dumps(message, messages.send_header(self.id))
        link = self.reach()
        if link is None:
            return -1
        deadline = native.monotonic() + self._runtime.send_timeout_seconds
        while not self._is_over(link):
            changed = Completion()
            waiter = changed.set
            try:
                if link.send_credited(self.id, buffers, waiter):
                    return 0
                if self._is_over(link) or not await until(changed, deadline - native.monotonic()):
                    return -1
            finally:
                link.forget_waiter(self.id, waiter)
        return -1

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
        number = link.expect(lambda result, error: answer.set(result))
        try:
            buffers = dumps(message, messages.Deliver(self.id, number, b"").header())
            entry = link.send_credited(self.id, buffers, None, True) or self.queue_waiting(
                link, buffers, deadline, withdrawable=True
            )
            if not isinstance(entry, Entry):
                return 0
            if not answer.wait(None if deadline is None else deadline - native.monotonic()):
                link.withdraw(entry)
        finally:
            link.pending.pop(number, None)
        return 1 if answer.value == 1 else 0

    def terminate(self) -> int:
        """Terminate the coroutine, in order with what was sent to it before.

        Returns:
            int: 0: its process has told it (where the caller may not wait: has been asked to); -1: it is over, or its
            process is lost or did not answer in time.
        """
        link = self.reach()
        if link is None:
            return -1
        if not may_wait():
            return 0 if link.send(self.id, Terminate(self.id).encode()) else -1
        answer = Completion()
        request = link.expect(lambda result, error: answer.set(result))
        try:
            if link.send(self.id, Terminate(self.id, request).encode()):
                answer.wait(self._runtime.answer_timeout_seconds)
        finally:
            link.pending.pop(request, None)
        return 0 if answer.value == 0 else -1

    def value(self, timeout: float | None = None) -> Any:
        """The coroutine's result, waiting for its end.

        Of a job (a coroutine started through a computation) the result is kept here; of another coroutine it can only
        be had by whoever asks before its end.

        Raises:
            DeadlineExceeded: It was not over in time; it goes on.

            CoroTerminated: It was terminated.

            BaseException: What it raised, with a `RemoteError` as its cause; that itself where the class is not known
                here.

            RemoteError: It was over before anybody asked, or its result could not be transferred.

            PeerLost, ServerDied: Its process is gone.
        """
        timeout = seconds(timeout, "value()")
        outcome = self._watch() if self._outcome is None else self._outcome
        return self._result(outcome, outcome.wait(timeout), timeout)

    async def wait(self, timeout: float | None = None) -> Any:
        """`value` for code on an asyncio loop."""
        import asyncio

        from greencoro.hub.awaiting import until

        timeout = seconds(timeout, "wait()")
        # Asking for the end takes a round trip, for which the loop must not stand still.
        outcome = self._outcome
        if outcome is None:
            outcome = await asyncio.get_running_loop().run_in_executor(None, self._watch)
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
        """What an outcome that is there says; in a coroutine or thread of the user's, for it unpickles."""
        notice = outcome.value
        if isinstance(notice, _Undecoded):
            notice = outcome.value = notice.decode()
        found: MonitorException = notice
        return found

    def finish(self, timeout: float | None = None) -> Any:
        """`value`: the two are the same for all coroutines."""
        return self.value(seconds(timeout, "finish()"))

    def _watch(self) -> Completion:
        outcome = self.watched(None)
        if outcome is None:
            raise RemoteError(f"{self!r} is over or unknown, its result is not kept", "", self.location)
        # The result is kept for as long as this reference.
        self._outcome = outcome
        return outcome

    def watched(self, timeout: float | None) -> Completion | None:
        """What its end is told to; None where it is over, unknown or lost, or its process did not answer in time.

        There is one for all references, so that whoever asks again and again does not have it watched again and again.
        """
        if self._outcome is not None and not self._outcome.done:
            return self._outcome
        link = self.reach()
        if link is None:
            return None
        outcomes, key = self._runtime.watches.outcomes, (link, self.id)
        shared = outcomes.get(key)
        if shared is not None:
            return shared
        outcome = Completion()
        set_outcome = outcome_setter(self, outcome)

        def on_notice(notice: Notice | None, error: NetworkError | None) -> None:
            outcomes.pop(key, None)
            set_outcome(notice, error)

        longest = self._runtime.answer_timeout_seconds
        limit = longest if timeout is None else min(timeout, longest)
        if not self._runtime.watches.watch(link, self.id, on_notice, limit):
            return None
        outcomes[key] = outcome
        if outcome.done:
            # The end came in the middle of this.
            outcomes.pop(key, None)
        return outcome

    def _add_monitor(self, monitor: Coro) -> int:
        link = self.reach()
        if link is None:
            return -1
        if isinstance(monitor, RemoteCoro) and not userhub.is_started():
            # `_tell` needs it, on the reactor, which must not wait for its start.
            process_exit.start()
        monitors = self._runtime.watches.monitors
        # Asking twice does not bring two notices: who comes second gets the first one's answer.
        key, answer = (link, self.id, monitor), Completion()
        first = monitors.setdefault(key, answer)
        if first is not answer:
            first.wait()
            return int(first.value)

        def on_notice(notice: Notice | None, error: NetworkError | None) -> None:
            monitors.pop(key, None)
            if notice is None:
                self._tell(monitor, MonitorException(self, "lost", None, error))
            else:
                self._tell(monitor, RemoteNotice(self, notice))

        result = -1
        try:
            if self._runtime.watches.watch(link, self.id, on_notice, self._runtime.answer_timeout_seconds):
                result = 0
        finally:
            # In this order: nobody finds it undecided once it is out.
            answer.set(result)
            if result == -1:
                monitors.pop(key, None)
        return result

    def _tell(self, monitor: Coro, notice: Any) -> None:
        """Send the notice of this coroutine's end to ``monitor``; on the reactor."""
        if not isinstance(monitor, RemoteCoro):
            monitor.send(notice)
            return

        def pass_on() -> None:
            monitor._send_notice(notice.decode()[1] if isinstance(notice, RemoteNotice) else notice)

        userhub.post(lambda: self._runtime.spawn(pass_on).set_daemon())

    def _hear_of(self, ended: Coro) -> None:
        """A coroutine here that this one monitors is over."""
        self._send_notice(ended.notice())

    def _send_notice(self, notice: MonitorException) -> None:
        link = self.reach()
        if link is None:
            return
        header = messages.send_header(self.id)
        buffers = fitting(
            link,
            lambda: dumps(notice, header),
            lambda why, room: dumps(in_words(notice, why, room), header),
        )
        if link.send_credited(self.id, buffers, None):
            return
        # The end of a coroutine must not wait for somebody who does not read, nor may the notice be dropped.
        self._runtime.spawn(self.queue_waiting, link, buffers, None).set_daemon()

    def monitor(self, observed: Coro) -> int:
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

            BrokenResource: The coroutine is over, or its process lost. Its cause is what it raised.

            WouldBlock: Called in a hub's callback or on an asyncio loop, where nothing may wait.

            BaseException: What it gave to ``request.fail(error)``, with a `RemoteError` as its cause.

            RemoteError: The answer cannot be unpickled here, or that exception could not be pickled there.
        """
        return self._runtime.services.answers.ask(self, message, seconds(timeout, "call()"))

    def link(self, other: Coro) -> int:
        """Tie the coroutine and ``other``, one of this process, together, as `Coro.link` does.

        The loss of the other's process ends a link as well, with the kind ``"lost"``.

        Returns:
            int: 0: they are linked; -1: one of them was over already, or the other process did not answer.

        Raises:
            TypeError: ``other`` is no coroutine of this process.
        """
        self._must_be_here(other, "link()")
        linked: int = self._runtime.services.links.link(other, self, self.reach())
        return linked

    def unlink(self, other: Coro) -> int:
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


class _Undecoded:
    """An outcome whose payload is opened by whoever asks for the value."""

    __slots__ = ("_coro", "_notice")

    def __init__(self, coro: RemoteCoro, notice: Notice) -> None:
        self._coro = coro
        self._notice = notice

    def decode(self) -> MonitorException:
        return decode_notice(self._coro, self._notice, self._coro.location)


def outcome_setter(coro: RemoteCoro, outcome: Completion) -> Any:
    """For a watch: sets ``outcome`` when the notice (or the loss) comes; on the reactor, so nothing is decoded."""

    def on_notice(notice: Notice | None, error: NetworkError | None) -> None:
        if notice is not None:
            outcome.set(_Undecoded(coro, notice))
        else:
            outcome.set(MonitorException(coro, "lost", None, error))

    return on_notice
