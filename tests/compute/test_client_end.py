"""What a server process tells its client, and whom it takes for that."""

from types import SimpleNamespace

import pytest

from greencoro.compute.client_end import ClientEnd
from greencoro.compute.job_words import LooksForNames, Printed, SetUp
from greencoro.compute.output_book import Batch
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo

TOKEN, OTHER = "ab" * 32, "cd" * 32
ASKED = SetUp(TOKEN, "12" * 16, output=True)
CLIENT = PeerInfo(Location("10.0.0.9", 1), "client", b"c" * 16)
STRANGER = PeerInfo(Location("10.0.0.8", 1), "client", b"s" * 16)


class Runtime:
    """Keeps what is posted, as far as there is room."""

    def __init__(self):
        self.reach = SimpleNamespace(key=b"of its own")
        self.posted = []
        self.has_room = True

    def post_nowait(self, peer, operation, header):
        if self.has_room:
            self.posted.append((peer, operation, header))
        return self.has_room


@pytest.fixture
def runtime():
    return Runtime()


@pytest.fixture
def client(runtime):
    end = ClientEnd(runtime)
    end.begin(CLIENT, ASKED)
    return end


def test_nothing_goes_anywhere_before_there_is_a_client(runtime):
    end = ClientEnd(runtime)
    assert end.key == b""
    assert not end.tell(LooksForNames)
    assert not end.print(Batch(()))
    assert runtime.posted == []
    assert runtime.reach.key == b"of its own"


def test_S16_nobody_is_the_client_before_there_is_one(runtime):
    assert not ClientEnd(runtime).is_from_client(CLIENT, "")


def test_S16_from_then_on_the_server_is_reached_with_the_key_of_its_computation(runtime, client):
    assert runtime.reach.key == client.key == bytes.fromhex("12" * 16)


def test_the_client_is_told_with_the_token(runtime, client):
    assert client.tell(LooksForNames)
    assert client.print(Batch((), 7))
    assert runtime.posted == [
        (CLIENT, LooksForNames.operation, {"token": TOKEN}),
        (CLIENT, Printed.operation, {"token": TOKEN, "lines": [], "left_out": 7}),
    ]


def test_it_is_said_that_there_is_no_room(runtime, client):
    runtime.has_room = False
    assert not client.tell(LooksForNames)
    assert not client.print(Batch(()))


@pytest.mark.parametrize(
    ("peer", "token", "is_client"),
    [
        (CLIENT, TOKEN, True),
        (CLIENT, OTHER, False),
        (CLIENT, "", False),
        (CLIENT, "é", False),
        (STRANGER, TOKEN, False),
    ],
)
def test_S16_the_client_is_who_set_up_the_server_and_shows_the_token(client, peer, token, is_client):
    assert client.is_from_client(peer, token) is is_client
