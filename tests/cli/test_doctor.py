"""The command ``greencoro doctor``, run as people run it."""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import struct
import threading

import psutil
import pytest

from greencoro import __version__
from greencoro.cli import doctor, machine_checks, main, network_checks, peer_checks
from greencoro.cli.findings import Finding, Level, as_json, exit_code
from greencoro.cli.steps import within
from greencoro.config import Settings
from greencoro.distributed.addresses import Channel
from greencoro.distributed.location import Location
from greencoro.distributed.secret import Secret
from greencoro.errors import DeadlineExceeded, PeerUnreachable
from greencoro.hub.telling import tell
from tests.cli.networks import examine
from tests.distributed.certificates import Made
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

HERE = ["versions", "patched", "settings", "descriptors", "memory_maps", "secret", "addresses", "tcp_port", "udp_port"]
NETWORK = ["broadcast", "peers"]
PEER = ["resolve", "connect", "handshake", "udp", "round_trip", "clock"]


def test_alone_on_the_network_nothing_fails_and_it_says_where_it_asked(network):
    port = network.udp_port
    code, out, errors = network.run("doctor")
    assert code == 0
    lines = out.splitlines()
    assert [line.split()[1].rstrip(":") for line in lines if not line.startswith(" ")] == HERE + NETWORK
    assert {line.split()[0] for line in lines if not line.startswith(" ")} == {"OK", "WARN"}
    assert "\x1b" not in out
    found = next(line for line in lines if " peers: " in line)
    assert found == f"WARN  peers: 0 answered on 127.255.255.255:{port} within 2 s"
    assert lines[-1].startswith("      -> ") and "--peer HOST:PORT" in lines[-1]
    assert "waiting for peers to answer" in errors


def test_as_json_it_is_one_object_with_the_keys_that_the_manual_lists(network):
    _, location, _ = network.peer()
    code, found = examine(network, "--peer", location)
    assert code == 0
    assert list(found) == HERE + NETWORK + PEER
    keys = {check: set(each["data"]) for check, each in found.items()}
    assert keys == {
        "versions": {
            *("greencoro", "protocol", "python", "gevent", "greenlet", "cryptography", "system", "executable")
        },
        "patched": {"modules"},
        "settings": {"changed", "unknown"},
        "descriptors": {"soft", "hard"},
        "memory_maps": {"limit"},
        "secret": {"file", "fingerprint", "mode", "made_now"},
        "addresses": {"interfaces", "chosen", "reason"},
        "tcp_port": {"address", "port", "is_free", "taken_by"},
        "udp_port": {"port", "networks", "taken_by"},
        "broadcast": {"networks"},
        "peers": {"asked", "seconds", "peers", "warnings"},
        "resolve": {"addresses", "milliseconds"},
        "connect": {"port", "tried"},
        "handshake": {"fingerprint", "peer", "error", "milliseconds"},
        "udp": {"port", "told_port", "tried"},
        "round_trip": {"pings", "p50_milliseconds", "min_milliseconds", "max_milliseconds"},
        "clock": {"ahead_seconds", "uncertain_by_seconds"},
    }
    assert found["patched"]["data"] == {"modules": []}
    assert found["addresses"]["data"]["chosen"] == "127.0.0.1"
    assert found["broadcast"]["data"]["networks"][0]["milliseconds"] > 0


def test_it_finds_others_on_the_network_and_tells_who_they_are(network):
    _, first, _ = network.peer(name="one")
    _, second, _ = network.peer()
    code, found = examine(network, "--seconds", "4")
    assert (code, found["peers"]["level"]) == (0, "OK")
    python = found["versions"]["data"]["python"]
    known = {"greencoro": __version__, "python": python}
    assert found["peers"]["data"]["peers"] == sorted(
        [{"name": "one", "location": first} | known, {"name": second, "location": second} | known],
        key=lambda peer: peer["name"],
    )
    assert f"one at {first} (greencoro {__version__}, Python {python})" in found["peers"]["text"]


def test_the_way_to_a_peer_is_measured_step_by_step_and_leaves_no_alarm_there(network):
    peer, location, fingerprint = network.peer(name="the other", discover_peers=False)
    code, found = examine(network, "--peer", location)
    assert code == 0
    assert {found[check]["level"] for check in PEER} == {"OK"}
    assert found["peers"]["data"]["peers"] == []
    (tried,) = found["connect"]["data"]["tried"]
    assert tried["address"] == "127.0.0.1" and tried["milliseconds"] > 0
    shaken = found["handshake"]["data"]
    assert shaken["peer"]["name"] == "the other"
    assert shaken["fingerprint"] == fingerprint == found["secret"]["data"]["fingerprint"]
    assert fingerprint in found["handshake"]["text"]
    trip = found["round_trip"]["data"]
    assert trip["pings"] == 20
    assert 0 < trip["min_milliseconds"] <= trip["p50_milliseconds"] <= trip["max_milliseconds"]
    assert abs(found["clock"]["data"]["ahead_seconds"]) < 1
    assert peer.errors() == ""


