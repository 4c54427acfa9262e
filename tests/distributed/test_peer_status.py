"""Which peers are online, as messages to a coroutine."""

import itertools
import threading

import pytest

from greencoro.distributed.location import Location
from greencoro.distributed.peer_status import PeerStatus
from greencoro.distributed.proxies import RemoteCoro
from greencoro.hub.execution import sleep
from tests.distributed.conftest import reference
from tests.support.polling import poll_until


class Reader:
    """A coroutine that keeps what it is told."""

    def __init__(self, runtime):
        self.told = []
        self.coro = runtime.spawn(self._read)

    def _read(self, coro=None):
        while (message := coro.receive()) is not None:
            self.told.append(message)

    def statuses(self):
        return [told.status for told in self.told]

    def end(self):
        self.coro.send(None)
        self.coro.value(5)


@pytest.fixture
def reader(runtime_pair):
    made = Reader(runtime_pair.one)
    yield made
    made.end()


def test_the_constants_are_those_of_the_seeds():
    assert (PeerStatus.Online, PeerStatus.Offline) == (1, 0)


def test_what_it_shows_says_online_or_offline():
    place = Location("a", 1)
    assert repr(PeerStatus(place, "x", 1)) == "PeerStatus(location=a:1, name='x', status=Online)"
    lost = PeerStatus(place, "x", PeerStatus.Offline, 3, "it finished")
    assert repr(lost) == "PeerStatus(location=a:1, name='x', status=Offline, dropped=3, reason='it finished')"


def test_N3_a_late_registrant_is_told_of_those_online_and_of_what_changes(runtime_pair, reader):
    one, other = runtime_pair.one, runtime_pair.other
    one.peer_status(reader.coro)
    poll_until(lambda: reader.told)
    assert reader.told == [PeerStatus(other.location, other.name, PeerStatus.Online)]
    third = runtime_pair.world.runtime(name="third")
    assert third.peer(one.location) == 0
    poll_until(lambda: len(reader.told) == 2)
    third.finish()
    poll_until(lambda: len(reader.told) == 3)
    assert [(told.location, told.name) for told in reader.told[1:]] == [(third.location, "third")] * 2
    assert reader.statuses() == [1, 1, 0]
    assert reader.told[2].reason and not reader.told[1].reason


def test_N3_online_and_offline_alternate_through_50_breaks_whenever_one_registers(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    readers = []
    for round in range(50):
        if round % 5 == 0:
            # The one before hears no more: its list ends somewhere, in order as well.
            readers.append(Reader(one))
            one.peer_status(readers[-1].coro)
        runtime_pair.cut()
        poll_until(lambda: not one.peers() and not other.peers())
        assert other.peer(one.location) == 0
        poll_until(lambda: one.peers())
    poll_until(lambda: len(readers[-1].told) in (10, 11) and readers[-1].told[-1].status == PeerStatus.Online)
    for reader in readers:
        assert reader.told
        assert all(before != after for before, after in itertools.pairwise(reader.statuses()))
        reader.end()


def test_M3_offline_counts_all_that_was_accepted_and_not_read_be_it_queued_or_on_the_way(tcp_world):
    one, other = tcp_world.runtime(), tcp_world.runtime()
    assert one.peer(other.location) == 0
    reader = Reader(one)
    one.peer_status(reader.coro)
    poll_until(lambda: reader.told)
    target = other.spawn(sleep, 60)
    there = reference(one, target)
    (link,) = one.peer_table.online()
    (back,) = other.peer_table.online()
    reads_no_more = threading.Event()
    other.reactor.post(lambda: (back.wire.stream._read_watcher.stop(), reads_no_more.set()))
    assert reads_no_more.wait(15)
    # The network takes less than all of these.
    sent = 30
    for _ in range(sent):
        assert there.send(bytes(1 << 20)) == 0
    assert link._queue
    one.reactor.post(lambda: link.wire.stream._end(ConnectionResetError(104, "Connection reset by peer")))
    poll_until(lambda: len(reader.told) == 2)
    assert reader.told[1].dropped == sent
    reader.end()
    target.terminate()


def test_M3_offline_does_not_count_what_is_known_to_have_been_read(world):
    one, other = world.runtime(), world.runtime(max_queue_messages=40)
    assert one.peer(other.location) == 0
    status, target = Reader(one), Reader(other)
    one.peer_status(status.coro)
    poll_until(lambda: status.told)
    there = reference(one, target.coro)
    for number in range(100):
        assert there.send(number) == 0
    poll_until(lambda: len(target.told) == 100)
    # What says that they were read came before this answer.
    assert one.request(other.location, "greencoro.ping", {}, timeout=5).header == {}
    other.finish()
    poll_until(lambda: len(status.told) == 2)
    # The other side says so for a quarter of its window at a time.
    assert 0 <= status.told[1].dropped < 10
    status.end()
    target.end()


def test_None_ends_it_and_another_registrant_takes_over(runtime_pair, reader):
    one = runtime_pair.one
    one.peer_status(reader.coro)
    second = Reader(one)
    one.peer_status(second.coro)
    poll_until(lambda: second.told)
    runtime_pair.other.finish()
    poll_until(lambda: len(second.told) == 2)
    assert len(reader.told) <= 1
    one.peer_status(None)
    third = runtime_pair.world.runtime()
    assert one.peer(third.location) == 0
    assert one.request(third.location, "greencoro.ping", {}, timeout=5).header == {}
    second.end()
    assert len(second.told) == 2
    assert not one._observers._observers


def test_a_registrant_that_is_over_is_forgotten(runtime_pair):
    one = runtime_pair.one
    reader = Reader(one)
    one.peer_status(reader.coro)
    poll_until(lambda: reader.told)
    reader.end()
    runtime_pair.cut()
    poll_until(lambda: not one._observers._observers)
    assert one._status._registered is None


def test_a_remote_coroutine_may_be_told_as_well(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    reader = Reader(other)
    there = reference(one, reader.coro)
    assert isinstance(there, RemoteCoro)
    one.peer_status(there)
    poll_until(lambda: reader.statuses() == [1])
    assert reader.told[0].location == other.location
    one.peer_status(None)
    reader.end()


@pytest.mark.parametrize("wrong", [7, "name", print])
def test_what_is_no_coroutine_is_refused(world, wrong):
    with pytest.raises(TypeError, match="peer_status takes a coroutine or None"):
        world.runtime().peer_status(wrong)


def test_a_full_mailbox_is_no_reason_to_leave_one_out(world):
    one = world.runtime(max_mailbox_messages=1)
    others = [world.runtime() for _ in range(5)]
    for other in others:
        assert one.peer(other.location) == 0
    go_on = []

    def slow(coro=None):
        while not go_on:
            sleep(0.001)
        return [coro.receive(timeout=5).location for _ in others]

    coro = one.spawn(slow)
    one.peer_status(coro)
    poll_until(lambda: one._observers._observers)
    go_on.append(True)
    assert set(coro.value(10)) == {other.location for other in others}
