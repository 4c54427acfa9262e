"""What a pickle made by `by_value` calls, in the process that opens it, to make functions and classes again.

Each is made in two steps, bare first and filled later, as pickle does with any object that may refer to itself. Names
of ``__main__`` may refer to each other in circles, too: `loader` makes all of them bare before it fills the first.
"""

from __future__ import annotations

import abc
import functools
import importlib
import linecache
import marshal
import sys
import types
import typing
from collections.abc import Sequence
from typing import Any

__all__ = [
    "fill_cell",
    "fill_class",
    "fill_enum",
    "fill_function",
    "module",
    "new_cache",
    "new_cached_property",
    "new_cell",
    "new_class",
    "new_code",
    "new_enum",
    "new_function",
    "new_type_variable",
    "remember_lines",
]

# File name -> the lines known of it, "" for those that are not.
_sources: dict[str, list[str]] = {}


def new_code(marshalled: bytes, filename: str, first_line: int, lines: tuple[str, ...]) -> types.CodeType:
    """A code object; ``lines`` of its file, if any came along, will show in tracebacks."""
    if lines:
        remember_lines(filename, first_line, lines)
    # The bytes came inside a pickle that `loader` opens: whoever made them could run anything anyway.
    code: types.CodeType = marshal.loads(marshalled)
    return code


def remember_lines(filename: str, first_line: int, lines: Sequence[str]) -> None:
    """Have tracebacks show these lines of a file that is not here."""
    known = _sources.setdefault(filename, [])
    end = first_line - 1 + len(lines)
    known.extend([""] * (end - len(known)))
    known[first_line - 1 : end] = lines
    # No time of modification: `linecache` then keeps the entry although there may be no such file here.
    linecache.cache[filename] = (sum(map(len, known)), None, known, filename)


def new_function(
    code: types.CodeType, owner: str | None, name: str, cells: tuple[types.CellType, ...] | None
) -> types.FunctionType:
    """A function whose globals *are* those of the module ``owner`` in this process; of no module if None."""
    namespace = {"__name__": "", "__builtins__": __builtins__} if owner is None else vars(module(owner))
    return types.FunctionType(code, namespace, name, None, cells)


def fill_function(function: types.FunctionType, state: dict[str, Any]) -> None:
    function.__globals__.update(state.pop("globals", {}))
    for cell, content in state.pop("cells"):
        cell.cell_contents = content
    # ``import a.b`` binds only ``a``; the function uses ``a.b``.
    for name in state.pop("imports"):
        importlib.import_module(name)
    function.__dict__.update(state.pop("attributes"))
    for name, value in state.items():
        setattr(function, name, value)


def new_cell() -> types.CellType:
    return types.CellType()


def fill_cell(cell: types.CellType, content: Any) -> None:
    cell.cell_contents = content


def new_class(
    maker: Any,
    metaclass: type,
    name: str,
    bases: tuple[type, ...],
    namespace: dict[str, Any],
    silent: tuple[type, ...],
) -> type:
    """A class without its attributes.

    What a metaclass or ``__init_subclass__`` of the client's ``__main__`` did to the class was done there and comes
    with the attributes, so neither runs again: ``maker`` is the nearest metaclass that was not shipped by value,
    ``silent`` are the classes whose hook would run.
    """
    hooks = [(cls, vars(cls)["__init_subclass__"]) for cls in silent if "__init_subclass__" in vars(cls)]
    for cls, _ in hooks:
        type.__setattr__(cls, "__init_subclass__", classmethod(_no_hook))
    try:
        made: type = maker.__new__(metaclass, name, bases, dict(namespace))
    finally:
        for cls, hook in hooks:
            type.__setattr__(cls, "__init_subclass__", hook)
    return made


def _no_hook(cls: type, /, **_: Any) -> None:
    """Stands in for an ``__init_subclass__`` while a class is made again."""


def fill_class(cls: Any, state: dict[str, Any]) -> None:
    for subclass in state.pop("registered"):
        abc.ABCMeta.register(cls, subclass)  # only its classes have any
    for name, value in state["attributes"].items():
        type.__setattr__(cls, name, value)


def new_enum(
    maker: Any,
    metaclass: Any,
    name: str,
    bases: tuple[type, ...],
    namespace: dict[str, Any],
    members: list[tuple[str, Any]],
    boundary: Any,
) -> type:
    """An enumeration with its members, without its methods; no ``__new__`` or ``__init__`` of the user's runs again."""
    body = metaclass.__prepare__(name, bases)
    for key, value in [*namespace.items(), *members]:
        body[key] = value
    options = {} if boundary is None else {"boundary": boundary}
    made: type = maker.__new__(metaclass, name, bases, body, **options)
    return made


def fill_enum(cls: Any, state: dict[str, Any]) -> None:
    for name, attributes in state["members"].items():
        cls.__members__[name].__dict__.update(attributes)
    for name, value in state["attributes"].items():
        type.__setattr__(cls, name, value)


def new_cache(wrapped: Any, maxsize: int | None, typed: bool) -> Any:
    """A `functools.lru_cache` around ``wrapped``, empty."""
    return functools.lru_cache(maxsize=maxsize, typed=typed)(wrapped)


def new_cached_property(function: Any, attribute: str | None) -> Any:
    made: functools.cached_property[Any] = functools.cached_property(function)
    made.attrname = attribute
    return made


def new_type_variable(kind: str, name: str, owner: str, constraints: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """A ``TypeVar``, ``ParamSpec`` or ``TypeVarTuple`` that cannot be found by its name."""
    made = getattr(typing, kind)(name, *constraints, **options)
    made.__module__ = owner
    return made


def module(name: str) -> types.ModuleType:
    """The module of that name, imported if need be."""
    # Not import_module("__main__"): what is in sys.modules under that name is replaced for a computation.
    return sys.modules[name] if name == "__main__" else importlib.import_module(name)
