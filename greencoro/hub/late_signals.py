"""Signals that come in the instant before the main thread's hub waits.

A handler in Python runs when the main thread comes to it. gevent lets it before its loop waits, and a signal ends that
wait; one that comes between the two would be handled when something else ends it, however late that is. So the loop
turns a few times a second.

`signal.set_wakeup_fd` would spare that. But a process has one of these: asyncio takes it over and leaves none. And in a
program that closes all descriptors, as daemons do, the interpreter would write into whatever is opened in its place.
"""

from __future__ import annotations

from typing import Any

import gevent
from gevent import hub as gevents_hub

from greencoro.hub import native

__all__ = ["handle_in_time", "is_timer"]

_LOOK_SECONDS = 0.25

_timer: Any = None


def handle_in_time() -> None:
    """In the main thread, have its hub handle signals within `_LOOK_SECONDS`; makes that hub. Elsewhere nothing."""
    global _timer
    if _timer is not None or native.get_ident() != gevents_hub.MAIN_THREAD_IDENT:
        return
    # Nobody waits for it: a loop with nothing else to do is over, as without it.
    _timer = gevent.get_hub().loop.timer(_LOOK_SECONDS, _LOOK_SECONDS, ref=False)
    # Not a function in Python: there the handler would run, and what it raises would seem to be that function's fault.
    _timer.start(bool)


def is_timer(watcher: Any) -> bool:
    """Is this the timer of `handle_in_time`, which brings nothing but signals?"""
    return watcher is _timer
