"""Ending generators and throwing into them from outside; everything holds for both ways of waiting."""

from __future__ import annotations

from typing import Any

import pytest

from greencoro import Coro, CoroTerminated, Terminated, sleep
from greencoro.errors import MonitorException
from tests.support.polling import poll_until

from .conftest import Run
from .generator_modes import parking_fixture, waits  # noqa: F401

pytestmark = pytest.mark.usefixtures("parking")


def recorded_end(met: list[str], coro: Any = None) -> Any:
    def inner() -> Any:
        try:
            yield coro.receive()
        except GeneratorExit:
            met.append("inner")
            raise
        finally:
            met.append("inner finally")

    try:
        yield inner()
    finally:
        met.append("outer finally")


def bare_wait(met: list[str], coro: Any = None) -> Any:
    yield coro.receive()


def test_terminating_raises_generator_exit_at_the_innermost_yield_and_unwinds_its_callers() -> None:
    met: list[str] = []
    coro = Coro(recorded_end, met)
    waits(coro)
    assert coro.terminate() == 0
    with pytest.raises(CoroTerminated):
        coro.value(10)
    assert met == ["inner", "inner finally", "outer finally"]
    assert coro.terminate() == -1


def waits_in_a_helper(met: list[str], coro: Any = None) -> Any:
    def helper() -> Any:
        return coro.receive()

    def inner() -> Any:
        try:
            message = helper()
            yield message
        except GeneratorExit:
            met.append("inner")
            return "caught"

    try:
        yield inner()
        met.append("never")
    finally:
        met.append("outer")


def waits_in_a_yield(met: list[str], coro: Any = None) -> Any:
    def inner() -> Any:
        try:
            yield coro.receive()
        except GeneratorExit:
            met.append("inner")
            return "caught"

    try:
        yield inner()
        met.append("never")
    finally:
        met.append("outer")


@pytest.mark.parametrize("function", [waits_in_a_helper, waits_in_a_yield])
def test_a_sub_generator_that_catches_it_and_returns_does_not_let_its_caller_go_on(function: Any) -> None:
    met: list[str] = []
    coro = Coro(function, met)
    waits(coro)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)
    assert met == ["inner", "outer"]


def test_one_that_yields_again_while_it_is_terminated_fails() -> None:
    def generator(coro: Any = None) -> Any:
        while True:
            try:
                yield coro.receive()
            except GeneratorExit:
                yield "again"

    coro = Coro(generator)
    waits(coro)
    coro.terminate()
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        coro.value(10)


def test_one_that_catches_it_and_waits_again_fails_after_that_wait_and_cleans_up_then(run: Run) -> None:
    ended = run(
        """
        def stubborn(coro=None):
            try:
                while True:
                    try:
                        print((yield coro.receive()))
                    except GeneratorExit:
                        print("caught")
            finally:
                print("cleans up")
        coro = Coro(stubborn)
        Coro(sleep, 0.05).value(5)
        coro.terminate()
        coro.send("read")
        try:
            coro.value(10)
        except RuntimeError as error:
            print(error)
        """
    )
    assert ended.status == 0
    assert ended.out.splitlines() == ["caught", "cleans up", "generator ignored GeneratorExit"]
    assert "Exception ignored" not in ended.err and "may be called by" not in ended.err


def test_waits_while_it_cleans_up_are_made() -> None:
    met = []

    def generator(coro: Any = None) -> Any:
        try:
            yield coro.receive()
        finally:
            sleep(0.02)
            met.append(coro.receive(0.02, "nothing"))

    coro = Coro(generator)
    waits(coro)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)
    assert met == ["nothing"]


@pytest.mark.parametrize(
    "wait",
    [
        lambda coro: (yield coro.receive()),
        lambda coro: (yield coro.receive(100)),
        lambda coro: (yield coro.receive(match=lambda message: False)),
        lambda coro: (yield coro.receive(100, match=lambda message: False)),
        lambda coro: (yield coro.suspend()),
        lambda coro: (yield coro.suspend(100)),
        lambda coro: (yield coro.sleep(100)),
        lambda coro: (yield sleep(100)),
    ],
)
def test_whatever_it_waits_in_a_generator_is_terminated_and_thrown_into(wait: Any) -> None:
    caught = []

    def generator(coro: Any = None) -> Any:
        try:
            yield wait(coro)
        except KeyError as error:
            caught.append(error)
        yield wait(coro)

    def unguarded(coro: Any = None) -> Any:
        yield wait(coro)

    coro = Coro(generator)
    waits(coro)
    error = KeyError()
    assert coro.throw(error) == 0
    poll_until(lambda: bool(caught))
    waits(coro)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)
    assert caught == [error]
    other = Coro(unguarded)
    waits(other)
    other.throw(KeyError("uncaught"))
    with pytest.raises(KeyError, match="uncaught"):
        other.value(10)


