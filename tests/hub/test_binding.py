import functools
from collections.abc import Callable
from typing import Any

import pytest

from greencoro.hub.binding import bind, is_generator_function, name_of, wraps_generator_function


def nothing() -> None: ...
def one(a: Any) -> None: ...
def with_coro(a: Any, coro: Any = None) -> None: ...
def with_coro_required(a: Any, coro: Any) -> None: ...
def with_default(a: Any, b: Any = 2, coro: Any = None) -> None: ...
def only_coro(coro: Any = None) -> None: ...
def keyword_only(a: Any, *, coro: Any = None) -> None: ...
def keyword_only_required(*, coro: Any) -> None: ...
def coro_first(coro: Any, a: Any = 1) -> None: ...
def coro_between(a: Any, coro: Any = None, b: Any = 3) -> None: ...
def variadic(*args: Any, coro: Any = None) -> None: ...
def open_ended(*args: Any, **kwargs: Any) -> None: ...
def positional_only(coro: Any, /) -> None: ...
def needs_keyword(a: Any, *, b: Any) -> None: ...


class Methods:
    def plain(self, a: Any) -> None: ...
    def named(self, a: Any, coro: Any = None) -> None: ...

    @classmethod
    def of_class(cls, a: Any, coro: Any = None) -> None: ...

    @staticmethod
    def static(a: Any, coro: Any = None) -> None: ...


class Callable_:
    def __call__(self, a: Any, coro: Any = None) -> None: ...


class Built:
    def __init__(self, a: Any, coro: Any = None) -> None: ...


