"""Holding a reactor still for as long as a test looks."""

import threading
from typing import Any


def hold_still(reactor: Any, seconds: float = 20) -> threading.Event:
    """From now until the event is set, ``seconds`` at most, the reactor does nothing more."""
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        go_on.wait(seconds)

    reactor.post(hold)
    assert begun.wait(15), "the reactor does not turn"
    return go_on
