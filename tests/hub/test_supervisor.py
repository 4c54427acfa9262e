"""Supervisors: coroutines that start others, and start them again."""

import logging
import time
from typing import Any

import pytest

from greencoro import BrokenResource, Coro, CoroTerminated, MonitorException, Terminated, TooManyRestarts, sleep
from greencoro.hub import exit as process_exit
from greencoro.hub.supervisor import Supervisor
from tests.support.polling import poll_until

from .places import everywhere
from .supervised import Make, add_workers, events_fixture, make_fixture, wait_for, worker  # noqa: F401

# Starting and ending.


@everywhere
def test_children_are_started_in_order_and_ended_in_reverse(place: Any, make: Make, events: list[str]) -> None:
    def use() -> None:
        with make() as supervisor:
            add_workers(supervisor, events, "abc")
            assert list(supervisor.children()) == ["a", "b", "c"]
            assert all(child.is_alive() for child in supervisor.children().values())

    place(use)
    assert events == ["+a", "+b", "+c", "-c", "-b", "-a"]


def test_a_child_is_over_before_the_one_started_before_it_is_told(make: Make, events: list[str]) -> None:
    def slow(name: str, coro: Any = None) -> None:
        try:
            coro.receive()
        finally:
            events.append(f"{name} begins to end")
            sleep(0.02)
            events.append(f"{name} ended")

    with make() as supervisor:
        supervisor.add(slow, "a")
        supervisor.add(slow, "b")
        Coro(lambda: sleep(0.01)).value(10)
    assert events == ["b begins to end", "b ended", "a begins to end", "a ended"]


def test_the_supervisor_is_a_coroutine_whose_end_is_the_end_of_its_children(make: Make, events: list[str]) -> None:
    supervisor = make()
    add_workers(supervisor, events, "ab")
    watcher = Coro(lambda coro: (coro.monitor(supervisor), coro.receive())[1])
    assert supervisor.terminate() == 0
    with pytest.raises(CoroTerminated):
        supervisor.value(10)
    notice = watcher.value(10)
    assert isinstance(notice, MonitorException)
    assert (notice.coro, notice.kind) == (supervisor, "terminated")
    assert not any(child.is_alive() for child in supervisor.children().values())
    assert isinstance(supervisor, Coro)
    assert repr(supervisor).startswith("supervisor/")


def test_adding_gives_the_child_and_the_arguments_go_to_its_function(make: Make) -> None:
    supervisor = make()
    child = supervisor.add(lambda a, b, coro=None: (a, b, coro), 1, b=2, restart="temporary")
    assert child.value(10) == (1, 2, child)


def test_names_are_the_functions_and_numbered_where_they_repeat(make: Make, events: list[str]) -> None:
    supervisor = make()
    for _ in range(3):
        supervisor.add(worker, "x", events)
    assert list(supervisor.children()) == ["worker", "worker-2", "worker-3"]
    with pytest.raises(ValueError, match="'worker-2' already"):
        supervisor.add(worker, "x", events, name="worker-2")
    assert len(supervisor.children()) == 3


def test_a_child_that_is_not_there_is_named_in_the_error(make: Make) -> None:
    with pytest.raises(LookupError, match="no child named 'db'"):
        make().child("db")


# Restarting.


