"""What a job can come to."""

from __future__ import annotations

import enum

__all__ = ["Outcome"]


class Outcome(enum.Enum):
    """How a job ended; the values are those of `MonitorException.kind`."""

    #: It returned.
    VALUE = "finished"
    #: It raised.
    EXCEPTION = "exception"
    #: Somebody ended it, perhaps before it had begun.
    TERMINATED = "terminated"
    #: Its server is gone, or its computation closed: it may have run, or not.
    LOST = "lost"

    @property
    def ran_to_its_end(self) -> bool:
        """Did it return or raise by itself?"""
        return self in (Outcome.VALUE, Outcome.EXCEPTION)
