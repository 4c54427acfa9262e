"""gevent's monkey patch of the standard library, for the first line of a program."""

from __future__ import annotations

from importlib import metadata

from gevent import monkey

__all__ = ["patch_all"]


def patch_all() -> None:
    """As `gevent.monkey.patch_all`, which looks 25 times through all installed packages for plug-ins of gevent.

    Here that is done once, and the same plug-ins are called: where 113 packages are installed, in half of the time.
    """
    look = metadata.entry_points
    found = look()
    metadata.entry_points = lambda **wanted: found.select(**wanted)  # type: ignore[assignment]
    try:
        monkey.patch_all()
    finally:
        metadata.entry_points = look
