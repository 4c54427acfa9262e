"""What the words that processes say to each other are made of: fields of a JSON header, each checked on its way in.

A word is a frozen dataclass; the annotation of a field says what it may be, `None` included (``Name | None``)::

    @dataclass(frozen=True)
    class Release(Word):
        token: Token

    Release("ab" * 32).to_header()  # {"token": "abab…"}
    Release.from_header(request.header)  # or RemoteProtocolError
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Annotated, Any, ClassVar, Self, get_args, get_type_hints

from greencoro.distributed.location import Location
from greencoro.errors import RemoteProtocolError

__all__ = [
    "At",
    "Count",
    "Field",
    "Hex",
    "Incarnation",
    "Listed",
    "Name",
    "Number",
    "OneOf",
    "Part",
    "Percent",
    "Place",
    "Reason",
    "Seconds",
    "Switch",
    "Table",
    "Text",
    "TextMap",
    "Token",
    "Word",
]

_LAST_NUMBER = 2**63 - 1
_INCARNATION_BYTES = 16
_TOKEN_BYTES = 32
_MAX_NAME_CHARACTERS = 1000
#: Room for the last lines of a server's standard error.
_MAX_REASON_CHARACTERS = 10_000
_LONGEST_SECONDS = 10.0 * 365 * 86_400


class Field:
    """A kind of field: how it is read from JSON, how it is written.

    Attributes:
        is_secret (bool): An error does not show what came in its place.
    """

    is_secret = False

    def read(self, value: Any) -> Any:
        """What the JSON stands for.

        Raises:
            ValueError: Nothing of this kind.
        """
        raise NotImplementedError

    def write(self, value: Any) -> Any:
        """As JSON."""
        return value


class Text(Field):
    """A string of at most so many characters."""

    def __init__(self, longest: int) -> None:
        self._longest = longest

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or len(value) > self._longest:
            raise ValueError
        return value


class CutText(Text):
    """A text for people; what is too long loses its end on the way out."""

    def write(self, value: str) -> str:
        return value[: self._longest]


class Hex(Field):
    """So many bytes as lower-case hexadecimal digits; a token or key, perhaps."""

    is_secret = True

    def __init__(self, size: int) -> None:
        self._size = size

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or len(value) != 2 * self._size or bytes.fromhex(value).hex() != value:
            raise ValueError
        return value


class Count(Field):
    """A whole number from `lowest` to `highest`."""

    def __init__(self, lowest: int = 0, highest: int = _LAST_NUMBER) -> None:
        self._lowest, self._highest = lowest, highest

    def read(self, value: Any) -> int:
        if type(value) is not int or not self._lowest <= value <= self._highest:
            raise ValueError
        return value


class Duration(Field):
    """Seconds, from none to ten years."""

    def read(self, value: Any) -> float:
        if type(value) not in (int, float) or not (math.isfinite(value) and 0 <= value <= _LONGEST_SECONDS):
            raise ValueError
        return float(value)


class Share(Field):
    """A part of a whole, in percent."""

    def read(self, value: Any) -> float:
        if type(value) not in (int, float) or not 0 <= value <= 100:
            raise ValueError
        return float(value)


class Truth(Field):
    """True or False."""

    def read(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value


class Place(Field):
    """A `Location`, which travels as text."""

    def read(self, value: Any) -> Location:
        if not isinstance(value, str):
            raise ValueError
        return Location.parse(value)

    def write(self, value: Location) -> str:
        return str(value)


class OneOf(Field):
    """A member of an enumeration, which travels as its value."""

    def __init__(self, members: type[enum.Enum]) -> None:
        self._members = members

    def read(self, value: Any) -> enum.Enum:
        if not isinstance(value, str):
            raise ValueError
        return self._members(value)

    def write(self, value: enum.Enum) -> Any:
        return value.value


class _OrNone(Field):
    """Another kind, or None."""

    def __init__(self, kind: Field) -> None:
        self._kind = kind

    def read(self, value: Any) -> Any:
        return None if value is None else self._kind.read(value)

    def write(self, value: Any) -> Any:
        return None if value is None else self._kind.write(value)


class TextMap(Field):
    """At most so many texts by name."""

    def __init__(self, most: int, longest: int) -> None:
        self._most, self._text = most, Text(longest)

    def read(self, value: Any) -> dict[str, str]:
        if not isinstance(value, dict) or len(value) > self._most:
            raise ValueError
        return {self._text.read(name): self._text.read(text) for name, text in value.items()}

    def write(self, value: Mapping[str, str]) -> dict[str, str]:
        return dict(value)


class Listed(Field):
    """At most so many of another kind."""

    def __init__(self, kind: Field, most: int) -> None:
        self._kind, self._most = kind, most

    def read(self, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > self._most:
            raise ValueError
        return tuple(self._kind.read(each) for each in value)

    def write(self, value: Sequence[Any]) -> list[Any]:
        return [self._kind.write(each) for each in value]


class Table(Field):
    """An object of JSON, for others to check."""

    def read(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError
        return value

    def write(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return dict(value)


class Part(Field):
    """Another word."""

    def __init__(self, word: type[Word]) -> None:
        self._word = word

    def read(self, value: Any) -> Word:
        if not isinstance(value, dict):
            raise ValueError
        return self._word.from_header(value)

    def write(self, value: Word) -> dict[str, Any]:
        return value.to_header()


#: Who may use servers: of a computation, or of one lease of a node.
Token = Annotated[str, Hex(_TOKEN_BYTES)]
#: Which start of a runtime.
Incarnation = Annotated[str, Hex(_INCARNATION_BYTES)]
#: Given by people, or shown to them in a line.
Name = Annotated[str, CutText(_MAX_NAME_CHARACTERS)]
#: Explains something to people, perhaps in several lines.
Reason = Annotated[str, CutText(_MAX_REASON_CHARACTERS)]
Seconds = Annotated[float, Duration()]
Percent = Annotated[float, Share()]
Switch = Annotated[bool, Truth()]
At = Annotated[Location, Place()]
#: A running number of the sender's.
Number = Annotated[int, Count()]


@dataclasses.dataclass(frozen=True)
class Word:
    """What all words have in common.

    Attributes:
        operation (str): What `Runtime.request` and `Runtime.post` call it; empty for an answer, or a part of a word.
    """

    operation: ClassVar[str] = ""

    def to_header(self) -> dict[str, Any]:
        """As it travels."""
        return {name: kind.write(getattr(self, name)) for name, kind in _kinds(type(self)).items()}

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> Self:
        """What a peer says; fields that only a later version knows are left out of account.

        Raises:
            RemoteProtocolError: It is malformed.
        """
        read: dict[str, Any] = {}
        for name, kind in _kinds(cls).items():
            try:
                read[name] = kind.read(header.get(name))
            except RemoteProtocolError:
                raise
            except ValueError:
                what = "that" if kind.is_secret else format(repr(header.get(name)), ".100")
                raise RemoteProtocolError(f"{name!r} of {cls.__name__} cannot be {what}") from None
        return cls(**read)


#: Found out at the first use of each.
_KINDS: dict[type[Word], dict[str, Field]] = {}


def _kinds(word: type[Word]) -> dict[str, Field]:
    kinds = _KINDS.get(word)
    if kinds is None:
        hints = get_type_hints(word, include_extras=True)
        kinds = _KINDS[word] = {field.name: _kind(hints[field.name]) for field in dataclasses.fields(word)}
    return kinds


def _kind(hint: Any) -> Field:
    options = get_args(hint)
    if NoneType in options:
        return _OrNone(_kind(next(option for option in options if option is not NoneType)))
    kind: Field = hint.__metadata__[-1]
    return kind
