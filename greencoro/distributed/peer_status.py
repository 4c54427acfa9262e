"""The messages that tell a coroutine which peers are online."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from greencoro.distributed.location import Location
from greencoro.distributed.peer_events import PeerEvent, PeerObservers
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.proxies import RemoteCoro
from greencoro.hub.coroutine import Coro

__all__ = ["PeerStatus", "StatusReports"]


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A peer came, or was lost: a message to the coroutine that `Runtime.peer_status` registered.

    Attributes:
        location (Location): Where the peer is, or was.

        name (str): Its name.

        status (int): `PeerStatus.Online` or `PeerStatus.Offline`.

        dropped (int): At its loss: how many messages that `send` and `deliver` had accepted for its coroutines and
            channels may not have been read. No more than these were lost. It may be fewer: a process says only now and
            then what was read, for each coroutine at least once in a quarter of its ``max_queue_messages``.

        reason (str): At its loss: why it counts as lost.
    """

    Online: ClassVar[int] = 1
    Offline: ClassVar[int] = 0

    location: Location
    name: str
    status: int
    dropped: int = 0
    reason: str = ""

    def __repr__(self) -> str:
        status = {self.Online: "Online", self.Offline: "Offline"}.get(self.status, repr(self.status))
        text = f"PeerStatus(location={self.location!r}, name={self.name!r}, status={status}"
        # Those that are online have lost nothing.
        return f"{text})" if self.status else f"{text}, dropped={self.dropped!r}, reason={self.reason!r})"


class StatusReports:
    """Sends one runtime's `PeerStatus` to the coroutine that is registered for them."""

    def __init__(self, observers: PeerObservers) -> None:
        self._observers = observers
        self._registered: _Registered | None = None

    def register(self, coro: Coro | None) -> _Registered | None:
        """Let ``coro`` and nobody else have them, or nobody; what is to begin is to be given to `begin`."""
        before, self._registered = self._registered, None if coro is None else _Registered(self, coro)
        if before is not None:
            self.forget(before)
        return self._registered

    def begin(self, registered: _Registered, online: list[PeerInfo]) -> None:
        """Tell of those online now, then of what changes; on the reactor's thread, where ``online`` cannot change."""
        if not registered.over:
            self._observers.join(registered.tell, [PeerEvent(info, True, "") for info in online])

    def forget(self, registered: _Registered) -> None:
        """End one registration; where another came after it, that one stays."""
        registered.over = True
        self._observers.remove(registered.tell)
        if self._registered is registered:
            self._registered = None


class _Registered:
    """One registration; `tell` is called on the user hub."""

    def __init__(self, reports: StatusReports, coro: Coro) -> None:
        self._reports = reports
        self._coro = coro
        self.over = False

    def tell(self, event: PeerEvent) -> None:
        if self.over:
            self._reports.forget(self)
            return
        info = event.peer
        online = PeerStatus.Online if event.online else PeerStatus.Offline
        status = PeerStatus(info.location, info.name, online, event.dropped, event.reason)
        if isinstance(self._coro, RemoteCoro):
            # There is no waiting for credit here; whoever has read so little is not told of the rest.
            lost = self._coro.send(status) != 0
        else:
            lost = not self._coro.is_alive()
            # However full the mailbox is: left out, Online and Offline would not alternate.
            self._coro.put_past_limit(status)
        if lost:
            self._reports.forget(self)
