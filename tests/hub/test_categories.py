import functools
import logging
from collections.abc import Callable
from typing import Any

import pytest

from greencoro import Coro, CoroTerminated, Terminated, sleep
from greencoro.hub.categories import CategorizeMessages
from greencoro.hub.sync import Event
from tests.support.polling import poll_until


def parity(message: Any) -> str | None:
    return None if not isinstance(message, int) else "odd" if message % 2 else "even"


def with_messages(messages: list[Any], program: Callable[[CategorizeMessages], Any], *functions: Any) -> Any:
    """What ``program`` returns in a coroutine that has these messages in its mailbox and these category functions."""
    ready = Event()

    def receiver(coro: Any = None) -> Any:
        ready.wait()
        categories = CategorizeMessages(coro)
        for function in functions:
            categories.add(function)
        return program(categories)

    coro = Coro(receiver)
    for message in messages:
        coro.send(message)
    ready.set()
    return coro.value(10)


def test_messages_are_taken_by_category_each_in_its_order() -> None:
    def program(categories: CategorizeMessages) -> Any:
        odd = [categories.receive("odd") for _ in range(3)]
        other = [categories.receive() for _ in range(2)]
        even = [categories.receive("even", timeout=0) for _ in range(3)]
        return odd, other, even

    assert with_messages([0, 1, "a", 2, 3, "b", 4, 5], program, parity) == ([1, 3, 5], ["a", "b"], [0, 2, 4])


def test_without_functions_all_messages_are_of_the_category_none() -> None:
    assert with_messages([1, None, "a"], lambda c: [c.receive(None, 0) for _ in range(3)]) == [1, None, "a"]


def test_the_function_added_last_is_asked_first_and_none_leaves_it_to_the_others() -> None:
    def big(message: int) -> str | None:
        return "big" if message > 10 else None

    def program(categories: CategorizeMessages) -> Any:
        return [categories.receive(name, 0, "none") for name in ("big", "odd", "even", "big", "odd")]

    assert with_messages([11, 1, 2], program, parity, big) == [11, 1, 2, "none", "none"]
    assert with_messages([11, 1, 2], program, big, parity) == ["none", 11, 2, "none", 1]


def test_a_category_may_be_false_and_a_message_anything() -> None:
    def program(categories: CategorizeMessages) -> Any:
        return [categories.receive(0, 0), categories.receive("", 0), categories.receive(False, 0)]

    assert with_messages([None, [], {}], program, lambda message: "" if message == [] else 0) == [None, [], {}]


def test_a_removed_function_is_asked_no_more_and_what_it_sorted_stays_there() -> None:
    def program(categories: CategorizeMessages) -> Any:
        first = categories.receive("even")
        categories.remove(parity)
        return first, categories.receive("odd", 0, "none"), categories.receive(None, 0), categories.receive(None, 0)

    assert with_messages([1, 2, 3, 4], program, parity) == (2, 1, 3, 4)


def test_to_remove_what_was_not_added_is_an_error() -> None:
    def program(categories: CategorizeMessages) -> None:
        categories.remove(parity)
        with pytest.raises(ValueError, match="removed already"):
            categories.remove(parity)

    with_messages([], program, parity)


def test_the_alarm_value_comes_when_the_whole_time_is_over_though_other_messages_come() -> None:
    stop = Event()

    def program(categories: CategorizeMessages) -> Any:
        answer = categories.receive("odd", 0.1, "alarm")
        stop.set()
        return answer

    def disturb(receiver: Coro) -> None:
        while not stop.wait(0.005):
            receiver.send(2)

    def receiver(coro: Any = None) -> Any:
        Coro(disturb, coro)
        categories = CategorizeMessages(coro)
        categories.add(parity)
        return program(categories)

    assert Coro(receiver).value(10) == "alarm"


@pytest.mark.parametrize("timeout", [0, -1, 1e-9])
def test_without_time_it_takes_only_what_is_there_and_all_of_that(timeout: float) -> None:
    def program(categories: CategorizeMessages) -> Any:
        return [categories.receive("odd", timeout, "alarm") for _ in range(2)]

    assert with_messages([0, 2, 4, 1], program, parity) == [1, "alarm"]


@pytest.mark.parametrize("message", ["alarm", None, 7])
def test_a_message_that_is_equal_to_the_alarm_value_is_a_message(message: Any) -> None:
    def program(categories: CategorizeMessages) -> Any:
        return categories.receive("wanted", 0, message), categories.receive("other", 0, "none")

    assert with_messages([message, 5], program, lambda m: "wanted" if m == 5 else "other") == (5, message)


