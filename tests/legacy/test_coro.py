"""Coro: how it is made, what its methods answer, what it looks like."""

import functools
import threading

import pytest

from greencoro.hub import coroutine
from greencoro.legacy import asyncoro
from tests.support.polling import poll_until


def parked(coro=None):
    return (yield coro.receive())


def from_thread(function, *args):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(function(*args)))
    thread.start()
    thread.join(20)
    return answers[0]


def in_coro(function):
    """What ``function(coro)`` returns in a coroutine; one that is a generator is a sub-call."""

    def run(coro=None):
        result = yield function(coro)
        raise StopIteration(result)

    return asyncoro.Coro(run).value(20)


@pytest.fixture(name="waiting")
def waiting_fixture():
    """A coroutine that waits for a message."""
    coro = asyncoro.Coro(parked)
    poll_until(lambda: coro._mailbox._receiver is not None)
    yield coro
    coro.send(None)
    coro.value(10)


@pytest.fixture(name="over")
def over_fixture():
    """A coroutine that is over."""
    coro = asyncoro.Coro(parked)
    coro.send("result")
    assert coro.value(10) == "result"
    return coro


# How it is made.


def echo(*args, **kwargs):
    yield
    raise StopIteration(args, kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "got"),
    [
        ((echo, 1, 2), {"a": 3}, ((1, 2), {"a": 3})),
        ((), {"target": echo, "args": (1, 2), "kwargs": {"a": 3}}, ((1, 2), {"a": 3})),
        ((), {"target": echo, "args": (1,)}, ((1,), {})),
        ((), {"target": echo, "a": 3}, ((), {"a": 3})),
        ((echo,), {"args": (1,), "kwargs": {}}, ((), {"args": (1,), "kwargs": {}})),
    ],
)
def test_the_function_gets_its_arguments_as_those_of_a_thread_do(args, kwargs, got):
    assert asyncoro.Coro(*args, **kwargs).value(10) == got


@pytest.mark.parametrize("target", [len, lambda coro=None: 5, print, object()])
def test_what_is_no_generator_function_is_refused_to_the_caller(target):
    with pytest.raises(Exception, match=r" is not a generator!$") as caught:
        asyncoro.Coro(target)
    assert type(caught.value) is Exception


@pytest.mark.parametrize("args", [(1,), (1, 2, 3, 4)])
def test_arguments_that_do_not_fit_are_a_type_error_to_the_caller(args):
    def function(a, b, coro=None):
        yield

    with pytest.raises(TypeError):
        asyncoro.Coro(function, *args)


class Methods:
    def method(self, coro=None):
        yield
        raise StopIteration(self, coro)

    def __call__(self, a=1, coro=None):
        yield
        raise StopIteration(a, coro)


def test_a_method_an_object_and_a_partial_are_given_their_coro_as_well():
    methods = Methods()
    coro = asyncoro.Coro(methods.method)
    assert coro.value(10) == (methods, coro)
    coro = asyncoro.Coro(methods.method, "dropped")
    assert coro.value(10) == (methods, coro)
    coro = asyncoro.Coro(methods, 5)
    assert coro.value(10) == (5, coro)
    coro = asyncoro.Coro(functools.partial(methods, 6))
    assert coro.value(10) == (6, coro)


def test_coro_with_any_default_is_the_coroutine_whatever_the_caller_gave():
    def last(a, coro=5):
        yield
        raise StopIteration(a, coro)

    def middle(a, coro=None, b=2):
        yield
        raise StopIteration(a, coro, b)

    coro = asyncoro.Coro(last, 1)
    assert coro.value(10) == (1, coro)
    coro = asyncoro.Coro(last, 1, "given")
    assert coro.value(10) == (1, coro)
    coro = asyncoro.Coro(last, 1, coro="given")
    assert coro.value(10) == (1, coro)
    coro = asyncoro.Coro(middle, 1, "given", 3)
    assert coro.value(10) == (1, coro, 3)
    coro = asyncoro.Coro(middle, 1, b=4)
    assert coro.value(10) == (1, coro, 4)


def test_coro_without_a_default_or_by_keyword_only_is_an_argument_like_others():
    def plain(coro):
        yield
        raise StopIteration([coro])

    def keyword(*, coro=None):
        yield
        raise StopIteration([coro])

    assert asyncoro.Coro(plain, 5).value(10) == [5]
    assert asyncoro.Coro(keyword).value(10) == [None]
    with pytest.raises(TypeError):
        asyncoro.Coro(plain)


def test_a_sub_generator_is_not_given_the_coroutine():
    def sub(coro=None):
        yield
        raise StopIteration([coro])

    assert in_coro(lambda coro: sub()) == [None]


def test_coroutines_run_in_one_thread_that_is_not_the_one_that_made_them():
    def ident(coro=None):
        yield
        raise StopIteration(threading.get_ident())

    idents = {asyncoro.Coro(ident).value(10), from_thread(lambda: asyncoro.Coro(ident).value(10))}
    assert len(idents) == 1 and threading.get_ident() not in idents


# Waiting.


def test_suspend_and_its_other_names_give_what_resume_says():
    def sleeper(coro=None):
        first = yield coro.suspend()
        second = yield coro.sleep(20, "alarm")
        raise StopIteration(first, second, (yield coro.sleep(0.01, "alarm")))

    coro = asyncoro.Coro(sleeper)
    poll_until(lambda: coro._suspension)
    assert coro.resume("a") == 0
    poll_until(lambda: coro._suspension)
    assert in_coro(lambda _: iter_value(coro.wakeup("b"))) == 0
    assert coro.value(10) == ("a", "b", "alarm")


