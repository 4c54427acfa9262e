"""Whether a server process has jobs, as its daemon is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greencoro.hub import userhub

__all__ = ["Idleness"]

#: Of short jobs a server has none for a moment many hundred times a second, and each word costs two processes more than
#: a job does.
_SAY_AFTER_SECONDS = 0.25


class Idleness:
    """Says at once that there are jobs, and some moments late that there are none. User hub's thread.

    Args:
        tell: Called with whether there are jobs, at every change that is told.
    """

    def __init__(self, tell: Callable[[bool], object]) -> None:
        self._tell = tell
        self._has_jobs = False
        self._was_told = False
        self._timer: Any = None

    def busy(self) -> None:
        """There are jobs again."""
        self._has_jobs = True
        if not self._was_told:
            self._was_told = True
            self._tell(True)

    def idle(self) -> None:
        """No job is left."""
        self._has_jobs = False
        if self._timer is None:
            self._timer = userhub.call_later(_SAY_AFTER_SECONDS, self._look)

    def _look(self) -> None:
        self._timer.close()
        self._timer = None
        if not self._has_jobs:
            self._was_told = False
            self._tell(False)