def test_it_waits_for_messages_to_come() -> None:
    started = Event()

    def receiver(coro: Any = None) -> Any:
        categories = CategorizeMessages(coro)
        categories.add(parity)
        started.set()
        return categories.receive("odd"), categories.receive("even", timeout=10)

    coro = Coro(receiver)
    started.wait(10)
    coro.send(2)
    coro.send(3)
    assert coro.value(10) == (3, 2)


def broken(message: Any) -> None:
    raise KeyError(f"cannot sort {message}")


def unhashable(message: Any) -> list[int]:
    return [1]


class Unsure:
    def __hash__(self) -> int:
        raise ValueError("no hash today")


@pytest.mark.parametrize(
    ("function", "error"), [(broken, KeyError), (unhashable, TypeError), (lambda message: Unsure(), ValueError)]
)
def test_a_function_that_fails_is_logged_with_its_traceback_and_the_others_are_asked(
    function: Any, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    assert with_messages([1], lambda c: c.receive("odd", 0, "none"), parity, function) == 1
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is error
    assert function.__name__ in record.getMessage()


def test_a_message_that_was_being_sorted_when_its_coroutine_was_thrown_into_is_not_lost() -> None:
    sorting, calls = Event(), []

    def slow(message: int) -> str:
        calls.append(message)
        if len(calls) == 1:
            sorting.set()
            sleep(10)
        return "any"

    def receiver(coro: Any = None) -> Any:
        categories = CategorizeMessages(coro)
        categories.add(slow)
        try:
            categories.receive("any")
        except Terminated:
            return [categories.receive("any", 0), categories.receive("any", 0), categories.receive("any", 0, "none")]

    coro = Coro(receiver)
    coro.send(1)
    coro.send(2)
    assert sorting.wait(10)
    coro.terminate()
    assert coro.value(10) == [1, 2, "none"]


def test_a_terminated_receiver_ends() -> None:
    coro = Coro(lambda coro: CategorizeMessages(coro).receive("any"))
    poll_until(lambda: coro._mailbox._receiver is not None)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)


def test_emptied_categories_cost_nothing() -> None:
    def program(categories: CategorizeMessages) -> Any:
        for number in range(100):
            assert categories.receive(number) == number
        return categories._queues

    assert with_messages(list(range(100)), program, lambda message: message) == {}


@pytest.mark.parametrize("function", [None, 5, "parity", lambda: None, lambda a, b: None, functools.partial(parity, 1)])
def test_what_cannot_be_called_with_a_message_is_refused(function: Any) -> None:
    def program(categories: CategorizeMessages) -> None:
        with pytest.raises(TypeError, match="category function"):
            categories.add(function)

    with_messages([], program)


def test_generator_functions_and_async_functions_are_refused() -> None:
    def generator(message: Any) -> Any:
        yield message

    async def asynchronous(message: Any) -> None: ...

    def program(categories: CategorizeMessages) -> None:
        for function in (generator, asynchronous):
            with pytest.raises(TypeError, match="plain one"):
                categories.add(function)

    with_messages([], program)


@pytest.mark.parametrize("function", [functools.partial(pow, 2), hash, int, type, lambda m, also=1: m, lambda *m: m[0]])
def test_whatever_can_be_called_with_a_message_may_be_a_function(function: Any) -> None:
    assert with_messages([3], lambda c: c.receive(function(3), 0), function) == 3


def test_only_the_coroutine_itself_may_receive() -> None:
    over = Event()
    shared: list[CategorizeMessages] = []

    def owner(coro: Any = None) -> None:
        shared.append(CategorizeMessages(coro))
        over.wait()

    coro = Coro(owner)
    poll_until(lambda: shared)
    for receive in (lambda: shared[0].receive(None, 0), lambda: Coro(shared[0].receive, None, 0).value(10)):
        with pytest.raises(RuntimeError, match="that coroutine only"):
            receive()
    over.set()
    coro.value(10)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="takes the coroutine"):
        CategorizeMessages("coro")  # type: ignore[arg-type]

    def program(categories: CategorizeMessages) -> None:
        with pytest.raises(TypeError, match="hashable"):
            categories.receive([])  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="in seconds"):
            categories.receive(None, "1")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="NaN"):
            categories.receive(None, float("nan"))

    with_messages([], program)


def test_a_category_that_cannot_be_compared_loses_no_message() -> None:
    class Incomparable:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            raise ValueError("no comparing")

    def program(categories: CategorizeMessages) -> Any:
        with pytest.raises(ValueError, match="no comparing"):
            categories.receive(Incomparable(), 0.0)
        return [categories.receive(None, 0.0) for _ in range(2)], [len(each) for each in categories._queues.values()]

    # The first stands under its category; the second is compared with that.
    assert with_messages([1, 2, 3], program, lambda m: Incomparable() if m < 3 else None) == ([2, 3], [1])
