from typing import Any

import pytest

from greencoro.hub import native
from greencoro.hub.observers import Observers


def test_observers_are_told_once_in_the_order_they_were_added() -> None:
    observers, told = Observers(), []
    for number in range(5):
        assert observers.add(lambda coro, number=number: told.append((number, coro)))
    observers.tell("the coroutine")
    observers.tell("the coroutine")
    assert told == [(number, "the coroutine") for number in range(5)]


def test_after_the_end_none_is_added() -> None:
    observers, told = Observers(), []
    observers.tell(None)
    assert observers.add(told.append) is False
    observers.remove(told.append)
    assert told == []


def test_one_that_was_removed_is_not_told() -> None:
    observers, told = Observers(), []
    observers.add(told.append)
    observers.remove(told.append)
    observers.remove(told.append)
    observers.tell("coro")
    assert told == []


def test_one_that_is_added_twice_is_told_once() -> None:
    class Hearer:
        def __init__(self) -> None:
            self.heard: list[Any] = []

        def hear(self, coro: Any) -> None:
            self.heard.append(coro)

    observers, hearer = Observers(), Hearer()
    assert observers.add(hearer.hear) and observers.add(hearer.hear)
    observers.tell("coro")
    assert hearer.heard == ["coro"]


def test_one_that_raises_is_logged_and_the_others_are_told(caplog: pytest.LogCaptureFixture) -> None:
    observers, told = Observers(), []

    def fail(coro: Any) -> None:
        raise ValueError("of the observer")

    observers.add(fail)
    observers.add(told.append)
    observers.tell("coro")
    assert told == ["coro"]
    assert "of the observer" in caplog.text


def test_an_observer_may_add_and_remove_others_while_they_are_told() -> None:
    observers, told = Observers(), []
    late = told.append

    def meddle(coro: Any) -> None:
        observers.remove(late)
        told.append(observers.add(late))

    observers.add(meddle)
    observers.add(late)
    observers.tell("coro")
    # The end has begun: what is left of the table can no more be changed from outside.
    assert told == [False, "coro"]


@pytest.mark.parametrize("sees_it", [True, False])
def test_an_end_that_comes_while_one_is_added_tells_it_exactly_if_add_says_so(sees_it: bool) -> None:
    observers = Observers()
    told: list[Any] = []

    class Racing(dict[Any, bool]):
        def __setitem__(self, observer: Any, listed: bool) -> None:
            if sees_it:
                super().__setitem__(observer, listed)
            observers.tell("coro")
            super().__setitem__(observer, listed)
            if sees_it:
                del self[observer]

    observers._table = Racing()
    assert observers.add(told.append) is sees_it
    assert told == ["coro"] * sees_it


@pytest.mark.usefixtures("frequent_switches")
def test_whoever_adds_while_the_end_comes_is_told_exactly_if_add_said_so() -> None:
    number = 20_000
    ends = [Observers() for _ in range(number)]
    promised: list[int] = []
    told: list[int] = []

    def add_to_all() -> None:
        for n, observers in enumerate(ends):
            if observers.add(lambda coro, n=n: told.append(n)):
                promised.append(n)

    adder = native.Thread(add_to_all, "adder")
    adder.start()
    for observers in ends:
        observers.tell(None)
    assert adder.join(20)
    assert sorted(told) == promised


def test_many_observers_cost_no_more_each_than_few() -> None:
    observers, told = Observers(), []
    listed = [lambda coro, n=n: told.append(n) for n in range(20_000)]
    began = native.monotonic()
    for observer in listed:
        observers.add(observer)
    for observer in listed[::2]:
        observers.remove(observer)
    observers.tell(None)
    assert told == list(range(1, 20_000, 2))
    # A list that is searched would need some 10 s.
    assert native.monotonic() - began < 3
