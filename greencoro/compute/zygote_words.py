"""What a node daemon and its zygote say to each other.

Each order is one packet, with the descriptors that the server is to have; what became of a server comes through a pipe
of its own, and an end of that without a word says that the zygote is gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from greencoro.compute.words import Count, Listed, Number, Reason, Seconds, Switch, Word
from greencoro.errors import RemoteProtocolError

__all__ = [
    "MAX_BYTES",
    "TOO_MANY_FILES",
    "Fate",
    "Fork",
    "Kill",
    "NotStarted",
    "Order",
    "Over",
    "read_fate",
    "read_order",
    "to_bytes",
]

#: Of any word.
MAX_BYTES = 65536
#: A problem that the daemon may have to find out about by itself.
TOO_MANY_FILES = "the process that starts the servers has too many open files"
_MOST_LEFT = 1000


@dataclass(frozen=True)
class Fork(Word):
    """Start a server.

    With it come descriptors: the pipe for its fate, its channel, its standard error, and the listening socket.

    Attributes:
        number (int): What the server is called from now on.

        slot (int): Its place, for lists of processes.

        has_listener (bool): Is there a listening socket?
    """

    operation: ClassVar[str] = "fork"

    number: Number
    slot: Annotated[int, Count(1)]
    has_listener: Switch = False


@dataclass(frozen=True)
class Kill(Word):
    """End a server by force; where it has ended, nothing."""

    operation: ClassVar[str] = "kill"

    number: Number


@dataclass(frozen=True)
class Over(Word):
    """A server has ended, and so has what it started.

    Attributes:
        returncode (int | None): Its exit code, or the negative number of the signal that killed it; None where that is
            not known, as of one that somebody traces and does not let go of.

        cpu_seconds (float | None): What it has computed, with those children that it has waited for; None: not known.

        peak_bytes (int | None): The most memory that it, or one of those, has had; None: not known.

        left (tuple[int, ...]): Processes that it started and that were killed, but do not end.
    """

    operation: ClassVar[str] = "over"

    returncode: Annotated[int, Count(-255, 255)] | None
    cpu_seconds: Seconds | None = None
    peak_bytes: Number | None = None
    left: Annotated[tuple[int, ...], Listed(Count(1), _MOST_LEFT)] = ()


@dataclass(frozen=True)
class NotStarted(Word):
    """A server could not be started; nothing is left of it."""

    operation: ClassVar[str] = "not_started"

    reason: Reason


Order = Fork | Kill
Fate = Over | NotStarted

_ORDERS: Mapping[str, type[Order]] = {word.operation: word for word in (Fork, Kill)}
_FATES: Mapping[str, type[Fate]] = {word.operation: word for word in (Over, NotStarted)}


def to_bytes(word: Order | Fate) -> bytes:
    """As it travels."""
    return json.dumps({"word": word.operation, **word.to_header()}).encode()


def read_order(data: bytes) -> Order:
    """What the daemon wants.

    Raises:
        RemoteProtocolError: It is no order.
    """
    header = _header(data)
    return _ORDERS[header["word"]].from_header(header)


def read_fate(data: bytes) -> Fate | None:
    """What became of a server; None where its zygote has not come to saying that."""
    if not data:
        return None
    header = _header(data)
    return _FATES[header["word"]].from_header(header)


def _header(data: bytes) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(data)
    except ValueError as error:
        raise RemoteProtocolError(f"a zygote and its daemon do not understand each other: {error}") from None
    return header
