"""How coroutines end, who is told of it, and what they go on as."""

import sys
import threading

import pytest

from greencoro.legacy import asyncoro
from tests.hub.generator_modes import waits
from tests.support.polling import poll_until


def parked(coro=None):
    return (yield coro.receive())


def result(function, *args):
    return asyncoro.Coro(function, *args).value(20)


# Exceptions.


def test_what_is_not_caught_is_logged_and_hurts_nobody_else(capsys):
    def failing(coro=None):
        yield
        raise KeyError("text")

    def other(coro=None):
        raise StopIteration((yield coro.receive()))

    beside = asyncoro.Coro(other)
    coro = asyncoro.Coro(failing)
    assert coro.value(10) is None
    beside.send(1)
    assert beside.value(10) == 1
    out = capsys.readouterr().out
    assert f"asyncoro - uncaught exception in {coro}:\nTraceback (most recent call last):\n" in out
    assert out.rstrip().endswith("KeyError: 'text'") and "greencoro" not in out


def test_terminate_raises_generator_exit_at_the_innermost_yield_and_is_a_normal_end(capsys):
    met = []

    def inner(coro):
        try:
            yield coro.receive()
        except GeneratorExit:
            met.append("inner")
            raise
        finally:
            met.append("finally")

    def outer(coro=None):
        yield "last"
        try:
            yield inner(coro)
        finally:
            met.append("outer")

    def watch(coro=None):
        observed = asyncoro.Coro(outer)
        yield coro.monitor(observed)
        yield coro.sleep(0.02)
        told = yield observed.terminate()
        notice = yield coro.receive()
        raise StopIteration(told, notice.args == (observed, (StopIteration, "last")), observed.value())

    assert result(watch) == (0, True, "last")
    assert met == ["inner", "finally", "outer"]
    assert "uncaught" not in capsys.readouterr().out


def test_one_that_yields_while_it_is_terminated_meets_a_runtime_error(capsys):
    def stubborn(coro=None):
        try:
            yield coro.receive()
        finally:
            yield "again"

    coro = asyncoro.Coro(stubborn)
    waits(coro)
    assert coro.terminate() == 0
    coro.value(10)
    assert "RuntimeError: generator ignored GeneratorExit" in capsys.readouterr().out


def test_one_that_terminates_itself_meets_it_at_its_next_yield():
    def function(coro=None):
        yield 1
        coro.terminate()
        reached.append(1)
        yield coro.sleep(10)
        reached.append(2)

    reached = []
    assert result(function) == 1
    assert reached == [1]


def test_one_that_is_over_cannot_be_terminated_and_that_is_told(capsys):
    coro = asyncoro.Coro(parked)
    coro.send(1)
    coro.value(10)
    assert coro.terminate() == -1
    assert f"{coro} is over, and cannot be terminated" in capsys.readouterr().out


@pytest.mark.parametrize(
    "exception", [(KeyError("v"),), (KeyError, "v"), (KeyError, "v", None), ((KeyError, "v", None),)]
)
def test_throw_wakes_whoever_waits_and_is_raised_at_its_yield(exception):
    def catches(coro=None):
        try:
            yield coro.receive()
        except KeyError as error:
            raise StopIteration(error.args) from None

    coro = asyncoro.Coro(catches)
    waits(coro)
    assert coro.throw(*exception) == 0
    assert coro.value(10) == ("v",)


def test_throw_of_nothing_or_to_itself_is_minus_1():
    def itself(coro=None):
        raise StopIteration((yield coro.throw(KeyError)))

    coro = asyncoro.Coro(parked)
    assert coro.throw() == -1
    coro.send(1)
    assert coro.value(10) == 1
    assert result(itself) == -1


# Monitors.


def finishing(coro=None):
    yield coro.receive()
    raise StopIteration("value")


def failing(coro=None):
    yield coro.receive()
    raise KeyError("text")


def watched(function, tell):
    """The notice that a monitor gets of a coroutine that ends after a message."""

    def watch(coro=None):
        observed = asyncoro.Coro(function)
        answer = yield tell(coro, observed)
        observed.send(1)
        notice = yield coro.receive()
        raise StopIteration(answer, notice, observed)

    answer, notice, observed = result(watch)
    assert answer == 0 and isinstance(notice, asyncoro.MonitorException) and notice.args[0] is observed
    return notice.args[1]


