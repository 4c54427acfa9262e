import logging
from types import SimpleNamespace

import pytest

from greencoro.compute import unheard
from greencoro.compute.unheard import Unheard
from greencoro.distributed.location import Location
from greencoro.distributed.messages import Notice
from greencoro.distributed.outcomes import Undecoded
from greencoro.distributed.proxies import RemoteCoro
from greencoro.distributed.refs import Reference
from greencoro.distributed.watches import _EXCEPTION, _TERMINATED, FINISHED
from greencoro.errors import MonitorException, ServerDied
from greencoro.hub import userhub
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from tests.support.polling import poll_until


def on_hub(function, *args):
    done = Completion()
    Coro(lambda: None).value(10)  # there is a hub
    userhub.post(lambda: done.set(function(*args)))
    return done.result(10)


@pytest.fixture
def made(caplog):
    caplog.set_level(logging.ERROR, "greencoro.compute.unheard")
    return on_hub(Unheard)


def job(number=1, name="f"):
    return RemoteCoro(SimpleNamespace(incarnation=b"here"), Reference(Location("127.0.0.1", 1), b"there", number, name))


def outcome(coro, error="ValueError", trace="Traceback:\n  line\nValueError: no"):
    return Undecoded(Notice(1, _EXCEPTION, error, "no", trace, b""))


def test_it_is_said_when_the_reference_is_gone_and_not_before(made, caplog):
    coro = job()
    on_hub(made.over, coro, outcome(coro))
    on_hub(int)
    assert caplog.messages == []
    del coro
    poll_until(lambda: caplog.messages, 10)
    assert caplog.messages == [
        "uncaught exception in coroutine f/1@127.0.0.1:1, whose value nobody has asked for:\n"
        "Traceback:\n  line\nValueError: no"
    ]


def test_it_is_said_after_a_while_of_a_reference_that_is_kept(made, caplog, monkeypatch):
    monkeypatch.setattr(unheard, "_PATIENCE_SECONDS", 0.01)
    coro = job()
    on_hub(made.over, coro, outcome(coro))
    poll_until(lambda: caplog.messages, 10)
    on_hub(made.close)
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_whoever_asks_is_told_nothing_else(made, caplog, when):
    coro = job()
    if when == "before":
        coro.asked()
    on_hub(made.over, coro, outcome(coro))
    if when == "after":
        coro.asked()
    on_hub(int)
    on_hub(made.close)
    assert caplog.messages == []
    assert not made._failures


def test_whoever_asks_just_before_the_computation_closes_is_told_nothing_else(made, caplog):
    coro = job()
    on_hub(made.over, coro, outcome(coro))

    def close_while_it_is_asked_for():
        coro.asked()  # what this posts comes after the following
        made.close()

    on_hub(close_while_it_is_asked_for)
    on_hub(int)
    assert caplog.messages == []


def test_of_more_failures_than_may_wait_the_first_is_said_at_once(made, caplog, monkeypatch):
    monkeypatch.setattr(unheard, "_MOST_FAILURES", 3)
    kept = [job(number, f"f{number}") for number in range(5)]
    for coro in kept:
        on_hub(made.over, coro, outcome(coro))
    assert [line.split(",")[0] for line in caplog.messages] == [
        "uncaught exception in coroutine f0/0@127.0.0.1:1",
        "uncaught exception in coroutine f1/1@127.0.0.1:1",
    ]
    on_hub(made.close)
    assert len(caplog.messages) == 5


def test_of_more_kinds_than_are_told_apart_the_rest_of_the_first_is_said_and_it_counts_as_new(
    made, caplog, monkeypatch
):
    monkeypatch.setattr(unheard, "_MOST_KINDS", 2)
    kept = [job(number, name) for number, name in enumerate("ffghf")]
    for coro in kept:
        on_hub(made.over, coro, outcome(coro))
        on_hub(made._tell, next(iter(made._failures)))
    assert [line.split("@")[0].split(" coroutine")[1] for line in caplog.messages] == [
        " f/0",
        " g/2",
        " h/3",
        "s f: ValueError",
        " f/4",
    ]


def test_after_the_end_of_the_computation_it_is_said_at_once(made, caplog):
    on_hub(made.close)
    coro = job()
    on_hub(made.over, coro, outcome(coro))
    assert len(caplog.messages) == 1


def test_of_those_alike_one_in_a_minute_is_said_in_full(made, caplog, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(unheard.native, "monotonic", lambda: now[0])
    kept = [job(number) for number in range(5)]
    for coro in kept[:3]:
        on_hub(made.over, coro, outcome(coro))
    other = job(9, "g")
    on_hub(made.over, other, outcome(other, "KeyError"))
    for _ in range(4):
        on_hub(made._tell, next(iter(made._failures)))
    assert [line.split(",")[0] for line in caplog.messages] == [
        "uncaught exception in coroutine f/0@127.0.0.1:1",
        "uncaught exception in coroutine g/9@127.0.0.1:1",
    ]
    now[0] += 60
    on_hub(made.over, kept[3], outcome(kept[3]))
    on_hub(made._tell, next(iter(made._failures)))
    assert caplog.messages[-1].startswith("uncaught exception in coroutine f/3@")
    assert caplog.messages[-1].endswith("\nand 2 more like it, before")
    on_hub(made.over, kept[4], outcome(kept[4]))
    on_hub(made.close)
    assert caplog.messages[-1] == "uncaught exceptions in 1 more coroutines f: ValueError"


def test_what_comes_without_a_traceback_is_said_by_its_words_and_does_nothing_to_a_terminal(made, caplog):
    coro = job()
    on_hub(made.over, coro, outcome(coro, "Error\x1b[2J", ""))
    on_hub(made.close)
    assert caplog.messages[0].endswith(":\nError\\x1b[2J: no")


def test_of_other_ends_nothing_is_said(made, caplog):
    coro = job()
    for outcome_kind in (FINISHED, _TERMINATED):
        on_hub(made.over, coro, Undecoded(Notice(1, outcome_kind, "", "", "", b"")))
    on_hub(made.over, coro, MonitorException(coro, "lost", None, ServerDied("it died")))
    on_hub(made.close)
    assert caplog.messages == []
