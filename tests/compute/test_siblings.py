"""How a job's search for a name gets to the other servers."""

from types import SimpleNamespace

import pytest

from greencoro.compute import siblings as module
from greencoro.compute.job_words import LooksForNames, Siblings
from greencoro.compute.siblings import SiblingNames
from greencoro.distributed.location import Location
from greencoro.errors import BusyResource, RemoteProtocolError

KEY, TOKEN = b"k" * 16, "ab" * 32
A, B = "0a" * 16, "0b" * 16
AT_A, AT_B = Location("10.0.0.1", 5), Location("10.0.0.2", 6)


class Network:
    """The runtime's own search."""

    def __init__(self):
        self.asked = []

    def locate(self, kind, name, location, timeout):
        self.asked.append((kind, name, location, timeout))
        return f"found {name}"


class Runtime:
    def __init__(self):
        self.names = SimpleNamespace(network=Network())
        self.handlers = {}
        self.reached = []
        self.lost = set()
        self.busy = False

    def handle(self, operation, handler, on_reactor=False):
        assert on_reactor
        self.handlers[operation] = handler

    def link_for(self, reference):
        if self.busy:
            raise BusyResource("so many are being dialled")
        self.reached.append(reference)
        return None if reference.incarnation in self.lost else object()


class Client:
    key = KEY

    def __init__(self):
        self.told = []
        self.has_room = True
        self.says_this = True

    def tell(self, word):
        self.told.append(word)
        return self.has_room

    def is_from_client(self, peer, token):
        assert (peer, token) == ("the client", TOKEN)
        return self.says_this


@pytest.fixture
def there():
    runtime, client = Runtime(), Client()
    network = runtime.names.network
    names = SiblingNames(runtime, client)
    return SimpleNamespace(runtime=runtime, client=client, network=network, names=names)


def told(there, *others):
    word = Siblings(TOKEN, {id: str(location) for id, location in others})
    there.runtime.handlers[Siblings.operation](SimpleNamespace(peer="the client", header=word.to_header()))


def places(references):
    return [(reference.incarnation.hex(), reference.location) for reference in references]


def test_it_stands_before_the_search_of_the_runtime(there):
    assert there.runtime.names.network is there.names
    assert there.names.locate("coro", "x", None, 2.0) == "found x"
    assert there.network.asked == [("coro", "x", None, 2.0)]


def test_the_client_is_asked_once_and_not_before_somebody_looks(there):
    assert there.client.told == []
    for name in "xyz":
        there.names.locate("coro", name, None, 2.0)
    assert there.client.told == [LooksForNames]


def test_the_client_is_asked_again_where_there_was_no_room(there):
    there.client.has_room = False
    there.names.locate("coro", "x", None, 2.0)
    there.client.has_room = True
    there.names.locate("coro", "x", None, 2.0)
    there.names.locate("coro", "x", None, 2.0)
    assert there.client.told == [LooksForNames, LooksForNames]


def test_a_search_at_a_place_asks_nobody(there):
    told(there, (A, AT_A))
    del there.runtime.reached[:]
    assert there.names.locate("coro", "x", AT_B, 2.0) == "found x"
    assert there.client.told == []
    assert there.runtime.reached == []


def test_siblings_are_reached_with_the_key_when_they_are_named_and_at_each_search(there):
    told(there, (A, AT_A), (B, AT_B))
    assert places(there.runtime.reached) == [(A, AT_A), (B, AT_B)]
    assert {reference.key for reference in there.runtime.reached} == {KEY}
    there.names.locate("coro", "x", None, 2.0)
    assert places(there.runtime.reached)[2:] == [(A, AT_A), (B, AT_B)]


def test_a_sibling_that_is_lost_is_forgotten(there):
    told(there, (A, AT_A), (B, AT_B))
    there.runtime.lost = {bytes.fromhex(A)}
    there.names.locate("coro", "x", None, 2.0)
    del there.runtime.reached[:]
    there.names.locate("coro", "x", None, 2.0)
    assert places(there.runtime.reached) == [(B, AT_B)]


def test_a_sibling_that_has_to_wait_is_reached_at_the_next_search(there):
    there.runtime.busy = True
    told(there, (A, AT_A))
    there.runtime.busy = False
    there.names.locate("coro", "x", None, 2.0)
    assert places(there.runtime.reached) == [(A, AT_A)]


def test_S16_what_others_say_than_the_client_is_not_believed(there):
    there.client.says_this = False
    told(there, (A, AT_A))
    there.names.locate("coro", "x", None, 2.0)
    assert there.runtime.reached == []


def test_S11_siblings_that_are_none_are_an_error_to_who_says_so(there):
    header = Siblings(TOKEN, {"zz": "10.0.0.1:5"}).to_header()
    with pytest.raises(RemoteProtocolError):
        there.runtime.handlers[Siblings.operation](SimpleNamespace(peer="the client", header=header))
    assert there.runtime.reached == []


def test_no_more_siblings_are_kept_than_so_many(there, monkeypatch):
    monkeypatch.setattr(module, "_MAX_KNOWN", 3)
    told(there, *((f"{number:032x}", AT_A) for number in range(5)))
    assert len(there.runtime.reached) == 3
