"""Exceptions in generators and into them; everything holds for both ways of waiting."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from greencoro import Coro, sleep

from .generator_modes import parking_fixture, waits  # noqa: F401

pytestmark = pytest.mark.usefixtures("parking")


def result(function: Any, *args: Any) -> Any:
    return Coro(function, *args).value(10)


def fails() -> Any:
    yield 1
    raise KeyError("inner")


def test_what_a_sub_call_raises_is_raised_at_its_yield() -> None:
    def generator() -> Any:
        try:
            yield fails()
        except KeyError as error:
            return error.args

    assert result(generator) == ("inner",)


def test_an_exception_passes_through_callers_and_out_to_who_asks_for_the_value() -> None:
    passed = []

    def middle() -> Any:
        try:
            yield fails()
        finally:
            passed.append("middle")

    def generator() -> Any:
        yield 5
        try:
            yield middle()
        finally:
            passed.append("outer")

    with pytest.raises(KeyError, match="inner") as caught:
        result(generator)
    assert passed == ["middle", "outer"]
    names = [entry.name for entry in traceback.extract_tb(caught.tb)]
    assert names[-3:] == ["generator", "middle", "fails"]


def test_a_traceback_shows_the_users_code_and_none_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    def middle() -> Any:
        yield fails()

    def generator() -> Any:
        yield middle()

    coro = Coro(generator)
    with pytest.raises(KeyError):
        coro.value(10)
    assert coro._failure is not None
    lines = coro._failure.text.splitlines()
    assert [line.split()[-1] for line in lines if line.startswith("  File")] == ["generator", "middle", "fails"]
    assert f"uncaught exception in coroutine {coro!r}" in caplog.text


def test_an_exception_ten_thousand_calls_deep_comes_out() -> None:
    def down(depth: int) -> Any:
        if not depth:
            raise KeyError("bottom")
        try:
            yield down(depth - 1)
        except KeyError as error:
            error.args = (error.args[0], depth)
            raise error.with_traceback(None)  # noqa: B904

    with pytest.raises(KeyError) as caught:
        result(down, 10_000)
    assert caught.value.args == ("bottom", 10_000)


def test_the_last_yields_value_of_one_that_raised_is_kept() -> None:
    coro = Coro(fails)
    with pytest.raises(KeyError):
        coro.value(10)
    assert coro._failure is not None and coro._failure.last == 1


def test_a_runtime_error_of_the_users_own_is_one() -> None:
    def nested() -> Any:
        raise StopIteration(5)
        yield

    def takes_next() -> Any:
        yield 1
        next(nested())

    def delegates() -> Any:
        return (yield from nested())

    def its_own() -> Any:
        yield
        raise RuntimeError("generator raised StopIteration") from KeyError()

    for function in (takes_next, delegates, its_own):
        with pytest.raises(RuntimeError, match="generator raised StopIteration"):
            result(function)


def test_a_generator_that_is_running_or_over_or_begun_cannot_be_yielded() -> None:
    def itself(own: list[Any]) -> Any:
        try:
            yield own[0]
        except RuntimeError as error:
            return str(error)

    def run_itself() -> Any:
        own: list[Any] = []
        own.append(itself(own))
        return (yield own[0])

    assert "itself() yielded itself" in result(run_itself)

    def finished() -> Any:
        generator = fails()
        generator.close()
        yield generator

    with pytest.raises(RuntimeError, match=r"fails\(\) is over already; each use takes a new one"):
        result(finished)

    def begun() -> Any:
        generator = fails()
        next(generator)
        yield generator

    with pytest.raises(RuntimeError, match=r"fails\(\) has begun already; each use takes a new one"):
        result(begun)

    def calls_back(own: list[Any]) -> Any:
        yield inner(own)

    def inner(own: list[Any]) -> Any:
        yield own[0]

    def run_caller() -> Any:
        own: list[Any] = []
        own.append(calls_back(own))
        yield own[0]

    with pytest.raises(RuntimeError, match=r"calls_back\(\) has begun already"):
        result(run_caller)


def test_the_same_generator_yielded_by_two_coroutines_is_run_by_one_of_them() -> None:
    def slow() -> Any:
        yield sleep(0.05)
        return "done"

    shared = slow()

    def generator() -> Any:
        return (yield shared)

    first, second = Coro(generator), Coro(generator)
    assert first.value(10) == "done"
    with pytest.raises(RuntimeError, match=r"has begun already|is over already"):
        second.value(10)
