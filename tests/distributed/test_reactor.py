"""The thread that has all sockets."""

import threading
import time
from types import SimpleNamespace

import pytest

from greencoro.distributed import reactor as reactors
from greencoro.distributed.reactor import Reactor
from greencoro.hub import native
from tests.support.interrupting import interrupt
from tests.support.polling import poll_until


def test_what_is_posted_is_called_in_order_on_its_thread():
    reactor = Reactor()
    called = []
    reactor.post(called.append, "before the start")
    reactor.start()
    for number in range(100):
        reactor.post(called.append, number)
    reactor.post(lambda: called.append(reactor.is_current))
    poll_until(lambda: len(called) == 102)
    assert called == ["before the start", *range(100), True]
    assert not reactor.is_current
    assert reactor.stop(20)


def test_a_reactor_that_cannot_start_says_why_and_the_next_one_can(monkeypatch):
    def fail(self, *args):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Reactor, "call_later", fail)
        with pytest.raises(RuntimeError, match="cannot start") as caught:
            reactors.acquire()
    assert isinstance(caught.value.__cause__, OSError)
    reactor = reactors.acquire()
    called = []
    reactor.post(called.append, 1)
    poll_until(lambda: called)
    reactors.release(5)


def test_a_callback_that_raises_is_logged_and_disturbs_nobody(caplog):
    reactor = Reactor()
    reactor.start()
    called = []
    reactor.post(lambda: 1 / 0)
    reactor.post(reactor.call_later, 0.0, lambda: [][1])
    reactor.post(reactor.call_later, 0.01, called.append, 1)
    poll_until(lambda: called)
    assert reactor.stop(20)
    assert "ZeroDivisionError" in caplog.text and "IndexError" in caplog.text


def test_a_timer_that_was_cancelled_does_not_fire():
    reactor = Reactor()
    reactor.start()
    called = []

    def work():
        timer = reactor.call_later(0.01, called.append, "cancelled")
        timer.cancel()
        timer.cancel()
        reactor.call_later(0.02, called.append, "fired")

    reactor.post(work)
    poll_until(lambda: called)
    assert called == ["fired"]
    assert reactor.stop(20)


def test_what_posts_itself_again_and_again_leaves_room_for_others():
    reactor = Reactor()
    reactor.start()
    stop, called = [], []

    def again():
        if not stop:
            reactor.post(again)

    reactor.post(again)
    reactor.post(reactor.call_later, 0.05, called.append, 1)
    poll_until(lambda: called)
    stop.append(1)
    assert reactor.stop(20)


def test_threads_that_post_while_it_stops_do_no_harm():
    for _ in range(5):
        reactor = Reactor()
        reactor.start()
        stop = threading.Event()
        errors = []

        def post(reactor=reactor, stop=stop, errors=errors):
            try:
                while not stop.is_set():
                    reactor.post(int)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=post) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert reactor.stop(20)
        time.sleep(0)
        stop.set()
        for thread in threads:
            thread.join()
        assert errors == []


def test_the_processs_reactor_is_shared_and_stops_with_its_last_user():
    one, other = reactors.acquire(), reactors.acquire()
    assert one is other
    reactors.release()
    called = []
    one.post(called.append, 1)
    poll_until(lambda: called)
    reactors.release()
    again = reactors.acquire()
    assert again is not one
    reactors.release()


def test_one_thread_at_a_time_is_the_reactor():
    reactor = Reactor()
    reactor.start()
    try:
        came = native.Event()
        with reactor.turn:
            reactor.post(came.set)
            assert not came.wait(0.2)
        assert came.wait(10)
    finally:
        reactor.stop(5)


def test_timers_and_watchers_are_refused_to_other_threads():
    reactor = Reactor()
    reactor.start()
    try:
        with reactor.turn:
            with pytest.raises(RuntimeError, match="its own thread"):
                reactor.call_later(0.0, print)
            with pytest.raises(RuntimeError, match="its own thread"):
                reactor.watch(0, False, print)
    finally:
        reactor.stop(5)


def test_a_signal_whose_handler_raises_in_a_post_keeps_nobody_from_being_heard():
    """At whatever line: neither what other threads post meanwhile nor what anybody posts later."""
    steps = 1
    while True:
        reactor, rung, heard = Reactor(), [], []
        reactor._async = SimpleNamespace(send=lambda rung=rung: rung.append(1))

        def answer(reactor=reactor, rung=rung):
            while rung:
                rung.clear()
                reactor._drain()

        is_interrupted = interrupt(
            lambda reactor=reactor: reactor.post(int),
            steps,
            lambda reactor=reactor, heard=heard: reactor.post(heard.append, "meanwhile"),
        )
        answer()
        if not is_interrupted:
            break
        assert heard == ["meanwhile"], steps
        reactor.post(heard.append, "later")
        answer()
        assert heard == ["meanwhile", "later"], steps
        steps += 1
    assert steps > 10


def test_a_post_that_is_interrupted_twice_leaves_ringing_to_the_next():
    reactor, rung = Reactor(), []
    interruptions = [KeyboardInterrupt(), KeyboardInterrupt()]

    def send():
        if interruptions:
            raise interruptions.pop()
        rung.append(1)

    reactor._async = SimpleNamespace(send=send)
    with pytest.raises(KeyboardInterrupt):
        reactor.post(int)
    reactor.post(int)
    assert rung
