"""How a task ended, as pycos tells its monitors."""

from __future__ import annotations

from typing import Any

from greencoro.distributed.monitors import EncodedNotice
from greencoro.errors import MonitorException
from greencoro.hub.mailbox import Encoded

__all__ = ["EncodedStatus", "MonitorStatus", "status_of"]


class MonitorStatus:
    """What became of a task.

    Attributes:
        info (Task): The task.

        type: ``StopIteration`` where it finished or was terminated; else the class of what it raised, or of what tells
            that its process is lost.

        value: Its result; of one that was terminated what its last ``yield`` evaluated to; of an exception the
            traceback as text.
    """

    def __init__(self, info: Any, type: Any, value: Any = None) -> None:
        self.info = info
        self.type = type
        self.value = value

    def __repr__(self) -> str:
        return f"MonitorStatus({self.info!r}, {self.type!r}, {self.value!r})"


def status_of(notice: MonitorException) -> MonitorStatus:
    """The notice of an end as pycos has it."""
    if notice.error is None or notice.kind == "terminated":
        return MonitorStatus(notice.coro, *notice.args[1])
    return MonitorStatus(notice.coro, type(notice.error), notice.traceback_text or str(notice.error))


class EncodedStatus(Encoded):
    """In a mailbox, a notice that comes from elsewhere."""

    __slots__ = ("_notice",)

    def __init__(self, notice: EncodedNotice) -> None:
        self._notice = notice

    def decode(self) -> tuple[bool, Any]:
        return True, status_of(self._notice.decode()[1])

    def taken(self) -> None:
        self._notice.taken()
