"""Says things to the person who waits."""

from __future__ import annotations

import logging
import sys

from greencoro.hub.telling import tell

__all__ = ["say"]

_log = logging.getLogger(__name__)


def say(line: str) -> None:
    """Tell the person at the terminal; where there is none, the log, and standard error where nothing is logged."""
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"greencoro: {line}", file=sys.stderr, flush=True)
    else:
        tell(_log, logging.WARNING, line)
