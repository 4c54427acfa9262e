"""Says things to the person who waits, where that is possible: a stream may be closed, or its reader gone."""

from __future__ import annotations

import contextlib
import logging
import sys

from greencoro.hub.telling import tell

__all__ = ["is_terminal", "say", "show"]

_log = logging.getLogger(__name__)


def say(line: str) -> None:
    """Tell the person at the terminal; where there is none, the log, and standard error where nothing is logged."""
    if is_terminal():
        show(f"greencoro: {line}")
    else:
        tell(_log, logging.WARNING, line)


def is_terminal() -> bool:
    """Is standard error a terminal?"""
    with contextlib.suppress(ValueError):
        return sys.stderr is not None and sys.stderr.isatty()
    return False


def show(text: str, end: str = "\n") -> None:
    """Write to standard error."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            print(text, end=end, file=sys.stderr, flush=True)
