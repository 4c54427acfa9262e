"""Names across runtimes: the promises L1 and L2, over every transport."""

import pytest

from greencoro.distributed.location import Location
from greencoro.distributed.messages import Forget, Locate
from greencoro.distributed.proxies import RemoteCoro
from greencoro.errors import BusyResource, DeadlineExceeded
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.support.polling import poll_until
from tests.support.timing import fastest


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


def test_L1_a_name_that_nobody_has_is_None_at_the_timeout_and_disturbs_nothing(runtime_pair):
    def look():
        assert locate(runtime_pair, "nobody", timeout=0.3) is None

    assert 0.3 <= fastest(look, 3) < 0.8
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


def test_L1_who_waits_at_a_location_finds_what_registers_at_the_successor_there(world):
    one, other = world.runtime(tick_seconds=0.1), world.runtime()
    assert one.peer(other.location) == 0
    place = other.location
    looking = one.spawn(lambda: Coro.locate("late", place))
    (link,) = other.peer_table.online()
    poll_until(lambda: link.locates, what="the first one is asked")
    other.finish()
    second = registered(world.runtime(tcp_port=place.port), "late")
    assert looking.value(10).id == second.id
    poll_until(lambda: not one._locator._queries)
    second.send("x")


def test_L1_what_was_found_at_one_that_is_lost_by_then_is_looked_for_again(world, monkeypatch):
    one, other, third = (world.runtime() for _ in range(3))
    assert one.peer(other.location) == 0
    first = registered(other, "service")
    second = []
    wait = one.wait_aloud

    def wait_and_see_it_die(*arguments):
        arrived = wait(*arguments)
        if not second:
            other.finish()
            poll_until(lambda: not one.peers())
            second.append(registered(third, "service"))
            assert one.peer(third.location) == 0
        return arrived

    monkeypatch.setattr(one, "wait_aloud", wait_and_see_it_die)
    found = one.spawn(lambda: Coro.locate("service", timeout=10)).value(20)
    assert (found.id, found.location) == (second[0].id, third.location)
    for each in (first, *second):
        each.send("x")


def test_a_location_may_be_text_and_any_address_of_this_runtime_is_here(tcp_world):
    one, other = tcp_world.runtime(node=["127.0.0.1", "127.0.0.2"]), tcp_world.runtime()
    here, there = registered(one, "here"), registered(other, "there")
    assert one.spawn(lambda: Coro.locate("there", str(other.location), 5)).value(10).id == there.id
    for text in (str(one.location), f"127.0.0.2:{one.location.port}"):
        assert one.spawn(lambda text=text: Coro.locate("here", text, 5)).value(10) is here
    for each in (here, there):
        each.send("x")


@pytest.mark.parametrize("location", [5, b"127.0.0.1:1", ("127.0.0.1", 1), "", "127.0.0.1", Location("127.0.0.1", 0)])
def test_a_location_that_cannot_be_one_raises_at_the_call(world, location):
    one = world.runtime()

    def look():
        with pytest.raises((TypeError, ValueError)) as caught:
            Coro.locate("name", location)
        return str(caught.value)

    assert any(word in one.spawn(look).value(10) for word in ("location", "Location", "host name"))


@pytest.mark.parametrize("name", [123, b"name", None, ""])
def test_a_name_that_is_none_raises_at_the_call(world, name):
    with pytest.raises((TypeError, ValueError), match="a name to register or look for"):
        world.runtime().locate(name, 0.1)


def test_who_comes_to_look_while_a_runtime_finishes_is_let_go(world, monkeypatch):
    one = world.runtime()
    found = []
    close = one._transfers.close

    def close_late(*timeout):
        found.append(one.spawn(lambda: Coro.locate("nobody")).value(5))
        close(*timeout)

    monkeypatch.setattr(one._transfers, "close", close_late)
    one.finish()
    assert found == [None]


def test_finish_lets_go_whoever_looks_for_a_runtime(world):
    one = world.runtime()
    looking = one.spawn(one.locate, "nobody")
    with pytest.raises(DeadlineExceeded):
        looking.value(0.05)
    poll_until(lambda: one._contacts._awaited)
    one.finish()
    assert looking.value(5) is None
    assert one.locate("nobody") is None
    assert not one._contacts._awaited


def test_S11_one_that_looks_for_too_many_names_is_told_so_here_and_stays_a_peer(runtime_pair, monkeypatch):
    monkeypatch.setattr("greencoro.distributed.locate.MAX_OUTSTANDING", 20)
    one, other = runtime_pair.one, runtime_pair.other
    looking = [one.spawn(lambda number=number: Coro.locate(f"name{number}")) for number in range(20)]
    (link,) = other.peer_table.online()
    poll_until(lambda: len(link.locates) == 20)

    def one_more():
        with pytest.raises(BusyResource, match="20 names"):
            Coro.locate("one more", timeout=5)
        return "refused"

    assert one.spawn(one_more).value(10) == "refused"
    there = [registered(other, f"name{number}") for number in range(20)]
    assert [each.value(10).id for each in looking] == [each.id for each in there]
    # Each place is free again once the other side is told.
    for _ in range(200):
        poll_until(lambda: one._locator._outstanding < 20)
        assert one.spawn(lambda: Coro.locate("nobody", timeout=0)).value(5) is None
    poll_until(lambda: not link.locates and not one._locator._outstanding)
    assert link in other.peer_table.online()
    for each in there:
        each.send("x")


@pytest.mark.parametrize("kind", ["", "answer", "x" * 100_000])
def test_S10_a_peer_that_looks_for_what_has_no_names_is_cut_off(runtime_pair, kind):
    (link,) = runtime_pair.one.peer_table.online()
    link.send(None, Locate(1, True, kind, "name").encode())
    poll_until(lambda: not runtime_pair.other.peers())
    assert not runtime_pair.other.names._listeners
