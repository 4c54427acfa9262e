"""Waiting that says every few seconds what is waited for."""

from __future__ import annotations

import logging
from collections.abc import Callable

from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.telling import tell

__all__ = ["wait_aloud"]

#: Whoever waits says so once in so long.
SAY_SECONDS = 5.0


def wait_aloud(
    outcome: Completion, timeout: float | None, what: str, situation: Callable[[], str | None], logger: logging.Logger
) -> bool:
    """Wait for an outcome; False where it took longer than ``timeout`` seconds.

    Args:
        what (str): What is waited for, as in "a coroutine called 'echo'".

        situation: Called whenever that is said, for what is known of why it takes so long. Where it
            gives None nothing is said.
    """
    began = native.monotonic()
    while True:
        waited = native.monotonic() - began
        left = SAY_SECONDS if timeout is None else min(SAY_SECONDS, timeout - waited)
        if outcome.wait(left):
            return True
        waited = native.monotonic() - began
        if timeout is not None and waited >= timeout:
            return False
        why = situation()
        if why is not None:
            tell(logger, logging.WARNING, f"still waiting for {what}, for {waited:.0f} s: {why}")
