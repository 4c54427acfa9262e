"""Coroutines made as threads are: ``Coro(target=function, args=(...), kwargs={...})``."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from greencoro import Coro
from greencoro.hub import exit as process_exit

from .places import everywhere


def echo(*args: Any, coro: Any = None, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    assert coro is Coro.current()
    return args, kwargs


@everywhere
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ((), {})),
        ({"args": ()}, ((), {})),
        ({"args": (1, 2)}, ((1, 2), {})),
        ({"args": [1, 2]}, ((1, 2), {})),
        ({"args": iter([1, 2])}, ((1, 2), {})),
        ({"kwargs": {"a": 1}}, ((), {"a": 1})),
        ({"kwargs": None}, ((), {})),
        ({"args": (1,), "kwargs": {"a": 2}}, ((1,), {"a": 2})),
        ({"args": (1,), "kwargs": {}}, ((1,), {})),
        # As threads cannot: without args and kwargs, other keywords are the function's.
        ({"a": 1, "b": 2}, ((), {"a": 1, "b": 2})),
    ],
)
def test_the_function_gets_its_arguments(place: Callable[..., Any], given: dict[str, Any], expected: Any) -> None:
    if "args" in given:
        given = (
            {**given, "args": type(given["args"])(expected[0])} if isinstance(given["args"], list | tuple) else given
        )
    if given.get("args") is not None and not isinstance(given["args"], list | tuple):
        given = {**given, "args": iter(expected[0])}  # an iterator is used up by one
    assert place(lambda: Coro(target=echo, **given).value(10)) == expected


def test_the_coroutine_is_filled_in() -> None:
    made = Coro(target=lambda n, coro: (n, coro), args=(7,))
    assert made.value(10) == (7, made)


def test_a_function_given_first_may_take_parameters_of_these_names() -> None:
    def function(target: Any, args: Any = None, kwargs: Any = None) -> tuple[Any, Any, Any]:
        return target, args, kwargs

    assert Coro(function, target=1, args=2, kwargs=3).value(10) == (1, 2, 3)
    assert Coro(function, 1, kwargs=3).value(10) == (1, None, 3)
    assert Coro(target=function, args=(1, 2), kwargs={"kwargs": 3}).value(10) == (1, 2, 3)


def test_the_callers_objects_are_not_changed() -> None:
    keywords = {"a": 1}
    arguments = [1]
    assert Coro(target=echo, args=arguments, kwargs=keywords).value(10) == ((1,), {"a": 1})
    assert (arguments, keywords) == ([1], {"a": 1})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, r"Coro\(\) takes the function to run, as its first argument or as target="),
        ({"args": (1,)}, r"Coro\(\) takes the function to run"),
        ({"a": 1}, r"Coro\(\) takes the function to run"),
        ({"target": None}, "a coroutine runs a function, not None"),
        ({"target": "echo"}, "a coroutine runs a function, not 'echo'"),
        ({"target": echo, "args": (1,), "a": 1}, r"takes no a; put it into kwargs="),
        ({"target": echo, "kwargs": {}, "name": "n", "daemon": True}, r"takes no name, daemon; put it into kwargs="),
        ({"target": echo, "args": "text"}, "args= is a tuple and kwargs= a dictionary"),
        ({"target": echo, "args": (), "kwargs": [1]}, "args= is a tuple and kwargs= a dictionary"),
        ({"target": echo, "kwargs": "a=1"}, "args= is a tuple and kwargs= a dictionary"),
        ({"target": echo, "args": 5}, "args= is a tuple and kwargs= a dictionary"),
        ({"target": echo, "args": None}, "args= is a tuple and kwargs= a dictionary"),
        ({"target": echo, "kwargs": {5: 1}}, "keyword"),
        ({"target": echo, "kwargs": {"coro": 1}}, "the argument coro= is filled in by greencoro and cannot be given"),
        ({"target": lambda a: a, "args": (1, 2)}, "too many positional arguments"),
        ({"target": lambda a: a}, "missing a required argument: 'a'"),
        ({"target": lambda a: a, "kwargs": {"b": 1}}, "missing a required argument: 'a'"),
    ],
)
def test_what_does_not_fit_is_the_callers_error_and_starts_nothing(given: dict[str, Any], sentence: str) -> None:
    before = dict(process_exit.alive)
    with pytest.raises(TypeError, match=sentence):
        Coro(**given)
    assert not process_exit.alive.keys() - before.keys()


def test_a_function_given_twice_is_the_callers_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'target'"):
        Coro(lambda: None, target=echo)


def test_bound_methods_and_partials_are_functions_too() -> None:
    assert Coro(target=functools.partial(echo, 1), args=(2,)).value(10) == ((1, 2), {})
    assert Coro(target=[3, 1, 2].index, args=(2,)).value(10) == 2
