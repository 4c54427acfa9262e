"""How much of an input is taken out of it before its results are wanted."""

from __future__ import annotations

__all__ = ["check_window", "look_ahead"]

#: For each job that the servers can have at once: enough that they need not wait for whoever takes the results.
_TIMES_ROOM = 4
_AT_LEAST = 16


def check_window(window: int | None, name: str) -> None:
    """See whether a window can be one.

    Raises:
        TypeError, ValueError: It is neither None nor a whole number of at least 1.
    """
    if window is None:
        return
    if isinstance(window, bool) or not isinstance(window, int):
        raise TypeError(f"{name} is a whole number, not {window!r}")
    if window < 1:
        raise ValueError(f"{name} is at least 1, not {window}")


def look_ahead(window: int | None, room: int) -> int:
    """How many elements may be out of the input whose results nobody has taken yet.

    Args:
        window (int | None): What its user wants; None: as the servers have room.

        room (int): How many jobs the servers may have at once; that changes with how long jobs take.
    """
    return max(_AT_LEAST, _TIMES_ROOM * room) if window is None else window
