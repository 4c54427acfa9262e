"""Whether this process can be forked, so that the child is whole."""

from __future__ import annotations

from pathlib import Path

from greencoro.errors import LocalProtocolError
from greencoro.hub import native

__all__ = ["check_can_fork"]

_TASKS = Path("/proc/self/task")


def check_can_fork() -> None:
    """Is there one thread, and no hub?

    Of other threads a child has nothing but the locks that they held; of a hub it has the kernel's part, which it would
    share with its parent.

    Raises:
        LocalProtocolError: No; it says what there is.
    """
    threads = list(_TASKS.iterdir())
    if len(threads) > 1:
        names = ", ".join(sorted((thread / "comm").read_text().strip() for thread in threads))
        raise LocalProtocolError(f"a process with {len(threads)} threads is not forked: {names}")
    if native.thread_hub() is not None:
        raise LocalProtocolError("a process with a hub is not forked")
