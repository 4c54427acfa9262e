"""Objects that servers have once, without a network."""

import functools
import pickle
import sys
from types import SimpleNamespace

import pytest

from greencoro.compute import big_parts
from greencoro.compute.big_parts import Gathering
from greencoro.compute.job_words import Free, Piece, Purpose
from greencoro.compute.loader import Loader
from greencoro.compute.scattered import Shelf
from greencoro.compute.shipping import Shipping
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.errors import PackagingError, PeerLost
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep

TOKEN = "ab" * 32
ONE = PeerInfo(Location("10.0.0.1", 1), "one", b"1" * 16)
TWO = PeerInfo(Location("10.0.0.1", 2), "two", b"2" * 16)


class Runtime:
    """A network to servers with a shelf each."""

    settings = SimpleNamespace(max_message_bytes=400)

    def __init__(self):
        self.gathering = {ONE: Gathering(), TWO: Gathering()}
        self.bytes = {ONE: 0, TWO: 0}
        self.there = {ONE: set(), TWO: set()}
        self.lost = set()
        self.before_last = None

    def request(self, to, operation, header, parts=(), timeout=None):
        if to in self.lost:
            raise PeerLost("gone")
        if operation != Piece.operation:
            return
        piece = Piece.from_header(header)
        assert piece.purpose is Purpose.SCATTERED
        self.bytes[to] += len(parts[0])
        if self.gathering[to].add(piece, bytes(parts[0])) is not None:
            if self.before_last is not None:
                self.before_last()
            self.there[to].add(piece.digest)

    def post_nowait(self, to, operation, header, parts=()):
        self.there[to].discard(Free.from_header(header).digest)
        return to not in self.lost


@pytest.fixture
def shipping():
    return Shipping([])


def send(shipping, runtime, server, *wanted):
    shipping.send_scattered(runtime, server, TOKEN, wanted)


def test_it_is_sent_once_to_each_server_however_often_it_is_wanted(shipping):
    runtime = Runtime()
    scattered = shipping.scatter(bytes(1000))
    for server in (ONE, TWO, ONE, TWO):
        send(shipping, runtime, server, scattered)
    shipping.send_all_scattered(runtime, ONE, TOKEN)
    assert runtime.bytes == {ONE: scattered.size, TWO: scattered.size}
    assert runtime.there == {ONE: {scattered.digest}, TWO: {scattered.digest}}


def test_coroutines_that_want_it_at_once_send_it_once(shipping):
    runtime = Runtime()
    runtime.before_last = lambda: sleep(0.001)
    scattered = shipping.scatter(bytes(1000))
    for coro in [Coro(send, shipping, runtime, ONE, scattered) for _ in range(5)]:
        coro.value(5)
    assert runtime.bytes[ONE] == scattered.size


def test_a_server_started_anew_at_the_same_place_gets_it(shipping):
    runtime = Runtime()
    scattered = shipping.scatter(bytes(1000))
    send(shipping, runtime, ONE, scattered)
    shipping.forget(ONE.incarnation)
    send(shipping, runtime, ONE, scattered)
    assert runtime.bytes[ONE] == 2 * scattered.size


def test_what_was_not_taken_whole_is_sent_again(shipping):
    runtime = Runtime()
    scattered = shipping.scatter(bytes(1000))
    runtime.lost.add(ONE)
    with pytest.raises(PeerLost):
        send(shipping, runtime, ONE, scattered)
    runtime.lost.clear()
    send(shipping, runtime, ONE, scattered)
    assert runtime.there[ONE] == {scattered.digest}


def test_the_same_content_scattered_twice_is_one(shipping):
    assert shipping.scatter([1, 2]) is shipping.scatter([1, 2])
    assert shipping.scatter([1, 2]) is not shipping.scatter([1, 3])


def test_it_is_a_copy_of_the_object_as_it_was(shipping):
    thing = [1]
    scattered = shipping.scatter(thing)
    thing.append(2)
    assert Loader(".").load_scattered(scattered.content) == [1]


def test_a_call_carries_its_digest_alone_wherever_it_is_among_the_arguments(shipping):
    scattered = shipping.scatter(bytes(100_000))
    call = shipping.prepare(len, ({"deep": [(scattered, scattered)]},), {})
    assert call.scattered == (scattered,)
    assert len(call.arguments) < 1000
    Shelf(lambda content: pickle.loads(content)[0][0]).put(scattered.digest, scattered.content)
    ((one, two),) = pickle.loads(call.arguments)[0][0]["deep"]
    assert one == bytes(100_000)
    assert one is two


def test_another_computation_cannot_use_it(shipping):
    with pytest.raises(PackagingError, match=r"<Scattered list, .*> belongs to another computation"):
        Shipping([]).prepare(len, (shipping.scatter([]),), {})


def test_it_is_no_part_of_a_function_nor_of_another(shipping):
    scattered = shipping.scatter([])
    for function in (lambda: scattered, functools.partial(len, scattered)):
        with pytest.raises(PackagingError, match="which is to be an argument of the job"):
            shipping.prepare(function, (), {})
    with pytest.raises(PackagingError, match="pass each as an argument"):
        shipping.scatter([scattered])


