"""What the definition of a class carries."""

from __future__ import annotations

import abc
import enum
import types
import typing
from typing import Any

from greencoro.compute.homes import NOTHING, is_main

__all__ = ["bindings_of", "maker_of", "members_of", "registered_at", "silent_bases"]


def bindings_of(cls: type) -> dict[str, Any]:
    """The attributes of a class that its definition carries."""
    skipped = {"__dict__", "__weakref__", "__module__", "__slots__", "__orig_bases__", "_abc_impl"}
    if isinstance(cls, enum.EnumType):
        # What the metaclass makes anew; `__str__` and its kin may be copies of what a base has.
        skipped |= {*cls.__members__, "__new__", "__new_member__", "__reduce_ex__"}
    return {
        name: value
        for name, value in vars(cls).items()
        if name not in skipped
        and not (isinstance(value, types.MemberDescriptorType) and value.__objclass__ is cls)
        and not (isinstance(cls, enum.EnumType) and _is_enum_machinery(cls, name, value))
    }


def _is_enum_machinery(cls: type, name: str, value: Any) -> bool:
    if name.startswith("_") and not name.startswith("__"):
        return name.endswith("_") and name not in ("_missing_", "_generate_next_value_")
    return any(vars(base).get(name, NOTHING) is value for base in cls.__mro__[1:])


def members_of(cls: enum.EnumType) -> tuple[list[tuple[str, Any]], dict[str, dict[str, Any]]]:
    """The members of an enumeration: their values, and the attributes that their ``__init__`` may have set."""
    members: dict[str, Any] = dict(cls.__members__)
    own = {"_value_", "_name_", "__objclass__", "_sort_order_"}
    attributes = {
        name: {key: value for key, value in vars(member).items() if key not in own} for name, member in members.items()
    }
    return [(name, member._value_) for name, member in members.items()], attributes


def silent_bases(cls: type) -> tuple[type, ...]:
    """The bases whose ``__init_subclass__`` did its work at the client."""
    shipped = (base for base in cls.__mro__[1:] if is_main(base.__module__))
    return tuple(base for base in shipped if "__init_subclass__" in vars(base))


def maker_of(metaclass: type) -> type:
    """The nearest metaclass that exists at the server by itself: its ``__new__`` makes the class."""
    # A TypedDict's refuses the plain dict that is its only base by then.
    skipped = getattr(typing, "_TypedDictMeta", None)
    candidates = (kind for kind in metaclass.__mro__ if not is_main(kind.__module__) and kind is not skipped)
    return next(kind for kind in candidates if "__new__" in vars(kind) and issubclass(kind, type))


def registered_at(cls: type) -> list[type]:
    """The virtual subclasses of an abstract base class."""
    if not isinstance(cls, abc.ABCMeta):
        return []
    alive = (ref() for ref in abc._get_dump(cls)[0])  # type: ignore[attr-defined]
    return [subclass for subclass in alive if subclass is not None]
