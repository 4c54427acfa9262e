"""References to coroutines, channels and RCIs as they travel: where, which incarnation, which id.

A reference carries the incarnation (16 random bytes made at start) of its runtime, so that a message for a process that
died never reaches its successor on the same port. One to something in a closed runtime carries the key to it as well
(`reach`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from greencoro.distributed.location import Location
from greencoro.errors import RemoteProtocolError

__all__ = [
    "MAX_NAME_CHARACTERS",
    "Reference",
    "from_json",
    "kind_of",
    "number",
    "plug_in",
    "rebuild",
    "reduced",
    "resolved",
    "to_json",
]

#: Longest name that a peer may give to a thing.
MAX_NAME_CHARACTERS = 1000

# Things of each kind are counted for themselves. Between processes one number tells which is meant.
_BITS = {"coro": 0, "channel": 1 << 62, "rci": 1 << 61, "answer": 1 << 60}
_KINDS = {bits: kind for kind, bits in _BITS.items()}
_ALL_BITS = sum(_BITS.values())


class Reference(NamedTuple):
    """What stands for a coroutine, a channel or an RCI outside of its process; `id` is a `number`."""

    location: Location
    incarnation: bytes
    id: int
    name: str
    #: The reach key of its runtime; empty where that is open, or the key is not known here.
    key: bytes = b""

    def __repr__(self) -> str:
        # Without the key: whoever reads a log is not let in by that.
        return f"Reference({self.location}, {self.incarnation.hex()}, {self.id:#x}, {self.name!r})"


def number(kind: str, own_id: int) -> int:
    """What stands between processes for the thing of a kind (as names have kinds) that has this id in its own."""
    return _BITS[kind] | own_id


def kind_of(number: int) -> tuple[str, int]:
    """The kind and the id in its own process of what ``number`` stands for; kind "" where it stands for nothing."""
    return _KINDS.get(number & _ALL_BITS, ""), number & ~_ALL_BITS


def reduced(reference: Reference) -> tuple[Any, ...]:
    """What `pickle` makes of whatever stands for that."""
    location, incarnation, thing_id, name, key = reference
    place = location.addr, location.port, incarnation, thing_id, name
    return rebuild, (*place, key) if key else place


def to_json(thing: Any) -> list[Any]:
    """The reference to something that pickles by `rebuild`, for the header of a request."""
    addr, port, incarnation, thing_id, name, *key = thing.__reduce__()[1]
    return [addr, port, incarnation.hex(), thing_id, name[:MAX_NAME_CHARACTERS], *(each.hex() for each in key)]


def from_json(value: Any) -> Reference:
    """What `to_json` made, checked.

    Raises:
        RemoteProtocolError: It is none.
    """
    match value:
        case [str(addr), int(port), str(incarnation), int(thing_id), str(name), *keys]:
            is_id = _is_hex(incarnation) and 0 < thing_id < 1 << 64
            is_key = not keys or (len(keys) == 1 and isinstance(keys[0], str) and _is_hex(keys[0]))
            if 0 < port < 65536 and is_id and is_key and len(name) <= MAX_NAME_CHARACTERS:
                try:
                    key = bytes.fromhex(keys[0]) if keys else b""
                    return Reference(Location(addr, port), bytes.fromhex(incarnation), thing_id, name, key)
                except ValueError as error:
                    raise RemoteProtocolError(f"a request carries no reference: {error}") from None
    raise RemoteProtocolError("a request carries something else than a reference")


def _is_hex(text: str) -> bool:
    """May it stand for 16 bytes? `bytes.fromhex` alone passes over spaces."""
    return len(text) == 32 and text.isalnum()


_resolve: Callable[[Reference], Any] | None = None


def plug_in(resolve: Callable[[Reference], Any] | None) -> None:
    """Let the runtime say what a reference that arrives becomes."""
    global _resolve
    _resolve = resolve


def rebuild(addr: str, port: int, incarnation: bytes, coro_id: int, name: str, key: bytes = b"") -> Any:
    """What `pickle` calls for a reference: at home the thing itself, elsewhere a proxy of it.

    Raises:
        RuntimeError: This process has no runtime, so it can refer to nothing elsewhere.
    """
    return resolved(Reference(_location(addr, port), incarnation, coro_id, name, key))


def resolved(reference: Reference) -> Any:
    """What a reference that came is in this process; raises as `rebuild`."""
    if _resolve is None:
        raise RuntimeError(f"{reference} came to a process that has no Runtime")
    return _resolve(reference)


# To check a location takes longer than all the rest of a reference, and there are few that come again and again.
_location = lru_cache(1024, typed=True)(Location)
