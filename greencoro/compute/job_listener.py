"""What hears of the jobs of a server process while they come and go."""

from __future__ import annotations

from typing import Any, Protocol

from greencoro.hub.coroutine import Coro

__all__ = ["JobListener", "Key"]

#: Of a job: the client's incarnation, and the number under which it waits for the end.
Key = tuple[bytes, int]


class JobListener(Protocol):
    """Hears of jobs, on the user hub; nothing here may wait."""

    def set_up(self, request: Any) -> None:
        """The client, which has shown the token, is about to have its components installed.

        Raises:
            RemoteProtocolError: It does not say what it has to.
        """

    def began(self, key: Key, name: str, coro: Coro) -> None:
        """A job's turn has come: its function is called next."""

    def over(self, key: Key, name: str, coro: Coro) -> None:
        """A job that began is over; its client does not know yet."""

    def busy(self) -> None:
        """The first job after none began."""

    def idle(self) -> None:
        """No job is left, be it one that waits for its turn."""

    def drained(self) -> None:
        """No job is left, and no more are taken; may be said again."""
