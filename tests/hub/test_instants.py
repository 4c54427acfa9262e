"""Tests of greencoro.hub.instants."""

import dis
from collections.abc import Callable
from types import CodeType
from typing import Any

from greencoro.hub.instants import is_clean


def code_of(function: Callable[..., Any]) -> CodeType:
    return function.__code__


def instructions(function: Callable[..., Any], name: str) -> list[dis.Instruction]:
    found = [each for each in dis.get_instructions(function) if name in each.opname]
    assert found, f"no {name} in {function.__name__}()"
    return found


def call(function: Callable[..., Any], number: int) -> bool:
    """Is the instant after the function's call of that number clean?"""
    calls = [each for each in dis.get_instructions(function) if each.opname in ("CALL", "CALL_FUNCTION_EX")]
    return is_clean(code_of(function), calls[number].offset)


def take_and_try(lock: Any) -> None:
    lock.acquire()
    try:
        lock.work()
        lock.more()
    finally:
        lock.release()


def take_into_attribute_and_try(lock: Any) -> None:
    lock.was_free = lock.acquire()
    try:
        lock.work()
    finally:
        lock.release()


def open_with(lock: Any) -> None:
    with lock.opened():
        lock.work()
        lock.more()


def far_from_any_try(lock: Any) -> None:
    lock.work()
    lock.more()
    lock.again()
    lock.and_again()
    try:
        lock.last()
    finally:
        lock.release()


def loops(lock: Any) -> None:
    while lock.locked():
        lock.acquire()
        try:
            pass
        finally:
            lock.release()


def loops_over(things: Any) -> None:
    for _ in things:
        pass


def test_a_function_is_not_left_where_it_begins():
    for function in (loops, loops_over, take_and_try):
        begin = instructions(function, "RESUME")[0]
        assert not is_clean(code_of(function), begin.offset)


def test_a_loop_is_left_where_it_turns_back():
    for function in (loops, loops_over):
        assert all(is_clean(code_of(function), turn.offset) for turn in instructions(function, "JUMP_BACKWARD"))


def loops_in_a_try(lock: Any) -> None:
    try:
        while lock.locked():
            pass
    finally:
        lock.release()


def test_a_loop_in_a_try_is_not_left_where_the_try_does_not_reach():
    handled = [(each.start, each.end) for each in dis.Bytecode(loops_in_a_try).exception_entries]
    for turn in instructions(loops_in_a_try, "JUMP_BACKWARD"):
        is_handled = any(start <= turn.offset < end for start, end in handled)
        assert is_clean(code_of(loops_in_a_try), turn.offset) == is_handled


def test_nothing_is_left_between_a_call_and_a_try_that_follows_it():
    assert not call(take_and_try, 0)
    assert not call(take_into_attribute_and_try, 0)
    assert not call(open_with, 0)


def test_a_function_is_left_after_a_call_inside_a_try_or_far_from_one():
    assert call(take_and_try, 1)
    assert call(far_from_any_try, 0)
    assert call(far_from_any_try, 1)
    assert not call(far_from_any_try, 3)


def test_the_table_of_handlers_is_read_as_the_interpreter_reads_it():
    # Offsets that take more than six bits.
    lines = [f"    lock.call{number}()" for number in range(200)]
    text = "\n".join(
        ["def long(lock):", *lines, "    try:", "        lock.last()", "    finally:", "        lock.end()"]
    )
    names: dict[str, Any] = {}
    exec(text, names)
    long = names["long"]
    assert call(long, 150)
    assert not call(long, 199)
