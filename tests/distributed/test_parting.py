"""Runtimes that part from a peer, that ignore others, and that tell of themselves when they are asked to."""

from greencoro.distributed.peer_status import PeerStatus
from tests.distributed.conftest import reference
from tests.support.polling import poll_until
from tests.support.ports import free_port


def are_peers(one, other):
    return other.location in one.peers() and one.location in other.peers()


def beside(world, port, **kwargs):
    return world.runtime(udp_port=port, discover_peers=True, redials=True, **kwargs)


def test_both_sides_lose_each_other_and_can_be_peers_again(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    said = []

    def listen(coro=None):
        one.peer_status(coro)
        while len(said) < 3:
            said.append(coro.receive().status)

    listening = one.spawn(listen)
    poll_until(lambda: said)
    got = other.spawn(lambda coro=None: [coro.receive() for _ in range(1000)])
    to_got = reference(one, got)
    for number in range(1000):
        to_got.send(number)
    assert one.disconnect(other.location, 10) == 0
    # What was queued before went.
    assert got.value(10) == list(range(1000))
    poll_until(lambda: not one.peers() and not other.peers())
    assert to_got.send("x") == -1
    assert one.disconnect(other.location) == -1
    assert one.peer(other.location, timeout=10) == 0
    poll_until(lambda: are_peers(one, other))
    listening.value(10)
    assert said == [PeerStatus.Online, PeerStatus.Offline, PeerStatus.Online]


def test_neither_side_dials_the_other_for_its_pings_or_for_having_been_told_of_it_at_the_start(tcp_world):
    port = free_port()
    one = beside(tcp_world, port)
    other = beside(tcp_world, port, peers=[one.location], tick_seconds=0.2)
    third = beside(tcp_world, port)
    poll_until(lambda: are_peers(one, other) and are_peers(one, third))
    assert one.disconnect(other.location) == 0
    poll_until(lambda: not are_peers(one, other))
    for runtime in (one, other):
        runtime.announce()
    # What comes after those pings, at all three.
    fourth = beside(tcp_world, port)
    poll_until(lambda: all(are_peers(fourth, each) for each in (one, other, third)))
    assert other.location not in one.peers()
    assert other.peer(one.location, timeout=10) == 0
    poll_until(lambda: are_peers(one, other))


def test_one_that_ignores_pings_is_found_when_it_does_so_no_more(tcp_world):
    port = free_port()
    one = beside(tcp_world, port)
    one.ignore_pings(True)
    other, third = (beside(tcp_world, port) for _ in range(2))
    poll_until(lambda: are_peers(other, third))
    for runtime in (other, third):
        runtime.announce()
    assert not one.peers()
    one.ignore_pings(False)
    poll_until(lambda: are_peers(one, other) and are_peers(one, third))


def test_one_without_discovery_is_found_when_it_announces_itself(tcp_world):
    port = free_port()
    found = beside(tcp_world, port)
    hidden = tcp_world.runtime(udp_port=port)
    elsewhere = tcp_world.runtime()
    hidden.announce()
    elsewhere.announce(port)
    poll_until(lambda: are_peers(found, hidden) and are_peers(found, elsewhere))
