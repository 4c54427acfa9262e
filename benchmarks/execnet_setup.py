"""How execnet is started here: its own child process on this machine, as its manual has it first.

execnet is imported inside functions only, so that others can be measured where it is not installed.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any

#: What all its rows have in common.
SETUP = 'makegateway("popen"): over pipes to a child process, which no other machine can be; not encrypted'


@contextlib.contextmanager
def gateway() -> Iterator[Any]:
    """Run another process within the ``with`` statement; gives the gateway to it."""
    group = importlib.import_module("execnet").Group()
    try:
        yield group.makegateway("popen")
    finally:
        group.terminate(timeout=1.0)


@contextlib.contextmanager
def partner(function: Callable[..., None]) -> Iterator[Any]:
    """Run ``function(channel)`` in another process within the ``with`` statement; gives our end of the channel.

    Its source is what travels: it must need nothing but its argument.
    """
    with gateway() as there:
        yield there.remote_exec(function)
