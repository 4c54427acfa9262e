"""References to coroutines as they travel: where, which incarnation, which id.

A reference carries the incarnation (16 random bytes made at start) of its runtime, so that a message for a process that
died never reaches its successor on the same port.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from greencoro.distributed.location import Location

__all__ = ["Reference", "plug_in", "rebuild"]


class Reference(NamedTuple):
    """What stands for a coroutine outside of its process."""

    location: Location
    incarnation: bytes
    id: int
    name: str


_resolve: Callable[[Reference], Any] | None = None


def plug_in(resolve: Callable[[Reference], Any] | None) -> None:
    """Let the runtime say what a reference that arrives becomes."""
    global _resolve
    _resolve = resolve


def rebuild(addr: str, port: int, incarnation: bytes, coro_id: int, name: str) -> Any:
    """What `pickle` calls for a reference: at home the live coroutine, elsewhere a `RemoteCoro`.

    Raises:
        RuntimeError: This process has no runtime, so it can refer to nothing elsewhere.
    """
    if _resolve is None:
        raise RuntimeError(f"a reference to {name}/{coro_id}@{addr}:{port} came to a process that has no Runtime")
    return _resolve(Reference(Location(addr, port), incarnation, coro_id, name))
