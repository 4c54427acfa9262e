"""News for status coroutines: here with a bounded mailbox, and elsewhere."""

import logging

import pytest

from greencoro import Coro, MonitorException, Runtime, Status
from greencoro.compute import status_feed
from greencoro.compute.avail_info import NodeAvailInfo
from greencoro.compute.status_feed import StatusFeed
from greencoro.distributed.location import Location
from greencoro.distributed.proxies import RemoteCoro
from greencoro.distributed.refs import Reference
from greencoro.hub.completion import Completion
from greencoro.hub.mailbox import Encoded
from tests.support.polling import poll_until


class Elsewhere(RemoteCoro):
    """A reference that keeps what it is sent."""

    def __init__(self):
        super().__init__(None, Reference(Location("10.0.0.1", 1), bytes(16), 7, "status"))


@pytest.fixture
def far(monkeypatch):
    """(a reference, what it was sent, what `send` returns or raises, what lets it go on)"""
    sent, answers, room = [], [], Completion()

    def send(self, message):
        room.wait(10)
        answer = answers.pop(0) if answers else 0
        if isinstance(answer, Exception):
            raise answer
        sent.append(message)
        return answer

    monkeypatch.setattr(RemoteCoro, "send", send)
    return Elsewhere(), sent, answers, room


def test_nobody_is_told_where_there_is_nobody():
    feed = StatusFeed(None, Coro)
    assert not feed.is_heard
    feed.tell("news")


def test_coroutine_with_a_full_mailbox_loses_nothing():
    go_on, heard = Completion(), []

    def status(coro=None):
        coro.max_mailbox = 1
        go_on.wait(10)
        while len(heard) < 50:
            heard.append(coro.receive())

    coro = Coro(status)
    feed = StatusFeed(coro, Coro)
    assert feed.is_heard
    Coro(lambda: [feed.tell(number) for number in range(50)]).value(5)
    go_on.set()
    coro.value(5)
    assert heard == list(range(50))


class Result(Encoded):
    def decode(self):
        return True, "decoded"


def test_coroutine_elsewhere_is_told_in_order_and_the_hub_does_not_wait_for_it(far):
    coro, sent, _, room = far
    feed = StatusFeed(coro, Coro)
    Coro(lambda: [feed.tell(each) for each in (1, 2, Result(), 3)]).value(5)
    assert sent == []
    room.set()
    poll_until(lambda: sent == [1, 2, "decoded", 3])
    Coro(feed.tell, 4).value(5)
    poll_until(lambda: sent[-1] == 4)


def test_news_that_cannot_be_pickled_is_said_and_the_next_are_told(far, caplog):
    coro, sent, answers, room = far
    room.set()
    answers.append(TypeError("cannot pickle a lock"))
    feed = StatusFeed(coro, Coro)
    Coro(lambda: [feed.tell(each) for each in (1, 2)]).value(5)
    poll_until(lambda: sent == [2])
    assert "cannot pickle a lock" in caplog.text


def test_coroutine_elsewhere_that_is_over_is_told_no_more(far, caplog, monkeypatch):
    coro, sent, answers, room = far
    room.set()
    monkeypatch.setattr(RemoteCoro, "is_alive", lambda self: False)
    answers.append(-1)
    feed = StatusFeed(coro, Coro)
    with caplog.at_level(logging.WARNING):
        Coro(lambda: [feed.tell(each) for each in (1, 2)]).value(5)
        poll_until(lambda: not feed.is_heard)
    Coro(feed.tell, 3).value(5)
    assert sent == [1]
    assert caplog.text.count("is over or cannot be reached") == 1


def test_coroutine_elsewhere_that_is_behind_is_told_all_and_that_is_said_once(far, caplog, monkeypatch):
    monkeypatch.setattr(status_feed, "_MANY_WAITING", 3)
    coro, sent, _, room = far
    feed = StatusFeed(coro, Coro)
    Coro(lambda: [feed.tell(each) for each in range(9)]).value(5)
    assert caplog.text.count("is behind") == 1
    room.set()
    poll_until(lambda: sent == list(range(9)))


def test_coroutine_elsewhere_that_lives_and_takes_nothing_for_the_send_timeout_is_told_later(far, monkeypatch):
    coro, sent, answers, room = far
    room.set()
    monkeypatch.setattr(RemoteCoro, "is_alive", lambda self: True)
    answers.extend([-1, -1])
    feed = StatusFeed(coro, Coro)
    Coro(lambda: [feed.tell(each) for each in (1, 2)]).value(5)
    poll_until(lambda: sent[-2:] == [1, 2])
    assert feed.is_heard


def free(address, cpu):
    return NodeAvailInfo(cpu, 1, 1, 100.0, address)


def test_of_what_is_free_at_a_node_one_that_is_behind_is_told_the_newest(far):
    coro, sent, _, room = far
    feed = StatusFeed(coro, Coro)
    news = [0, free("a", 1.0), 1, free("b", 2.0), free("a", 3.0), free("a", 4.0)]
    Coro(lambda: [feed.tell(each) for each in news]).value(5)
    room.set()
    poll_until(lambda: sent == [0, free("a", 4.0), 1, free("b", 2.0)])
    Coro(feed.tell, free("a", 5.0)).value(5)
    poll_until(lambda: sent[-1] == free("a", 5.0))


def test_coroutine_of_another_runtime_is_told_of_a_job_and_its_end():
    heard = []

    def status(coro=None):
        while True:
            heard.append(coro.receive())

    with (
        Runtime(node="127.0.0.1", discover_peers=False, name="there", secret="of this test's own") as there,
        Runtime(node="127.0.0.1", discover_peers=False, name="here", secret_key=there.secret.key) as here,
    ):
        coro = there.spawn(status)
        feed = StatusFeed(here.reference(here.connect(there.location), coro.id, coro.name), here.spawn)
        told = [Status(Status.NodeDiscovered, "10.0.0.1"), MonitorException(None, "finished", 42)]
        Coro(lambda: [feed.tell(each) for each in told]).value(5)
        poll_until(lambda: len(heard) == 2)
        coro.terminate()
    assert heard[0] == told[0]
    assert (heard[1].kind, heard[1].value) == ("finished", 42)
