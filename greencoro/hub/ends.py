"""How others learn of a coroutine's end: whoever waits for its result, monitors it, or is linked to it."""

from __future__ import annotations

from typing import Any

from greencoro.errors import CoroTerminated, DeadlineExceeded, LinkedCoroEnded
from greencoro.hub import exit as process_exit
from greencoro.hub import stuck
from greencoro.hub.completion import Completion
from greencoro.hub.execution import Execution, Failure, running
from greencoro.hub.lifecycle import State
from greencoro.hub.waiting import seconds

__all__ = ["Ends"]

_ACTIVE, _TERMINATED = State.ACTIVE, State.TERMINATED


class Ends(Execution):
    """The part of `Coro` that is about the ends of coroutines: its own, and those that it is to hear of."""

    __slots__ = ()

    def put_past_limit(self, message: Any) -> None:
        """Put ``message`` into the mailbox though that may be full."""
        raise NotImplementedError

    def value(self, timeout: float | None = None) -> Any:
        """The result of the coroutine's function, waiting for its end; may be asked for any number of times.

        Args:
            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever.

        Raises:
            DeadlineExceeded: It was not over in time; it goes on.

            CoroTerminated: It was terminated.

            BaseException: What its function raised.
        """
        timeout = seconds(timeout, "value()")
        if self._state > _ACTIVE:
            self._see_end_through()
        elif not self._wait_for_end(timeout):
            raise DeadlineExceeded(f"{self!r} was not over after {timeout} s")
        return self._ended_with()

    def finish(self, timeout: float | None = None) -> Any:
        """`value`, as the seeds have it for coroutines, where that is for threads; here both are for all."""
        return self.value(seconds(timeout, "finish()"))

    def _ended_with(self) -> Any:
        """Return or raise what it ended with, never waiting: one that failed may have been started anew since."""
        # In this order: of one that was started anew and is terminated now, the value is no result.
        value = self._value
        if self._state is _TERMINATED:
            raise CoroTerminated(f"{self!r} was terminated")
        if value.__class__ is not Failure:
            return value
        # Raised anew each time with the traceback it came with, which would otherwise grow with every raise.
        raise value.error.with_traceback(value.trace)

    def _wait_for_end(self, timeout: float | None) -> bool:
        caller = running()
        if caller is self:
            raise RuntimeError(f"{self!r} would wait for its own end")
        if caller is not None:
            caller._raise_pending()
        ended = Completion()
        observer = ended.set
        if not self.add_observer(observer):
            self._see_end_through()
            return True
        try:
            return stuck.wait(ended, timeout, process_exit.alive.values)
        finally:
            self.remove_observer(observer)

    async def wait(self, timeout: float | None = None) -> Any:
        """`value` for code on an asyncio loop: ``result = await coro.wait()``.

        Raises:
            DeadlineExceeded, CoroTerminated, BaseException: As `value`.
        """
        from greencoro.hub.awaiting import until

        timeout = seconds(timeout, "wait()")
        ended = Completion()
        observer = ended.set
        if self.add_observer(observer):
            try:
                in_time = await until(ended, timeout)
            finally:
                self.remove_observer(observer)
            if not in_time:
                raise DeadlineExceeded(f"{self!r} was not over after {timeout} s")
        else:
            self._see_end_through()
        return self._ended_with()

    def monitor(self, observed: Ends) -> int:
        """Have this coroutine be sent a `MonitorException` when ``observed`` is over.

        There is no need to undo it. Monitors that are over are forgotten whenever ``observed`` has come to have twice
        as many as when that was last looked into, 64 at least: a server that lives on keeps no more.

        Returns:
            int: 0: exactly one notice will come; -1: none will, one of the two was over already, or its process lost.
            (Where this one is elsewhere, and lost in the middle of being asked, that is left open.) Of a job, whose
            outcome is kept at its client, the notice comes there also when it is over: then at once.

        Raises:
            TypeError: ``observed`` is no coroutine.

            ValueError: It is this one.
        """
        if not isinstance(observed, Ends):
            raise TypeError(f"monitor() takes a coroutine, not {observed!r}")
        if observed is self:
            raise ValueError(f"{self!r} cannot monitor itself")
        return self._begin_monitoring(observed)

    def notify(self, monitor: Ends) -> int:
        """The reverse of `monitor`: have ``monitor`` be sent a `MonitorException` when this coroutine is over."""
        if not isinstance(monitor, Ends):
            raise TypeError(f"notify() takes a coroutine, not {monitor!r}")
        if monitor is self:
            raise ValueError(f"{self!r} cannot monitor itself")
        return monitor._begin_monitoring(self)

    def _begin_monitoring(self, observed: Ends) -> int:
        return observed._add_monitor(self) if self.is_alive() else -1

    def _add_monitor(self, monitor: Ends) -> int:
        # The same bound method twice is one observer, so that asking twice does not bring two notices.
        return 0 if self.add_observer(monitor._hear_of, monitor) else -1

    def _hear_of(self, ended: Ends) -> None:
        if self._state <= _ACTIVE:
            if ended._state is State.FAILED:
                assert ended._failure is not None
                ended._failure.monitors.append(self)
            self.put_past_limit(ended.notice())

    def link(self, other: Ends) -> int:
        """Tie this coroutine and ``other`` together: where one raises or is terminated, the other shall not go on.

        Then a `LinkedCoroEnded` is raised at the other's waiting call. One that returns breaks no link. With the end of
        either the link is forgotten on both sides. One that was terminated before, and may be cleaning up, is not told.

        Returns:
            int: 0: they are linked; -1: one of them was over already, or is elsewhere and did not answer in time.

        Raises:
            TypeError: ``other`` is no coroutine.

            ValueError: It is this one.
        """
        if not isinstance(other, Ends):
            raise TypeError(f"link() takes a coroutine, not {other!r}")
        if not other.is_local():
            # A reference knows how to reach it.
            return other.link(self)
        if other is self:
            raise ValueError(f"{self!r} cannot be linked to itself")
        if not other.add_observer(self._linked_ended, self):
            return -1
        if not self.add_observer(other._linked_ended, other):
            other.remove_observer(self._linked_ended)
            return -1
        return 0

    def unlink(self, other: Ends) -> int:
        """Undo `link`, from either side; returns 0.

        Raises:
            TypeError: ``other`` is no coroutine.
        """
        if not isinstance(other, Ends):
            raise TypeError(f"unlink() takes a coroutine, not {other!r}")
        if not other.is_local():
            return other.unlink(self)
        other.remove_observer(self._linked_ended)
        self.remove_observer(other._linked_ended)
        return 0

    def is_local(self) -> bool:
        """Is it a coroutine of this process, no reference to one elsewhere?"""
        return True

    def _linked_ended(self, ended: Ends) -> None:
        self.remove_observer(ended._linked_ended)
        notice = ended.notice()
        if notice.kind != "finished":
            self._interrupt(LinkedCoroEnded(ended, notice.kind, notice.error))
