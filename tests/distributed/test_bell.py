import threading
import time

from greencoro.distributed.bell import Bell
from greencoro.hub import native


def test_who_waits_is_woken_and_a_ring_before_the_wait_is_not_lost():
    bell = Bell()
    bell.ring()
    bell.ring()
    bell.wait()
    heard = threading.Event()
    thread = native.Thread(lambda: (bell.wait(), heard.set()), "bell")
    thread.start()
    bell.ring()
    assert heard.wait(5)
    thread.join()


def test_rings_are_not_counted_and_a_wait_ends_in_time():
    bell = Bell()
    for _ in range(3):
        bell.ring()
    bell.wait()
    began = time.monotonic()
    bell.wait(0.05)
    bell.wait(-1)
    assert time.monotonic() - began >= 0.05
