"""One job as its client sees it, from its first attempt to its one outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from greencoro.compute.job import Outcome
from greencoro.compute.job_journal import journal
from greencoro.compute.job_state import JobState, Next
from greencoro.compute.server_pool import Server
from greencoro.compute.shipping import Prepared
from greencoro.compute.submission import Submission
from greencoro.errors import CoroTerminated, MonitorException
from greencoro.hub import forks, native
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro

__all__ = ["JobHandle", "references"]

# For the states of all jobs: held for a few lines, with no call out.
_lock = native.Lock()


class JobHandle:
    """A job; `JobLauncher` makes it and sends it.

    Args:
        number (int): In the journal, where it was submitted; its end is told there by this.

        again: See `JobLauncher.submit`.

        withdraw: Called with it by `cancel`.

    Attributes:
        number (int): As given.

        call (Prepared): What is run; of a job that is over only its name.

        lane (str | None): Of those with the same one, a server runs one after another.

        attempt (Submission | None): The last one.

        outcome (Completion): Set once, to the `MonitorException`, or to what the runtime has in its place, undecoded.
    """

    __slots__ = ("_state", "_withdraw", "again", "attempt", "call", "lane", "number", "outcome")

    def __init__(
        self,
        number: int,
        call: Prepared,
        lane: str | None,
        again: Callable[[JobHandle], object],
        withdraw: Callable[[JobHandle], object],
    ) -> None:
        self._state = JobState(call.retries)
        self._withdraw = withdraw
        self.number = number
        self.call = call
        self.lane = lane
        self.again = again
        self.attempt: Submission | None = None
        self.outcome = Completion()

    @property
    def name(self) -> str:
        """Of the job's function."""
        return self.call.name

    @property
    def attempts(self) -> int:
        """How often it was sent."""
        return self._state.attempt

    @property
    def is_cancelled(self) -> bool:
        """Does nobody want it any more?"""
        return self._state.is_cancelled

    @property
    def server(self) -> Server | None:
        """Where it was sent last."""
        return None if self.attempt is None else self.attempt.server

    @property
    def coro(self) -> Any:
        """The reference, once there is one."""
        return None if self.attempt is None else self.attempt.coro

    # Its client's.

    def notice(self) -> MonitorException:
        """The outcome, decoded; in a coroutine or thread, because decoding runs the user's code."""
        if self._is_attempts_own():
            assert self.attempt is not None
            return self.attempt.notice()
        notice: MonitorException = self.outcome.value
        return notice

    def result(self) -> Any:
        """The result of a job that is over.

        Raises:
            CoroTerminated, RemoteError, BaseException: As `RemoteCoro.value`.
        """
        if self._is_attempts_own():
            assert self.attempt is not None
            return self.attempt.result()
        error = self.notice().error
        raise CoroTerminated(f"{self.name} was cancelled before it had begun") if error is None else error

    def _is_attempts_own(self) -> bool:
        # What the runtime has is decoded in the attempt's own place by whoever asks first, and is nobody else's.
        own = self.attempt is not None and self.outcome.value is self.attempt.outcome.value
        return own or not isinstance(self.outcome.value, MonitorException)

    def ended(self) -> Outcome:
        """What the job came to, once it is over; nothing is decoded for that."""
        return Outcome(self.outcome.value.kind)

    def cancel(self) -> bool:
        """End it: where it runs, as `Coro.terminate` does. There is no further attempt.

        Returns:
            bool: Was it not over yet? It may come to an outcome of its own all the same.
        """
        if self.outcome.done:
            return False
        forks.refuse()
        self._withdraw(self)
        return True

    def explain(self) -> list[str]:
        """See `Computation.explain`."""
        return journal.lines(self.number)

    # The launcher's.

    def sent(self, server: Server) -> int | None:
        """See `JobState.sent`."""
        with _lock:
            number = self._state.sent()
        if number is not None:
            journal.sent(self.number, server.place)
        return number

    def attempt_over(self, number: int, attempt: Submission) -> Next:
        """Something has come of an attempt; what is to be done? User hub's thread."""
        with _lock:
            if attempt.is_handed_back:
                return self._state.handed_back(number)
            if attempt.is_server_lost:
                return self._state.server_lost(number)
            return self._state.over(number)

    def cancelled(self) -> Next:
        """See `JobState.cancel`."""
        with _lock:
            return self._state.cancel()

    def give_up(self, error: BaseException) -> bool:
        """No server has it nor will have it, because of this; False where one has it, or it is over."""
        with _lock:
            was_waiting = self._state.give_up()
        return was_waiting and self.finish(MonitorException(self.coro, "lost", None, error))

    def not_sent(self, number: int, error: BaseException) -> None:
        """An attempt could not be made, because of this."""
        with _lock:
            self._state.over(number)
        self.finish(MonitorException(None, "lost", None, error))

    def finish(self, notice: Any) -> bool:
        """Have this as the outcome; False where there is one."""
        if not self.outcome.set(notice):
            return False
        # Whoever keeps the job, or a future or reference of it, keeps no arguments.
        self.call = self.call.spent()
        if self.attempt is not None:
            self.attempt.call = self.call
        journal.over(self.number, notice)
        return True


def references(jobs: Any) -> list[JobHandle | Coro]:
    """What somebody names jobs by, one or several.

    Raises:
        TypeError: One is neither a reference nor a handle.
    """
    several = jobs if isinstance(jobs, Iterable) else [jobs]
    found = [jobs] if isinstance(jobs, JobHandle | Coro) else list(several)
    for each in found:
        if not isinstance(each, JobHandle | Coro):
            raise TypeError(f"a job is cancelled by its reference, and {each!r} is none")
    return found
