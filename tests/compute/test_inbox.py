import threading
import time

from greencoro.compute.inbox import Inbox


def test_actions_come_out_in_the_order_put():
    inbox, done = Inbox(), []
    for n in range(5):
        inbox.put(lambda n=n: done.append(n))
    while (action := inbox.take(0)) is not None:
        action()
    assert done == [0, 1, 2, 3, 4]


def test_nothing_within_the_timeout_is_none():
    began = time.monotonic()
    assert Inbox().take(0.05) is None
    assert 0.04 < time.monotonic() - began < 20


def test_put_wakes_the_taker():
    inbox, done = Inbox(), threading.Event()
    threading.Timer(0.05, inbox.put, [done.set]).start()
    while (action := inbox.take(None)) is None:
        continue
    action()
    assert done.is_set()


def test_who_waits_without_a_limit_looks_up_now_and_then():
    # A signal that came just before the wait began is heard of by that alone.
    began = time.monotonic()
    assert Inbox().take(None) is None
    assert Inbox().take(1000) is None
    assert time.monotonic() - began < 20


def test_nothing_of_many_threads_is_lost():
    inbox, done = Inbox(), []
    threads = [
        threading.Thread(target=lambda: [inbox.put(lambda: done.append(1)) for _ in range(2000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while len(done) < 8000:
        action = inbox.take(5.0)
        if action is not None:
            action()
    for thread in threads:
        thread.join()
    assert inbox.take(0) is None
