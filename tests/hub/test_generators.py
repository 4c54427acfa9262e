"""The trampoline by itself: no hub, no coroutine."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from greencoro.errors import Terminated
from greencoro.hub import call_sites
from greencoro.hub.generators import DONE, GIVE_WAY, NONE, PARK, STAY, TerminatedAtYield, Trampoline

TOKEN = object()

if not call_sites.can_read:
    pytest.skip("the bytecode of this Python version is not known", allow_module_level=True)


class Waiting:
    """Its `receive` gives a token, or waits (returns "waited") where it may not."""

    trampoline: Trampoline

    def receive(self) -> Any:
        if self.trampoline.takes_token(sys._getframe(1), ("receive",)):
            self.trampoline.token = TOKEN
            return TOKEN
        return "waited"


def test_a_yielded_value_lets_others_have_a_turn_and_is_what_the_yield_evaluates_to() -> None:
    got = []

    def generator() -> Any:
        got.append((yield 1))
        got.append((yield None))
        return "end"

    trampoline = Trampoline(generator(), True)
    assert trampoline.step() == GIVE_WAY and trampoline.last == 1
    assert trampoline.step(trampoline.last) == GIVE_WAY and trampoline.last is None
    assert trampoline.step(trampoline.last) == DONE and trampoline.last == "end"
    assert got == [1, None]


def test_a_generator_that_may_not_leave_stays_at_every_yield_and_gets_no_token() -> None:
    waiting = Waiting()

    def generator() -> Any:
        yield waiting.receive()

    waiting.trampoline = Trampoline(generator(), False)
    assert waiting.trampoline.step() == STAY and waiting.trampoline.last == "waited"


def test_a_token_that_is_yielded_parks_until_there_is_an_answer() -> None:
    waiting = Waiting()

    def generator() -> Any:
        first = yield waiting.receive()
        second = yield waiting.receive()
        return [first, second]

    trampoline = waiting.trampoline = Trampoline(generator(), True)
    assert trampoline.step() == PARK and trampoline.token is TOKEN
    assert trampoline.step("a") == PARK
    assert trampoline.step("b") == DONE
    assert trampoline.last == ["a", "b"] and trampoline.token is NONE


def test_inside_with_and_in_what_is_called_there_a_generator_stays() -> None:
    waiting = Waiting()

    def inner() -> Any:
        yield waiting.receive()

    def generator() -> Any:
        with open("/dev/null"):
            yield 1
            yield inner()
        yield inner()

    trampoline = waiting.trampoline = Trampoline(generator(), True)
    assert trampoline.step() == STAY
    assert trampoline.step(1) == STAY and trampoline.last == "waited"
    assert trampoline.step("waited") == PARK


def test_a_token_that_something_else_is_yielded_for_is_an_error_at_that_yield() -> None:
    waiting = Waiting()

    def generator() -> Any:
        # A C function of that name could call `receive` and return something else.
        waiting.trampoline.token = TOKEN
        try:
            yield 5
        except RuntimeError as error:
            return str(error)

    trampoline = waiting.trampoline = Trampoline(generator(), True)
    assert trampoline.step() == DONE
    assert trampoline.last == "a waiting call was not what was yielded, but 5 in its place"
    assert trampoline.token is NONE


def test_an_exception_between_a_call_and_its_yield_takes_the_token_back() -> None:
    def inner() -> Any:
        trampoline.token = TOKEN
        raise KeyError("between")
        yield

    def generator() -> Any:
        try:
            yield inner()
        except KeyError:
            yield TOKEN

    trampoline = Trampoline(generator(), True)
    assert trampoline.step() in (GIVE_WAY, STAY)
    assert trampoline.token is NONE and trampoline.last is TOKEN


def test_what_is_thrown_is_raised_at_the_innermost_yield_and_passes_through_its_callers() -> None:
    passed = []

    def inner() -> Any:
        try:
            yield 1
        finally:
            passed.append("inner")

    def outer() -> Any:
        try:
            yield inner()
        except ValueError as error:
            return error

    error = ValueError("thrown")
    trampoline = Trampoline(outer(), True)
    trampoline.step()
    assert trampoline.throw(error) == DONE
    assert trampoline.last is error and passed == ["inner"]


def test_closing_reaches_every_caller_whatever_the_inner_ones_do_with_it() -> None:
    met: list[str] = []

    def innermost() -> Any:
        try:
            yield 1
        except GeneratorExit:
            met.append("innermost")
            return "ignored"

    def middle() -> Any:
        try:
            yield innermost()
            met.append("never")
        except Terminated:
            met.append("middle")
            raise

    def outer() -> Any:
        try:
            yield middle()
        finally:
            met.append("outer")

    trampoline = Trampoline(outer(), True)
    trampoline.step()
    trampoline.close()
    with pytest.raises(GeneratorExit):
        trampoline.throw(TerminatedAtYield())
    assert met == ["innermost", "middle", "outer"]


def test_a_generator_that_yields_while_it_is_closed_is_told_off_there_and_its_callers_hear_of_it() -> None:
    met: list[str] = []

    def stubborn() -> Any:
        try:
            yield 1
        finally:
            try:
                yield 2
            except RuntimeError as error:
                met.append(str(error))
                raise

    def outer() -> Any:
        try:
            yield stubborn()
        except RuntimeError as error:
            raise KeyError("heard") from error

    trampoline = Trampoline(outer(), True)
    trampoline.step()
    trampoline.close()
    with pytest.raises(KeyError, match="heard") as caught:
        trampoline.throw(TerminatedAtYield())
    assert str(caught.value.__cause__) == "generator ignored GeneratorExit"
    assert met == ["generator ignored GeneratorExit"]


def test_a_generator_that_yields_even_when_told_off_is_given_up() -> None:
    def stubborn() -> Any:
        for _ in range(3):
            try:
                yield 1
            except (GeneratorExit, RuntimeError):
                continue

    def outer() -> Any:
        yield stubborn()

    trampoline = Trampoline(outer(), True)
    trampoline.step()
    trampoline.close()
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        trampoline.throw(TerminatedAtYield())


def test_a_yield_from_of_what_is_no_generator_yields_each_item() -> None:
    def doubled() -> Any:
        return (yield 7)

    def generator() -> Any:
        result = yield from [1, 2]
        yield from [doubled(), doubled()]
        return result, (yield 3)

    trampoline = Trampoline(generator(), True)
    assert trampoline.step() == STAY and trampoline.last == 1
    assert trampoline.step_iterator() == STAY and trampoline.last == 2
    assert trampoline.step_iterator() == STAY and trampoline.last == 7
    assert trampoline.step(7) == STAY and trampoline.last == 7
    assert trampoline.step(7) == GIVE_WAY and trampoline.last == 3
    assert trampoline.step(3) == DONE and trampoline.last == (None, 3)


def test_frames_are_told_from_the_outermost_in() -> None:
    def inner() -> Any:
        yield 1

    def outer() -> Any:
        yield inner()

    trampoline = Trampoline(outer(), True)
    trampoline.step()
    assert [frame.f_code.co_name for frame in trampoline.frames()] == ["outer", "inner"]
    assert trampoline.in_sub_call()
    trampoline.step(1)
    assert not trampoline.in_sub_call()


@pytest.mark.parametrize(("keeps", "result"), [(True, "yielded"), (False, None)])
def test_where_nothing_is_returned_the_result_is_what_the_last_yield_evaluated_to_unless_that_is_not_kept(
    keeps: bool, result: Any
) -> None:
    class Plain(Trampoline):
        keeps_last_yield = keeps

    def inner() -> Any:
        yield "yielded"

    def outer(results: list[Any]) -> Any:
        results.append((yield inner()))
        yield "yielded"

    results: list[Any] = []
    trampoline = Plain(outer(results), True)
    assert trampoline.step() == GIVE_WAY
    assert trampoline.step(trampoline.last) == GIVE_WAY
    assert trampoline.step(trampoline.last) == DONE
    assert (results, trampoline.last) == ([result], result)
