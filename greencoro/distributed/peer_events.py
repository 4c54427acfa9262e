"""Who is told when peers come and go."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from greencoro.distributed.peer_info import PeerInfo
from greencoro.hub import exit as process_exit
from greencoro.hub import userhub

__all__ = ["PeerEvent", "PeerObservers"]

_log = logging.getLogger(__name__)

Observer = Callable[["PeerEvent"], None]


class PeerEvent(NamedTuple):
    """A peer came (``online``) or was lost: ``reason`` says why, ``dropped`` what `PeerStatus.dropped` says."""

    peer: PeerInfo
    online: bool
    reason: str
    dropped: int = 0


class PeerObservers:
    """The observers of the peers of one runtime; they are called on the user hub, or where `tell` is.

    Args:
        guard: Calls a function with arguments; logs what it raises.
    """

    def __init__(self, guard: Callable[..., None]) -> None:
        self._guard = guard
        self._observers: list[Observer] = []
        self._at_once: list[Observer] = []
        self._is_watched = False

    def prepare(self) -> None:
        """Have the user hub turn; not on the reactor, which must not wait for it."""
        if not userhub.is_started():
            process_exit.start()

    def add(self, callback: Observer) -> None:
        """Call ``callback(event)`` for each event, in order."""
        self.prepare()
        self._observers.append(callback)
        self._is_watched = True

    def add_at_once(self, callback: Observer) -> None:
        """Call ``callback(event)`` within `tell`, on the reactor."""
        self._at_once.append(callback)

    def join(self, callback: Observer, past: Sequence[PeerEvent]) -> None:
        """As `add`, after ``past`` was told to it, and in order with what `tell` is called for: call it where that is.

        `prepare` comes first.
        """
        self._is_watched = True
        userhub.post(self._join, callback, past)

    def _join(self, callback: Observer, past: Sequence[PeerEvent]) -> None:
        # First: being told may make the observer leave.
        self._observers.append(callback)
        for event in past:
            if callback in self._observers:
                self._call(callback, event)

    def remove(self, callback: Observer) -> None:
        """Do not call ``callback`` any more; where it was not added, nothing."""
        for observers in (self._observers, self._at_once):
            with contextlib.suppress(ValueError):
                observers.remove(callback)

    def tell(self, event: PeerEvent) -> None:
        """Have all be told, those of the user hub soon; on the reactor, never waits."""
        for observer in tuple(self._at_once):
            self._guard(observer, event)
        if self._is_watched:
            userhub.post(self._tell, event)

    def _tell(self, event: PeerEvent) -> None:
        for observer in tuple(self._observers):
            self._call(observer, event)

    @staticmethod
    def _call(observer: Observer, event: PeerEvent) -> None:
        try:
            observer(event)
        except Exception:
            _log.exception("an observer of peers failed")
