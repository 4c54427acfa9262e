import sys
import threading
import time
from typing import Any

import pytest

from greencoro.hub import native

from .conftest import Run


def test_an_event_wakes_every_thread_that_waits() -> None:
    event = native.Event()
    woken: list[bool] = []
    threads = [native.Thread(lambda: woken.append(event.wait(10)), f"waiter-{n}") for n in range(20)]
    for thread in threads:
        thread.start()
    assert not woken and not event.is_set()
    event.set()
    assert all(thread.join(10) for thread in threads)
    assert woken == [True] * 20


def test_an_event_that_is_set_does_not_make_anybody_wait() -> None:
    event = native.Event()
    event.set()
    event.set()
    assert event.is_set() and event.wait() and event.wait(0)


@pytest.mark.parametrize("timeout", [0, -1, 0.02])
def test_a_wait_gives_up_at_its_limit(timeout: float) -> None:
    began = time.monotonic()
    assert native.Event().wait(timeout) is False
    assert time.monotonic() - began >= timeout


def test_a_wait_that_gave_up_is_forgotten() -> None:
    event = native.Event()
    for _ in range(100):
        event.wait(0)
    assert not event._waiters


def test_no_wake_up_is_lost_when_many_threads_set_and_wait_at_once() -> None:
    for _ in range(300):
        event = native.Event()
        waiter = native.Thread(lambda event=event: event.wait(10), "waiter")
        waiter.start()
        event.set()
        assert waiter.join(10)


def test_a_limit_of_years_is_no_overflow() -> None:
    event = native.Event()
    waiter = native.Thread(lambda: event.wait(1e12), "patient")
    waiter.start()
    event.set()
    assert waiter.join(10)


def test_join_tells_whether_the_thread_is_over() -> None:
    go = native.Event()
    thread = native.Thread(lambda: go.wait(10), "one")
    thread.start()
    assert thread.join(0.01) is False
    go.set()
    assert thread.join(10) is True
    assert thread.join() is True


def test_a_thread_knows_itself() -> None:
    seen: list[bool] = []
    thread = native.Thread(lambda: seen.append(thread.is_current()), "self-aware")
    thread.start()
    thread.join(10)
    assert seen == [True]
    assert not thread.is_current()


def test_what_a_thread_raises_is_reported_and_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: reported.append(unraisable.exc_value))
    error = ValueError("of the thread")

    def fail() -> None:
        raise error

    thread = native.Thread(fail, "failing")
    thread.start()
    assert thread.join(10)
    while not reported:
        time.sleep(0.001)
    assert reported == [error]


def test_an_unpatched_process_has_the_very_originals() -> None:
    assert type(native.Lock()) is type(threading.Lock())
    assert native.get_ident is threading.get_ident
    assert native.sleep is time.sleep


def test_in_a_patched_process_they_are_the_originals(run: Run) -> None:
    ended = run(
        """
        import gevent
        assert native.Lock is not threading.Lock and native.sleep is not time.sleep
        assert type(native.Lock()).__module__ == "_thread", type(native.Lock())
        assert type(native.RLock()).__module__ == "_thread", type(native.RLock())

        # Identity is the thread's, not the greenlet's.
        assert gevent.spawn(native.get_ident).get() == native.get_ident()
        assert gevent.spawn(threading.get_ident).get() != threading.get_ident()

        # A wait blocks its thread, and only that.
        event, seen = native.Event(), []
        thread = native.Thread(lambda: seen.append((event.wait(10), thread.is_current())), "second")
        thread.start()
        assert not thread.is_current() and not gevent.spawn(thread.is_current).get()
        gevent.sleep(0.01)
        event.set()
        assert thread.join(10) and seen == [(True, True)], seen

        ticks = []
        gevent.spawn(lambda: ticks.append(1))
        native.sleep(0.05)
        assert not ticks
        """,
        patched=True,
    )
    assert ended.status == 0, ended.err


def test_ctrl_c_ends_a_wait_of_the_main_thread(run: Run) -> None:
    ended = run(
        """
        event = native.Event()
        def tell_when_it_waits():
            while not event._waiters:
                native.sleep(0.001)
            ready()
        native.Thread(tell_when_it_waits, "teller").start()
        try:
            event.wait()
        except KeyboardInterrupt:
            assert not event._waiters
            print("interrupted")
        """,
        interrupts=1,
    )
    assert (ended.status, ended.out) == (0, "interrupted\n"), ended.err
