"""At which of a process's runtimes coroutines are at home, so what a reference to one means here and elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greencoro.distributed import refs
from greencoro.distributed.forked_runtime import leave_to_parent
from greencoro.distributed.location import Location
from greencoro.distributed.refs import Reference
from greencoro.hub import coroutine, forks, native
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro

__all__ = ["claim_default", "default", "default_or", "home_of", "leave_default", "plug_in"]

_default: Any = None
#: Set once whoever makes a default runtime has done so; None where nobody does.
_making: Completion | None = None
_lock = native.Lock()


def default() -> Any:
    """The process's default runtime; None where there is none."""
    return _default


def default_or(make: Callable[[], Any]) -> Any:
    """The process's default runtime, which ``make()`` makes where there is none; all who come meanwhile wait for it."""
    global _making
    while True:
        with _lock:
            found, others, made = _default, _making, Completion()
            if found is None and others is None:
                _making = made
        if others is not None:
            # Not under the lock: another coroutine of this thread may be the one who makes it, and has to go on. One
            # that is there already, and not all made, is waited for as well.
            others.wait()
        elif found is not None:
            return found
        else:
            try:
                return make()
            finally:
                _making = None
                made.set()


def claim_default(runtime: Any) -> bool:
    """Make ``runtime`` the process's default; False where there is one. Forked processes have neither."""
    global _default
    forks.keep_from_children(runtime, leave_to_parent)
    with _lock:
        if _default is not None:
            return False
        _default = runtime
        return True


def leave_default(runtime: Any) -> None:
    """Where ``runtime`` is the default, there is none from now on."""
    global _default
    with _lock:
        if _default is runtime:
            _default = None


def home_of(coro: Coro) -> Any:
    """The runtime a coroutine is at home in: where it was spawned, else the default; None where there is none."""
    return coro.home if coro.home is not None else _default


def plug_in() -> None:
    """Let coroutines travel, and references that came be what they stand for."""
    coroutine.plug_in(_reduce, _location_of)
    refs.plug_in(_resolve)


def _reduce(coro: Coro) -> tuple[Any, ...]:
    home = home_of(coro)
    if home is None:
        raise TypeError(f"{coro!r} cannot travel: this process has no Runtime, so nothing elsewhere could refer to it")
    return refs.reduced(Reference(home.location, home.incarnation, coro.id, coro.name, home.reach.key))


def _location_of(coro: Coro) -> Location | None:
    home = home_of(coro)
    return None if home is None else home.location


def _resolve(reference: Reference) -> Coro:
    home = coroutine.current_home() or _default
    if home is None:
        raise RuntimeError("a reference came to a process that has no Runtime")
    resolved: Coro = home.resolve(reference)
    return resolved
