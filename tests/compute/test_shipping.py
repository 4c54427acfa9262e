"""Code on its way to servers that take it slowly, or not at all."""

import threading
from types import SimpleNamespace

import pytest

from greencoro import Coro
from greencoro.compute import big_parts
from greencoro.compute.job import Job
from greencoro.compute.shipping import Shipping
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.errors import BusyResource, PackagingError, PeerLost
from greencoro.hub.completion import Completion
from tests.support import hygiene
from tests.support.polling import poll_until

SERVER = PeerInfo(Location("10.0.0.1", 1), "server", b"1" * 16)
OTHER = PeerInfo(Location("10.0.0.1", 2), "other", b"2" * 16)


class Runtime:
    """Its network takes what `room` lets through."""

    def __init__(self, answer=0):
        self.settings = SimpleNamespace(max_message_bytes=1 << 20)
        self.answer = answer
        self.online = [SERVER, OTHER]
        self.room = Completion()
        self.room.set()
        self.waiting = 0
        self.posted = []

    def post(self, to, operation, header, parts=()):
        self.waiting += 1
        self.room.wait()
        self.waiting -= 1
        self.posted.append((to.name, operation, header))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def peer_infos(self):
        return self.online


@pytest.fixture
def shipping():
    return Shipping([])


def packages(shipping, function):
    packed = shipping.prepare(function, (), {}).packages
    assert packed
    return packed


def first():
    return 1


def test_nothing_is_sent_twice_to_a_server(shipping):
    runtime = Runtime()
    wanted = packages(shipping, first)
    assert shipping.send(runtime, SERVER, "token", wanted) == [each.digest for each in wanted]
    shipping.send(runtime, SERVER, "token", wanted)
    shipping.send(runtime, OTHER, "token", wanted)
    assert [name for name, _, _ in runtime.posted] == ["server", "other"]


def test_server_that_is_gone_is_forgotten(shipping):
    runtime = Runtime()
    wanted = packages(shipping, first)
    shipping.send(runtime, SERVER, "token", wanted)
    shipping.forget(SERVER.incarnation)
    assert shipping._sent == {}
    shipping.send(runtime, SERVER, "token", wanted)
    assert len(runtime.posted) == 2


def test_what_could_not_be_sent_for_want_of_room_is_no_loss_and_sent_the_next_time(shipping):
    runtime = Runtime(answer=BusyResource("no room"))
    wanted = packages(shipping, first)
    with pytest.raises(BusyResource, match="no room"):
        shipping.send(runtime, SERVER, "token", wanted)
    runtime.answer = 0
    shipping.send(runtime, SERVER, "token", wanted)
    assert len(runtime.posted) == 2


def test_what_could_not_be_sent_to_a_server_that_is_gone_is_a_loss(shipping):
    runtime = Runtime(answer=-1)
    runtime.online = [OTHER]
    with pytest.raises(PeerLost):
        shipping.send(runtime, SERVER, "token", packages(shipping, first))


def test_component_larger_than_a_server_takes_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(big_parts, "MAX_CONTENT_BYTES", 10)
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(PackagingError, match=r"'large'.*11 bytes; 10 may be sent to a server"):
        Shipping([tmp_path / "large"])


def test_who_waits_for_room_holds_up_no_other_coroutine_of_the_hub(shipping):
    runtime = Runtime()
    runtime.room = Completion()
    wanted = [packages(shipping, first), packages(shipping, hygiene.snapshot)]
    senders = [Coro(shipping.send, runtime, SERVER, "token", each) for each in wanted]
    poll_until(lambda: runtime.waiting == 1)
    # The second waits for the first: if it held up the hub, nothing of this would run.
    assert Coro(lambda: "the hub turns").value(5) == "the hub turns"
    assert runtime.waiting == 1
    runtime.room.set()
    for sender in senders:
        sender.value(5)
    assert len(runtime.posted) == 2


def test_a_thread_and_a_coroutine_that_send_the_same_package_send_it_once(shipping):
    runtime = Runtime()
    runtime.room = Completion()
    wanted = packages(shipping, first)
    thread = threading.Thread(target=shipping.send, args=(runtime, SERVER, "token", wanted))
    thread.start()
    poll_until(lambda: runtime.waiting == 1)
    coro = Coro(shipping.send, runtime, SERVER, "token", wanted)
    Coro(lambda: None).value(5)
    runtime.room.set()
    coro.value(5)
    thread.join(5)
    assert len(runtime.posted) == 1


def test_a_job_is_prepared_as_its_function_with_what_it_asks_for(shipping):
    job = Job(first, retries=2, time_limit=3)
    shipping.check(job)
    prepared, plain = shipping.prepare(job, (), {}), shipping.prepare(first, (), {})
    assert (prepared.name, prepared.shipment, prepared.arguments) == (plain.name, plain.shipment, plain.arguments)
    assert (prepared.retries, prepared.time_limit) == (2, 3)
    assert (plain.retries, plain.time_limit) == (0, None)
