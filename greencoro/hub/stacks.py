"""The stacks of all coroutines, as text."""

from __future__ import annotations

import linecache
import os
import signal
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from greencoro.hub import exit as process_exit
from greencoro.hub.whereabouts import whereabouts

__all__ = ["show_stacks", "show_stacks_on_signal", "stacks"]

_NAMED = 3
_STDERR = 2


def stacks() -> str:
    """What every live coroutine of this process does, and where; any thread may ask, also while one computes.

    Those that do the same at the same lines are told together, the largest group first. Frames of greencoro and gevent
    are left out; the innermost frame comes first.
    """
    groups: dict[tuple[str, tuple[tuple[CodeType, int | None], ...]], list[Any]] = {}
    for coro in list(process_exit.alive.values()):
        seen = whereabouts(coro)
        if seen is not None:
            key = seen.state, tuple((frame.f_code, frame.f_lineno) for frame in seen.frames)
            groups.setdefault(key, []).append(coro)
    count = sum(map(len, groups.values()))
    lines = [f"{count} coroutine{'' if count == 1 else 's'}{' (innermost call first)' if count else ''}"]
    for (state, calls), coros in sorted(groups.items(), key=lambda group: -len(group[1])):
        lines += ["", _heading(state, coros), *_calls(calls)]
    return "\n".join(lines)


def show_stacks() -> None:
    """Print `stacks` to standard error; a signal handler may call this."""
    # Not through `sys.stderr`: the signal may have come in the middle of a write to it.
    rest = (stacks() + "\n").encode(errors="backslashreplace")
    while rest:
        try:
            rest = rest[os.write(_STDERR, rest) :]
        except OSError:
            return  # closed, or nobody reads: whoever asked does not look here


def show_stacks_on_signal(signum: int = signal.SIGUSR1) -> None:
    """From now on print `stacks` to standard error whenever this process gets a signal.

    Python handles signals in the main thread, between two of its instructions: it may sit in ``input()`` or in any of
    greencoro's waits, but a call into C that takes long is finished first. A signal that comes in the instant before
    such a wait may be seen after it only: then send another.

    Args:
        signum (int): Which one; its handler until now is replaced.

    Raises:
        ValueError: The caller is not the main thread, or there is no such signal.
    """
    signal.signal(signum, _on_signal)


def _on_signal(number: int, frame: FrameType | None) -> None:
    show_stacks()


def _heading(state: str, coros: list[Any]) -> str:
    names = ", ".join(map(repr, coros[:_NAMED]))
    if len(coros) == 1:
        return f"{names} {state}"
    more = f" and {len(coros) - _NAMED} more" if len(coros) > _NAMED else ""
    return f"{len(coros)} times: {names}{more}: each {state}"


def _calls(calls: tuple[tuple[CodeType, int | None], ...]) -> Iterator[str]:
    for code, number in calls:
        yield f'  File "{code.co_filename}", line {number}, in {code.co_name}'
        line = linecache.getline(code.co_filename, number or 0).strip()
        if line:
            yield f"    {line}"
