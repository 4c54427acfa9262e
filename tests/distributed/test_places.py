"""Where a runtime listens, and which locations mean it there."""

import errno
import socket

import pytest

from greencoro.distributed import options, places
from greencoro.distributed.location import Location
from tests.distributed.test_options import made
from tests.support.polling import poll_until
from tests.support.ports import free_port


def test_several_addresses_are_listened_at_and_the_first_is_told():
    with made(["127.0.0.1", "::1", "127.0.0.2"]) as runtime, made("127.0.0.1") as other:
        port = runtime.location.port
        assert runtime.location == Location("127.0.0.1", port)
        for host in ("::1", "127.0.0.2"):
            assert other.connect(Location(host, port)).location == runtime.location
        assert len(other.peer_table.links) == 1


def test_where_a_free_port_is_taken_at_the_second_address_another_one_is_chosen(monkeypatch):
    refused = []
    runtime = made("127.0.0.1")
    transport = runtime.peer_table._transport
    original = transport.listen

    def busy(location):
        if location.addr == "127.0.0.2" and len(refused) < 3:
            refused.append(location.port)
            raise OSError(98, "Address already in use")
        return original(location)

    monkeypatch.setattr(transport, "listen", busy)
    listeners = places.listen(transport, ["127.0.0.1", "127.0.0.2"], 0)
    assert len({listener.location.port for listener in listeners}) == 1 and len(refused) == 3
    for listener in listeners:
        listener.close()
    refused.clear()
    with pytest.raises(OSError, match="in use"):
        places.listen(transport, ["127.0.0.1", "127.0.0.2"], runtime.location.port + 1)
    runtime.finish()


def test_ext_ip_addr_is_what_others_are_told():
    with made("127.0.0.1", ext_ip_addr="127.0.0.9") as inside, made("127.0.0.1") as outside:
        port = inside.location.port
        assert inside.location == Location("127.0.0.9", port)
        info = outside.connect(Location("127.0.0.1", port))
        assert info.location == inside.location and inside.name == str(inside.location)
        poll_until(lambda: outside.peers() == [inside.location])
        # It cannot be dialled there, and is reached over the connection there is.
        assert outside.request(inside.location, "greencoro.ping", {}, timeout=5).header == {}


def test_all_addresses_stand_for_the_one_that_others_can_use():
    with made("0.0.0.0") as runtime:
        assert runtime.location == Location(options.default_address(), runtime.location.port)


def test_L3_pings_tell_the_address_of_each_network_though_peers_are_told_of_a_gateway():
    port = free_port()
    with made("127.0.0.1", port, discover_peers=True, ext_ip_addr="127.0.0.9") as runtime:
        inside = Location("127.0.0.1", runtime.location.port)
        assert list(runtime._neighbours.told.values()) == [inside]
        assert list(runtime.locations) == [Location("127.0.0.9", inside.port), inside]


def test_Z4_a_place_that_cannot_be_had_is_named_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"at 127.0.0.1:{port}: Address already in use: another .*tcp_port=0") as used:
            made("127.0.0.1", tcp_port=port)
    assert used.value.errno == errno.EADDRINUSE and used.value.__cause__ is None
    with pytest.raises(OSError, match=r"at 203\.0\.113\.9:.*: that is no address of this machine") as refused:
        made("203.0.113.9")
    assert refused.value.errno == errno.EADDRNOTAVAIL
