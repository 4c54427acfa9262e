"""What a ``yield`` evaluates to, and what a coroutine results in."""

import os

import pytest

from greencoro.legacy import asyncoro


def result(function, *args):
    return asyncoro.Coro(function, *args).value(20)


def sub(value):
    yield "last"
    raise StopIteration(value)


def test_a_yield_evaluates_to_what_is_yielded():
    def function(coro=None):
        got = []
        for thing in (5, None, "text", (1, 2), [], 0.0, KeyError):
            got.append((yield thing) == thing)
        got.append((yield) is None)
        reading, writing = os.pipe()
        os.write(writing, b"data")
        got.append((yield os.read(reading, 4)) == b"data")
        os.close(reading)
        os.close(writing)
        got.append((yield coro.send(1)) == 0)
        raise StopIteration(got)

    assert all(result(function))


def test_each_yield_gives_the_others_a_turn():
    order = []

    def function(name, coro=None):
        for number in range(3):
            order.append((number, name))
            yield

    def both(coro=None):
        coros = [asyncoro.Coro(function, name) for name in "ab"]
        for coro in coros:
            yield coro.finish()

    result(both)
    assert [number for number, _ in order] == [0, 0, 1, 1, 2, 2]


def test_a_generator_is_a_sub_call_however_deep():
    def deep(depth, coro):
        if depth == 0:
            raise StopIteration((yield coro.receive()))
        got = yield deep(depth - 1, coro)
        raise StopIteration(got + 1)

    def function(coro=None):
        got = yield deep(5000, coro)
        raise StopIteration(got)

    coro = asyncoro.Coro(function)
    coro.send(7)
    assert coro.value(20) == 5007


def test_what_a_sub_call_raises_is_raised_at_its_yield():
    def failing():
        yield
        raise KeyError("sub")

    def function(coro=None):
        try:
            yield failing()
        except KeyError as error:
            raise StopIteration(error.args[0]) from None

    assert result(function) == "sub"


def test_a_result_is_no_exception_to_who_made_the_sub_call():
    def function(coro=None):
        try:
            got = yield sub("result")
        except Exception as error:
            got = error
        raise StopIteration(got)

    assert result(function) == "result"


def test_a_call_that_waits_is_waited_for_at_the_next_yield_and_what_is_yielded_is_lost():
    def function(coro=None):
        coro.sleep(0.01, "slept")
        raise StopIteration((yield 5))

    assert result(function) == "slept"


def marks(coro):
    yield
    coro.suspend(0.01, "alarm")


def test_a_call_that_waits_at_the_end_of_a_sub_call_is_waited_for_at_its_callers_yield():
    def function(coro=None):
        raise StopIteration((yield marks(coro)), (yield 2))

    assert result(function) == ("alarm", 2)


# How it ends -> its result. Each is a coroutine's body, and a sub-call's.


def stop_with_value(coro):
    yield 3
    raise StopIteration("v")


def stop_with_none(coro):
    yield 3
    raise StopIteration(None)


def stop_with_two(coro):
    yield 3
    raise StopIteration("a", "b")


def stop_class(coro):
    yield 3
    raise StopIteration


def stop_empty(coro):
    yield 3
    raise StopIteration()


def stop_in_try(coro):
    try:
        yield 3
        raise StopIteration("v")
    finally:
        yield 4


def return_value(coro):
    yield 3
    return "v"


def return_nothing(coro):
    yield 3
    return


def falls_off(coro):
    yield 3


def falls_off_after_sleep(coro):
    yield 3
    yield coro.sleep(0.001)


def falls_off_after_message(coro):
    coro.send("message")
    yield coro.receive()


def falls_off_after_sub_call(coro):
    yield sub("of sub")


def never_yields(coro):
    if coro is None:
        yield


def stray_next(coro):
    yield 3
    next(iter(()))


ENDS = [
    (stop_with_value, "v"),
    (stop_with_none, None),
    (stop_with_two, ("a", "b")),
    (stop_class, 3),
    (stop_empty, 3),
    (stop_in_try, "v"),
    (return_value, "v"),
    (return_nothing, 3),
    (falls_off, 3),
    (falls_off_after_sleep, None),
    (falls_off_after_message, "message"),
    (falls_off_after_sub_call, "of sub"),
    (never_yields, None),
    (stray_next, 3),
]


@pytest.mark.parametrize(("function", "expected"), ENDS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_coroutine_results_in_what_its_end_says(function, expected):
    assert asyncoro.Coro(with_coro(function)).value(10) == expected


def with_coro(function):
    """The function with a default for its ``coro``."""
    return type(function)(function.__code__, function.__globals__, function.__name__, (None,))


@pytest.mark.parametrize(("function", "expected"), ENDS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_sub_call_results_in_what_its_end_says(function, expected):
    def caller(coro=None):
        got = yield function(coro)
        raise StopIteration([got])

    assert result(caller) == [expected]


def test_one_that_failed_or_was_terminated_results_in_what_its_last_yield_evaluated_to(capsys):
    def failing(coro=None):
        yield 3
        raise KeyError

    def failing_at_once(coro=None):
        raise KeyError
        yield

    def parked(coro=None):
        yield 3
        yield coro.receive()

    assert (result(failing), result(failing_at_once)) == (3, None)
    coro = asyncoro.Coro(parked)
    assert coro.value(0.01) is None
    assert coro.terminate() == 0
    assert (coro.value(10), coro.value(10)) == (3, 3)
    assert capsys.readouterr().out.count("uncaught exception in ~failing") == 2


def test_value_and_finish_may_be_asked_again_and_at_the_same_time():
    def slow(coro=None):
        yield coro.sleep(0.05)
        raise StopIteration("v")

    slow_one = asyncoro.Coro(slow)

    def asks(coro=None):
        early = yield slow_one.finish(0.001)
        got = yield slow_one.finish()
        again = yield slow_one.finish(timeout=1)
        raise StopIteration([early, got, again])

    asking = asyncoro.Coro(asks)
    assert slow_one.value(0.001) is None
    assert slow_one.value() == slow_one.value(1) == "v"
    assert asking.value(10) == [None, "v", "v"]
