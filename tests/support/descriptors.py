"""What this process has open, compared in spite of its other threads, which open and close things for an instant."""

from __future__ import annotations

import contextlib
import os

from tests.support.polling import poll_until

__all__ = ["await_closed", "opened"]


def opened() -> set[tuple[str, str]]:
    """The descriptors of this process, and what each stands for."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        # It may be closed by now, as the one is that lists them.
        with contextlib.suppress(FileNotFoundError):
            found.add((name, os.readlink(f"/proc/self/fd/{name}")))
    return found


def await_closed(before: set[tuple[str, str]]) -> None:
    """Wait until nothing is open that was not ``before``."""
    poll_until(lambda: opened() <= before, what="all that was opened is closed")
