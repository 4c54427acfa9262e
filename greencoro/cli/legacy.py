"""``greencoro legacy``: a program written for asyncoro."""

from __future__ import annotations

from greencoro.legacy.launcher import HELP, main

__all__ = ["HELP", "legacy"]


def legacy(arguments: list[str]) -> int:
    """As `greencoro.legacy.launcher.main`."""
    return main(arguments)
