"""What belongs to a greenlet belongs to a generator, on whichever worker it goes on."""

from __future__ import annotations

import contextvars
from typing import Any

import gevent
import gevent.local
import gevent.lock

from greencoro import Coro, Lock, sleep

from .conftest import Run
from .generator_modes import on_hub, parking_fixture  # noqa: F401


def test_the_running_coroutine_is_known_after_every_wait(parking: bool) -> None:
    def generator(coro: Any = None) -> Any:
        known = []
        for _ in range(3):
            known.append(Coro.current() is coro)
            yield coro.receive()
            known.append(Coro.current() is coro)
            yield
            known.append((yield inner(coro)))
        return known

    def inner(coro: Any) -> Any:
        yield sleep(0.001)
        return Coro.current() is coro

    def start() -> Any:
        coros = [Coro(generator) for _ in range(5)]
        for _ in range(3):
            for coro in coros:
                coro.send(1)
            sleep(0.005)
        return [coro.value(10) for coro in coros]

    assert on_hub(start) == [[True] * 9] * 5


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_context_variables_are_the_coroutines_own_whatever_worker_it_is_on(parking: bool) -> None:
    def sets(name: str, coro: Any = None) -> Any:
        before = variable.get()
        variable.set(name)
        seen = [before]
        for _ in range(2):
            yield coro.receive()
            seen.append(variable.get())
            yield
            seen.append(variable.get())
        return seen

    def unset(coro: Any = None) -> Any:
        yield coro.receive()
        return variable.get()

    def start() -> Any:
        coros = [Coro(sets, name) for name in "abc"]
        other = Coro(unset)
        for _ in range(2):
            sleep(0)
            for coro in reversed(coros):
                coro.send(1)
            sleep(0.005)
        other.send(1)
        return [coro.value(10) for coro in coros], other.value(10), variable.get()

    seen, other, own = on_hub(start)
    assert seen == [["unset"] + [name] * 4 for name in "abc"]
    assert (other, own) == ("unset", "unset")


def test_data_local_to_its_greenlet_stays_with_a_generator(parking: bool) -> None:
    data = gevent.local.local()

    def generator(name: str, coro: Any = None) -> Any:
        data.name = name
        yield coro.receive()
        first = data.name
        yield
        yield coro.sleep(0.002)
        return first, data.name

    def start() -> Any:
        coros = [Coro(generator, name) for name in "abc"]
        sleep(0.002)
        for coro in reversed(coros):
            coro.send(1)
        return [coro.value(10) for coro in coros]

    assert on_hub(start) == [(name, name) for name in "abc"]


def test_a_timeout_of_gevent_in_a_generator_meets_that_generator(parking: bool) -> None:
    def generator(coro: Any = None) -> Any:
        try:
            with gevent.Timeout(0.02):
                yield coro.receive()
        except gevent.Timeout:
            return "timed out"

    def in_sub_call(coro: Any = None) -> Any:
        def inner() -> Any:
            yield
            yield coro.receive()

        try:
            with gevent.Timeout(0.02):
                yield inner()
        except gevent.Timeout:
            return "timed out"

    def bystander(coro: Any = None) -> Any:
        return (yield coro.receive(0.1, "undisturbed"))

    coros = [Coro(function) for function in (bystander, generator, bystander, in_sub_call, bystander)]
    expected = ["undisturbed", "timed out", "undisturbed", "timed out", "undisturbed"]
    assert [coro.value(10) for coro in coros] == expected


def test_a_lock_that_belongs_to_a_greenlet_is_held_by_one_generator_at_a_time(parking: bool) -> None:
    lock = gevent.lock.RLock()
    inside: list[str] = []

    def generator(name: str, coro: Any = None) -> Any:
        with lock:
            inside.append(name)
            yield coro.sleep(0.002)
            yield
            inside.append(name)

    coros = [Coro(generator, name) for name in "abc"]
    for coro in coros:
        coro.value(10)
    assert inside[::2] == inside[1::2]


def test_in_a_patched_process_what_belongs_to_a_thread_belongs_to_the_generator(run: Run) -> None:
    program = """
    import threading
    local = threading.local()
    lock = threading.RLock()
    left_the_lock = []
    def generator(name, coro=None):
        local.name = name
        with lock:
            time.sleep(0.01)
            yield sleep(0.01)
            yield coro.receive(0.01)
        left_the_lock.append(name)
        time.sleep(0.001)
        message = yield coro.receive()
        assert local.name == name
        raise StopIteration(message)
    def parked(coro=None):
        return (yield coro.receive())
    coros = [Coro(generator, n) for n in range(20)] + [Coro(parked) for n in range(20)]
    while len(left_the_lock) < 20:
        time.sleep(0.01)
    for n, coro in enumerate(coros):
        coro.send(n)
    print([coro.value(10) for coro in coros] == list(range(40)))
    """
    ended = run(program, patched=True)
    assert (ended.status, ended.out, ended.err) == (0, "True\n", "")


def test_what_a_coroutine_left_behind_in_its_greenlet_is_not_seen_by_the_next(parking: bool) -> None:
    data = gevent.local.local()

    def leaves() -> Any:
        data.left = 1
        yield

    def leaves_at_once() -> None:
        data.left = 1

    def looks() -> Any:
        yield
        return hasattr(data, "left")

    def look_at_once() -> bool:
        return hasattr(data, "left")

    def start() -> Any:
        coros = [Coro(function) for function in (leaves, look_at_once, leaves_at_once, looks, look_at_once)]
        return [coro.value(10) for coro in coros]

    assert on_hub(start) == [None, False, None, False, False]


def test_a_yield_whose_call_has_waited_takes_no_further_turn() -> None:
    lock = Lock()
    order: list[str] = []

    def acquires() -> Any:
        yield lock.acquire()
        order.append("acquired")
        lock.release()

    def releases() -> Any:
        lock.acquire()
        Coro(acquires)
        sleep(0)
        lock.release()
        sleep(0)
        order.append("one turn later")

    Coro(releases).value(10)
    assert order == ["acquired", "one turn later"]


def test_a_yield_whose_call_has_not_waited_lets_others_have_a_turn() -> None:
    lock = Lock()
    order: list[str] = []

    def acquires(name: str) -> Any:
        for _ in range(2):
            yield lock.acquire()
            order.append(name)
            yield lock.release()

    def act() -> None:
        for coro in (Coro(acquires, "a"), Coro(sleep), Coro(lambda: order.append("other"))):
            coro.value()

    Coro(act).value(10)
    assert order == ["other", "a", "a"]
