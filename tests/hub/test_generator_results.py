"""What generators evaluate to and result in; everything holds for both ways of waiting."""

from __future__ import annotations

import contextlib
import functools
import gc
import weakref
from typing import Any

import pytest

from greencoro import Coro, sleep
from tests.support.polling import poll_until

from .generator_modes import on_hub, parking_fixture, waits  # noqa: F401

pytestmark = pytest.mark.usefixtures("parking")


def result(function: Any, *args: Any) -> Any:
    return Coro(function, *args).value(10)


def test_a_yield_evaluates_to_what_is_yielded() -> None:
    things = [5, None, "text", (1, 2), [], {}, 0.0, object(), Exception("e"), range(3), iter([1])]

    def generator() -> Any:
        got = []
        for thing in things:
            got.append((yield thing))
        nothing = yield
        return got, nothing

    got, nothing = result(generator)
    assert all(one is other for one, other in zip(got, things, strict=True))
    assert nothing is None


def test_an_awaitable_is_a_value_like_any_other() -> None:
    async def never_awaited() -> None: ...

    awaitable = never_awaited()

    def generator() -> Any:
        return (yield awaitable)

    assert result(generator) is awaitable
    awaitable.close()


def sub(value: Any) -> Any:
    yield 1
    return value


def test_a_yielded_generator_is_a_sub_call_whose_result_the_yield_evaluates_to() -> None:
    def generator() -> Any:
        first = yield sub("a")
        second = yield sub("b")
        return first + second

    assert result(generator) == "ab"


class Methods:
    def __init__(self) -> None:
        self.factor = 3

    def times(self, number: int, coro: Any = None) -> Any:
        yield sleep(0)
        return self.factor * number, coro

    def __call__(self, number: int) -> Any:
        return (yield self.factor * number)


def test_methods_objects_partials_and_decorated_functions_are_run_too() -> None:
    coro = Coro(Methods().times, 5)
    assert coro.value(10) == (15, coro)
    assert result(Methods(), 5) == 15
    assert result(functools.partial(Methods(), 6)) == 18

    @functools.wraps(sub)
    def decorated(value: Any) -> Any:
        return sub(value)

    assert result(decorated, 7) == 7


def test_a_plain_function_may_return_a_generator_as_its_result() -> None:
    generator = sub(1)
    assert result(lambda: generator) is generator


def test_a_sub_generator_gets_no_coro_by_itself() -> None:
    def inner(coro: Any = None) -> Any:
        yield
        return coro

    def generator(coro: Any = None) -> Any:
        assert coro is Coro.current()
        return (yield inner())

    assert result(generator) is None


def returns(value: Any) -> Any:
    yield 3
    return value


def raises_stop(*values: Any) -> Any:
    yield 3
    raise StopIteration(*values)


def raises_bare_stop() -> Any:
    yield 3
    raise StopIteration


def falls_off() -> Any:
    yield 3
    yield 4


def never_yields() -> Any:
    if False:
        yield 3


def stop_before_any_yield(value: Any) -> Any:
    raise StopIteration(value)
    yield


def stray_next() -> Any:
    yield 3
    next(iter(()))


def last_is_sub_call() -> Any:
    yield 1
    yield sub("sub's")


def last_is_sleep() -> Any:
    yield 1
    yield sleep(0.001)


RESULTS = [
    (returns, (5,), 5),
    (returns, (0,), 0),
    (returns, (None,), 3),
    (raises_stop, (5,), 5),
    (raises_stop, (None,), None),
    (raises_stop, (1, 2), (1, 2)),
    (raises_stop, (), 3),
    (raises_bare_stop, (), 3),
    (falls_off, (), 4),
    (never_yields, (), None),
    (stop_before_any_yield, (5,), 5),
    (stray_next, (), 3),
    (last_is_sub_call, (), "sub's"),
    (last_is_sleep, (), None),
]
every_ending = pytest.mark.parametrize(
    ("function", "args", "value"), RESULTS, ids=lambda each: getattr(each, "__name__", str(each))
)


@every_ending
def test_the_result_of_a_coroutine_is_returned_or_raised_or_its_last_yields_value(
    function: Any, args: Any, value: Any
) -> None:
    assert result(function, *args) == value


@every_ending
def test_the_result_of_a_sub_call_is_the_same_at_any_depth_and_its_caller_goes_on(
    function: Any, args: Any, value: Any
) -> None:
    def outer() -> Any:
        try:
            got = yield function(*args)
        except Exception as error:
            return "wrong", error
        return "right", (yield got)

    def outermost() -> Any:
        return [(yield outer()), (yield 7)]

    assert result(outermost) == [("right", value), 7]


def test_a_last_yield_that_raised_is_no_last_value() -> None:
    def fails() -> Any:
        yield 9
        raise KeyError

    def generator() -> Any:
        yield 3
        with contextlib.suppress(KeyError):
            yield fails()

    assert result(generator) == 3


def test_sub_calls_may_be_ten_thousand_deep() -> None:
    def down(depth: int) -> Any:
        if depth:
            below = yield down(depth - 1)
            return below + 1
        return (yield 0)

    assert result(down, 10_000) == 10_000


