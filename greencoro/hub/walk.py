"""The way of a message through channels, down to those who get it."""

from __future__ import annotations

from typing import Any

from greencoro.hub.fan_out import Copy, leave
from greencoro.hub.passing import Origin, Passed
from greencoro.hub.transforms import Transform, apply

__all__ = ["Branching", "walk"]


class Branching:
    """Base of channels: what passes messages on to its own subscribers."""

    __slots__ = ()

    #: A number unique among the channels of its process.
    id: int
    # Its subscribers, None once it is closed, and its transform.
    _subscribers: dict[Any, Any] | None
    _transform: Transform | None

    def is_local(self) -> bool:
        """Is it one of this process, no reference to one elsewhere?"""
        raise TypeError("is_local() is the subclass's")

    def is_alive(self) -> bool:
        """Is it not closed?"""
        raise TypeError("is_alive() is the subclass's")


def walk(start: Branching, message: Any, origin: Origin, may_transform: bool) -> list[Copy] | None:
    """Who is to get what, where ``message`` is sent to ``start``: a channel elsewhere gets it as `Passed`.

    Args:
        may_transform (bool): Run the transforms; where not, None is returned if there is one on the way.
    """
    copies: list[Copy] = []
    pending: list[tuple[Branching, Any, tuple[Any, ...]]] = [(start, message, ())]
    while pending:
        channel, message, above = pending.pop()
        table, transform = channel._subscribers, channel._transform
        if not table:
            continue
        if transform is not None:
            if not may_transform:
                return None
            message = apply(transform, channel, message)
            if message is None:
                continue
        through = (channel, above)
        for subscriber in list(table.values()):
            if not isinstance(subscriber, Branching):
                copies.append((subscriber, message, table))
            elif not subscriber.is_local():
                copies.append((subscriber, Passed(message, through, origin), table))
            elif not subscriber.is_alive():
                leave(table, subscriber)
            elif subscriber.id not in origin.seen:
                pending.append((subscriber, message, through))
    return copies
