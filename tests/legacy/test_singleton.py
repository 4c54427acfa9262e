"""Classes of which there is one object (legacy-api, section 3.10)."""

import threading

from greencoro import Coro
from greencoro.legacy.asyncoro import Singleton


def test_the_first_call_makes_the_object_and_every_later_one_gives_it():
    class One(metaclass=Singleton):
        _instance = None

        def __init__(self, value):
            self.value = value

    first = One(1)
    assert One(2) is One() is One._instance is first
    assert first.value == 1


def test_each_class_has_its_own():
    class One(metaclass=Singleton):
        _instance = None

    class Other(metaclass=Singleton):
        _instance = None

    assert type(One()) is One
    assert type(Other()) is Other


def test_a_program_that_forgets_the_object_gets_another():
    class One(metaclass=Singleton):
        _instance = None

    first = One()
    One._instance = None
    assert One() is not first


def test_an_object_that_cannot_be_made_is_tried_again():
    class One(metaclass=Singleton):
        _instance = None

        def __init__(self, value):
            self.value = 1 / value

    for value in (0, 1):
        try:
            One(value)
        except ZeroDivisionError:
            assert value == 0
    assert One().value == 1


def test_a_thread_and_a_coroutine_that_come_at_once_get_one_object():
    making, gate = threading.Event(), threading.Event()
    made = []

    class One(metaclass=Singleton):
        _instance = None

        def __init__(self):
            made.append(self)
            making.set()
            gate.wait(10)

    got = []
    thread = threading.Thread(target=lambda: got.append(One()))
    thread.start()
    assert making.wait(10)

    def coroutine():
        yield One()

    coro = Coro(coroutine)
    # The coroutine waits without keeping others from running.
    assert Coro(lambda: (yield "others")).value(10) == "others"
    gate.set()
    thread.join(10)
    assert [coro.value(10)] == got == made
