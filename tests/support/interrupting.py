"""Raising in the middle of a function, as a signal's handler may at any of its lines."""

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


class Interrupted(BaseException):
    """What the handler raises."""


def interrupt(function: Callable[[], object], step: int, meanwhile: Callable[[], object]) -> bool:
    """Call ``function``; before its step of that number (a line, a call or a return) ``meanwhile()`` and raise.

    Returns:
        bool: Does it have so many steps? Where not, it was called as ever.
    """
    seen = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal seen
        if event == "exception":
            return trace
        seen += 1
        if seen == step:
            meanwhile()
            raise Interrupted
        return trace

    before, collected = sys.gettrace(), gc.isenabled()
    # What a collection calls is no step of the function.
    gc.disable()
    sys.settrace(trace)
    try:
        function()
    except Interrupted:
        return True
    finally:
        sys.settrace(before)
        if collected:
            gc.enable()
    # Where a destructor ran in the middle, that may have swallowed it.
    return seen >= step
