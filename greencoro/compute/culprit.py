"""The path to what cannot be shipped inside an object that cannot be shipped."""

from __future__ import annotations

import functools
import pickle
import reprlib
import types
from collections.abc import Callable, Iterator
from typing import Any

from greencoro.compute.classes import bindings_of
from greencoro.compute.homes import is_main, private_globals
from greencoro.errors import PackagingError

__all__ = ["refusal"]

_DEEPEST = 100

_Attempt = Callable[[Any], object]


def refusal(obj: Any, path: str, error: Exception, attempt: _Attempt) -> PackagingError:
    """The error to raise for an object that could not be pickled: it names the deepest part that cannot be, and why.

    Args:
        path (str): What ``obj`` is called.

        error (Exception): What pickling it raised.

        attempt: Pickles its argument as ``obj`` was, and raises what that raises.
    """
    where, cause = _deepest(obj, path, error, attempt, set())
    return PackagingError(f"{where}: {_reason(cause)}")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deeply to be pickled"
    # These two say what the matter is by themselves; of others the type is half of the message.
    if type(error) in (TypeError, pickle.PicklingError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _deepest(obj: Any, path: str, error: Exception, attempt: _Attempt, seen: set[int]) -> tuple[str, Exception]:
    if len(seen) >= _DEEPEST or isinstance(error, RecursionError):
        return path, error
    seen = seen | {id(obj)}
    for step, child in _parts(obj):
        if id(child) in seen:
            continue
        try:
            attempt(child)
        except Exception as err:
            return _deepest(child, path + step, err, attempt, seen)
    return path, error


def _parts(obj: Any) -> Iterator[tuple[str, Any]]:
    """What pickling ``obj`` by value would pickle in turn, each with the step that leads there."""
    if isinstance(obj, dict):
        for key, value in obj.items():
            yield f".key({reprlib.repr(key)})", key
            yield f"[{reprlib.repr(key)}]", value
    elif isinstance(obj, list | tuple):
        yield from ((f"[{index}]", value) for index, value in enumerate(obj))
    elif isinstance(obj, set | frozenset):
        yield from ((f".element({reprlib.repr(value)})", value) for value in obj)
    elif isinstance(obj, types.FunctionType):
        yield from _parts_of_function(obj)
    elif isinstance(obj, type):
        yield from ((f".bases[{index}]", base) for index, base in enumerate(obj.__bases__) if is_main(base.__module__))
        yield from ((f".{name}", value) for name, value in bindings_of(obj).items())
    elif isinstance(obj, staticmethod | classmethod):
        yield "", obj.__func__
    elif isinstance(obj, property):
        yield from ((f".{name}", getattr(obj, name)) for name in ("fget", "fset", "fdel"))
    elif isinstance(obj, functools.partial):
        yield from ((".func", obj.func), (".args", obj.args), (".keywords", obj.keywords))
    elif isinstance(obj, types.MethodType):
        yield ".__self__", obj.__self__
    else:
        yield from _parts_of_instance(obj)
    if isinstance(obj, dict | list | tuple | set | frozenset) and hasattr(obj, "__dict__"):
        yield from ((f".{name}", value) for name, value in vars(obj).items())


def _parts_of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            content = cell.cell_contents
        except ValueError:  # nothing is assigned to that variable yet
            continue
        yield f".closure.{name}", content
    yield from ((f".defaults[{index}]", value) for index, value in enumerate(function.__defaults__ or ()))
    yield from ((f".kwdefaults[{name!r}]", value) for name, value in (function.__kwdefaults__ or {}).items())
    yield from ((f".annotations[{name!r}]", value) for name, value in function.__annotations__.items())
    yield from ((f".{name}", value) for name, value in vars(function).items())
    yield from ((f".globals[{name!r}]", value) for name, value in private_globals(function).items())


def _parts_of_instance(obj: Any) -> Iterator[tuple[str, Any]]:
    try:
        reduced = obj.__reduce_ex__(5)
    except Exception:
        return  # then it is the culprit itself, and the caller has the error
    if isinstance(reduced, str):
        return
    _, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    states = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    for part in states:
        if isinstance(part, dict):
            yield from ((f".{name}", value) for name, value in part.items())
        elif part is not None:
            yield ".__getstate__()", part
    yield from ((f"[{index}]", value) for index, value in enumerate(items or ()))
    for key, value in pairs or ():
        yield f".key({reprlib.repr(key)})", key
        yield f"[{reprlib.repr(key)}]", value
    yield from ((f".__reduce__()[1][{index}]", value) for index, value in enumerate(arguments or ()))
