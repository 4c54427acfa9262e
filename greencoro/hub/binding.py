"""Whether a function can be called with given arguments, found out before a coroutine is made of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

__all__ = ["as_for_a_thread", "bind", "is_generator_function", "name_of", "wraps_generator_function"]

_VARIADIC = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
_ASYNC = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class _Shape(NamedTuple):
    """What the check needs to know of a code object."""

    #: Can the common calls, positional arguments and a trailing `coro`, be decided by counting?
    countable: bool
    takes_coro: bool
    #: Positional parameters that the caller fills.
    positional: int
    #: 1 where the last positional parameter is `coro`.
    trailing_coro: int
    code: CodeType


# By identity, since the hash of a code object goes through all of it. Each shape holds its code object, so that no
# other gets the same identity. The cap is for programs that make functions without end.
_KEEP = 4096
_shapes: dict[int, _Shape] = {}


def _remember(code: CodeType) -> _Shape:
    if len(_shapes) >= _KEEP:
        _shapes.clear()
    shape = _shapes[id(code)] = _shape(code)
    return shape


def _shape(code: CodeType) -> _Shape:
    positional = code.co_varnames[: code.co_argcount]
    keyword_only = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    trailing_coro = int(positional[-1:] == ("coro",))
    simple = not code.co_flags & (_VARIADIC | _ASYNC) and not code.co_posonlyargcount
    return _Shape(
        countable=simple and set(keyword_only) <= {"coro"} and "coro" not in positional[:-1],
        takes_coro=trailing_coro == 1 or "coro" in keyword_only,
        positional=code.co_argcount - trailing_coro,
        trailing_coro=trailing_coro,
        code=code,
    )


def bind(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Check that ``target(*args, **kwargs)`` can be called.

    Returns:
        bool: Does ``target`` name a parameter ``coro`` for its coroutine to be given in?

    Raises:
        TypeError: It is not callable, is an ``async`` function, or does not take these arguments.
    """
    if not kwargs:
        # Without `inspect`, which takes longer than all the rest of a coroutine's life.
        function: Any = target
        given = len(args)
        if type(function) is MethodType:
            function = function.__func__
            given += 1
        if type(function) is FunctionType:
            code = function.__code__
            countable, takes_coro, positional, trailing_coro, _ = _shapes.get(id(code)) or _remember(code)
            if countable and not hasattr(function, "__wrapped__"):
                if given == positional:
                    return takes_coro
                defaults = len(function.__defaults__ or ())
                # A default of `coro` itself saves the caller nothing: it is filled in anyway.
                if positional - max(0, defaults - trailing_coro) <= given < positional:
                    return takes_coro
    return _bind_by_signature(target, args, kwargs)


def _bind_by_signature(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    _refuse_other_kinds(target)
    try:
        signature = inspect.signature(target, follow_wrapped=_passes_keywords_on(target))
    except ValueError:
        # Some C functions have no signature: the call itself will tell.
        return False
    parameter = signature.parameters.get("coro")
    takes_coro = parameter is not None and parameter.kind in _BY_NAME
    hint = ""
    if takes_coro:
        if "coro" in kwargs:
            raise TypeError(f"{name_of(target)}: the argument coro= is filled in by greencoro and cannot be given")
        kwargs = {**kwargs, "coro": None}
        hint = " (coro= is filled in by greencoro)"
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name_of(target)}: {error}{hint}") from None
    return takes_coro


def _refuse_other_kinds(target: Any) -> None:
    if not callable(target):
        raise TypeError(f"a coroutine runs a function, not {target!r}")
    for function in _functions_of(target):
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{name_of(target)} is an async function; write it as a plain function, without async and await: "
                "receive(), sleep() and the rest wait by themselves"
            )


def is_generator_function(target: Any) -> bool:
    """Does calling ``target`` make a generator, which is then to be run?"""
    if type(target) is FunctionType:
        return bool(target.__code__.co_flags & inspect.CO_GENERATOR)
    return any(inspect.isgeneratorfunction(function) for function in _functions_of(target))


def wraps_generator_function(target: Any) -> bool:
    """The same for what decorates one (`functools.wraps`): its call may return a generator."""
    return is_generator_function(target) or is_generator_function(inspect.unwrap(_unwrap_partial(target)))


def _functions_of(target: Any) -> tuple[Any, Any]:
    """What is called; an object with `__call__` is what that is."""
    inner = _unwrap_partial(target)
    return inner, type(inner).__call__


def _passes_keywords_on(target: Any) -> bool:
    """Does a decorated function take any keyword, so that what the function inside it takes counts?"""
    wrapper = getattr(_unwrap_partial(target), "__func__", _unwrap_partial(target))
    return not isinstance(wrapper, FunctionType) or bool(wrapper.__code__.co_flags & inspect.CO_VARKEYWORDS)


def _unwrap_partial(target: Any) -> Any:
    while isinstance(target, functools.partial):
        target = target.func
    return target


def name_of(target: Any) -> str:
    """A short name for a callable."""
    if type(target) is FunctionType:
        return target.__name__
    target = _unwrap_partial(target)
    return getattr(target, "__name__", None) or type(target).__name__


def as_for_a_thread(kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """What ``Coro(target=..., args=..., kwargs=...)`` means; without those two, other keywords go to the function."""
    kwargs = dict(kwargs)
    if "target" not in kwargs:
        raise TypeError("Coro() takes the function to run, as its first argument or as target=")
    target = kwargs.pop("target")
    if "args" not in kwargs and "kwargs" not in kwargs:
        return target, (), kwargs
    args, keywords = kwargs.pop("args", ()), kwargs.pop("kwargs", None)
    if kwargs:
        raise TypeError(f"Coro(target=, args=, kwargs=) takes no {', '.join(kwargs)}; put it into kwargs=")
    if isinstance(args, str) or not isinstance(args, Iterable) or not isinstance(keywords, dict | None):
        raise TypeError(f"args= is a tuple and kwargs= a dictionary, not {args!r} and {keywords!r}")
    return target, tuple(args), keywords or {}