def test_a_child_that_raises_is_reported_and_started_again(
    make: Make, events: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = make()
    add_workers(supervisor, events, "ab")
    first = supervisor.child("a")
    with caplog.at_level(logging.WARNING, logger="greencoro"):
        first.send(ValueError("broken"))
        assert wait_for(events, 4) == "+a +b -a +a"
    assert "ValueError: broken" in caplog.text
    assert "child 'a' ended (exception), starting a" in caplog.text
    assert supervisor.child("a") is not first
    assert supervisor.child("a").is_alive()
    assert list(supervisor.children()) == ["a", "b"]


def test_one_for_all_restarts_everybody_in_order(make: Make, events: list[str]) -> None:
    supervisor = make("one_for_all")
    add_workers(supervisor, events, "abc")
    supervisor.child("b").send(ValueError("broken"))
    assert wait_for(events, 9) == "+a +b +c -b -c -a +a +b +c"


def test_rest_for_one_restarts_those_started_later(make: Make, events: list[str]) -> None:
    supervisor = make("rest_for_one")
    add_workers(supervisor, events, "abc")
    supervisor.child("b").send(ValueError("broken"))
    assert wait_for(events, 7) == "+a +b +c -b -c +b +c"


def test_those_ended_for_a_restart_do_not_count_as_failures(make: Make, events: list[str]) -> None:
    supervisor = make("one_for_all", max_restarts=2)
    add_workers(supervisor, events, "abcd")
    for count in (1, 2):
        supervisor.child("a").send(ValueError("broken"))
        wait_for(events, 4 + 8 * count)
    assert supervisor.is_alive()


@pytest.mark.parametrize(
    ("restart", "order", "again"),
    [
        ("permanent", "return", True),
        ("permanent", "terminate", True),
        ("transient", "return", False),
        ("transient", "terminate", False),
        ("transient", "raise", True),
        ("temporary", "raise", False),
    ],
)
def test_restart_says_which_ends_are_mended(
    make: Make, events: list[str], restart: str, order: str, again: bool
) -> None:
    supervisor = make()
    add_workers(supervisor, events, "a", restart=restart)
    child = supervisor.child("a")
    if order == "terminate":
        child.terminate()
    else:
        child.send(ValueError("broken") if order == "raise" else "result")
    wait_for(events, 2)
    # When it is not listed any more the supervisor has been told, and what is added now comes after that.
    poll_until(lambda: child.id not in process_exit.alive)
    supervisor.add(worker, "later", events, name="later")
    assert wait_for(events, 4 if again else 3).split()[2:] == (["+a", "+later"] if again else ["+later"])
    assert ("a" in supervisor.children()) == (restart != "temporary")
    if restart == "transient" and not again:
        assert supervisor.child("a") is child


def test_what_a_child_is_registered_as_goes_over_to_the_next(make: Make, events: list[str]) -> None:
    supervisor = make()

    def registers_itself(coro: Any) -> None:
        assert coro.register("of its own") == 0
        worker("a", events, coro)

    child = supervisor.add(registers_itself, name="a")
    assert child.register("from outside") == 0
    assert child.register("taken back") == 0
    assert child.unregister("taken back") == 0
    wait_for(events, 1)
    child.send(ValueError("broken"))
    wait_for(events, 3)
    now = supervisor.child("a")
    assert now is not child
    assert Coro.locate("of its own", timeout=5) is now
    assert Coro.locate("from outside", timeout=5) is now
    assert Coro.locate("taken back", timeout=0) is None


def test_the_next_one_is_registered_before_it_begins(make: Make, events: list[str]) -> None:
    supervisor = make()
    found: list[bool] = []

    def looks(coro: Any) -> None:
        found.append(Coro.locate("db", timeout=0) is coro)
        worker("a", events, coro)

    child = supervisor.add(looks, name="a")
    child.register("db")
    wait_for(events, 1)
    child.send(ValueError("broken"))
    poll_until(lambda: len(found) == 2)
    assert found[1]


def test_what_was_made_a_daemon_is_one_when_it_starts_again(make: Make, events: list[str]) -> None:
    supervisor = make()
    add_workers(supervisor, events, "ab")
    for name in "ab":
        supervisor.child(name).set_daemon()
    supervisor.child("b").set_daemon(False)
    for name in "ab":
        supervisor.child(name).send(ValueError("broken"))
    wait_for(events, 6)
    assert supervisor.child("a") not in process_exit.holding()
    assert supervisor.child("b") in process_exit.holding()


# Giving up.


def test_too_many_restarts_end_all_children_and_the_supervisor(make: Make, events: list[str]) -> None:
    supervisor = make(max_restarts=2)
    add_workers(supervisor, events, "ab")
    for count in (1, 2, 3):
        supervisor.child("a").send(ValueError(f"broken {count}"))
        wait_for(events, 2 + 2 * count)
    with pytest.raises(TooManyRestarts, match=r"child 'a' ended again \(ValueError: broken 3\)") as raised:
        supervisor.value(10)
    assert isinstance(raised.value.__cause__, ValueError)
    assert events == ["+a", "+b", "-a", "+a", "-a", "+a", "-a", "-b"]


def test_a_child_that_always_ends_at_once_ends_the_supervisor(make: Make) -> None:
    supervisor = make(max_restarts=5)
    starts: list[int] = []
    supervisor.add(lambda: starts.append(1), name="hasty")
    with pytest.raises(TooManyRestarts, match=r"child 'hasty' ended again \(finished\)"):
        supervisor.value(10)
    assert len(starts) == 6


def test_the_failure_comes_out_of_a_with_block_that_ended_well() -> None:
    with pytest.raises(TooManyRestarts, match="gives up"), Supervisor(max_restarts=0) as supervisor:
        supervisor.add(lambda: None, name="hasty")
        poll_until(lambda: not supervisor.is_alive())


def test_an_error_in_a_with_block_is_what_comes_out_of_it() -> None:
    with pytest.raises(KeyError, match="mine"), Supervisor(max_restarts=0) as supervisor:
        supervisor.add(lambda: None, name="hasty")
        poll_until(lambda: not supervisor.is_alive())
        raise KeyError("mine")


def test_a_supervisor_that_is_over_takes_no_children(make: Make) -> None:
    supervisor = make()
    supervisor.terminate()
    with pytest.raises(CoroTerminated):
        supervisor.value(10)
    with pytest.raises(BrokenResource, match=r"^supervisor/\d+ is over and starts no children any more$"):
        supervisor.add(print)


def test_a_supervisor_that_is_terminated_while_a_child_is_added_leaves_nobody_waiting(events: list[str]) -> None:
    for _ in range(50):
        supervisor = Supervisor()
        adding = Coro(lambda supervisor=supervisor: supervisor.add(worker, "a", events))
        supervisor.terminate()
        # Added in time or refused, but not left to wait; and no child stays behind.
        with pytest.raises((BrokenResource, CoroTerminated)):
            adding.value(10)
            supervisor.value(10)


# Children that do not end.


def stubborn(release: list[bool], coro: Any = None) -> None:
    while not release:
        try:
            coro.receive()
        except Terminated:
            sleep(0)


def test_a_child_that_does_not_end_in_time_is_left_behind(
    make: Make, events: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    release: list[bool] = []
    supervisor = make()
    add_workers(supervisor, events, "a")
    child = supervisor.add(stubborn, release, shutdown_seconds=0.05)
    Coro(lambda: sleep(0.01)).value(10)
    began = time.monotonic()
    supervisor.terminate()
    with pytest.raises(CoroTerminated):
        supervisor.value(10)
    assert 0.05 <= time.monotonic() - began < 5
    assert child.is_alive()
    assert child not in process_exit.holding()
    assert events == ["+a", "-a"]
    assert "did not end within 0.05 s" in caplog.text
    release.append(True)
    child.send(None)
    child.value(10)


def test_terminated_a_second_time_it_waits_for_nobody(make: Make, events: list[str]) -> None:
    release: list[bool] = []
    supervisor = make()
    add_workers(supervisor, events, "a")
    child = supervisor.add(stubborn, release, shutdown_seconds=None)
    Coro(lambda: sleep(0.01)).value(10)
    supervisor.terminate()
    Coro(lambda: sleep(0.01)).value(10)
    assert supervisor.is_alive()
    supervisor.terminate()
    with pytest.raises(CoroTerminated):
        supervisor.value(10)
    poll_until(lambda: events == ["+a", "-a"])
    release.append(True)
    child.send(None)
    child.value(10)


# What bad input gets.


@pytest.mark.parametrize("target", [5, "name", None])
def test_a_target_that_cannot_be_called_is_refused(make: Make, target: Any) -> None:
    supervisor = make()
    with pytest.raises(TypeError):
        supervisor.add(target)
    assert supervisor.children() == {}
    assert supervisor.is_alive()


def test_options_and_arguments_that_do_not_fit_are_refused(make: Make) -> None:
    supervisor = make()
    with pytest.raises(TypeError):
        supervisor.add(lambda: None, "one too many")
    with pytest.raises(ValueError, match="permanent, transient, temporary"):
        supervisor.add(print, restart="always")
    with pytest.raises(TypeError, match="shutdown_seconds"):
        supervisor.add(print, shutdown_seconds="5")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="name="):
        supervisor.add(print, name=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one_for_one"):
        Supervisor("one_for_none")
    assert supervisor.children() == {}


def test_messages_and_calls_that_are_not_for_it_do_no_harm(
    make: Make, events: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = make()
    supervisor.send("hello")
    with pytest.raises(TypeError, match="answers no calls"):
        supervisor.call("hello", timeout=5)
    add_workers(supervisor, events, "a")
    assert "takes no messages: a str was dropped" in caplog.text


def test_a_child_whose_exception_cannot_be_shown_is_named_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    def fails() -> None:
        raise Mute

    supervisor = Supervisor(max_restarts=0)
    supervisor.add(fails)
    with pytest.raises(TooManyRestarts, match=r"'fails' ended again .Mute"):
        supervisor.value(10)


@everywhere
def test_the_next_incarnation_can_be_waited_for(place: Any) -> None:
    def serve(coro: Any = None) -> None:
        coro.receive()
        raise KeyError

    def use() -> None:
        with Supervisor() as supervisor:
            first = supervisor.add(serve, name="serve")
            assert supervisor.child("serve", timeout=10) is first
            for _ in range(2):
                before = supervisor.child("serve")
                before.send(1)
                with pytest.raises(KeyError):
                    before.value(10)
                after = supervisor.child("serve", timeout=10)
                assert after is not before and after.is_alive()

    place(use)


def test_waiting_for_a_child_that_does_not_come_back_ends() -> None:
    def returns(coro: Any = None) -> None:
        coro.receive()

    with Supervisor() as supervisor:
        child = supervisor.add(returns, restart="transient")
        gone = supervisor.add(returns, name="gone", restart="temporary")
        for each in (child, gone):
            each.send(1)
            each.value(10)
        with pytest.raises(BrokenResource, match="not started again"):
            supervisor.child("returns", timeout=None)
        poll_until(lambda: "gone" not in supervisor.children())
        with pytest.raises(LookupError):
            supervisor.child("gone", timeout=None)
        assert supervisor.child("returns") is child
        last = supervisor.add(returns, name="last")
    assert not last.is_alive()
    with pytest.raises(BrokenResource):
        supervisor.child("last", timeout=None)


def test_a_supervisor_that_gave_up_says_why_to_who_adds_a_child() -> None:
    supervisor = Supervisor(max_restarts=0)
    supervisor.add(lambda: None, name="hasty")
    with pytest.raises(TooManyRestarts):
        supervisor.value(10)
    with pytest.raises(BrokenResource, match="starts no children any more") as raised:
        supervisor.add(print)
    assert isinstance(raised.value.__cause__, TooManyRestarts)


@pytest.mark.parametrize(("limit", "words"), [(0, "0 restarts"), (1, "1 restart"), (2, "2 restarts")])
def test_the_limit_is_told_in_words(limit: int, words: str) -> None:
    supervisor = Supervisor(max_restarts=limit)
    supervisor.add(lambda: None, name="hasty")
    with pytest.raises(TooManyRestarts, match=f"and the limit is {words} within 5 s$"):
        supervisor.value(10)


def test_a_child_that_is_over_and_not_started_again_is_still_the_child(make: Make, events: list[str]) -> None:
    supervisor = make()
    add_workers(supervisor, events, "a", restart="transient")
    child = supervisor.child("a")
    child.send("result")
    assert child.value(10) == "result"
    assert supervisor.child("a") is child
    assert supervisor.children() == {"a": child}


@pytest.mark.parametrize("name", ["register", "unregister", "set_daemon"])
def test_what_a_supervisor_does_in_its_own_way_says_so_in_its_help(name: str) -> None:
    own = getattr(Supervisor, name).__doc__
    assert own is not None and own != getattr(Coro, name).__doc__