@pytest.mark.parametrize("tell", [lambda me, other: me.monitor(other), lambda me, other: other.notify(me)])
def test_a_monitor_is_sent_how_the_other_ended(tell, capsys):
    assert watched(finishing, tell) == (StopIteration, "value")
    kind, error, trace = watched(failing, tell)
    assert (kind, error.args) == (KeyError, ("text",))
    assert trace.tb_frame.f_code.co_name == "failing"


def test_whoever_is_over_or_no_coroutine_cannot_be_monitored():
    def watch(coro=None):
        over = asyncoro.Coro(parked)
        over.send(1)
        yield over.finish()
        answers = []
        for other in (over, coro, 5):
            answers.append((yield coro.monitor(other)))
            answers.append((yield coro.notify(other)))
        raise StopIteration(answers)

    assert result(watch) == [-1] * 6


# Hot swap.


def second(coro=None):
    raise StopIteration("second", (yield coro.receive()))


def swapped(first, before=()):
    coro = asyncoro.Coro(first)
    for message in before:
        coro.send(message)
    waits(coro)
    assert coro.hot_swap(second) == 0
    return coro


def test_one_that_lets_the_exception_by_goes_on_as_the_new_function_with_its_messages():
    def first(coro=None):
        yield coro.hot_swappable(True)
        yield coro.sleep(60)

    coro = swapped(first, ["queued"])
    assert coro.value(10) == ("second", "queued")
    assert coro.name == "second"


def test_the_exception_has_the_new_generator_and_who_catches_it_refuses():
    def first(coro=None):
        yield coro.hot_swappable(True)
        try:
            yield coro.sleep(60)
        except asyncoro.HotSwapException as error:
            (generator,) = error.args
            raise StopIteration(generator.__name__, generator.gi_code.co_name) from None

    assert swapped(first).value(10) == ("second", "second")


def test_until_it_is_swappable_and_in_a_sub_call_that_is_remembered():
    def sub(coro):
        yield coro.hot_swappable(True)
        yield coro.sleep(0.02)
        steps.append("sub")

    def first(coro=None):
        yield coro.receive()
        steps.append("first")
        yield sub(coro)
        yield coro.sleep(60)

    steps = []
    coro = swapped(first)
    coro.send("go")
    coro.send("message")
    assert coro.value(10) == ("second", "message")
    assert steps == ["first", "sub"]


def test_it_stays_swappable():
    def first(coro=None):
        yield coro.hot_swappable(True)
        yield coro.sleep(60)

    def third(coro=None):
        yield coro.receive()
        raise StopIteration("third")

    coro = swapped(first)
    poll_until(lambda: coro.name == "second" and coro._worker is None and coro._mailbox._receiver is not None)
    coro.hot_swap(third)
    poll_until(lambda: coro.name == "third" and coro._mailbox._receiver is not None)
    coro.send(1)
    assert coro.value(10) == "third"


def test_what_is_no_generator_function_cannot_be_swapped_in():
    coro = asyncoro.Coro(parked)
    assert coro.hot_swap(len) == -1
    coro.send(1)
    assert coro.value(10) == 1
    assert coro.hot_swap(second) == -1


def test_one_that_failed_and_is_monitored_starts_anew(capsys):
    def watch(coro=None):
        observed = asyncoro.Coro(failing)
        yield coro.monitor(observed)
        observed.send(1)
        first = yield coro.receive()
        answer = observed.hot_swap(second)
        observed.send("anew")
        got = yield observed.finish()
        notice = yield coro.receive()
        raise StopIteration(first.args[1][0], answer, got, notice.args[1])

    assert result(watch) == (KeyError, 0, ("second", "anew"), (StopIteration, ("second", "anew")))


def test_all_that_may_be_done_from_other_threads():
    coro = asyncoro.Coro(parked)
    answers = []

    def use():
        answers.extend([coro.resume(), coro.throw(ZeroDivisionError), coro.value(10)])

    thread = threading.Thread(target=use)
    thread.start()
    thread.join(20)
    assert answers == [0, 0, None]
    assert sys.exc_info() == (None, None, None)