def test_clocks_that_are_an_hour_apart_are_told_of(network):
    _, location, _ = network.peer(ahead=3600.0)
    code, found = examine(network, "--peer", location)
    assert (code, found["clock"]["level"]) == (0, "WARN")
    assert found["clock"]["data"]["ahead_seconds"] == pytest.approx(3600, abs=2)
    assert "ahead of ours" in found["clock"]["text"]


def test_what_is_no_time_is_not_taken_for_one(network):
    _, location, _ = network.peer(ahead=1e300)
    code, found = examine(network, "--peer", location)
    assert (code, found["clock"]["level"]) == (0, "WARN")
    assert found["clock"]["data"] == {"ahead_seconds": None, "uncertain_by_seconds": None}
    assert "its answer is no time" in found["clock"]["text"]


def test_a_peer_with_another_secret_is_refused_with_our_fingerprint_and_what_to_do(network):
    _, location, theirs = network.peer(secret="quite another secret")
    code, found = examine(network, "--peer", location)
    ours = found["secret"]["data"]["fingerprint"]
    assert ours != theirs
    assert (code, found["connect"]["level"], found["handshake"]["level"]) == (1, "OK", "FAIL")
    assert found["handshake"]["data"]["error"] == "AuthenticationError"
    assert "wrong secret or not greencoro" in found["handshake"]["text"]
    assert ours in found["handshake"]["advice"]
    assert found["peers"]["data"]["peers"] == []
    assert "round_trip" not in found


def test_where_nobody_listens_the_connection_fails_and_nothing_after_it_is_tried(network):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        location = f"127.0.0.1:{taken.getsockname()[1]}"
    code, found = examine(network, "--peer", location)
    assert (code, found["connect"]["level"]) == (1, "FAIL")
    assert "Connection refused" in found["connect"]["text"]
    assert "nobody listens" in found["connect"]["advice"]
    assert "handshake" not in found


def test_one_who_accepts_and_never_speaks_does_not_hold_it_up(network):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        location = f"127.0.0.1:{silent.getsockname()[1]}"
        code, found = examine(network, "--peer", location, GREENCORO_HANDSHAKE_SECONDS="0.3")
    assert (code, found["connect"]["level"], found["handshake"]["level"]) == (1, "OK", "FAIL")
    assert "the handshake took longer than 0.3 s" in found["handshake"]["text"]
    assert "nobody speaks" in found["handshake"]["advice"]


