"""Who is told when peers come and go."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import NamedTuple

from greencoro.distributed.link import PeerInfo
from greencoro.hub import exit as process_exit
from greencoro.hub import userhub

__all__ = ["PeerEvent", "PeerObservers"]

_log = logging.getLogger(__name__)


class PeerEvent(NamedTuple):
    """A peer came (``online``) or was lost; ``reason`` says why."""

    peer: PeerInfo
    online: bool
    reason: str


class PeerObservers:
    """The observers of the peers of one runtime; they are called on the user hub."""

    def __init__(self) -> None:
        self._observers: list[Callable[[PeerEvent], None]] = []

    def add(self, callback: Callable[[PeerEvent], None]) -> None:
        """Call ``callback(event)`` for each event, in order."""
        # Here, for the reactor must not wait for it.
        if not userhub.is_started():
            process_exit.start()
        self._observers.append(callback)

    def remove(self, callback: Callable[[PeerEvent], None]) -> None:
        """Do not call ``callback`` any more; where it was not added, nothing."""
        with contextlib.suppress(ValueError):
            self._observers.remove(callback)

    def tell(self, event: PeerEvent) -> None:
        """Have all be told soon; never waits."""
        if self._observers:
            userhub.post(self._tell, event)

    def _tell(self, event: PeerEvent) -> None:
        for observer in tuple(self._observers):
            try:
                observer(event)
            except Exception:
                _log.exception("an observer of peers failed")
