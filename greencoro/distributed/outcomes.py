"""The end of a coroutine elsewhere, as it is kept for whoever asks."""

from __future__ import annotations

from greencoro.distributed.elsewhere import Elsewhere
from greencoro.distributed.messages import Notice
from greencoro.distributed.watches import kind_of, opened
from greencoro.errors import MonitorException, NetworkError
from greencoro.hub.completion import Completion
from greencoro.log import escape

__all__ = ["Undecoded", "Watch"]


class Undecoded:
    """An outcome whose payload is opened by whoever asks for the value."""

    __slots__ = ("_notice",)

    def __init__(self, notice: Notice) -> None:
        self._notice = notice

    @property
    def kind(self) -> str:
        return kind_of(self._notice)

    @property
    def error_type(self) -> str:
        """The name of the class of what was raised, without decoding that; empty where nothing was."""
        return self._notice.error_type

    @property
    def text(self) -> str:
        """What was raised, with its traceback where that has come, for people; nothing is decoded for that."""
        lines = self._notice.traceback_text or f"{self._notice.error_type}: {self._notice.error_text}"
        return "\n".join(escape(line) for line in lines.rstrip("\n").split("\n"))

    def decode(self, coro: Elsewhere) -> MonitorException:
        """The notice, given a reference to the coroutine, which it does not name: that is what keeps it."""
        return MonitorException(None, *opened(coro, self._notice, coro.location))


class Watch(Completion):
    """Set when the coroutine that it is for is over or its process is lost: to an `Undecoded` or `MonitorException`.

    Neither names the coroutine: a reference to it keeps this.

    Attributes:
        id (int): Its number on the link; 0 before there is one.
    """

    __slots__ = ("id",)

    def __init__(self) -> None:
        super().__init__()
        self.id = 0

    def hear(self, notice: Notice | None, error: NetworkError | None) -> None:
        """Take the notice or the loss; on the reactor, so nothing is decoded."""
        self.set(Undecoded(notice) if notice is not None else MonitorException(None, "lost", None, error))
