import pickle
import socket

import pytest

from greencoro.distributed import location
from greencoro.legacy.asyncoro import Location


def test_a_location_has_an_address_and_a_port():
    here = Location("127.0.0.1", "51350")
    assert (here.addr, here.port, str(here), repr(here)) == ("127.0.0.1", 51350, "127.0.0.1:51350", "127.0.0.1:51350")
    assert isinstance(here, Location) and not isinstance("127.0.0.1:51350", Location)


def test_two_are_equal_by_address_and_port():
    here = Location("10.0.0.1", 1)
    assert here == Location("10.0.0.1", "1") == pickle.loads(pickle.dumps(here)) == location.Location("10.0.0.1", 1)
    assert hash(here) == hash(Location("10.0.0.1", 1))
    assert here != Location("10.0.0.1", 2) and here != Location("10.0.0.2", 1) and here != "10.0.0.1:1"


def test_a_name_is_looked_up_and_digits_with_dots_are_taken_as_they_are():
    assert Location("localhost", 0).addr == "127.0.0.1"
    assert Location("10.0.0.999", 0).addr == "10.0.0.999"
    with pytest.raises(socket.gaierror):
        Location("no-such-host.invalid", 0)
