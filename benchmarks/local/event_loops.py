"""The two loops that run asyncio's coroutines: the standard one, or uvloop's, where that is installed."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable

#: Makes the runner of one loop.
MakeRunner = Callable[[], asyncio.Runner]


def standard() -> asyncio.Runner:
    """The loop that comes with Python."""
    return asyncio.Runner()


def uvloop() -> asyncio.Runner:
    """uvloop's; imported here only, so that the others can be measured where it is not installed."""
    return asyncio.Runner(loop_factory=importlib.import_module("uvloop").new_event_loop)
