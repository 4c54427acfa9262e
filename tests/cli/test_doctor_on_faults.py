"""What the command ``greencoro doctor`` says of set-ups that were broken on purpose: the fault, and what to do."""

from __future__ import annotations

import contextlib
import platform
import socket

import pytest

from greencoro.cli import network_checks, peer_checks
from greencoro.cli.findings import Level
from greencoro.config import Settings
from greencoro.distributed.datagrams import Echo
from greencoro.distributed.hello import minor_version
from greencoro.distributed.location import Location
from greencoro.distributed.secret import load
from tests.cli.networks import examine
from tests.support.polling import poll_until
from tests.support.ports import free_port

pytestmark = pytest.mark.cluster

KEY = b"d" * 32
HERE = minor_version(platform.python_version())


# Versions.


def test_a_peer_with_another_python_fails_with_both_versions_and_what_to_do(network):
    peer, location, _ = network.peer(python="3.99.1")
    code, found = examine(network, "--peer", location, "--seconds", "2")
    shaken = found["handshake"]
    assert (code, shaken["level"], shaken["data"]["error"]) == (1, "FAIL", "IncompatibleVersion")
    assert f"({location}) runs Python 3.99, this side {HERE}: use the same minor version" in shaken["text"]
    assert f"here are {found['versions']['data']['greencoro']} and {platform.python_version()}" in shaken["advice"]
    assert found["peers"]["level"] == "WARN"
    assert f"({location}) runs Python 3.99, this side {HERE}" in found["peers"]["advice"]
    assert "udp" not in found and "round_trip" not in found
    poll_until(lambda: f"runs Python {HERE}, this side 3.99" in peer.errors(), what="the line at the other side")


def test_a_peer_with_another_serializer_fails_with_a_line_that_names_it(network):
    _, location, _ = network.peer(serializer="json")
    code, found = examine(network, "--peer", location, "--seconds", "2")
    shaken = found["handshake"]
    assert (code, shaken["level"]) == (1, "FAIL")
    assert "has Runtime(serializer='json'), this side 'pickle'" in shaken["text"]
    assert shaken["advice"] == "the doctor meets runtimes with pickle alone; those with JSON talk to each other"


def test_the_list_of_peers_tells_of_one_with_another_python(network):
    _, location, _ = network.peer(python="3.99.1")
    code, out, errors = network.run("peers", "--seconds", "2", "--peer", location)
    assert (code, out.startswith("no peers: ")) == (1, True)
    assert f"({location}) runs Python 3.99, this side {HERE}: use the same minor version" in errors


# UDP.


def test_a_peer_that_hears_by_udp_answers_at_that_port(network):
    _, location, _ = network.peer()
    code, found = examine(network, "--peer", location)
    asked = found["udp"]
    assert (code, asked["level"]) == (0, "OK")
    assert asked["data"]["port"] == asked["data"]["told_port"] == network.udp_port
    (tried,) = asked["data"]["tried"]
    assert tried["address"] == "127.0.0.1" and tried["error"] is None and tried["milliseconds"] > 0
    assert f"UDP port {network.udp_port}: 127.0.0.1 answers after" in asked["text"]


def test_one_with_another_udp_port_is_named_that_port(network):
    """The option is the port that the peer is asked at as well."""
    other = free_port()
    _, location, _ = network.peer(udp_port=other)
    code, found = examine(network, "--peer", location)
    asked = found["udp"]
    assert (code, asked["level"]) == (0, "WARN")
    assert (asked["data"]["port"], asked["data"]["told_port"]) == (network.udp_port, other)
    assert (
        f"UDP port {network.udp_port}: 127.0.0.1 Connection refused; the peer itself is at UDP port {other}"
        == (asked["text"])
    )
    assert f"--udp_port {other}" in asked["advice"]
    code, found = examine(network, "--peer", location, "--udp_port", str(other))
    assert (code, found["udp"]["level"], found["udp"]["data"]["port"]) == (0, "OK", other)


def test_one_that_takes_no_part_in_discovery_is_not_asked_by_udp(network):
    _, location, _ = network.peer(discover_peers=False)
    code, found = examine(network, "--peer", location)
    assert (code, found["udp"]["level"], found["udp"]["data"]["told_port"]) == (0, "OK", 0)
    assert "discover_peers=False" in found["udp"]["text"]


def test_without_a_port_the_peer_is_the_node_daemon_at_the_tcp_port_of_that_number(network):
    _, location, _ = network.peer(tcp_port=network.udp_port)
    assert location == f"127.0.0.1:{network.udp_port}"
    code, found = examine(network, "--peer", "127.0.0.1")
    assert (code, found["connect"]["data"]["port"]) == (0, network.udp_port)


