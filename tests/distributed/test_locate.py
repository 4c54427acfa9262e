"""Names across runtimes: the promises L1 and L2, over every transport."""

import time

import pytest

from greencoro.distributed.messages import Forget, Locate
from greencoro.distributed.proxies import RemoteCoro
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.support.polling import poll_until


def serve(name, coro=None):
    """Registered under `name` until a message comes."""
    assert coro.register(name) == 0
    coro.receive()
    return "over"


def locate(pair, name, location=None, timeout=10.0):
    return pair.run(lambda coro=None: Coro.locate(name, location, timeout))


def registered(runtime, name):
    coro = runtime.spawn(serve, name)
    poll_until(lambda: runtime.names.lookup("coro", name) is coro)
    return coro


def test_a_name_registered_before_is_found_and_leads_there(runtime_pair):
    coro = registered(runtime_pair.other, "early")
    for location in (None, runtime_pair.other.location):
        found = locate(runtime_pair, "early", location)
        assert isinstance(found, RemoteCoro)
        assert (found.id, found.location) == (coro.id, runtime_pair.other.location)
    assert locate(runtime_pair, "early", runtime_pair.one.location, 0.1) is None
    assert found.send("x") == 0
    assert coro.value(5) == "over"


@pytest.mark.parametrize("timeout", [10.0, None])
def test_a_name_that_appears_later_is_waited_for(runtime_pair, timeout):
    looking = runtime_pair.one.spawn(lambda: Coro.locate("late", timeout=timeout))
    (link,) = runtime_pair.other.peer_table.online()
    poll_until(lambda: link.locates, what="the other side knows what is looked for")
    coro = registered(runtime_pair.other, "late")
    assert looking.value(5).id == coro.id
    poll_until(lambda: not link.locates)
    coro.send("x")


def test_a_name_is_found_at_a_peer_that_comes_later(world):
    one, other = world.runtime(), world.runtime()
    coro = registered(other, "afar")
    looking = one.spawn(lambda: Coro.locate("afar", timeout=10))
    with pytest.raises(TimeoutError):
        looking.value(0.1)
    assert other.peer(one.location) == 0
    assert looking.value(5).id == coro.id
    coro.send("x")


def test_a_location_that_is_no_peer_yet_is_reached_and_waited_for(world):
    one = world.runtime(tick_seconds=0.1)
    other = world.runtime()
    coro = registered(other, "afar")
    assert one.spawn(lambda: Coro.locate("afar", other.location, 5)).value(10).id == coro.id
    place = other.location
    other.finish()
    poll_until(lambda: not one.peers())
    looking = one.spawn(lambda: Coro.locate("again", place, 10))
    with pytest.raises(TimeoutError):
        looking.value(0.3)
    again = registered(world.runtime(tcp_port=place.port), "again")
    assert looking.value(5).id == again.id
    for each in (coro, again):
        each.send("x")


def test_a_name_that_nobody_has_is_None_at_the_timeout_and_disturbs_nothing(runtime_pair):
    began = time.monotonic()
    assert locate(runtime_pair, "nobody", timeout=0.3) is None
    assert 0.3 <= time.monotonic() - began < 10
    assert locate(runtime_pair, "nobody", timeout=0) is None
    (link,) = runtime_pair.other.peer_table.online()
    poll_until(lambda: not (link.locates or runtime_pair.other.names._listeners or runtime_pair.one.names._listeners))


def test_L2_the_end_of_its_owner_frees_a_name_for_the_next(runtime_pair):
    first = registered(runtime_pair.other, "name")
    rival = runtime_pair.other.spawn(lambda coro=None: coro.register("name"))
    assert rival.value(5) == -1
    first.send("x")
    first.value(5)
    second = registered(runtime_pair.other, "name")
    assert locate(runtime_pair, "name").id == second.id
    assert second.unregister("name") == 0
    assert locate(runtime_pair, "name", timeout=0.2) is None
    second.send("x")


def test_a_successor_at_the_same_place_is_found_and_not_the_lost_one(world):
    one, other = world.runtime(), world.runtime()
    assert one.peer(other.location) == 0
    place = other.location
    first = registered(other, "service")
    old = one.spawn(lambda: Coro.locate("service", timeout=5)).value(10)
    other.finish()
    poll_until(lambda: not one.peers())
    assert one.spawn(lambda: Coro.locate("service", timeout=0.2)).value(5) is None
    successor = world.runtime(tcp_port=place.port)
    second = registered(successor, "service")
    assert one.peer(place) == 0
    new = one.spawn(lambda: Coro.locate("service", timeout=5)).value(10)
    assert new.id == second.id
    assert old != new
    # The old reference never reaches the successor.
    assert old.send("x") == -1
    for each in (first, second):
        each.send("x")


def test_finish_lets_go_whoever_looks_for_a_name(runtime_pair):
    looking = runtime_pair.one.spawn(lambda: Coro.locate("nobody"))
    (link,) = runtime_pair.other.peer_table.online()
    poll_until(lambda: link.locates)
    runtime_pair.one.finish()
    assert looking.value(5) is None


def test_the_runtimes_themselves_are_found_by_name(world):
    one = world.runtime(name="first")
    assert one.locate("first") == one.location
    looking = one.spawn(lambda: one.locate("second", 10))
    other = world.runtime(name="second")
    assert other.peer(one.location) == 0
    assert looking.value(5) == other.location
    assert other.locate("first", 5) == one.location
    assert one.locate("third", 0.1) is None
    assert not one._observers._observers


@pytest.mark.parametrize("how", ["the same number twice", "too many"])
def test_S11_a_peer_that_looks_for_too_much_is_cut_off_and_only_that(runtime_pair, how, monkeypatch):
    monkeypatch.setattr("greencoro.distributed.locate.MAX_OUTSTANDING", 50)
    third = runtime_pair.world.runtime()
    assert third.peer(runtime_pair.other.location) == 0
    (link,) = runtime_pair.one.peer_table.online()
    for number in range(51):
        link.send(None, Locate(1 if how == "the same number twice" else number, True, "coro", "nobody").encode())
    poll_until(lambda: runtime_pair.one.location not in runtime_pair.other.peers())
    assert third.location in runtime_pair.other.peers()
    poll_until(lambda: not runtime_pair.other.names._listeners)
    (back,) = third.peer_table.online()
    assert back.send(None, Forget(77).encode())
    sleep(0)
