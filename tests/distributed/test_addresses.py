"""Addresses of this machine, over made-up interfaces."""

import socket
from types import SimpleNamespace

import pytest

from greencoro.distributed import addresses
from greencoro.distributed.addresses import Channel

V4, V6 = socket.AF_INET, socket.AF_INET6


def address(family, address, netmask=None, broadcast=None):
    return SimpleNamespace(family=family, address=address, netmask=netmask, broadcast=broadcast)


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    interfaces = {
        "lo": [address(V4, "127.0.0.1", "255.0.0.0"), address(V6, "::1", "ffff" * 8)],
        "off0": [address(V4, "198.51.100.9", "255.255.255.0", "198.51.100.255")],
        "eth0": [
            address(V6, "fe80::1%eth0", "ffff:ffff:ffff:ffff::"),
            address(V4, "169.254.3.4", "255.255.0.0", "169.254.255.255"),
            address(V4, "192.0.2.17", "255.255.255.0", "192.0.2.255"),
            address(V6, "2001:db8::17", "ffff:ffff:ffff:ffff::"),
        ],
        "eth1": [address(V4, "203.0.113.65", "255.255.255.192")],
        "tun0": [address(V4, "10.8.0.2", "255.255.255.255")],
    }
    monkeypatch.setattr(addresses.psutil, "net_if_addrs", lambda: interfaces)
    states = {name: SimpleNamespace(isup=name != "off0") for name in interfaces}
    monkeypatch.setattr(addresses.psutil, "net_if_stats", lambda: states)
    monkeypatch.setattr(addresses.socket, "if_nametoindex", lambda name: sorted(interfaces).index(name) + 1)
    return interfaces


def test_the_default_address_is_the_first_that_others_can_use(machine):
    assert addresses.default_address() == "192.0.2.17"
    del machine["eth0"]
    assert addresses.default_address() == "203.0.113.65"
    machine.clear()
    assert addresses.default_address() == "127.0.0.1"


def test_a_machine_with_IPv6_alone_has_a_default_address_too(machine):
    machine["eth0"] = [each for each in machine["eth0"] if each.family == V6]
    del machine["eth1"], machine["tun0"]
    assert addresses.default_address() == "2001:db8::17"
    del machine["eth0"]
    assert addresses.default_address() == "127.0.0.1"
    del machine["lo"][0]
    assert addresses.default_address() == "::1"


def test_where_loopback_is_IPv6_alone_there_is_no_way_to_be_heard(machine):
    del machine["lo"][0]
    assert addresses.channels("::1") == []


def test_a_program_here_may_listen_at_loopback_and_at_what_others_can_use():
    found = ["10.8.0.2", "192.0.2.17", "2001:db8::17", "203.0.113.65"]
    assert addresses.listening_addresses() == ["127.0.0.1", *found]


def test_the_own_addresses_are_those_of_interfaces_that_are_up():
    own = addresses.own_addresses()
    assert {"127.0.0.1", "::1", "192.0.2.17", "fe80::1"} <= own and "198.51.100.9" not in own


@pytest.mark.parametrize("here", ["127.0.0.1", "127.0.0.5", "::1"])
def test_loopback_has_a_broadcast_address_of_its_own(here):
    assert addresses.channels(here) == [Channel(V4, "127.0.0.1", "127.255.255.255", 0)]


def test_an_address_is_heard_by_its_networks_broadcast_given_or_worked_out():
    assert addresses.channels("192.0.2.17") == [Channel(V4, "192.0.2.17", "192.0.2.255", 1)]
    assert addresses.channels("203.0.113.65") == [Channel(V4, "203.0.113.65", "203.0.113.127", 2)]


def test_a_line_with_two_ends_has_no_broadcast():
    assert addresses.channels("10.8.0.2") == []


def test_a_group_is_used_beside_broadcast_and_where_there_is_none():
    assert [way.target for way in addresses.channels("192.0.2.17", "239.1.2.3")] == ["192.0.2.255", "239.1.2.3"]
    (way,) = addresses.channels("10.8.0.2", "239.1.2.3")
    assert way.is_multicast and way.interface == 5
    assert not addresses.channels("192.0.2.17")[0].is_multicast


def test_IPv6_is_heard_at_a_group_on_the_link():
    (way,) = addresses.channels("2001:db8::17")
    assert way == Channel(V6, "2001:db8::17", "ff12::6763", 1) and way.is_multicast
    (way,) = addresses.channels("fe80::1")
    assert way.address == "fe80::1"


def test_all_addresses_are_heard_on_all_networks_but_loopback():
    assert [way.address for way in addresses.channels("0.0.0.0")] == ["192.0.2.17", "203.0.113.65"]
    assert [way.address for way in addresses.channels("::")] == ["2001:db8::17"]


@pytest.mark.parametrize("elsewhere", ["192.0.2.18", "198.51.100.9", "2001:db8::18"])
def test_an_address_of_no_interface_that_is_up_is_heard_nowhere(elsewhere):
    assert addresses.channels(elsewhere) == []


def test_a_name_has_all_its_addresses_once(monkeypatch):
    def look_up(host, *args):
        if host == "bad":
            raise UnicodeError("label too long")
        return [(V4, 1, 6, "", (each, 0)) for each in ("192.0.2.1", "127.0.0.1", "192.0.2.1")]

    monkeypatch.setattr(addresses, "_getaddrinfo", look_up)
    assert addresses.resolve("a.example") == ["192.0.2.1", "127.0.0.1"]
    assert addresses.resolve("2001:DB8::1") == ["2001:db8::1"]
    assert not addresses.is_loopback("a.example")
    with pytest.raises(OSError, match="no host name"):
        addresses.resolve("bad")