def test_where_nobody_is_the_udp_port_is_asked_all_the_same(network):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        location = f"127.0.0.1:{gone.getsockname()[1]}"
    code, found = examine(network, "--peer", location)
    assert (code, found["connect"]["level"], found["udp"]["level"]) == (1, "FAIL", "WARN")
    assert "Connection refused" in found["udp"]["text"]
    assert "nobody there hears at that UDP port" in found["udp"]["advice"]


def test_where_only_tcp_is_blocked_udp_shows_that_the_machine_is_there(network):
    _, location, _ = network.peer()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = f"127.0.0.1:{gone.getsockname()[1]}"
    assert closed != location
    code, found = examine(network, "--peer", closed)
    assert (code, found["connect"]["level"], found["udp"]["level"]) == (1, "FAIL", "OK")


@pytest.mark.parametrize("answer", [None, b"nonsense", "under another key", "to another question"])
def test_who_does_not_answer_by_udp_is_told_of_and_tcp_recommended(answer, monkeypatch):
    monkeypatch.setattr(peer_checks, "UDP_SECONDS", 0.3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        if answer is not None:
            monkeypatch.setattr(peer_checks.socket, "socket", _answered_by(silent, answer))
        finding = peer_checks.udp(["127.0.0.1"], port, KEY, None)
    assert (finding.level, finding.text) == (Level.WARN, f"UDP port {port}: 127.0.0.1 no answer")
    assert f"a firewall that drops what goes to UDP port {port}, or another program there took it" in finding.advice
    assert "peer(), or peers=" in finding.advice


def _answered_by(peer, answer):
    """Sockets whose every datagram is answered wrongly at once."""

    class Answered(socket.socket):
        def send(self, data, *flags):
            sent = super().send(data, *flags)
            question, asker = peer.recvfrom(1000)
            echo = Echo.asked(question, KEY)
            assert echo is not None
            wrong = {
                "under another key": echo.answer(b"e" * 32),
                "to another question": Echo(b"x" * 16, echo.asker).answer(KEY),
            }
            peer.sendto(answer if isinstance(answer, bytes) else wrong[answer], asker)
            return sent

    return Answered


def test_of_several_addresses_one_that_answers_is_enough(network):
    _, _, _ = network.peer()
    key = load(None, file=network.secret_file).discovery_key()
    finding = peer_checks.udp(["127.0.0.2", "127.0.0.1"], network.udp_port, key, None)
    assert finding.level is Level.OK
    assert [tried["error"] for tried in finding.data["tried"]] == ["Connection refused", None]


# TCP and names.


def test_a_tcp_port_that_swallows_everything_is_called_a_firewalls(network):
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        place = full.getsockname()
        # What the kernel accepts for somebody who never looks; after that it drops who knocks, as a firewall does.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(place)
        finding = peer_checks.connect(Location(*place), ["127.0.0.1"], Settings(connect_timeout_seconds=0.5))
    assert (finding.level, finding.data["tried"][0]["error"]) == (Level.FAIL, "timed out")
    assert f"a firewall that drops what goes to TCP port {place[1]}" in finding.advice


@pytest.mark.parametrize("found", [["127.0.1.1"], ["127.0.0.1", "::1"]])
def test_a_peers_name_that_leads_to_loopback_only_is_warned_about(monkeypatch, found):
    monkeypatch.setattr(peer_checks, "resolve", lambda host: found)
    addresses, finding = peer_checks.resolve_name(Location("worker", 7))
    assert (addresses, finding.level) == (found, Level.WARN)
    assert f"worker is {', '.join(found)}, which is always the machine that asks" == finding.text
    assert "/etc/hosts" in finding.advice


@pytest.mark.parametrize(
    ("host", "found"),
    [("localhost", ["127.0.0.1"]), ("127.0.0.1", ["127.0.0.1"]), ("worker", ["127.0.1.1", "10.0.0.5"])],
)
def test_a_peer_that_was_meant_to_be_here_or_has_another_address_is_not(monkeypatch, host, found):
    monkeypatch.setattr(peer_checks, "resolve", lambda host: found)
    _, finding = peer_checks.resolve_name(Location(host, 7))
    assert finding.level is Level.OK


def test_our_own_name_that_leads_to_loopback_only_is_warned_about(monkeypatch):
    monkeypatch.setattr(network_checks, "resolve", lambda host: ["127.0.1.1"])
    address, finding = network_checks.choose_address("this-machine")
    assert (address, finding.level) == ("127.0.1.1", Level.WARN)
    assert "only this machine can reach it" in finding.text
    assert "the address by which others reach this machine" in finding.advice
    monkeypatch.setattr(network_checks, "resolve", lambda host: ["127.0.0.1"])
    for meant in ("localhost", "127.0.0.1"):
        assert network_checks.choose_address(meant)[1].level is Level.OK
