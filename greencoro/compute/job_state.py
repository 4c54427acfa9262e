"""The decisions of one job at its client: what became of an attempt goes in, whether there is another comes out.

::

    WAITING --sent--> SENT --lost, handed_back--> WAITING, or OVER;  SENT --over--> OVER
    WAITING --give_up, cancel--> OVER
"""

from __future__ import annotations

import enum

from greencoro.errors import LocalProtocolError

__all__ = ["JobPhase", "JobState", "Next"]


class JobPhase(enum.Enum):
    """What a job is at."""

    #: No server has it.
    WAITING = "waiting"
    #: A server has it.
    SENT = "sent"
    #: It has its outcome.
    OVER = "over"


class Next(enum.Enum):
    """What is to be done."""

    #: Nothing: that was an earlier attempt, or the job was over.
    NOTHING = "nothing"
    #: Send it to another server.
    AGAIN = "again"
    #: What came of this attempt is the job's outcome.
    FINISH = "finish"
    #: The job was ended before it began anywhere: that is its outcome.
    TERMINATE = "terminate"
    #: Ask the server to end it.
    WITHDRAW = "withdraw"


class JobState:
    """One job.

    Args:
        retries (int): How often it may be sent again after it was lost. To be handed back does not count: it never
            began.

    Attributes:
        phase (JobPhase): What it is at.

        attempt (int): The number of the last attempt, from 1; 0 before the first.

        lost (int): How many of the attempts were lost.

        is_cancelled (bool): Nobody wants it any more, so there is no other attempt.
    """

    __slots__ = ("_retries", "attempt", "is_cancelled", "lost", "phase")

    def __init__(self, retries: int = 0) -> None:
        self._retries = retries
        self.phase = JobPhase.WAITING
        self.attempt = 0
        self.lost = 0
        self.is_cancelled = False

    def sent(self) -> int | None:
        """A server is about to be sent it.

        Returns:
            int | None: The number of this attempt; None where the job is over already, and may not be sent.

        Raises:
            LocalProtocolError: A server has it.
        """
        if self.phase is JobPhase.OVER:
            return None
        if self.phase is JobPhase.SENT:
            raise LocalProtocolError(f"a job is sent while attempt {self.attempt} is under way")
        self.phase = JobPhase.SENT
        self.attempt += 1
        return self.attempt

    def over(self, attempt: int) -> Next:
        """An attempt has come to something that is no loss of its server."""
        if not self._is_under_way(attempt):
            return Next.NOTHING
        self.phase = JobPhase.OVER
        return Next.FINISH

    def server_lost(self, attempt: int) -> Next:
        """The server of an attempt is lost."""
        if not self._is_under_way(attempt):
            return Next.NOTHING
        self.lost += 1
        if self.is_cancelled or self.lost > self._retries:
            self.phase = JobPhase.OVER
            return Next.FINISH
        self.phase = JobPhase.WAITING
        return Next.AGAIN

    def handed_back(self, attempt: int) -> Next:
        """The server of an attempt has not begun it, and will not."""
        if not self._is_under_way(attempt):
            return Next.NOTHING
        self.phase = JobPhase.OVER if self.is_cancelled else JobPhase.WAITING
        return Next.TERMINATE if self.is_cancelled else Next.AGAIN

    def give_up(self) -> bool:
        """There is no server for it, nor will there be one; False where a server has it, or it is over."""
        if self.phase is not JobPhase.WAITING:
            return False
        self.phase = JobPhase.OVER
        return True

    def cancel(self) -> Next:
        """Nobody wants it any more."""
        if self.phase is JobPhase.OVER:
            return Next.NOTHING
        self.is_cancelled = True
        if self.phase is JobPhase.SENT:
            return Next.WITHDRAW
        self.phase = JobPhase.OVER
        return Next.TERMINATE

    def _is_under_way(self, attempt: int) -> bool:
        return self.phase is JobPhase.SENT and attempt == self.attempt
