"""Waiting for answers of peers that have not been reached."""

import pytest

from greencoro.distributed.location import Location
from greencoro.distributed.refs import Reference, number
from greencoro.errors import DeadlineExceeded
from greencoro.hub.coroutine import Coro
from tests.distributed.conftest import reference
from tests.distributed.hand_made_server import silent_place
from tests.support.polling import poll_until

WAYS = {
    "deliver": (lambda there: there.deliver("x", 0.4), "to take a message"),
    "value": (lambda there: there.value(0.4), "the result of"),
    "call": (lambda there: there.call("x", 0.4), "an answer of"),
    "terminate": (lambda there: there.terminate(), "to be told of its end"),
    "monitor": (lambda there: Coro.current().monitor(there), "to watch a coroutine"),
}


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    monkeypatch.setattr("greencoro.hub.waiting_aloud.SAY_SECONDS", 0.05)


def said(caplog):
    return [line for line in caplog.messages if line.startswith("still waiting for ")]


@pytest.mark.parametrize("way", WAYS)
def test_L1_whoever_waits_for_who_is_not_reached_says_so(tcp_world, caplog, way):
    use, words = WAYS[way]
    one = tcp_world.runtime()
    with silent_place() as silent:
        place = Location("127.0.0.1", silent.getsockname()[1])
        waiting = one.spawn(use, one.resolve(Reference(place, b"x" * 16, 1, "lost")))
        poll_until(lambda: said(caplog))
    waiting.terminate()
    line = said(caplog)[0]
    assert words in line and f"{place}" in line and "has not been reached" in line


def test_L1_so_does_whoever_waits_for_the_subscribers_of_a_channel(tcp_world, caplog):
    one = tcp_world.runtime()
    with silent_place() as silent:
        place = Location("127.0.0.1", silent.getsockname()[1])
        there = one.resolve(Reference(place, b"x" * 16, number("channel", 1), "lost"))
        waiting = one.spawn(lambda: there.deliver("x", 0.4))
        poll_until(lambda: said(caplog))
    assert waiting.value(10) == 0
    assert "to pass a message on" in said(caplog)[0]


def test_nothing_is_said_of_one_that_is_reached_and_takes_its_time(runtime_pair, caplog):
    busy = runtime_pair.other.spawn(lambda coro=None: coro.receive())
    there = reference(runtime_pair.one, busy)
    with pytest.raises(DeadlineExceeded):
        runtime_pair.one.spawn(lambda: there.value(0.3)).value(10)
    assert there.deliver("x", 10) == 1 and there.value(10) == "x"
    assert not said(caplog)


def test_nothing_is_said_any_more_once_it_is_reached(world, caplog, monkeypatch):
    one, other = world.runtime(), world.runtime()
    busy = other.spawn(lambda coro=None: coro.receive())
    there = reference(one, busy)
    # Who dials is let in once something was said.
    let_in = other.peer_table._admission.judge
    held = []
    monkeypatch.setattr(other.peer_table._admission, "judge", lambda *claim: held.append(claim))
    waiting = one.spawn(lambda: there.value(10))
    poll_until(lambda: said(caplog) and held)
    other.reactor.post(let_in, *held[0])
    poll_until(lambda: busy._observers)
    before = len(said(caplog))
    assert one.spawn(lambda: there.deliver("late", 10)).value(10) == 1
    assert waiting.value(10) == "late"
    assert len(said(caplog)) <= before + 1
