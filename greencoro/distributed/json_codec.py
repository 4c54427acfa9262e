"""Users' objects as JSON: what comes is data and nothing else, whoever made it.

JSON has null, booleans, numbers, text, lists, and objects whose keys are text. Tuples travel as lists, and what is of a
class derived from one of these as that. References and a few things of greencoro's own travel as an object with the one
key ``$greencoro``: its value is a list of a word and what belongs to that.

- ``location``, host, port: a `Location`
- ``reference``, list: a coroutine, a channel or an RCI, as in the headers of requests (`refs.to_json`)
- ``request``, message, list: what `Coro.call` puts into a mailbox, and the reference of who waits for the answer
- ``object``, list of pairs of a key and a value: a user's object that has this key itself

Nothing else travels: an exception of a peer is known by its texts.
"""

from __future__ import annotations

import json
import math
from typing import Any

from greencoro.distributed import refs
from greencoro.distributed.asking import RemoteRequest, ReplyAddress
from greencoro.distributed.codec import PICKLE, Codec
from greencoro.distributed.fields import Buffer, read_float, refuse_constant
from greencoro.distributed.location import Location
from greencoro.distributed.rci import RCI
from greencoro.distributed.user_code import text_of
from greencoro.errors import RemoteProtocolError
from greencoro.hub.channel import Channel
from greencoro.hub.coroutine import Coro

__all__ = ["CODECS", "JSON", "dumps", "loads"]

#: The key of what stands for something else than an object.
_KEY = "$greencoro"
#: Longest text that says where in an object something is.
_PLACE_CHARACTERS = 500
#: Integers of so few bits are known to have a text, which Python denies those with thousands of digits.
_SMALL_BITS = 1024

_encode = json.JSONEncoder(allow_nan=False, check_circular=False, separators=(",", ":")).encode


def dumps(message: Any, head: bytes = b"") -> list[Buffer]:
    """``message`` as a list of buffers that belong together, the first beginning with ``head``.

    Raises:
        TypeError: A part of it is of a type that JSON does not have; the error says which part.

        ValueError: A part is no number, or a number too long to be written, or everything is nested too deeply.
    """
    try:
        return [head + _encode(_plain(message)).encode()]
    except _MisfitError as misfit:
        place = "".join(reversed(misfit.steps))
        if len(place) > _PLACE_CHARACTERS:
            place = f"{place[:_PLACE_CHARACTERS]}..."
        part = f"its part {place}" if place else "it"
        raise misfit.kind(f"what is sent cannot be JSON: {part} {misfit.why}") from None
    except RecursionError:
        raise ValueError("what is sent cannot be JSON: it is nested too deeply, or is part of itself") from None


class _MisfitError(Exception):
    """What cannot be JSON, and the steps that lead there, the last one first."""

    def __init__(self, kind: type[Exception], why: str) -> None:
        self.kind = kind
        self.why = why
        self.steps: list[str] = []


def _plain(value: Any) -> Any:
    """What `json` writes for ``value`` as it should be."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _MisfitError(ValueError, f"is {float(value)}, and JSON has numbers alone")
        return value
    if isinstance(value, dict):
        return _object(value)
    special = _special(value)
    if special is not None:
        return {_KEY: special}
    if isinstance(value, list | tuple):
        return _list(value)
    raise _MisfitError(TypeError, f"is of type {type(value).__name__[:100]}")


def _integer(value: int) -> int:
    if value.bit_length() > _SMALL_BITS:
        try:
            int.__repr__(value)
        except ValueError:
            raise _MisfitError(ValueError, f"is an integer of {value.bit_length()} bits, too long to be text") from None
    return value


def _list(values: list[Any] | tuple[Any, ...]) -> list[Any]:
    plain: list[Any] = []
    for number, value in enumerate(values):
        try:
            plain.append(_plain(value))
        except _MisfitError as misfit:
            misfit.steps.append(f"[{number}]")
            raise
    return plain


def _object(values: dict[Any, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, value in values.items():
        if not isinstance(key, str):
            raise _MisfitError(TypeError, f"has the key {text_of(key, 100)}, and keys of JSON are text")
        try:
            plain[key] = _plain(value)
        except _MisfitError as misfit:
            misfit.steps.append(f"[{text_of(key, 100)}]")
            raise
    return {_KEY: ["object", [list(pair) for pair in plain.items()]]} if _KEY in plain else plain


def _special(value: Any) -> list[Any] | None:
    if isinstance(value, Location):
        return ["location", value.addr, value.port]
    if isinstance(value, Coro | Channel | RCI):
        return ["reference", refs.to_json(value)]
    if isinstance(value, RemoteRequest):
        message, address = value.__reduce__()[1]
        try:
            return ["request", _plain(message), refs.to_json(address)]
        except _MisfitError as misfit:
            misfit.steps.append(".message")
            raise
    return None


def loads(data: Buffer) -> Any:
    """The object in ``data``; nothing of what it says is run.

    Raises:
        RemoteProtocolError, ValueError, RecursionError: It is not what `dumps` makes.

        RuntimeError: A reference in it came to a process that has no Runtime.
    """
    return _decode(str(data, "utf-8"))


def _opened(found: dict[str, Any]) -> Any:
    """What an object stands for; called for the innermost first."""
    if _KEY not in found:
        return found
    match found[_KEY]:
        case ["location", str(host), int(port)]:
            return Location(host, port)
        case ["reference", reference]:
            return _resolved(reference, "coro", "channel", "rci")
        case ["request", message, reference]:
            address: ReplyAddress = _resolved(reference, "answer")
            return RemoteRequest(message, address)
        case ["object", list(pairs)]:
            return dict(_pair(pair) for pair in pairs)
    raise RemoteProtocolError(f"JSON with the key {_KEY!r}, and what has none of its meanings")


def _resolved(reference: Any, *kinds: str) -> Any:
    checked = refs.from_json(reference)
    if refs.kind_of(checked.id)[0] not in kinds:
        raise RemoteProtocolError("JSON with a reference to something else than has a place there")
    return refs.resolved(checked)


def _pair(pair: Any) -> tuple[str, Any]:
    match pair:
        case [str(key), value]:
            return key, value
    raise RemoteProtocolError("JSON with an object that is no list of pairs")


_decode = json.JSONDecoder(object_hook=_opened, parse_constant=refuse_constant, parse_float=read_float).decode

JSON = Codec(dumps, loads)

#: By the word for each (`hello.SERIALIZERS`).
CODECS = {"pickle": PICKLE, "json": JSON}