def passing_on(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def narrow(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(a: Any) -> Any:
        return function(a, None)

    return wrapper


@pytest.mark.parametrize(
    ("target", "args", "kwargs", "takes_coro"),
    [
        (nothing, (), {}, False),
        (one, (1,), {}, False),
        (one, (), {"a": 1}, False),
        (with_coro, (1,), {}, True),
        (with_coro, (), {"a": 1}, True),
        (with_coro_required, (1,), {}, True),
        (with_default, (1,), {}, True),
        (with_default, (1, 2), {}, True),
        (with_default, (1,), {"b": 2}, True),
        (only_coro, (), {}, True),
        (keyword_only, (1,), {}, True),
        (keyword_only_required, (), {}, True),
        (coro_first, (), {}, True),
        (coro_first, (), {"a": 1}, True),
        (coro_between, (1,), {"b": 2}, True),
        (variadic, (1, 2, 3), {}, True),
        (open_ended, (1,), {"x": 2}, False),
        (open_ended, (), {"coro": 2}, False),
        (positional_only, (1,), {}, False),
        (needs_keyword, (1,), {"b": 2}, False),
        (lambda coro=None: None, (), {}, True),
        (Methods().plain, (1,), {}, False),
        (Methods().named, (1,), {}, True),
        (Methods.named, (Methods(), 1), {}, True),
        (Methods.of_class, (1,), {}, True),
        (Methods.static, (1,), {}, True),
        (Callable_(), (1,), {}, True),
        (Built, (1,), {}, True),
        (functools.partial(with_coro, 1), (), {}, True),
        (functools.partial(functools.partial(with_default, 1), b=2), (), {}, True),
        (functools.partial(one, 1), (), {}, False),
        (functools.partial(Methods().named, 1), (), {}, True),
        (len, ([],), {}, False),
        (print, (1, 2), {"sep": ""}, False),
        (max, (1, 2), {}, False),  # has no signature
        (dict, (), {"a": 1}, False),
        (passing_on(with_coro), (1,), {}, True),
        (passing_on(one), (1,), {}, False),
        (narrow(with_coro), (1,), {}, False),
    ],
)
def test_a_call_that_works_is_told_whether_to_fill_in_coro(
    target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], takes_coro: bool
) -> None:
    assert bind(target, args, kwargs) is takes_coro
    # What bind() promises: the call itself binds.
    target(*args, **kwargs, **({"coro": "itself"} if takes_coro else {}))


@pytest.mark.parametrize(
    ("target", "args", "kwargs"),
    [
        (nothing, (1,), {}),
        (one, (), {}),
        (one, (1, 2), {}),
        (one, (1,), {"b": 2}),
        (one, (1,), {"a": 2}),
        (with_coro, (), {}),
        (with_coro, (1, 2), {}),
        (with_coro_required, (), {}),
        (with_coro_required, (1, 2), {}),
        (with_default, (), {}),
        (with_default, (1, 2, 3), {}),
        (only_coro, (1,), {}),
        (keyword_only, (1, 2), {}),
        (keyword_only_required, (1,), {}),
        (coro_first, (1,), {}),
        (coro_between, (1, 2), {}),
        (needs_keyword, (1,), {}),
        (Methods().named, (), {}),
        (Methods().named, (1, 2), {}),
        (Methods.named, (1,), {}),
        (Callable_(), (), {}),
        (Built, (), {}),
        (functools.partial(with_coro, 1), (2,), {}),
        (len, (), {}),
        (passing_on(with_coro), (), {}),
        (narrow(with_coro), (1, 2), {}),
        (with_coro, (1,), {"coro": 5}),
        (keyword_only, (1,), {"coro": 5}),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_the_functions_name(
    target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match=f"^{name_of(target)}: "):
        bind(target, args, kwargs)


def test_the_error_says_that_coro_is_not_the_callers_to_give() -> None:
    with pytest.raises(TypeError, match="coro= is filled in by greencoro"):
        bind(with_coro, (1, 2), {})
    with pytest.raises(TypeError, match="coro= is filled in by greencoro and cannot be given"):
        bind(with_coro, (1,), {"coro": 5})


@pytest.mark.parametrize("target", [None, 5, "name", [one], object()])
def test_what_cannot_be_called_is_refused(target: Any) -> None:
    with pytest.raises(TypeError, match="a coroutine runs a function, not"):
        bind(target, (), {})


def generator() -> Any:
    yield 1


class GeneratorMethods:
    def method(self) -> Any:
        yield 1

    def __call__(self) -> Any:
        yield 1


class AsyncMethods:
    async def method(self) -> None: ...
    async def __call__(self) -> None: ...


@functools.wraps(generator)
def decorated() -> Any:
    return generator()


@pytest.mark.parametrize(
    "target",
    [generator, GeneratorMethods().method, GeneratorMethods(), functools.partial(functools.partial(generator))],
    ids=["function", "method", "object", "partial"],
)
def test_a_generator_function_binds_as_a_plain_one_and_is_known_for_what_it_is(target: Any) -> None:
    assert not bind(target, (), {})
    assert is_generator_function(target)
    with pytest.raises(TypeError, match="too many positional arguments"):
        bind(target, (1, 2), {})


@pytest.mark.parametrize("target", [one, Methods().named, Callable_(), len, Built, decorated])
def test_what_makes_no_generator_by_itself_is_no_generator_function(target: Any) -> None:
    assert not is_generator_function(target)


def test_a_decorated_generator_function_is_known_where_it_was_called() -> None:
    assert wraps_generator_function(decorated)
    assert wraps_generator_function(functools.partial(decorated))
    assert not wraps_generator_function(one)


async def coroutine() -> None: ...


async def agen() -> Any:
    yield 1


@pytest.mark.parametrize(
    "target",
    [coroutine, agen, AsyncMethods().method, AsyncMethods(), functools.partial(coroutine)],
    ids=["function", "generator", "method", "object", "partial"],
)
def test_an_async_function_is_refused_with_what_to_write_instead(target: Any) -> None:
    with pytest.raises(TypeError, match="is an async function; write it as a plain function, without async"):
        bind(target, (), {})


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (one, "one"),
        (functools.partial(functools.partial(one)), "one"),
        (Methods().named, "named"),
        (Callable_(), "Callable_"),
        (len, "len"),
        (Built, "Built"),
    ],
)
def test_a_callable_is_called_by_the_name_of_what_it_runs(target: Any, name: str) -> None:
    assert name_of(target) == name
