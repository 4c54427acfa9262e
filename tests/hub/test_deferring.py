"""Generators that wait at their next yield, wherever they made the call."""

from __future__ import annotations

import weakref
from typing import Any

import greenlet
import pytest

from greencoro.hub.deferring import DeferringCoro

from .generator_modes import on_hub, waits


def sub(coro: Any) -> Any:
    coro.suspend()
    yield "of the sub-call"


def marked_at_the_end(coro: Any) -> Any:
    yield "of the sub-call"
    coro.suspend()


def raises_after_a_call(coro: Any) -> Any:
    yield
    coro.suspend()
    raise KeyError


def test_a_call_is_waited_for_at_the_next_yield_and_what_is_yielded_there_is_lost() -> None:
    done = []

    def generator(coro: Any = None) -> Any:
        coro.suspend()
        done.append(1)
        return (yield 5)

    coro = DeferringCoro(generator)
    waits(coro)
    assert done == [1] and coro._worker is None
    coro.resume("update")
    assert coro.value(10) == "update"


def test_a_message_is_waited_for_so_too() -> None:
    def generator(coro: Any = None) -> Any:
        coro.receive()
        first = yield
        coro.receive(60)
        second = yield
        coro.receive(0.01, "late")
        return first, second, (yield)

    coro = DeferringCoro(generator)
    for message in "ab":
        waits(coro)
        coro.send(message)
    assert coro.value(10) == ("a", "b", "late")


def test_the_last_call_before_a_yield_counts() -> None:
    def generator(coro: Any = None) -> Any:
        coro.suspend()
        coro.sleep(0.01, "over")
        return (yield)

    assert DeferringCoro(generator).value(10) == "over"


@pytest.mark.parametrize("function", [sub, marked_at_the_end])
def test_a_call_of_a_sub_generator_may_be_waited_for_at_its_callers_yield(function: Any) -> None:
    def generator(coro: Any = None) -> Any:
        if function is sub:
            return (yield sub(coro)), (yield 3)
        return (yield marked_at_the_end(coro)), (yield 3)

    coro = DeferringCoro(generator)
    waits(coro)
    coro.resume("update")
    assert coro.value(10) == ("update", 3)


def test_a_sub_generator_that_raises_is_not_waited_for() -> None:
    def generator(coro: Any = None) -> Any:
        try:
            yield raises_after_a_call(coro)
        except KeyError:
            return (yield "goes on")

    assert DeferringCoro(generator).value(10) == "goes on"


def test_a_sub_call_that_is_yielded_after_a_call_begins_when_the_wait_is_over() -> None:
    order = []

    def inner() -> Any:
        order.append("inner")
        yield 1
        return "result"

    def generator(coro: Any = None) -> Any:
        coro.suspend()
        order.append("marked")
        return (yield inner())

    coro = DeferringCoro(generator)
    waits(coro)
    assert order == ["marked"]
    coro.resume()
    assert coro.value(10) == "result"


def test_what_nobody_yields_for_is_not_waited_for() -> None:
    def generator(coro: Any = None) -> Any:
        yield
        coro.suspend()
        return "over"

    assert DeferringCoro(generator).value(10) == "over"


def test_what_has_its_answer_is_not_waited_for() -> None:
    def generator(coro: Any = None) -> Any:
        coro.send("queued")
        queued = coro.receive()
        return queued, coro.receive(0, "none"), coro.receive(-1, "none"), coro.suspend(0, "none"), (yield 5)

    assert DeferringCoro(generator).value(10) == ("queued", "none", "none", "none", 5)


def test_a_resumption_between_a_call_and_its_yield_is_remembered() -> None:
    def generator(coro: Any = None) -> Any:
        coro.suspend()
        coro.resume("early")
        return (yield)

    assert DeferringCoro(generator).value(10) == "early"


def test_it_leaves_its_worker_inside_try_blocks_too() -> None:
    def generator(coro: Any = None) -> Any:
        try:
            return (yield coro.receive())
        finally:
            with pytest.raises(KeyError):
                yield coro.receive()

    coro = DeferringCoro(generator)
    waits(coro)
    assert on_hub(lambda: coro._worker is None)
    coro.send("message")
    waits(coro)
    assert on_hub(lambda: coro._worker is None)
    coro.throw(KeyError)
    assert coro.value(10) == "message"


def test_a_function_that_it_calls_may_make_the_call_too() -> None:
    def ask(coro: Any) -> Any:
        return coro.receive(60)

    def generator(coro: Any = None) -> Any:
        ask(coro)
        return (yield), (yield ask(coro))

    coro = DeferringCoro(generator)
    for message in "ab":
        waits(coro)
        coro.send(message)
    assert coro.value(10) == ("a", "b")


def test_others_do_not_make_it_wait() -> None:
    def generator(coro: Any = None) -> Any:
        return (yield coro.receive())

    def other(coro: Any = None) -> Any:
        with pytest.raises(RuntimeError, match="by that coroutine only"):
            yield waiting.receive()
        with pytest.raises(RuntimeError, match="by that coroutine only"):
            waiting.suspend()
        return "told"

    waiting = DeferringCoro(generator)
    waits(waiting)
    assert DeferringCoro(other).value(10) == "told"
    with pytest.raises(RuntimeError, match="by that coroutine only"):
        waiting.receive()
    waiting.send("message")
    assert waiting.value(10) == "message"


def test_where_it_cannot_leave_its_worker_it_waits_where_it_calls() -> None:
    def generator(coro: Any = None) -> Any:
        kept = weakref.ref(greenlet.getcurrent())
        coro.receive()
        return kept is not None, coro.suspend(0.01, "over"), (yield 5)

    coro = DeferringCoro(generator)
    waits(coro)
    coro.send("taken")
    assert coro.value(10) == (True, "over", 5)


def test_while_it_cleans_up_it_waits_where_it_calls() -> None:
    cleaned = []

    def generator(coro: Any = None) -> Any:
        try:
            yield coro.receive()
        finally:
            cleaned.append((coro.receive(60), coro.suspend(0.01, "over")))

    coro = DeferringCoro(generator)
    waits(coro)
    coro.terminate()
    waits(coro)
    coro.send("message")
    coro._wait_for_end(10)
    assert cleaned == [("message", "over")]


def test_a_bad_time_is_told_at_the_call() -> None:
    def generator(coro: Any = None) -> Any:
        with pytest.raises(TypeError, match=r"receive\(\) takes its timeout in seconds"):
            coro.receive("5")
        return (yield "goes on")

    assert DeferringCoro(generator).value(10) == "goes on"
