"""Exceptions that somebody throws into a coroutine."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from greencoro import Coro, CoroTerminated, Terminated, sleep
from greencoro.hub import native
from tests.support.polling import poll_until

from .places import everywhere, never, parked, wait_until_it_waits


class Nudge(Exception):
    pass


def catches(coro: Any) -> Any:
    try:
        coro.receive()
    except BaseException as error:
        return error


def caught(*exception: Any) -> Any:
    """What a coroutine that waits in `receive` catches when this is thrown into it."""
    coro = Coro(catches)
    wait_until_it_waits(coro)
    assert coro.throw(*exception) == 0
    return coro.value(10)


# What can be thrown.


def test_an_exception_is_thrown_as_it_is() -> None:
    error = Nudge("as it is")
    assert caught(error) is error


def test_a_class_is_made_an_exception() -> None:
    for got in (caught(Nudge), caught(Nudge, None), caught(Nudge, None, None)):
        assert type(got) is Nudge and got.args == ()


def test_a_class_is_given_its_value() -> None:
    assert caught(Nudge, "value").args == ("value",)
    assert caught(Nudge, ("two", "values")).args == ("two", "values")
    error = Nudge("made already")
    assert caught(Nudge, error) is error
    assert caught(Exception, error) is error


def test_a_traceback_comes_along() -> None:
    def origin() -> None:
        raise Nudge

    try:
        origin()
    except Nudge as error:
        trace = error.__traceback__
        info = sys.exc_info()
    for got in (caught(Nudge, None, trace), caught(Nudge, "value", trace), caught(Nudge(), None, trace), caught(info)):
        assert type(got) is Nudge
        frames, names = got.__traceback__, []
        while frames is not None:
            names.append(frames.tb_frame.f_code.co_name)
            frames = frames.tb_next
        assert "catches" in names and names[-1] == "origin"


def test_a_base_exception_can_be_thrown() -> None:
    for kind in (BaseException, KeyboardInterrupt, SystemExit, GeneratorExit):
        assert type(caught(kind)) is kind


@pytest.mark.parametrize("thrown", ["text", 5, None, int, object(), (), ("text",), (5, 6), Exception.__init__])
def test_what_is_no_exception_is_refused_and_disturbs_nobody(thrown: Any) -> None:
    coro = Coro(parked)
    wait_until_it_waits(coro)
    with pytest.raises(TypeError, match=r"throw\(\) takes an exception"):
        coro.throw(thrown)
    coro.send("undisturbed")
    assert coro.value(10) == "undisturbed"
    with pytest.raises(TypeError, match=r"throw\(\) takes an exception"):
        coro.throw(thrown)  # over, and still no exception


def test_throwing_nothing_at_all_is_refused() -> None:
    coro = Coro(parked)
    with pytest.raises(TypeError, match=r"throw\(\) takes an exception"):
        coro.throw()
    coro.send("undisturbed")
    assert coro.value(10) == "undisturbed"


# Into whom, and from where.


@everywhere
def test_throw_works_from_anywhere(place: Callable[..., Any]) -> None:
    coro = Coro(catches)
    wait_until_it_waits(coro)
    error = Nudge()
    assert place(lambda: coro.throw(error)) == 0
    assert coro.value(10) is error


def test_what_is_not_caught_ends_the_coroutine_as_if_it_had_raised_it() -> None:
    coro = Coro(parked)
    wait_until_it_waits(coro)
    coro.throw(Nudge("uncaught"))
    with pytest.raises(Nudge, match="uncaught"):
        coro.value(10)
    assert coro.notice().kind == "exception"


@everywhere
def test_throwing_into_one_that_is_over_says_so(place: Callable[..., Any]) -> None:
    coro = Coro(lambda: 5)
    assert coro.value(10) == 5
    assert place(lambda: coro.throw(Nudge)) == -1
    assert coro.value(10) == 5


def test_throwing_into_itself_does_nothing_and_says_so() -> None:
    def itself(coro: Any) -> Any:
        result = coro.throw(Nudge)
        sleep(0)
        return result, coro.receive(0.01, "alarm")

    assert Coro(itself).value(10) == (-1, "alarm")


def test_one_that_has_not_begun_meets_it_at_its_first_wait() -> None:
    def begins(coro: Any) -> Any:
        events.append("began")
        return catches(coro)

    events: list[str] = []
    error = Nudge()

    def both() -> Any:
        coro = Coro(begins)
        assert coro.throw(error) == 0
        return coro.value()

    assert Coro(both).value(10) is error
    assert events == ["began"]


def test_one_that_runs_meets_it_at_its_next_wait() -> None:
    begun, go_on = native.Event(), native.Event()

    def runs(coro: Any) -> Any:
        begun.set()
        go_on.wait(10)  # holds the whole hub: it runs
        return catches(coro)

    coro = Coro(runs)
    begun.wait(10)
    error = Nudge()
    assert coro.throw(error) == 0
    go_on.set()
    assert coro.value(10) is error


def test_one_that_never_waits_again_finishes() -> None:
    def both() -> Any:
        coro = Coro(lambda: "finished")
        coro.throw(Nudge)
        return coro.value()

    assert Coro(both).value(10) == "finished"
    assert Coro(lambda: "and nobody after it is hit").value(10) == "and nobody after it is hit"


@everywhere
def test_what_was_thrown_at_one_that_ended_meanwhile_hits_nobody_else(place: Callable[..., Any]) -> None:
    for _ in range(20):
        ending = Coro(lambda: None)
        place(functools.partial(ending.throw, Nudge))
        assert Coro(lambda coro: coro.receive(0.001, "alarm")).value(10) == "alarm"
        ending.value(10)


# Every wait.

WAITS: dict[str, Callable[[Any], Any]] = {
    "receive": lambda coro: coro.receive(),
    "receive with a limit": lambda coro: coro.receive(timeout=60),
    "receive with a match": lambda coro: coro.receive(match=lambda message: False),
    "receive with a match and a limit": lambda coro: coro.receive(60, match=lambda message: False),
    "suspend": lambda coro: coro.suspend(),
    "suspend with a limit": lambda coro: coro.suspend(60),
    "sleep": lambda coro: sleep(60),
    "value": lambda coro: Coro.locate("other-parked").value(),
    "value with a limit": lambda coro: Coro.locate("other-parked").value(60),
    "call": lambda coro: Coro.locate("other-deaf").call("question"),
    "call with a limit": lambda coro: Coro.locate("other-deaf").call("question", 60),
    "send to a full mailbox": lambda coro: Coro.locate("other-full").send("more"),
    "deliver to a full mailbox": lambda coro: Coro.locate("other-full").deliver("more"),
    "locate": lambda coro: Coro.locate("nobody"),
    "gevent.sleep": lambda coro: gevent.sleep(60),
    "gevent event": never,
    "giving way": lambda coro: [sleep(0) for _ in iter(int, 1)],
}


@pytest.fixture
def others() -> Any:
    def deaf(coro: Any) -> None:
        coro.suspend()

    coros = {"other-parked": Coro(parked), "other-deaf": Coro(deaf), "other-full": Coro(deaf)}
    for name, coro in coros.items():
        assert coro.register(name) == 0
    coros["other-full"].max_mailbox = 1
    assert coros["other-full"].send("full") == 0
    yield coros
    for coro in coros.values():
        coro.terminate()


@pytest.mark.parametrize("by", ["another thread", "a coroutine"])
@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_any_wait_can_be_thrown_into_and_leaves_nothing_behind(
    wait: Callable[[Any], Any], by: str, others: dict[str, Coro]
) -> None:
    begun = native.Event()

    def waits(coro: Any) -> tuple[Any, Any, Any]:
        begun.set()
        try:
            wait(coro)
        except Nudge as error:
            # Nothing of the wait that was ended disturbs the next ones.
            return error, coro.suspend(0.02, "alarm"), coro.receive(0.02, "alarm")
        return None, None, None

    coro = Coro(waits)
    begun.wait(10)
    sleep(0.005)
    error = Nudge()
    assert (Coro(coro.throw, error).value(10) if by == "a coroutine" else coro.throw(error)) == 0
    assert coro.value(10) == (error, "alarm", "alarm")
    assert not others["other-parked"]._observers
    assert not others["other-deaf"]._observers
    room = others["other-full"]._mailbox.room
    assert room is not None and not room._waiting
    assert len(others["other-full"]._mailbox) == 1


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_terminate_ends_these_waits_as_well(wait: Callable[[Any], Any], others: dict[str, Coro]) -> None:
    coro = Coro(wait)
    poll_until(lambda: coro._worker is not None)
    sleep(0.002)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)
    assert not others["other-parked"]._observers
    assert not others["other-deaf"]._observers
    room = others["other-full"]._mailbox.room
    assert room is not None and not room._waiting


# Several.


def collects(coro: Any) -> list[Any]:
    got: list[Any] = []
    while True:
        try:
            message = coro.receive()
        except Nudge as error:
            got.append(error)
            continue
        except Terminated:
            return [*got, "terminated"]
        if message is None:
            return got
        got.append(message)


@pytest.mark.parametrize("by", ["another thread", "a coroutine"])
def test_several_arrive_each_at_a_wait_of_its_own_in_their_order(by: str) -> None:
    errors = [Nudge(n) for n in range(20)]
    coro = Coro(collects)
    wait_until_it_waits(coro)

    def throw_all() -> None:
        for error in errors:
            assert coro.throw(error) == 0

    if by == "a coroutine":
        Coro(throw_all).value(10)
    else:
        throw_all()
    Coro(lambda: None).value(10)  # by now they have come to the hub
    poll_until(lambda: coro._pending is None, what="all were raised")
    coro.send(None)
    assert coro.value(10) == errors


def test_several_before_the_beginning_arrive_in_their_order() -> None:
    errors = [Nudge(n) for n in range(3)]

    def all_of_it() -> Any:
        coro = Coro(collects)
        for error in errors:
            coro.throw(error)
        for message in ("message", None):
            coro.send(message)
        return coro.value()

    assert Coro(all_of_it).value(10) == [*errors, "message"]


def test_no_message_is_lost_to_what_is_thrown() -> None:
    coro = Coro(collects)
    wait_until_it_waits(coro)
    for number in range(300):
        coro.send(number)
        coro.throw(Nudge(number))
    Coro(lambda: None).value(10)  # by now they have come to the hub
    poll_until(lambda: not coro._mailbox and coro._pending is None, what="all of it has come")
    coro.send(None)
    got = coro.value(10)
    assert [n for n in got if not isinstance(n, Nudge)] == list(range(300))
    assert [n.args[0] for n in got if isinstance(n, Nudge)] == list(range(300))


def test_an_exception_takes_the_place_of_an_update_and_none_comes_later() -> None:
    def waits(coro: Any) -> tuple[Any, Any]:
        try:
            first = coro.suspend()
        except Nudge:
            first = "nudged"
        return first, coro.suspend(0.02, "alarm")

    def both() -> Any:
        coro = Coro(waits)
        while coro._suspension is None:
            sleep(0)

        def at_once() -> None:
            coro.resume("update")
            coro.throw(Nudge)
            coro._throw_pending()

        gevent.get_hub().loop.run_callback(at_once)
        return coro.value()

    assert Coro(both).value(10) == ("nudged", "alarm")


# Together with terminate.


def test_terminate_takes_the_place_of_what_was_thrown_before() -> None:
    def all_of_it() -> Any:
        coro = Coro(collects)
        while coro._mailbox._receiver is None:
            sleep(0)
        for _ in range(3):
            coro.throw(Nudge)
        coro.terminate()
        return coro.value()

    assert Coro(all_of_it).value(10) == ["terminated"]


def test_what_is_thrown_after_terminate_comes_after_it() -> None:
    def stays(coro: Any) -> list[str]:
        seen = []
        for _ in range(2):
            try:
                coro.receive()
            except Terminated:
                seen.append("terminated")
            except Nudge:
                seen.append("nudged")
        return seen

    def all_of_it() -> Any:
        coro = Coro(stays)
        while coro._mailbox._receiver is None:
            sleep(0)
        coro.terminate()
        coro.throw(Nudge)
        return coro.value()

    assert Coro(all_of_it).value(10) == ["terminated", "nudged"]


def test_terminated_thrown_by_hand_terminates() -> None:
    coro = Coro(parked)
    wait_until_it_waits(coro)
    coro.throw(Terminated)
    with pytest.raises(CoroTerminated):
        coro.value(10)
