"""Lines for people that also reach those whose program set up no logging."""

from __future__ import annotations

import contextlib
import logging
import sys

__all__ = ["tell", "tell_unheard"]


def tell(logger: logging.Logger, level: int, line: str) -> None:
    """Log ``line``; where the program set up no logging at all, write it to standard error."""
    if _is_heard(logger):
        logger.log(level, "%s", line)
    else:
        tell_unheard(logger, line)


def tell_unheard(logger: logging.Logger, line: str) -> None:
    """Write ``line``, which the log has in other words, to standard error where no logging is set up."""
    if not _is_heard(logger) and sys.stderr is not None:
        # A stream that is closed or whose reader is gone cannot be told of anything.
        with contextlib.suppress(OSError, ValueError):
            print(f"greencoro: {line}", file=sys.stderr, flush=True)


def _is_heard(logger: logging.Logger) -> bool:
    """Does the logger lead to a handler that somebody set up?"""
    above: logging.Logger | None = logger
    while above is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in above.handlers):
            return True
        above = above.parent if above.propagate else None
    return False
