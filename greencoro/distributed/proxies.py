"""RemoteCoro: a reference to a coroutine of another process, with the methods of a local one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from greencoro.distributed import codec, messages
from greencoro.distributed.link import Entry, Link
from greencoro.distributed.messages import Notice, Terminate
from greencoro.distributed.refs import Reference, rebuild
from greencoro.distributed.watches import UnsentResult, Watches, decode_notice, fitting, in_words
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
from greencoro.log import escape

__all__ = ["Home", "RemoteCoro"]


class Home(Protocol):
    """What a reference needs of the runtime it lives in."""

    watches: Watches
    send_timeout_seconds: float
    answer_timeout_seconds: float

    def link_for(self, reference: Reference) -> Link | None:
        """The link to its incarnation, dialling where there is none; None where that is lost."""

    def spawn(self, target: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coro:
        """Start a coroutine that is at home there."""


class RemoteNotice(Encoded):
    """An exit notice in a mailbox, as it came."""

    __slots__ = ("_coro", "_notice")

    def __init__(self, coro: RemoteCoro, notice: Notice) -> None:
        self._coro = coro
        self._notice = notice

    def decode(self) -> tuple[bool, Any]:
        return True, decode_notice(self._coro, self._notice, self._coro.location)


class RemoteCoro(Coro):
    """A reference to a coroutine elsewhere: send to it, deliver, monitor it, terminate it, wait for its result.

    Two references are equal where they mean the same coroutine.
    """

    __slots__ = ("_outcome", "_reference", "_runtime")

    def __init__(self, runtime: Home, reference: Reference, outcome: Completion | None = None) -> None:
        self._runtime = runtime
        self._reference = reference
        self._outcome = outcome
        self.id = reference.id
        # Somebody else's word: it ends up in log lines and on terminals.
        self.name = reference.name if reference.name.isprintable() else escape(reference.name)

    def _link(self) -> Link | None:
        link = self._runtime.link_for(self._reference)
        return None if link is None or self.id in link.gone else link

    def send(self, message: Any) -> int:
        """Queue a copy of ``message`` for the coroutine.

        Where it has read so little that the credit is used up, the caller waits (no longer than ``send_timeout``).

        Returns:
            int: 0 where it is queued here, which does not say that it arrives; -1 where the coroutine is over, its
            process lost, or the wait too long: then nothing was queued.

        Raises:
            LocalProtocolError: It is larger than ``max_message_bytes``.

            Exception: What pickling it raises; the link is as it was.
        """
        buffers = codec.dumps(message, messages.send_header(self.id))
        link = self._link()
        if link is None:
            return -1
        if link.send_credited(self.id, buffers, None):
            return 0
        deadline = native.monotonic() + self._runtime.send_timeout_seconds
        return 0 if self._queue_waiting(link, buffers, deadline, False) else -1

    def _queue_waiting(self, link: Link, buffers: Any, deadline: float | None, withdrawable: bool) -> Entry | bool:
        """Queue as soon as there is credit; False where the deadline, the coroutine's end or a loss came first."""
        if userhub.on_hub() and userhub.in_hub_callback():
            return False
        while not link.is_lost and self.id not in link.gone:
            changed = Completion()
            waiter = changed.set
            queued = link.send_credited(self.id, buffers, waiter, withdrawable)
            if queued:
                return queued
            try:
                remaining = None if deadline is None else deadline - native.monotonic()
                # Its end or a loss just before the waiter was there to hear of it.
                if link.is_lost or self.id in link.gone or not changed.wait(remaining):
                    return False
            finally:
                link.forget_waiter(self.id, waiter)
        return False

    def deliver(self, message: Any, timeout: float | None = None) -> int:
        """Send ``message`` and wait until the other process confirms that it is in the mailbox.

        Returns:
            int: 1 where it is in the mailbox of the live coroutine; 0 where that is not confirmed: it never arrived, or
            it did and the answer was lost. After a 0 a message that had not gone yet will not go.

        Raises:
            LocalProtocolError, Exception: As `send`.
        """
        deadline = None if timeout is None else native.monotonic() + timeout
        link = self._link()
        if link is None:
            return 0
        answer = Completion()
        number = link.expect(lambda result, error: answer.set(result))
        try:
            buffers = codec.dumps(message, messages.Deliver(self.id, number, b"").header())
            entry = link.send_credited(self.id, buffers, None, True) or self._queue_waiting(
                link, buffers, deadline, True
            )
            if not isinstance(entry, Entry):
                return 0
            if not answer.wait(None if deadline is None else deadline - native.monotonic()):
                link.withdraw(entry)
        finally:
            link.pending.pop(number, None)
        return 1 if answer.value == 1 else 0

    def terminate(self) -> int:
        """Ask for the coroutine to be terminated; 0 where the request is queued, -1 where it is over or lost."""
        link = self._link()
        return 0 if link is not None and link.send(self.id, Terminate(self.id).encode()) else -1

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
        outcome = self._watch() if self._outcome is None else self._outcome
        return self._result(outcome, outcome.wait(timeout), timeout)

    async def wait(self, timeout: float | None = None) -> Any:
        """`value` for code on an asyncio loop."""
        import asyncio

        from greencoro.hub.awaiting import until

        # Asking for the end takes a round trip, for which the loop must not stand still.
        outcome = self._outcome
        if outcome is None:
            outcome = await asyncio.get_running_loop().run_in_executor(None, self._watch)
        return self._result(outcome, await until(outcome, timeout), timeout)

    def _result(self, outcome: Completion, in_time: bool, timeout: float | None) -> Any:
        if not in_time:
            raise DeadlineExceeded(f"{self!r} was not over after {timeout} s")
        notice = outcome.value
        if isinstance(notice, _Undecoded):
            notice = outcome.value = notice.decode()
        if notice.kind == "finished":
            if isinstance(notice.value, UnsentResult):
                raise RemoteError(
                    f"the result of {self!r} could not be transferred: {notice.value.reason}", "", self.location
                )
            return notice.value
        if notice.kind == "terminated":
            raise CoroTerminated(f"{self!r} was terminated")
        # It came without a traceback; with one it would grow with every raise.
        raise notice.error.with_traceback(None)

    finish = value

    def _watch(self) -> Completion:
        outcome = Completion()
        link = self._link()
        on_notice = outcome_setter(self, outcome)
        if link is None or not self._runtime.watches.watch(
            link, self.id, on_notice, self._runtime.answer_timeout_seconds
        ):
            raise RemoteError(f"{self!r} is over or unknown, its result is not kept", "", self.location)
        # Kept, so that whoever asks again and again does not have it watched again and again.
        self._outcome = outcome
        return outcome

    def _add_monitor(self, monitor: Coro) -> int:
        link = self._link()
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
        link = self._link()
        if link is None:
            return
        header = messages.send_header(self.id)
        buffers = fitting(
            link,
            lambda: codec.dumps(notice, header),
            lambda why, room: codec.dumps(in_words(notice, why, room), header),
        )
        if link.send_credited(self.id, buffers, None):
            return
        # The end of a coroutine must not wait for somebody who does not read, nor may the notice be dropped.
        self._runtime.spawn(self._queue_waiting, link, buffers, None, False).set_daemon()

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
        return self._link() is not None

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
        raise self._elsewhere("receive")

    def suspend(self, timeout: float | None = None, alarm_value: Any = None) -> Any:
        raise self._elsewhere("suspend")

    def throw(self, *exception: Any) -> int:
        raise self._elsewhere("throw")

    def resume(self, update: Any = None) -> int:
        raise self._elsewhere("resume")

    def hot_swap(self, target: Callable[..., Any], /, *args: Any, **kwargs: Any) -> int:
        raise self._elsewhere("hot_swap")

    def hot_swappable(self, flag: bool = True) -> int:
        """Only the coroutine itself can say so: -1."""
        return -1

    def call(self, message: Any, timeout: float | None = None) -> Any:
        raise self._elsewhere("call")

    def _elsewhere(self, what: str) -> RuntimeError:
        return RuntimeError(f"{what}() of {self!r} works in that coroutine's own process only, and it runs elsewhere")

    def is_local(self) -> bool:
        return False

    def set_daemon(self, flag: bool = True) -> int:
        """Only the coroutine itself can say so: -1."""
        return -1

    @property
    def location(self) -> Any:
        """The `Location` of its process."""
        return self._reference.location

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RemoteCoro):
            return NotImplemented
        mine, theirs = self._reference, other._reference
        return mine.id == theirs.id and mine.incarnation == theirs.incarnation

    def __hash__(self) -> int:
        return hash((self._reference.incarnation, self.id))

    def __reduce__(self) -> tuple[Any, ...]:
        location, incarnation, coro_id, name = self._reference
        return rebuild, (location.addr, location.port, incarnation, coro_id, name)


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
