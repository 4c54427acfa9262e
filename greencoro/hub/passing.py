"""How a message that goes through channels came so far."""

from __future__ import annotations

from typing import Any, NamedTuple

from greencoro.hub import native
from greencoro.hub.coroutine import Coro

__all__ = ["Origin", "Passed", "origin_here"]


class Origin(NamedTuple):
    """Where a message that goes through channels of this process comes from.

    Attributes:
        sender (int): Who sent it: the id of a coroutine, or a thread's.

        route: What the distributed layer knows of the channels that it came through before.

        seen (frozenset[int]): Ids of the channels of this process that are among those.

        peer (bytes): The process that it came from, where that is another one; its senders have numbers of their own.
    """

    sender: int
    route: Any = ()
    seen: frozenset[int] = frozenset()
    peer: bytes = b""


class Passed(NamedTuple):
    """A message on its way to a channel elsewhere.

    Attributes:
        through (tuple): The channels of this process that it went through, as pairs ``(channel, those before it)``.
    """

    message: Any
    through: tuple[Any, ...]
    origin: Origin


def origin_here() -> Origin:
    """The origin of what the calling coroutine or thread sends."""
    caller = Coro.current()
    return Origin(native.get_ident() if caller is None else caller.id)
