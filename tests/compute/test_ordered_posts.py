"""Words to a peer, on a way that has room when the test says so."""

import pytest

from greencoro import Coro, Location
from greencoro.compute import ordered_posts
from greencoro.compute.ordered_posts import OrderedPosts
from greencoro.distributed.peer_info import PeerInfo
from greencoro.errors import BusyResource, LocalProtocolError
from greencoro.hub import userhub
from greencoro.hub.completion import Completion
from tests.support.polling import poll_until

PEER = PeerInfo(Location("10.0.0.1", 1), "peer", bytes(16))


class Way:
    """The part of a runtime that it needs."""

    spawn = staticmethod(Coro)

    def __init__(self):
        self.sent = []
        self.has_room = True
        #: What `post` waits for, and what it comes to then.
        self.room = Completion()
        self.outcome = 0

    def post_nowait(self, to, operation, header):
        if self.has_room:
            self.sent.append((operation, header))
        return self.has_room

    def post(self, to, operation, header):
        self.room.wait(20)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if self.outcome == 0:
            self.sent.append((operation, header))
        return self.outcome


@pytest.fixture
def way():
    return Way()


@pytest.fixture
def failures():
    return []


@pytest.fixture
def posts(way, failures):
    return OrderedPosts(way, PEER, failures.append)


def put(posts, *numbers):
    """On the user hub, as it wants to be called."""
    done = Completion()
    userhub.post(lambda: done.set([posts.put("op", {"n": number}) for number in numbers]))
    assert done.wait(20)


def numbers(way):
    return [header["n"] for _, header in way.sent]


@pytest.fixture(autouse=True)
def hub():
    Coro(lambda: None).value(5)


def test_what_has_room_is_sent_at_once(posts, way):
    put(posts, 1, 2, 3)
    assert numbers(way) == [1, 2, 3]
    assert posts.is_idle


def test_what_comes_while_others_wait_for_room_does_not_overtake_them(posts, way):
    way.has_room = False
    put(posts, 1, 2)
    way.has_room = True
    put(posts, 3)
    assert (numbers(way), posts.is_idle) == ([], False)
    way.room.set()
    poll_until(lambda: posts.is_idle)
    assert numbers(way) == [1, 2, 3]
    put(posts, 4)
    assert numbers(way) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (-1, "is gone"),
        (BusyResource("full"), "does not read"),
        (LocalProtocolError("too large"), "too large"),
    ],
)
def test_nothing_is_sent_after_what_could_not_be(posts, way, failures, outcome, reason):
    way.has_room, way.outcome = False, outcome
    put(posts, 1, 2)
    way.room.set()
    poll_until(lambda: posts.is_idle)
    way.has_room, way.outcome = True, 0
    put(posts, 3)
    assert numbers(way) == []
    assert len(failures) == 1
    assert reason in failures[0]


def test_S10_peer_that_does_not_read_holds_up_no_more_than_so_many(posts, way, failures, monkeypatch):
    monkeypatch.setattr(ordered_posts, "_MAX_WAITING", 3)
    way.has_room = False
    put(posts, 1)
    poll_until(lambda: not posts._waiting)  # it is being sent
    put(posts, 2, 3, 4)
    assert failures == []
    put(posts, 5)
    assert len(failures) == 1
    way.room.set()
    poll_until(lambda: posts.is_idle)
    assert numbers(way) == [1]