def test_a_generator_gives_way_once_at_each_yield() -> None:
    order: list[str] = []

    def generator(name: str) -> Any:
        for number in range(3):
            order.append(f"{name}{number}")
            yield

    def start() -> None:
        for coro in [Coro(generator, name) for name in "abc"]:
            coro.value()

    on_hub(start)
    assert order == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


def test_a_message_that_is_there_already_costs_a_round_like_any_other_yield() -> None:
    order: list[str] = []

    def receiver(name: str, coro: Any = None) -> Any:
        for _ in range(3):
            order.append(name + (yield coro.receive()))

    def start() -> None:
        coros = [Coro(receiver, name) for name in "ab"]
        for coro in coros:
            for message in "123":
                coro.send(message)
        for coro in coros:
            coro.value()

    on_hub(start)
    assert order == ["a1", "b1", "a2", "b2", "a3", "b3"]


def test_polling_without_a_wait_lets_others_run() -> None:
    def polls(coro: Any = None) -> Any:
        while (yield coro.receive(0)) != "stop":
            pass
        return "stopped"

    def polls_by_helper(coro: Any = None) -> Any:
        while (yield (lambda: coro.receive(0))()) != "stop":
            pass
        return "stopped"

    for function in (polls, polls_by_helper):
        coro = Coro(function)
        on_hub(lambda: sleep(0.01))
        coro.send("stop")
        assert coro.value(10) == "stopped"


def test_code_between_two_yields_is_not_interrupted() -> None:
    steps: list[int] = []

    def generator(number: int) -> Any:
        for _ in range(20):
            steps.append(number)
            steps.append(number)
            yield

    def start() -> None:
        for coro in [Coro(generator, number) for number in range(5)]:
            coro.value()

    on_hub(start)
    assert steps[::2] == steps[1::2]


def test_a_generator_coroutine_that_is_sent_a_generator_runs_it() -> None:
    def receiver(coro: Any = None) -> Any:
        first = yield coro.receive()
        second = yield coro.receive()
        return first, second

    coro = Coro(receiver)
    waits(coro)
    coro.send(sub("waited for"))
    coro.send(sub("found"))
    assert coro.value(10) == ("waited for", "found")


def test_a_yield_from_of_a_list_yields_each_item() -> None:
    def doubled(number: int) -> Any:
        return 2 * (yield number)

    def generator(coro: Any = None) -> Any:
        yield from [1, 2]
        yield from iter([doubled(3), doubled(4)])
        with contextlib.suppress(KeyError):
            yield from "abc"
        return (yield doubled(5)), (yield coro.receive())

    coro = Coro(generator)
    coro.send("message")
    assert coro.value(10) == (10, "message")


def test_a_generator_given_to_two_coroutines_is_refused_to_the_second() -> None:
    def original(coro: Any) -> Any:
        return (yield coro.receive())

    generators: list[Any] = []

    @functools.wraps(original)
    def shared(coro: Any) -> Any:
        return generators[0]

    def yields_it() -> Any:
        yield generators[0]

    def act() -> list[Coro]:
        coros = [Coro(shared), Coro(shared), Coro(yields_it)]
        generators.append(original(coros[0]))
        return coros

    first, second, third = on_hub(act)
    for coro in (second, third):
        with pytest.raises(RuntimeError, match=r"original\(\) has begun already; each use takes a new one"):
            coro.value(10)
    first.send("of the first")
    assert first.value(10) == "of the first"


def from_list(*things: Any) -> Any:
    yield from [1, *things]


def from_generator_from_list(*things: Any) -> Any:
    yield from from_list(*things)


@pytest.mark.parametrize("function", [from_list, from_generator_from_list])
def test_an_iterator_behind_several_yield_from_is_gone_through(function: Any) -> None:
    def caller() -> Any:
        yield function(2)
        return (yield function(3)), (yield from function(4))

    assert result(function) == 1
    assert result(function, 2) == 2
    assert result(function, sub("of a sub-call")) == "of a sub-call"
    assert result(function, sub("first"), sub("second")) == "second"
    assert result(caller) == (3, None)


def test_a_generator_behind_several_yield_from_is_sent_what_its_yields_evaluate_to() -> None:
    def inner() -> Any:
        return (yield "sent"), (yield sub("of a sub-call"))

    def middle() -> Any:
        return (yield from inner())

    def outer() -> Any:
        return (yield from middle())

    assert result(outer) == ("sent", "of a sub-call")


class Thing:
    """What a generator holds."""


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize("end", ["return", "raise StopIteration", "raise StopIteration(value)"])
def test_what_a_generator_held_is_gone_with_it_however_it_returned(end: str, interrupted: bool, depth: int) -> None:
    things = []

    def generator(level: int, coro: Any = None) -> Any:
        thing = Thing()
        things.append(weakref.ref(thing))
        if level:
            yield generator(level - 1)
        elif interrupted:
            with contextlib.suppress(KeyError):
                yield Coro.current().suspend()
        else:
            yield sleep(0)
        if end == "raise StopIteration":
            raise StopIteration
        if end == "raise StopIteration(value)":
            raise StopIteration("value")

    gc.collect()
    gc.disable()
    try:
        coro = Coro(generator, depth)
        if interrupted:
            waits(coro)
            coro.throw(KeyError())
        coro.value(10)
        poll_until(lambda: [thing() for thing in things] == [None] * (depth + 1))
    finally:
        gc.enable()
