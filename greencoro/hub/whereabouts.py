"""Where a coroutine stands in its program's code, told from any thread."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterable
from types import CodeType, FrameType
from typing import Any, NamedTuple

import gevent
from gevent.hub import Hub

from greencoro.hub import userhub, workers
from greencoro.hub.frames import stack_of, stack_of_thread

__all__ = [
    "LIBRARIES",
    "Whereabouts",
    "is_hub_idle",
    "place_of",
    "running_here",
    "stack_of_hub",
    "users_frames",
    "whereabouts",
]

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_MACHINERY = (_OURS, os.path.dirname(os.path.abspath(gevent.__file__)) + os.sep, "<frozen ")
LIBRARIES = tuple(
    {os.path.join(sysconfig.get_path(which), "") for which in ("stdlib", "platstdlib", "purelib", "platlib")}
)

_HUB_CODE: CodeType = Hub.run.__code__
_WORKER_CODE: CodeType = workers.Worker.run.__code__


class Whereabouts(NamedTuple):
    """What one coroutine does."""

    #: In words that follow its name: "runs", "sleeps", "waits in receive()".
    state: str

    #: What it waits for: the name of the call, "receive"; empty where it does not wait, or in no call of ours.
    call: str

    #: Its stack without greencoro's and gevent's own frames, innermost first.
    frames: list[FrameType]


def stack_of_hub() -> list[FrameType]:
    """What the user hub's thread runs right now, innermost frame first; empty where there is no such thread."""
    return stack_of_thread(userhub.ident)


def is_hub_idle(stack: list[FrameType]) -> bool:
    """Does this stack of the hub's thread show it between two greenlets, waiting for something to do?"""
    return bool(stack) and stack[0].f_code is _HUB_CODE


def running_here(stack: list[FrameType]) -> Any:
    """The coroutine that a stack of the hub's thread belongs to; None for a plain greenlet or a callback."""
    for frame in stack:
        if frame.f_code is _WORKER_CODE:
            variables = frame.f_locals
            coro = variables["self"].coro
            if isinstance(variables, dict):
                # Up to 3.12 it is a copy that the frame keeps, and a worker's frame outlives what it refers to.
                variables.clear()
            return coro
    return None


def whereabouts(coro: Any) -> Whereabouts | None:
    """What a live coroutine does; None where it ended meanwhile."""
    if coro._is_new():
        return Whereabouts("has not begun", "", [])
    worker, routine = coro._worker, coro._routine
    if worker is None and routine is not None:
        call = routine.waits_in()
        return Whereabouts(_state_in(call), call, routine.frames()[::-1])
    stack = [] if worker is None else stack_of(worker)
    if stack:
        call = _call_in(stack)
        return Whereabouts(_state_in(call), call, users_frames(stack))
    stack = stack_of_hub()
    return Whereabouts("runs", "", users_frames(stack)) if running_here(stack) is coro else None


def users_frames(stack: Iterable[FrameType]) -> list[FrameType]:
    """The frames that are neither greencoro's nor gevent's."""
    return [frame for frame in stack if not _is_machinery(frame)]


def place_of(frames: Iterable[FrameType]) -> str:
    """``file:line in function()`` of the innermost frame that is the program's own; empty where there is none.

    A library's counts where nothing else is there.
    """
    inner = None
    for frame in frames:
        if not frame.f_code.co_filename.startswith(LIBRARIES):
            return _show(frame)
        inner = inner or frame
    return _show(inner) if inner is not None else ""


_STATES = {"": "waits", "sleep": "sleeps", "suspend": "is suspended"}


def _state_in(call: str) -> str:
    return _STATES.get(call, f"waits in {call}()")


def _show(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}()"


def _is_machinery(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_MACHINERY)


def _call_in(stack: list[FrameType]) -> str:
    """The name of the call into greencoro (or gevent) in which this stack waits, as its user knows it."""
    call = ""
    for frame in stack:
        if not _is_machinery(frame):
            return call
        call = frame.f_code.co_qualname
        call = _NAMES.get(call, call)
        for prefix in ("Coro.", "Ends.", "Execution."):
            call = call.removeprefix(prefix)
    return ""


# A coroutine's own `sleep` is the same as its `suspend`.
_NAMES = {"Execution.sleep": "suspend"}