def test_another_protocol_number_is_named(network):
    """Whoever answers with greencoro's preamble and another number."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer_all, args=(server, struct.pack(">9sH5s", b"greencoro", 99, bytes(5))))
        thread.start()
        code, found = examine(network, "--peer", f"127.0.0.1:{server.getsockname()[1]}")
        # Closing alone would not wake the thread.
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert (code, found["handshake"]["data"]["error"]) == (1, "IncompatibleVersion")
    assert "99" in found["handshake"]["text"]
    assert "one version" in found["handshake"]["advice"]


def _answer_all(server, answer):
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            try:
                connection.sendall(answer)
                while connection.recv(4096):
                    pass
            except OSError:
                continue


def test_a_tcp_port_that_is_taken_fails_only_where_it_was_asked_for(network):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, found = examine(network, "--tcp_port", port)
        assert (code, found["tcp_port"]["level"]) == (1, "FAIL")
        assert f"taken by {psutil.Process().name()} (process {os.getpid()})" in found["tcp_port"]["text"]
        code, found = examine(network, "--udp_port", port)
        assert (code, found["tcp_port"]["level"]) == (0, "WARN")
        assert "greencoro node" in found["tcp_port"]["advice"]


def test_a_udp_port_that_another_program_has_for_itself_fails(network):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", network.udp_port))
        code, found = examine(network)
    assert (code, found["udp_port"]["level"]) == (1, "FAIL")
    assert f"process {os.getpid()}" in found["udp_port"]["text"]
    assert "--udp_port" in found["udp_port"]["advice"]
    assert "broadcast" not in found and "peers" not in found


def test_settings_of_the_environment_are_shown_and_misspelt_ones_named(network):
    code, found = examine(network, GREENCORO_TICK_SECOND="1", GREENCORO_CHUNK_BYTES="64 KiB")
    assert (code, found["settings"]["level"]) == (0, "WARN")
    assert found["settings"]["data"]["changed"]["GREENCORO_CHUNK_BYTES"] == "65536"
    (unknown,) = found["settings"]["data"]["unknown"]
    assert unknown == "'GREENCORO_TICK_SECOND' is set, but is no setting; did you mean GREENCORO_TICK_SECONDS?"
    assert unknown in found["settings"]["text"]


def test_a_setting_that_cannot_work_fails_and_ends_it(network):
    code, found = examine(network, GREENCORO_TICK_SECONDS="soon")
    assert (code, list(found)[-1]) == (1, "memory_maps")
    assert found["settings"]["level"] == "FAIL" and "'soon'" in found["settings"]["text"]


def test_a_secret_file_that_others_can_read_fails_with_the_command_that_mends_it(network, tmp_path):
    file = tmp_path / "open-to-all"
    file.write_text("a long enough secret")
    file.chmod(0o644)
    code, found = examine(network, "--secret_file", str(file))
    assert (code, found["secret"]["level"]) == (1, "FAIL")
    assert f"chmod 600 {file}" in found["secret"]["text"]
    assert "peers" not in found
    file.chmod(0o600)
    code, found = examine(network, "--secret_file", str(file))
    assert (code, found["secret"]["level"], found["secret"]["data"]["mode"]) == (0, "OK", "0600")


def test_a_secret_file_is_made_only_where_none_was_named(network, tmp_path):
    code, found = examine(network, "--secret_file", str(tmp_path / "misspelt"))
    assert (code, found["secret"]["level"]) == (1, "FAIL")
    assert not (tmp_path / "misspelt").exists()
    code, found = examine(network)
    assert (code, found["secret"]["level"], found["secret"]["data"]["made_now"]) == (0, "WARN", True)
    code, found = examine(network)
    assert (code, found["secret"]["level"], found["secret"]["data"]["made_now"]) == (0, "OK", False)


def test_where_others_talk_by_tls_it_needs_the_certificate_as_they_do(network, tmp_path):
    made = Made(tmp_path, "ours")
    _, location, _ = network.peer(name="by tls", certfile=str(made.both))
    code, found = examine(network, "--peer", location)
    assert (code, found["handshake"]["level"]) == (1, "FAIL")
    advice = "--certfile FILE, the same on both sides (or on neither); see the page on TLS of the manual"
    assert "speaks TLS" in found["handshake"]["text"] and found["handshake"]["advice"] == advice
    code, found = examine(network, "--peer", location, "--certfile", str(Made(tmp_path, "another").both))
    assert (code, found["handshake"]["level"]) == (1, "FAIL")
    assert "certificate is not accepted" in found["handshake"]["text"] and found["handshake"]["advice"] == advice
    both = "--certfile", str(made.certfile), "--keyfile", str(made.keyfile)
    code, found = examine(network, "--peer", location, "--seconds", "4", *both)
    assert (code, found["certificate"]["level"]) == (0, "OK")
    assert found["certificate"]["data"]["sha256"] in found["certificate"]["text"]
    assert [peer["name"] for peer in found["peers"]["data"]["peers"]] == ["by tls"]
    assert found["handshake"]["data"]["peer"]["name"] == "by tls"
    code, found = examine(network, "--certfile", str(made.certfile))
    assert (code, found["certificate"]["level"]) == (1, "FAIL")
    assert "peers" not in found
    code, out, _ = network.run("peers", "--seconds", "4", "--certfile", str(made.both))
    assert code == 0 and "by tls" in out


def test_an_address_of_another_machine_fails_and_names_those_of_this_one(network):
    code, found = examine(network, "--node", "198.51.100.7")
    assert (code, found["addresses"]["level"], list(found)[-1]) == (1, "FAIL", "addresses")
    assert "127.0.0.1 (lo)" in found["addresses"]["text"]


@pytest.mark.parametrize(
    "arguments", [["--peer", "a b"], ["--peer", "::1:7"], ["--udp_port", "0"], ["--tcp_port", "x"], ["--nonsense"]]
)
def test_usage_errors_end_with_2(capsys, arguments):
    assert main(["doctor", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == "" and arguments[0] in said.err


def test_ctrl_c_while_it_waits_ends_it_with_130_and_no_traceback(network):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        location = f"127.0.0.1:{silent.getsockname()[1]}"
        program = network.start("doctor", "--peer", location, GREENCORO_HANDSHAKE_SECONDS="300")
        poll_until(lambda: f"waiting for {location} to prove itself" in program.errors(), 40)
        os.kill(program.pid, signal.SIGINT)
        assert program.wait() == 130
    assert "Traceback" not in program.errors()


def test_a_resolver_that_does_not_answer_is_given_up(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("GREENCORO_SECRET_FILE", str(tmp_path / "secret"))
    answers = threading.Event()
    monkeypatch.setattr(network_checks, "resolve", lambda host: answers.wait(60) and [])
    monkeypatch.setattr(doctor, "STEP_SECONDS", 1.2)
    try:
        assert main(["doctor", "--node", "slow.example"]) == 1
    finally:
        answers.set()
    said = capsys.readouterr()
    assert "FAIL  addresses: gave up waiting for the addresses of slow.example after 1.2 s" in said.out
    assert "waiting for the addresses of slow.example, for at most 1.2 s\n" in said.err


def test_a_name_without_an_address_fails(monkeypatch):
    def resolve(host):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(network_checks, "resolve", resolve)
    address, finding = network_checks.choose_address("nowhere.example")
    assert (address, finding.level) == (None, Level.FAIL)
    assert "nowhere.example has no address: Name or service not known" in finding.text


def test_with_loopback_alone_it_warns_that_nobody_else_can_reach_this_machine(monkeypatch):
    monkeypatch.setattr(network_checks, "default_address", lambda: "127.0.0.1")
    address, finding = network_checks.choose_address(None)
    assert (address, finding.level) == ("127.0.0.1", Level.WARN)
    assert "only this machine can reach it" in finding.text


@pytest.mark.parametrize(("took", "level"), [([0.001], "OK"), ([None], "FAIL"), ([None, 0.001], "WARN")])
def test_broadcasts_that_do_not_come_back_fail_where_no_network_brings_them(monkeypatch, took, level):
    ways = [Channel(socket.AF_INET, "127.0.0.1", f"127.255.255.{number}", 0) for number in range(len(took))]
    answers = dict(zip(ways, took, strict=True))
    monkeypatch.setattr(network_checks, "_round_trip", lambda reactor, way, port: answers[way])
    finding = network_checks.broadcast(ways, 40000, Settings())
    assert finding.level.value == level
    assert ("127.255.255.0:40000 did not come back" in finding.text) == (took[0] is None)
    assert [each["milliseconds"] for each in finding.data["networks"]] == [each and each * 1000 for each in took]


def test_what_a_connection_is_waited_for_is_said_once(monkeypatch, capsys):
    # The handlers of pytest's would count as somebody who listens.
    monkeypatch.setattr(logging.getLogger("greencoro"), "propagate", False)

    class Waits:
        secret = Secret(b"k" * 32)

        def connect(self, peer, seconds):
            tell(logging.getLogger("greencoro.test"), logging.WARNING, "still waiting")
            raise PeerUnreachable("nobody")

    info, finding = peer_checks.handshake(Location("127.0.0.1", 7), Waits(), 5.0)
    assert (info, finding.level, finding.text) == (None, Level.FAIL, "nobody")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("limits", "level"), [((256, 4096), "WARN"), ((1024, 4096), "OK"), ((-1, -1), "OK")])
def test_few_descriptors_are_warned_about(monkeypatch, limits, level):
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits)
    finding = machine_checks.descriptors()
    assert finding.level.value == level
    assert ("ulimit -n 1024" in finding.advice) == (level == "WARN")
    assert finding.data["soft"] == (None if limits[0] < 0 else limits[0])


@pytest.mark.parametrize(("content", "level"), [("1000\n", "WARN"), ("65530\n", "OK"), (None, "OK")])
def test_few_memory_maps_are_warned_about(monkeypatch, tmp_path, content, level):
    file = tmp_path / "max_map_count"
    if content is not None:
        file.write_text(content)
    monkeypatch.setattr(machine_checks, "_MEMORY_MAPS_FILE", file)
    finding = machine_checks.memory_maps()
    assert finding.level.value == level
    assert finding.data["limit"] == (None if content is None else int(content))


def test_the_exit_code_is_1_where_something_fails_only():
    warning, failure = Finding("a", Level.WARN, "so"), Finding("b", Level.FAIL, "not so", "mend it")
    assert exit_code([]) == exit_code([warning]) == 0
    assert exit_code([failure, warning]) == 1
    assert as_json([warning])["ok"] and not as_json([warning, failure])["ok"]


def test_a_step_hands_on_what_it_found_or_raised_and_is_left_behind_when_it_is_too_slow(capsys):
    assert within(5, "nothing", lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        within(5, "nothing", lambda: 1 // 0)
    over = threading.Event()
    try:
        with pytest.raises(DeadlineExceeded, match=r"gave up waiting for a flag after 0\.05 s"):
            within(0.05, "a flag", over.wait)
    finally:
        over.set()
    assert capsys.readouterr().err == ""
