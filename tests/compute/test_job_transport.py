"""Jobs on their way to a server over a network that has room, has none, or is gone."""

from types import SimpleNamespace

import pytest

from greencoro.compute.job import Job
from greencoro.compute.job_transport import NetworkTransport
from greencoro.compute.server_pool import Server
from greencoro.compute.shipping import Shipping
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.errors import BusyResource, PackagingError, PeerLost
from greencoro.hub.completion import Completion

AT = Location("10.0.0.1", 5)
SERVER = Server("ab" * 16, "cd" * 16, "10.0.0.1", AT, "server", "the lease's token")
KEY = bytes(range(16))
PEER = PeerInfo(AT, "server", bytes.fromhex(SERVER.id))


class Runtime:
    """What `post` returns, and whether the server is online, is a test's."""

    def __init__(self):
        self.settings = SimpleNamespace(max_message_bytes=1 << 20)
        self.answer, self.online = 0, [PEER]
        self.posted = []
        self.reactor = SimpleNamespace(post=lambda function, *args: function(*args))

    def open_watch(self, peer, name):
        return SimpleNamespace(id=7, outcome=Completion())

    def post(self, to, operation, header, parts=()):
        self.posted.append((to, operation, header))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def request(self, to, operation, header, parts=(), timeout=None):
        self.posted.append((to, operation, header))
        return SimpleNamespace(header={"id": 3, "name": "len"})

    def reference(self, peer, coro_id, name, watch, key):
        return (peer, coro_id, name, key)

    def handle(self, operation, handler, on_reactor):
        assert on_reactor

    def connect(self, location, *, incarnation):
        assert location == SERVER.location
        if self.online[0].incarnation != incarnation:
            raise PeerLost("another runtime answers")
        return self.online[0]

    def peer_infos(self):
        return self.online


@pytest.fixture
def runtime():
    return Runtime()


@pytest.fixture
def transport(runtime):
    return NetworkTransport(runtime, Shipping([]), KEY)


def job(transport, lane=None, argument="abc"):
    call = Shipping([]).prepare(len, (argument,), {})
    return transport.open(SERVER, call, lambda submission: None, lane)


def test_server_sees_the_token_of_its_lease_with_every_request(transport, runtime):
    transport.set_up(SERVER, 1.0)
    assert transport.start(job(transport), 0.0) == (PEER, 3, "len", KEY)
    transport.queue(job(transport, "lane"))
    transport.withdraw(job(transport))
    assert [operation for _, operation, _ in runtime.posted] == [
        "server.set_up",
        "server.run",
        "server.queue",
        "server.withdraw",
    ]
    assert {header["token"] for _, _, header in runtime.posted} == {"the lease's token"}
    assert [header.get("lane") for _, _, header in runtime.posted[1:3]] == [None, "lane"]


def test_another_process_at_the_servers_place_is_not_set_up(transport, runtime):
    runtime.online = [PEER._replace(incarnation=bytes(16))]
    with pytest.raises(PeerLost, match="another runtime answers"):
        transport.set_up(SERVER, 1.0)
    assert runtime.posted == []


def test_J1_job_for_which_there_is_no_room_is_not_taken_for_one_that_was_sent(transport, runtime):
    runtime.answer = BusyResource("no room")
    with pytest.raises(BusyResource, match="no room"):
        transport.queue(job(transport))
    runtime.answer = -1
    with pytest.raises(PeerLost):
        transport.queue(job(transport))


def test_job_that_cannot_be_withdrawn_is_named_unless_its_server_is_gone(transport, runtime, caplog):
    runtime.answer = BusyResource("no room")
    transport.withdraw(job(transport))
    assert "len goes on" in caplog.text
    caplog.clear()
    runtime.answer = -1
    transport.withdraw(job(transport))
    assert caplog.text == ""


def test_arguments_larger_than_a_message_are_refused(transport, runtime):
    runtime.settings.max_message_bytes = 20_000
    with pytest.raises(PackagingError, match="max_message_bytes is 20000"):
        transport.queue(job(transport, argument="x" * 10_000))
    assert runtime.posted == []


def test_server_is_told_the_time_limit_of_a_job_that_has_one(transport, runtime):
    for function in (len, Job(len, time_limit=2.5)):
        call = Shipping([]).prepare(function, ("abc",), {})
        transport.queue(transport.open(SERVER, call, lambda submission: None))
    assert [header.get("time_limit") for _, _, header in runtime.posted] == [None, 2.5]