def test_what_cannot_be_shipped_is_not_scattered(shipping):
    with pytest.raises(PackagingError, match=r"scatter\.args\[0\]\['x'\]"):
        shipping.scatter({"x": (each for each in ())})


def test_more_than_a_server_takes_is_refused(shipping, monkeypatch):
    monkeypatch.setattr(big_parts, "MAX_CONTENT_BYTES", 1000)
    with pytest.raises(PackagingError, match=r"scatter: 2\d\d\d bytes; 1000 may be sent"):
        shipping.scatter(bytes(2000))
    with pytest.raises(PackagingError, match=r"the arguments of len \(see Computation.scatter\): 2\d\d\d bytes"):
        shipping.prepare(len, (bytes(2000),), {})


def test_what_is_freed_is_forgotten_everywhere_and_can_be_scattered_anew(shipping):
    runtime = Runtime()
    scattered = shipping.scatter(bytes(1000))
    call = shipping.prepare(len, (scattered,), {})
    send(shipping, runtime, ONE, scattered)
    content = scattered.content
    scattered.free()
    scattered.free()
    assert runtime.there[ONE] == set()
    assert scattered.content is None
    assert sys.getrefcount(content) == 2, "the test's, and that of the question"
    with pytest.raises(PackagingError, match="was freed"):
        shipping.prepare(len, (scattered,), {})
    with pytest.raises(PackagingError, match="was freed"):
        send(shipping, runtime, TWO, *call.scattered)
    again = shipping.scatter(bytes(1000))
    assert again is not scattered
    send(shipping, runtime, ONE, again)
    assert runtime.there[ONE] == {again.digest}


def test_what_is_freed_while_it_is_sent_does_not_stay(shipping):
    runtime = Runtime()
    scattered = shipping.scatter(bytes(1000))
    runtime.before_last = scattered.free
    send(shipping, runtime, ONE, scattered)
    assert runtime.there[ONE] == set()


def test_with_the_computation_all_is_freed(shipping):
    scattered = shipping.scatter(bytes(1000))
    shipping.free_all()
    assert scattered.content is None


def test_a_server_opens_it_once_for_all_jobs_also_where_they_ask_at_once():
    opened = []

    def load(content):
        opened.append(content)
        sleep(0.001)
        return [content]

    shelf = Shelf(load)
    shelf.put("d", b"x")
    found = [each.value(5) for each in [Coro(shelf.find, "d") for _ in range(5)]]
    assert opened == [b"x"]
    assert all(each is found[0] for each in found)


def test_what_cannot_be_opened_says_so_to_each_job():
    def load(content):
        raise PackagingError("cannot be loaded at this server")

    shelf = Shelf(load)
    shelf.put("d", b"x")
    for _ in range(2):
        with pytest.raises(PackagingError, match="cannot be loaded"):
            shelf.find("d")


def test_what_is_freed_at_a_server_is_not_there():
    shelf = Shelf(bytes)
    shelf.put("d", b"x")
    shelf.free("d")
    shelf.free("d")
    with pytest.raises(PackagingError, match="it was freed"):
        shelf.find("d")


def test_a_class_that_is_bound_anew_is_that_in_jobs_also_where_an_older_object_is_their_argument(pair):
    """A job's packages never bring back a definition that its client has replaced."""
    with pair.at(pair.client):
        shipping = Shipping([])
        pair.define("class Thing:\n    version = 1\n\ndef version(thing):\n    return Thing.version")
        scattered = shipping.scatter(pair.client.Thing())
        pair.define("class Thing:\n    version = 2")
        call = shipping.prepare(pair.client.version, (scattered,), {})
    with pair.at(pair.server):
        for package in call.packages:
            pair.loader.install(package)
        assert pair.loader.resolve(call.shipment.entry)(None) == 2
        assert pair.loader.load_scattered(scattered.content).version == 2


def test_what_a_server_has_is_used_there_while_something_else_is_sent(shipping):
    runtime = Runtime()
    there, coming = shipping.scatter(bytes(1000)), shipping.scatter(bytes(2000))
    send(shipping, runtime, ONE, there)
    begun, go_on = Completion(), Completion()

    def hold():
        begun.set()
        go_on.wait()

    runtime.before_last = hold
    sending = Coro(send, shipping, runtime, ONE, coming)
    assert begun.wait(5)
    try:
        Coro(send, shipping, runtime, ONE, there).value(5)
    finally:
        go_on.set()
    sending.value(5)


def test_the_class_of_the_object_is_there_though_the_job_does_not_name_it(pair):
    with pair.at(pair.client):
        shipping = Shipping([])
        pair.define("class Thing:\n    version = 1\n\ndef version(thing):\n    return thing.version")
        scattered = shipping.scatter(pair.client.Thing())
        call = shipping.prepare(pair.client.version, (scattered,), {})
    with pair.at(pair.server):
        for package in call.packages:
            pair.loader.install(package)
        assert pair.loader.load_scattered(scattered.content).version == 1
