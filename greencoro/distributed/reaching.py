"""Waiting for an answer of a peer, which is said every few seconds as long as the peer has not been reached."""

from __future__ import annotations

import logging

from greencoro.distributed.link import Link, LinkState
from greencoro.hub.completion import Completion
from greencoro.hub.waiting_aloud import wait_aloud

__all__ = ["wait_for_answer"]

_log = logging.getLogger(__name__)


def wait_for_answer(link: Link, answer: Completion, timeout: float | None, what: str) -> bool:
    """Wait for an answer that comes over ``link``; False where it took longer than ``timeout`` seconds.

    Args:
        what (str): What is waited for, as in "the result of RemoteCoro echo/5".
    """
    if link.state is LinkState.UP:
        # How long it works on an answer is its own affair.
        return answer.wait(timeout)

    def situation() -> str | None:
        if link.state is LinkState.UP:
            return None
        return f"{link.info} has not been reached. Does it run? `greencoro doctor` finds out more"

    return wait_aloud(answer, timeout, what, situation, _log)