def iter_value(value):
    got = yield value
    raise StopIteration(got)


@pytest.mark.parametrize("timeout", [0, -1, -0.5])
def test_without_time_there_is_the_alarm_value_at_once(timeout):
    def waits(coro=None):
        raise StopIteration((yield coro.sleep(timeout, "alarm")), (yield coro.receive(timeout, "alarm")))

    assert asyncoro.Coro(waits).value(10) == ("alarm", "alarm")


def test_to_suspend_for_what_is_no_number_or_somebody_else_is_minus_1_with_a_warning(waiting, capsys):
    assert in_coro(lambda coro: iter_value(coro.suspend("5"))) == -1
    assert in_coro(lambda coro: iter_value(waiting.suspend(1))) == -1
    assert waiting.sleep(1) == -1
    assert capsys.readouterr().out.count("asyncoro - ") >= 3


def test_one_that_waits_for_something_else_is_not_resumed_and_that_is_not_remembered(waiting, capsys):
    assert waiting.resume("lost") == 0
    poll_until(lambda: f"{waiting} is not suspended" in capsys.readouterr().out)
    assert waiting.is_alive()


def test_messages_come_in_order_and_recv_is_receive():
    def receiver(coro=None):
        raise StopIteration((yield coro.receive()), (yield coro.recv()), (yield coro.recv(0.01, "alarm")))

    coro = asyncoro.Coro(receiver)
    assert (coro.send(1), from_thread(coro.send, 2)) == (0, 0)
    assert coro.value(10) == (1, 2, "alarm")


def test_a_message_is_the_very_object():
    message = object()
    coro = asyncoro.Coro(parked)
    coro.send(message)
    assert coro.value(10) is message


def test_a_message_that_is_queued_is_delivered(waiting):
    assert in_coro(lambda coro: iter_value(waiting.deliver("message"))) == 1
    assert waiting.value(10) == "message"


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("send", (1,)),
        ("deliver", (1,)),
        ("resume", ()),
        ("wakeup", (1,)),
        ("terminate", ()),
        ("throw", (KeyError,)),
        ("register", ("name",)),
        ("unregister", ("name",)),
        ("hot_swap", (parked,)),
        ("set_daemon", ()),
        ("hot_swappable", (True,)),
    ],
)
def test_one_that_is_over_answers_minus_1(over, method, args):
    assert getattr(over, method)(*args) == -1


# What it says of itself.


def test_it_is_a_daemon_where_it_says_so_itself(waiting):
    assert in_coro(lambda coro: iter_value(coro.set_daemon())) == 0
    assert in_coro(lambda coro: iter_value(coro.set_daemon(False))) == 0
    assert waiting.set_daemon() == -1
    assert in_coro(lambda coro: iter_value(waiting.set_daemon())) == -1


def test_names_are_unique_among_live_coroutines_and_one_may_have_several(waiting):
    second = asyncoro.Coro(parked)
    assert [waiting.register(), waiting.register("other"), waiting.register("other")] == [0, 0, 0]
    assert [second.register(), second.register("other")] == [-1, -1]
    assert in_coro(lambda coro: iter_value(asyncoro.Coro.locate("parked"))) is waiting
    assert in_coro(lambda coro: iter_value(asyncoro.Coro.locate("other"))) is waiting
    assert [second.unregister("other"), waiting.unregister("other"), waiting.unregister("other")] == [-1, 0, -1]
    waiting.send(None)
    waiting.value(10)
    assert second.register() == 0
    second.send(None)
    second.value(10)


def test_a_name_that_is_not_there_is_waited_for():
    assert in_coro(lambda coro: iter_value(asyncoro.Coro.locate("nowhere", timeout=0.01))) is None

    def locator(coro=None):
        found = yield asyncoro.Coro.locate("appears")
        raise StopIteration(found)

    located = asyncoro.Coro(locator)
    appears = asyncoro.Coro(parked)
    appears.register("appears")
    assert located.value(10) is appears
    appears.send(None)
    appears.value(10)


def test_its_name_is_its_functions_and_its_text_has_a_tilde_and_its_id(waiting):
    assert waiting.name == "parked"
    assert str(waiting) == repr(waiting) == f"~parked/{waiting.id}"
    assert isinstance(waiting.id, int) and waiting.location is None
    assert {waiting: 1}[waiting] == 1 and waiting == waiting


def test_it_is_alive_until_it_is_over(waiting, over):
    assert (waiting.is_alive(), over.is_alive()) == (True, False)


def test_its_scheduler_is_the_one_there_is(waiting):
    assert asyncoro.Coro.scheduler() is asyncoro.AsynCoro() is waiting.scheduler()


def test_whatever_is_a_coroutine_of_greencoro_is_one_of_asyncoro(waiting):
    class Kind(asyncoro.Coro):
        __slots__ = ()

    native = coroutine.Coro(lambda: None)
    assert isinstance(waiting, asyncoro.Coro) and isinstance(native, asyncoro.Coro)
    assert not isinstance(5, asyncoro.Coro) and not isinstance(waiting, Kind)
    native.value(10)
