"""Jobs on their way to a server over a network that has room, has none, or is gone."""

import functools
import gc
import json
from types import SimpleNamespace

import pytest

from greencoro.compute.job import Job
from greencoro.compute.job_transport import NetworkTransport
from greencoro.compute.parts import Package
from greencoro.compute.server_pool import Server
from greencoro.compute.shipping import Shipping
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.errors import BusyResource, PeerLost
from tests.compute.client_stand_ins import watch

AT = Location("10.0.0.1", 5)
SERVER = Server("ab" * 16, "cd" * 16, "10.0.0.1", AT, "server", "the lease's token")
KEY = bytes(range(16))
PEER = PeerInfo(AT, "server", bytes.fromhex(SERVER.id))


class Runtime:
    """What `post` returns, and whether the server is online, is a test's."""

    def __init__(self):
        self.settings = SimpleNamespace(max_message_bytes=1 << 20)
        self.answer, self.online = 0, [PEER]
        self.posted, self.shown = [], []
        self.reactor = SimpleNamespace(post=lambda function, *args: function(*args))

    def open_watch(self, peer):
        return watch(7)

    def post(self, to, operation, header, parts=()):
        self.posted.append((to, operation, header if isinstance(header, dict) else json.loads(header)))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def request(self, to, operation, header, parts=(), timeout=None):
        self.posted.append((to, operation, header if isinstance(header, dict) else json.loads(header)))
        return SimpleNamespace(header={"id": 3, "name": "len"})

    def link_for(self, reference):
        self.shown.append((reference.incarnation, reference.key))

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


def test_S16_token_and_key_go_to_the_server_that_was_leased_whoever_is_met_at_its_place(
    transport, runtime, monkeypatch
):
    insider = PeerInfo(AT, "insider", b"i" * 16)
    monkeypatch.setattr(runtime, "connect", lambda location, *, incarnation: insider)
    transport.set_up(SERVER, 1.0)
    assert [to.incarnation for to, _, _ in runtime.posted] == [PEER.incarnation] * 2


def test_server_sees_the_token_of_its_lease_with_every_request(transport, runtime):
    transport.set_up(SERVER, 1.0)
    assert transport.start(job(transport), 0.0) == (PEER, 3, "len", KEY)
    transport.queue(job(transport, "lane"))
    transport.withdraw(job(transport))
    assert [operation for _, operation, _ in runtime.posted] == [
        "server.is_assigned",
        "server.set_up",
        "server.run",
        "server.queue",
        "server.withdraw",
    ]
    assert {header["token"] for _, _, header in runtime.posted} == {"the lease's token"}
    assert [header.get("lane") for _, _, header in runtime.posted[2:4]] == [None, "lane"]


def test_server_that_is_set_up_is_shown_the_key_of_all(transport, runtime):
    transport.set_up(SERVER, 1.0)
    assert runtime.shown == [(PEER.incarnation, KEY)]


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


def test_arguments_larger_than_a_message_go_before_their_job_in_pieces(transport, runtime):
    runtime.settings.max_message_bytes = 20_000
    submission = job(transport, argument="x" * 10_000)
    transport.queue(submission)
    *pieces, queued = runtime.posted
    assert [operation for _, operation, _ in pieces] == ["server.piece"] * 3
    assert [header["offset"] for _, _, header in pieces] == [0, 5000, 10_000]
    assert {(header["purpose"], header["watch"]) for _, _, header in pieces} == {("arguments", submission.id)}
    assert queued[1:2] == ("server.queue",)
    assert queued[2]["apart"]


def test_server_is_told_the_time_limit_of_a_job_that_has_one(transport, runtime):
    for function in (len, Job(len, time_limit=2.5)):
        call = Shipping([]).prepare(function, ("abc",), {})
        transport.queue(transport.open(SERVER, call, lambda submission: None))
    assert [header.get("time_limit") for _, _, header in runtime.posted] == [None, 2.5]


def test_what_is_scattered_goes_before_the_first_job_that_has_it_and_not_with_it(runtime):
    shipping = Shipping([])
    transport = NetworkTransport(runtime, shipping, KEY)
    call = shipping.prepare(len, (shipping.scatter("abc"),), {})
    for _ in range(2):
        transport.queue(transport.open(SERVER, call, lambda submission: None))
    assert [operation for _, operation, _ in runtime.posted] == ["server.piece", "server.queue", "server.queue"]


def test_jobs_of_one_function_differ_by_their_number_and_those_of_another_do_not_go_by_its_name(runtime, transport):
    shipping = Shipping([])
    calls = [shipping.prepare(function, ("abc",), {}) for function in (len, len, max, len)]
    for number, call in enumerate(calls):
        submission = transport.open(SERVER, call, lambda submission: None)
        submission.id = number
        transport.queue(submission)
    told = [(header["name"], header["entry"][1], header["watch"]) for _, _, header in runtime.posted]
    assert told == [("len", "len", 0), ("len", "len", 1), ("max", "max", 2), ("len", "len", 3)]
    assert all(header["token"] == SERVER.token for _, _, header in runtime.posted)


def test_server_that_came_anew_is_sent_the_packages_again(runtime, transport):
    def shipped():
        return 1

    for _ in range(2):
        call = transport._shipping.prepare(shipped, (), {})
        transport.queue(transport.open(SERVER, call, lambda submission: None))
    transport.forget(SERVER)
    transport.queue(transport.open(SERVER, call, lambda submission: None))
    first = ["server.package", "server.queue"]
    assert [operation for _, operation, _ in runtime.posted] == [*first, "server.queue", *first]


def test_what_is_packed_anew_for_each_job_is_not_kept(runtime, transport):
    def packages():
        return sum(isinstance(each, Package) and each.size > 50_000 for each in gc.get_objects())

    before = packages()
    for number in range(3):
        call = transport._shipping.prepare(functools.partial(len, (b"x" * 50_000, number)), (), {})
        transport.queue(transport.open(SERVER, call, lambda submission: None))
    del call
    gc.collect()
    assert packages() == before
    assert [operation for _, operation, _ in runtime.posted] == ["server.package", "server.queue"] * 3