def test_a_message_that_came_before_the_end_is_taken_and_one_that_came_after_is_not() -> None:
    got = []

    def generator(coro: Any = None) -> Any:
        while True:
            got.append((yield coro.receive()))

    def act() -> None:
        before, after = Coro(generator), Coro(generator)
        sleep(0.02)
        before.send("before")
        before.terminate()
        after.terminate()
        after.send("after")

    Coro(act).value(10)
    poll_until(lambda: got != [])
    assert got == ["before"]


def test_what_is_thrown_while_a_message_is_there_leaves_the_message() -> None:
    def generator(coro: Any = None) -> Any:
        try:
            yield inner(coro)
        except KeyError:
            return (yield coro.receive(0))

    def inner(coro: Any) -> Any:
        yield coro.receive()

    def act() -> Any:
        coro = Coro(generator)
        sleep(0.02)
        coro.throw(KeyError())
        coro.send("kept")
        return coro

    assert Coro(act).value(10).value(10) == "kept"


def test_one_that_was_told_of_a_message_and_is_ended_before_its_turn_has_no_turn_any_more(run: Run) -> None:
    ended = run(
        """
        def receives(coro=None):
            yield coro.receive()
        def gives_way():
            while True:
                yield
        def sleeps():
            yield sleep(0)
            yield sleep(0.01)
        def act():
            for end in ("terminate", "throw"):
                for function in (receives, gives_way, sleeps):
                    coro = Coro(function)
                    sleep(0)
                    coro.send(1) if end == "throw" else None
                    coro.terminate() if end == "terminate" else coro.throw(Terminated())
                    coro.send(2)
                    sleep(0.02)
                    try:
                        print(coro.value(5))
                    except CoroTerminated:
                        print("terminated")
        Coro(act).value(10)
        """
    )
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.split() == ["terminated"] * 3 + ["1", "terminated", "terminated"]


def test_one_that_only_gives_way_is_terminated_too() -> None:
    def generator() -> Any:
        while True:
            yield

    coro = Coro(generator)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)


def test_one_that_terminates_itself_ends_at_its_next_yield() -> None:
    after = []

    def generator(coro: Any = None) -> Any:
        coro.terminate()
        after.append(1)
        yield 5
        after.append(2)
        yield 6
        after.append(3)

    coro = Coro(generator)
    with pytest.raises(CoroTerminated):
        coro.value(10)
    assert after in ([1], [1, 2])


def test_several_exceptions_thrown_are_raised_one_at_each_yield() -> None:
    def generator(coro: Any = None) -> Any:
        caught = []
        while len(caught) < 3:
            try:
                yield coro.receive()
            except KeyError as error:
                caught.append(error.args[0])
        return caught

    coro = Coro(generator)
    waits(coro)
    for number in range(3):
        assert coro.throw(KeyError(number)) == 0
    assert coro.value(10) == [0, 1, 2]


def test_monitors_hear_of_a_generators_end_as_of_any_other() -> None:
    def monitor(observed: Any, coro: Any = None) -> Any:
        assert (yield coro.monitor(observed)) == 0
        notice = yield coro.receive()
        return notice

    def waiting(coro: Any = None) -> Any:
        yield coro.receive()

    failed = Coro(waiting)
    notice = Coro(monitor, failed)
    waits(failed)
    waits(notice)
    failed.throw(KeyError("thrown"))
    told = notice.value(10)
    assert isinstance(told, MonitorException)
    assert told.kind == "exception" and isinstance(told.error, KeyError)
    ended = Coro(waiting)
    notice = Coro(monitor, ended)
    waits(ended)
    waits(notice)
    ended.terminate()
    assert notice.value(10).kind == "terminated"


def test_terminated_is_what_it_meets_and_no_ordinary_exception() -> None:
    met: list[BaseException] = []

    def generator(coro: Any = None) -> Any:
        try:
            try:
                yield coro.receive()
            except Exception:
                met.append(AssertionError())
        except Terminated as error:
            met.append(error)
            raise

    coro = Coro(generator)
    waits(coro)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)
    assert len(met) == 1 and isinstance(met[0], GeneratorExit)


def test_a_daemons_cleanup_runs_at_the_end_of_the_process(run: Run) -> None:
    ended = run(
        """
        def daemon(coro=None):
            coro.set_daemon()
            def inner():
                try:
                    yield coro.receive()
                finally:
                    print("inner", flush=True)
            try:
                yield inner()
            except GeneratorExit:
                print("outer", flush=True)
                raise
        def bare(coro=None):
            coro.set_daemon()
            yield coro.receive()
        def brief():
            yield sleep(0.05)
            print("brief", flush=True)
        Coro(daemon), Coro(bare), Coro(brief)
        """
    )
    assert (ended.status, ended.out, ended.err) == (0, "brief\ninner\nouter\n", "")
