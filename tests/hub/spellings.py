"""Ways to write a wait in a generator, with what each evaluates to and whether it can be waited for without a greenlet.

Each function is run as a coroutine that is sent "a", "b", "c", ... whenever it waits.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import greencoro
from greencoro import sleep


class Spelling(NamedTuple):
    function: Callable[..., Any]
    result: Any
    #: Does the generator leave its worker for the (first) wait? None: in some versions of Python.
    leaves: bool | None


SPELLINGS: list[Spelling] = []


def spelling(result: Any, leaves: bool | None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        SPELLINGS.append(Spelling(function, result, leaves))
        return function

    return add


def by_name(name: str) -> Spelling:
    return next(each for each in SPELLINGS if each.function.__name__ == name)


# What is recognised.


@spelling("a", True)
def plain(coro=None):
    message = yield coro.receive()
    return message


@spelling("a", True)
def last_yield(coro=None):
    yield coro.receive()


@spelling(["a", "b"], True)
def two(coro=None):
    return [(yield coro.receive()), (yield coro.receive())]


@spelling("a", True)
def with_timeout(coro=None):
    return (yield coro.receive(30))


@spelling("a", True)
def with_keywords(coro=None):
    return (yield coro.receive(timeout=30, alarm_value="late"))


@spelling("late", True)
def alarm(coro=None):
    return (yield coro.receive(0.02, "late", match=lambda message: message == "never"))


@spelling("b", True)
def selective(coro=None):
    return (yield coro.receive(match=lambda message: message == "b"))


@spelling(["b", "a"], True)
def selective_then_the_rest(coro=None):
    second = yield coro.receive(match=lambda message: message == "b")
    first = yield coro.receive()
    return [second, first]


class Holder:
    def __init__(self, coro: Any) -> None:
        self.coro = coro

    def method(self):
        return (yield self.coro.receive())


@spelling("a", True)
def attribute(coro=None):
    holder = Holder(coro)
    return (yield holder.coro.receive())


@spelling("a", True)
def method_as_sub_call(coro=None):
    return (yield Holder(coro).method())


@spelling("a", True)
def in_an_expression(coro=None):
    return "".join([(yield coro.receive())])


@spelling(("a", 1), True)
def assignment_expression(coro=None):
    if message := (yield coro.receive()):
        return message, 1


@spelling("a", True)
def computed_argument(coro=None):
    return (yield coro.receive(sum([10, 20]), "late"))


@spelling("a", True)
def in_a_loop(coro=None):
    for _ in range(1):
        while True:
            return (yield coro.receive())


@spelling("a", True)
def sub_call(coro=None):
    def inner():
        message = yield coro.receive()
        raise StopIteration(message)

    return (yield inner())


@spelling("a", True)
def generator_expression(coro=None):
    yield (coro.receive() for _ in range(1))


lambda_function = lambda coro: (yield coro.receive())  # noqa: E731
lambda_function.__name__ = "lambda_function"
SPELLINGS.append(Spelling(lambda_function, "a", True))


@spelling([None, "a"], True)
def suspended(coro=None):
    return [(yield coro.suspend(0.02)), (yield coro.receive())]


@spelling(["over", "a"], True)
def slept(coro=None):
    return [(yield coro.sleep(0.02, "over")), (yield coro.receive())]


@spelling([None, "a"], True)
def slept_by_the_function(coro=None):
    return [(yield sleep(0.02)), (yield coro.receive())]


@spelling([None, "a"], True)
def slept_by_the_module(coro=None):
    return [(yield greencoro.sleep(0.02)), (yield coro.receive())]


# What is not recognised, and waits on a worker.


def helper(coro: Any) -> Any:
    return coro.receive()


@spelling("a", False)
def helper_function(coro=None):
    return (yield helper(coro))


def inner_generator(coro: Any) -> Any:
    message = yield coro.receive()
    return message


@spelling("a", False)
def delegation(coro=None):
    return (yield from inner_generator(coro))


@spelling(("a", 5), False)
def next_by_hand(coro=None):
    inner = inner_generator(coro)
    message = next(inner)
    yield 5
    try:
        inner.send(message)
    except StopIteration as stop:
        return stop.value, 5


@spelling("a", False)
def in_two_lines(coro=None):
    message = coro.receive()
    return (yield message)


@spelling("a", False)
def without_yield(coro=None):
    message = coro.receive()
    yield
    return message


@spelling("a", False)
def alias(coro=None):
    receive = coro.receive
    return (yield receive())


@spelling("a", False)
def partial(coro=None):
    return (yield functools.partial(coro.receive, 30)())


@spelling("a", False)
def decorated(coro=None):
    @functools.wraps(coro.receive)
    def receive(*args: Any) -> Any:
        return coro.receive(*args)

    return (yield receive())


@spelling(["a"], False)
def mapped(coro=None):
    return (yield list(map(coro.receive, [30])))


@spelling(["a"], False)
def iterated(coro=None):
    return (yield list(iter(coro.receive, "b")))


@spelling(20, False)
def as_a_key(coro=None):
    return (yield max([30, 20], key=coro.receive))


@spelling([20, 30], False)
def sorting(coro=None):
    return (yield sorted([20, 30], key=coro.receive))


@spelling(("a", 1), False)
def in_a_tuple(coro=None):
    return (yield coro.receive(), 1)


@spelling(["a"], False)
def in_a_list(coro=None):
    return (yield [coro.receive()])


@spelling(["a", "b"], False)
def comprehension(coro=None):
    return (yield [coro.receive() for _ in range(2)])


@spelling("a", False)
def star_arguments(coro=None):
    return (yield coro.receive(*[30]))


@spelling("a", False)
def star_keywords(coro=None):
    return (yield coro.receive(**{"timeout": 30}))


@spelling("a", False)
def conditional_argument(coro=None):
    return (yield coro.receive(30 if coro else 40))


@spelling("A", False)
def method_of_the_result(coro=None):
    return (yield coro.receive().upper())


@spelling("a", False)
def or_else(coro=None):
    return (yield coro.receive() or 5)


@spelling("a", False)
def bound_in_place(coro=None):
    return (yield (message := coro.receive()))  # noqa: F841


@spelling("a", False)
def in_a_lambda(coro=None):
    return (yield (lambda: coro.receive())())


@spelling("a", False)
def method_caller(coro=None):
    return (yield operator.methodcaller("receive")(coro))


@spelling("a", False)
def by_getattr(coro=None):
    return (yield getattr(coro, "receive")())  # noqa: B009


@spelling("a", False)
def in_try(coro=None):
    try:
        return (yield coro.receive())
    finally:
        coro.name = "over"


@spelling("a", False)
def in_except(coro=None):
    try:
        raise KeyError
    except KeyError:
        return (yield coro.receive())


@spelling("a", False)
def in_with(coro=None):
    with open("/dev/null"):
        return (yield coro.receive())


@spelling("a", False)
def sub_call_in_try(coro=None):
    try:
        return (yield inner_generator(coro))
    except KeyError:
        return "no"


def each_of(coro: Any) -> Iterator[Any]:
    yield coro.receive()


@spelling(["a"], False)
def consumed_by_a_call(coro=None):
    return (yield list(each_of(coro)))


class Transforming:
    """Its method is a C function that calls `receive` and makes something of what it returns."""

    def __init__(self, coro: Any) -> None:
        self.receive = functools.partial(functools.reduce, lambda first, timeout: (first, coro.receive(timeout)))


@spelling((1, "a"), False)
def method_of_the_same_name(coro=None):
    return (yield Transforming(coro).receive([1, 30]))


class PassingOn:
    """Its method is a C function that returns what `receive` does."""

    def __init__(self, coro: Any) -> None:
        self.receive = functools.partial(coro.receive, 30)


@spelling("a", True)
def method_that_passes_on(coro=None):
    return (yield PassingOn(coro).receive())


@spelling("a", None)
def either_of_two_calls(coro=None):
    return (yield coro.receive() if coro else None)
