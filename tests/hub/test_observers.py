import time
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


class Short:
    """Watches others, until it is over."""

    def __init__(self) -> None:
        self.is_over = False
        self.heard: list[Any] = []

    def has_ended_for_good(self) -> bool:
        return self.is_over

    def hear(self, coro: Any) -> None:
        self.heard.append(coro)


def test_those_whose_watchers_have_ended_do_not_pile_up_and_the_others_stay_in_order() -> None:
    observers, told = Observers(), []
    living = [Short() for _ in range(10)]
    for number in range(2000):
        if number % 200 == 0:
            assert observers.add(living[number // 200].hear, living[number // 200])
            assert observers.add(lambda coro, number=number: told.append(number))
        short = Short()
        assert observers.add(short.hear, short)
        short.is_over = True
        assert len(observers) <= 65
    observers.tell("coro")
    assert told == list(range(0, 2000, 200))
    assert [watcher.heard for watcher in living] == [["coro"]] * 10


def test_those_whose_watchers_have_ended_are_looked_for_when_the_table_has_doubled_only() -> None:
    asked = 0

    class Lasting(Short):
        def has_ended_for_good(self) -> bool:
            nonlocal asked
            asked += 1
            return False

    observers = Observers()
    for _ in range(5000):
        lasting = Lasting()
        observers.add(lasting.hear, lasting)
    assert len(observers) == 5000
    assert asked < 4 * 5000


def test_a_watcher_that_lives_is_told_and_may_be_removed() -> None:
    observers, watcher = Observers(), Short()
    observers.add(watcher.hear, watcher)
    assert observers.remove(watcher.hear) and not observers.remove(watcher.hear)
    observers.add(watcher.hear, watcher)
    observers.tell("coro")
    assert watcher.heard == ["coro"] and not observers.remove(watcher.hear)


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
    # Of this thread, whatever else the machine does meanwhile.
    began = time.thread_time()
    for observer in listed:
        observers.add(observer)
    for observer in listed[::2]:
        observers.remove(observer)
    observers.tell(None)
    assert told == list(range(1, 20_000, 2))
    # A list that is searched would need some 10 s.
    assert time.thread_time() - began < 3
