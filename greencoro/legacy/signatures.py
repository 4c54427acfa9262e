"""How asyncoro's programs have the function of a coroutine called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import CodeType, FunctionType, MethodType
from typing import Any

from greencoro.hub.binding import is_generator_function, name_of

__all__ = ["Arguments", "filled_in"]

Arguments = tuple[tuple[Any, ...], dict[str, Any]]

# Where `coro` stands among the positional parameters, -1 where there is none, by the identity of the code object, which
# each entry holds; for each name that it has. The cap is for programs that make functions without end.
_KEEP = 4096
_positions: dict[str, dict[int, tuple[CodeType, int]]] = {"coro": {}, "task": {}}


def filled_in(
    target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], coro: Any, word: str = "coro"
) -> Arguments:
    """The arguments to call ``target`` with: ``coro`` takes the place of its parameter of that name.

    That is one that has a default and may be given by position; what the caller gave in its place is dropped.

    Args:
        word (str): The parameter's name: ``"coro"``, or ``"task"``, as pycos has it, which may be keyword-only too.

    Raises:
        Exception: ``target`` is no generator function.

        TypeError: It does not take these arguments.
    """
    if not is_generator_function(target):
        raise Exception(f"{name_of(target)} is not a generator!")
    position = _position(target, word)
    # Where it can be, it is one of `args`: many coroutines that wait for their turn have many dictionaries else.
    if 0 <= position < len(args) or (position == len(args) and word not in kwargs):
        args = (*args[:position], coro, *args[position + 1 :])
    elif position >= 0 or (word == "task" and "task" in (getattr(target, "__kwdefaults__", None) or ())):
        kwargs = {**kwargs, word: coro}
    # Nothing of it runs.
    target(*args, **kwargs).close()
    return args, kwargs


def _position(target: Any, word: str) -> int:
    """Where in the caller's arguments the parameter stands; -1 where it is not to be filled in."""
    function, bound = target, 0
    if type(function) is MethodType:
        function, bound = function.__func__, 1
    if type(function) is not FunctionType:
        return _position_in_signature(target, word)
    defaults = function.__defaults__
    if not defaults:
        return -1
    code = function.__code__
    positions = _positions[word]
    known = positions.get(id(code))
    if known is None:
        if len(positions) >= _KEEP:
            positions.clear()
        names = code.co_varnames[code.co_posonlyargcount : code.co_argcount]
        position = names.index(word) + code.co_posonlyargcount if word in names else -1
        known = positions[id(code)] = code, position
    position = known[1]
    return position - bound if position >= code.co_argcount - len(defaults) else -1


def _position_in_signature(target: Any, word: str) -> int:
    for position, parameter in enumerate(inspect.signature(target).parameters.values()):
        if parameter.name == word and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            return -1 if parameter.default is parameter.empty else position
    return -1
