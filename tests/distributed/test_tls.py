"""TLS between runtimes, over real sockets: the promise S13, and what S4, S9 and S10 say where there is TLS."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time

import pytest

from greencoro.distributed import tls as tls_module
from greencoro.errors import AuthenticationError, PeerUnreachable
from tests.distributed.certificates import USES, Made, made_by_openssl
from tests.distributed.conftest import reference
from tests.distributed.tls_runtimes import Relay, TlsWorld, answer, context
from tests.support.polling import poll_until


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("foreign"), "foreign")


@pytest.fixture
def tls_world():
    world = TlsWorld()
    yield world
    world.finish()


def receive_one(coro=None):
    return coro.receive()


def swap(sender, target, value):
    """Deliver ``value`` to a coroutine of the runtime ``target``; what it got."""
    coro = target.spawn(receive_one)
    assert reference(sender, coro).deliver(value, 20) == 1
    return coro.value(20)


def are_peers(one, other):
    assert one.peer(other.location, timeout=10) == 0
    poll_until(lambda: one.location in other.peers())
    return swap(one, other, "there") == "there" and swap(other, one, "back") == "back"


def test_two_with_one_certificate_talk_and_say_goodbye(tls_world, made):
    one, other = tls_world.tls(made.certfile, made.keyfile), tls_world.tls(made.both)
    assert are_peers(one, other)
    events = []
    other.watch_peers(events.append)
    one.finish()
    poll_until(lambda: events)
    assert "it finished" in events[0].reason


def test_8_MiB_go_through_whole_in_both_directions_at_once(tls_world, made):
    one, other = tls_world.tls(made.both), tls_world.tls(made.both)
    assert are_peers(one, other)
    size = 8 << 20
    there, back = bytes(range(256)) * (size // 256), bytes(reversed(range(256))) * (size // 256)
    at_other, at_one = other.spawn(receive_one), one.spawn(receive_one)
    assert reference(one, at_other).send(there) == 0
    assert reference(other, at_one).send(back) == 0
    assert at_other.value(30) == there and at_one.value(30) == back


def test_the_seeds_openssl_commands_are_enough(tls_world, tmp_path):
    files = made_by_openssl(tmp_path)
    assert are_peers(tls_world.tls(*files), tls_world.tls(*files))


def test_certificates_of_one_signer_know_each_other(tls_world, tmp_path):
    authority = Made(tmp_path, "authority", is_authority=True)
    one, other = (Made(tmp_path, name, signer=authority) for name in ("one", "other"))
    assert are_peers(tls_world.tls(one.both), tls_world.tls(other.both))


def test_S13_the_secret_is_still_checked(tls_world, made, caplog):
    one, other = tls_world.tls(made.both, secret_key=b"x" * 32), tls_world.tls(made.both)
    with pytest.raises(AuthenticationError, match="wrong secret or not greencoro"):
        one.connect(other.location, 10)
    poll_until(lambda: "refused a connection from 127.0.0.1: wrong secret" in caplog.text)
    assert not other.peers()


def refusals(caplog):
    return [line for line in caplog.text.splitlines() if "refused a connection" in line]


def test_S13_a_foreign_certificate_is_refused_with_a_line_on_both_sides(tls_world, made, foreign, caplog):
    one, other = tls_world.tls(foreign.both), tls_world.tls(made.both)
    with pytest.raises(AuthenticationError, match=r"certificate is not accepted \(.*\): both sides need the same"):
        one.connect(other.location, 10)
    poll_until(lambda: refusals(caplog))
    assert "the other side refuses our certificate, or our TLS (unknown ca)" in refusals(caplog)[0]
    assert not one.peers() and not other.peers()


@pytest.mark.parametrize("tls_dials", [True, False])
def test_S13_with_TLS_and_without_refuse_each_other_with_a_line_on_both_sides(tls_world, made, caplog, tls_dials):
    inside, plain = tls_world.tls(made.both), tls_world.runtime()
    one, other = (inside, plain) if tls_dials else (plain, inside)
    with pytest.raises(AuthenticationError) as caught:
        one.connect(other.location, 10)
    poll_until(lambda: refusals(caplog))
    if tls_dials:
        assert "in answer to our TLS greeting, without a word: it has no certfile" in str(caught.value)
        assert "the other side speaks TLS, and this side does not" in refusals(caplog)[0]
    else:
        assert "the other side speaks TLS, and this side does not" in str(caught.value)
        assert "the other side is greencoro without TLS" in refusals(caplog)[0]
    assert not one.peers() and not other.peers()
    # Nor the other way round, nor by one that is asked for again and again.
    assert other.peer(one.location, timeout=5) == -1


# Strangers: what the standard library's own TLS shows to a runtime, in both roles.


KINDS = {
    "good": ({}, ""),
    "expired": ({"days": (-2, -1)}, r"not accepted \(certificate has expired\)"),
    "not yet valid": ({"days": (1, 2)}, r"not accepted \(certificate is not yet valid\)"),
    "for nothing": ({"uses": [USES.CODE_SIGNING]}, r"not accepted \(.*purpose\)"),
    "foreign": (None, r"not accepted \((self-signed|unable)"),
    "none": (None, "the other side shows no certificate"),
    "old TLS": ({}, "unsupported protocol"),
}


def stranger(kind, protocol, tmp_path, foreign):
    """What a runtime is to have, and the context of one who shows it a certificate of some kind."""
    authority = Made(tmp_path, "authority", is_authority=True)
    ours = Made(tmp_path, "ours", signer=authority)
    changes, _ = KINDS[kind]
    shown = (
        foreign
        if kind == "foreign"
        else None
        if kind == "none"
        else Made(tmp_path, "theirs", signer=authority, **changes)
    )
    made = context(protocol, shown, authority)
    if kind == "old TLS":
        made.maximum_version = ssl.TLSVersion.TLSv1_2
    return ours, made


@pytest.mark.parametrize("kind", KINDS)
def test_S13_who_dials_is_let_in_with_a_good_certificate_only(tls_world, tmp_path, foreign, caplog, kind):
    ours, theirs = stranger(kind, ssl.PROTOCOL_TLS_CLIENT, tmp_path, foreign)
    runtime = tls_world.tls(ours.both)
    alert = None
    with socket.create_connection((runtime.location.addr, runtime.location.port), 10) as sock:
        try:
            with theirs.wrap_socket(sock) as inside:
                inside.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert inside.recv(100) == b""
        except ssl.SSLError as error:
            alert = error
    poll_until(lambda: refusals(caplog))
    if kind == "good":
        # It came as far as to be asked for the secret.
        assert alert is None
        assert "wrong secret or not greencoro" in refusals(caplog)[0]
    else:
        # And was told by an alert, not by silence or a reset.
        assert "ALERT" in alert.reason
        assert_matches(KINDS[kind][1], refusals(caplog)[0])


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"none"}))
def test_S13_who_is_dialled_is_believed_with_a_good_certificate_only(tls_world, tmp_path, foreign, kind):
    ours, theirs = stranger(kind, ssl.PROTOCOL_TLS_SERVER, tmp_path, foreign)
    runtime = tls_world.tls(ours.both)
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            sock, _ = listener.accept()
            with sock, contextlib.suppress(ssl.SSLError), theirs.wrap_socket(sock, server_side=True) as inside:
                heard.append(inside.recv(100))

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(AuthenticationError) as caught:
            runtime.connect(f"127.0.0.1:{listener.getsockname()[1]}", 10)
        thread.join(10)
    if kind == "good":
        assert heard[0].startswith(b"greencoro") and "wrong secret or not greencoro" in str(caught.value)
    else:
        assert not b"".join(heard), "nothing is said to who is not believed"
        assert_matches(KINDS[kind][1] if kind != "old TLS" else r"TLS failed|\(protocol version\)", str(caught.value))


def assert_matches(pattern, text):
    assert re.search(pattern, text), text


# Who is at the port, or in between.


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(100), b"\x16\x03\x01\x00\x05hello"])
def test_S10_who_speaks_no_TLS_is_refused_and_the_next_one_is_served(tls_world, made, caplog, words):
    runtime = tls_world.tls(made.both)
    with socket.create_connection((runtime.location.addr, runtime.location.port), 10) as sock:
        sock.sendall(words)
        assert len(answer(sock)) <= 7  # an alert at most
    poll_until(lambda: refusals(caplog))
    assert are_peers(tls_world.tls(made.both), runtime)


def test_S10_silent_clients_keep_nobody_waiting(tls_world, made):
    runtime = tls_world.tls(made.both, handshake_seconds=60.0)
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            address = runtime.location.addr, runtime.location.port
            stack.enter_context(socket.create_connection(address, 10))
        poll_until(lambda: len(runtime.peer_table.incoming._unproven) == 10)
        assert are_peers(tls_world.tls(made.both), runtime)


def greeting(made):
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context(ssl.PROTOCOL_TLS_CLIENT, made, made).wrap_bio(incoming, outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


def test_S9_the_handshake_has_one_deadline_TLS_included(tls_world, made):
    runtime = tls_world.tls(made.both, handshake_seconds=0.5)
    address = runtime.location.addr, runtime.location.port
    began = time.monotonic()
    with socket.create_connection(address, 10) as dripping, socket.create_connection(address, 10) as halfway:
        halfway.sendall(greeting(made))
        with contextlib.suppress(OSError):
            for byte in greeting(made):
                dripping.sendall(bytes((byte,)))
                time.sleep(0.02)
        assert answer(halfway)[:1] == b"\x16"
        took = time.monotonic() - began
    assert 0.4 < took < 20
    poll_until(lambda: not runtime.peer_table.incoming._unproven)


def test_S9_a_handshake_without_end_is_cut_off(tls_world, made, caplog):
    runtime = tls_world.tls(made.both, handshake_seconds=60.0)
    # The begin of a greeting that announces 64 KiB, then parts that continue it.
    record = b"\x16\x03\x01\x40\x00"
    with socket.create_connection((runtime.location.addr, runtime.location.port), 10) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(record + b"\x01\x01\x00\x00" + bytes(16380))
            for _ in range(10):
                sock.sendall(record + bytes(16384))
        answer(sock)
    poll_until(lambda: refusals(caplog))
    assert "not over after 65536 bytes" in refusals(caplog)[0]
    assert are_peers(tls_world.tls(made.both), runtime)


def test_who_is_refused_can_read_why_though_it_has_more_to_say(tls_world, made):
    runtime = tls_world.tls(made.both)
    with socket.create_connection((runtime.location.addr, runtime.location.port), 10) as sock:
        sock.sendall(b"greencoro" + bytes(8 << 20))
        sock.shutdown(socket.SHUT_WR)
        assert answer(sock) == tls_module._ALERT


def test_refused_ones_that_do_not_leave_hold_few_places(tls_world, made, monkeypatch):
    monkeypatch.setattr(tls_module, "_MAX_PARTING", 3)
    runtime = tls_world.tls(made.both)
    tls = runtime.peer_table._transport
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            address = runtime.location.addr, runtime.location.port
            sock = stack.enter_context(socket.create_connection(address, 10))
            sock.sendall(b"greencoro")
            assert answer(sock) in (tls_module._ALERT, b"")
            assert len(tls._parting) <= 3
    poll_until(lambda: not tls._parting)


def test_S13_a_capture_of_a_whole_run_holds_nothing_that_was_said(tls_world, made, tmp_path):
    words = [f"known words {number}" for number in range(20)]
    one = tls_world.tls(made.both, name="first-runtime")
    other = tls_world.tls(made.both, name="second-runtime", dest_path=tmp_path / "dest")
    relay = Relay(other)
    try:
        one.connect(relay.place, 10)
        poll_until(lambda: one.location in other.peers())
        for word in words:
            assert swap(one, other, word) == word and swap(other, one, word) == word
        assert swap(one, other, b"bulk of words" * 100_000) == b"bulk of words" * 100_000
        other.handle("said", lambda request: request.reply(request.header, request.parts))
        peer = one.connect(other.location)
        asked = one.request(peer, "said", {"word": "known words in a request"}, [b"known words in a part"], timeout=10)
        assert [bytes(part) for part in asked.parts] == [b"known words in a part"]
        file = tmp_path / "name-of-the-file"
        file.write_bytes(b"known words in a file" * 100_000)
        assert one.send_file(other.location, file, dir="name-of-the-directory", timeout=20) == 0
        assert (tmp_path / "dest/name-of-the-directory" / file.name).read_bytes() == file.read_bytes()
        one.finish()
        other.finish()
    finally:
        relay.close()
    # All of it was seen: 1.3 MB of words and 2.1 MB of a file.
    assert len(relay.seen) > 3_400_000
    secret = [one.secret.psk(), one.secret.key, one.incarnation, other.incarnation]
    names = [b"first-runtime", b"second-runtime", b"greencoro", b"receive_one", str(one.location).encode()]
    for said in (*secret, *names, b"name-of-the-", b"bulk of words", b"known words"):
        assert said not in relay.seen


def test_S4_who_has_the_certificate_and_not_the_secret_cannot_stand_in_between(tls_world, made, caplog):
    one, other = tls_world.tls(made.both), tls_world.tls(made.both)
    server = context(ssl.PROTOCOL_TLS_SERVER, made, made)
    client = context(ssl.PROTOCOL_TLS_CLIENT, made, made)
    relay = Relay(
        other, come=lambda sock: server.wrap_socket(sock, server_side=True), go=lambda sock: client.wrap_socket(sock)
    )
    try:
        with pytest.raises(AuthenticationError, match="wrong secret or not greencoro"):
            one.connect(relay.place, 10)
        # It did come to see what is said inside, up to the proof, which is none to the other side.
        assert relay.seen.startswith(b"greencoro")
    finally:
        relay.close()
    poll_until(lambda: "wrong secret" in "".join(refusals(caplog)))
    assert not one.peers() and not other.peers()


def test_an_altered_byte_ends_the_connection_and_is_never_delivered(tls_world, made):
    alters = threading.Event()

    def change(data):
        return data[:-1] + bytes((data[-1] ^ 1,)) if alters.is_set() else data

    one, other = tls_world.tls(made.both), tls_world.tls(made.both)
    relay = Relay(other, change)
    try:
        one.connect(relay.place, 10)
        assert swap(one, other, "whole") == "whole"
        coro = other.spawn(receive_one)
        there = reference(one, coro)
        events = []
        other.watch_peers(events.append)
        alters.set()
        there.send("altered")
        poll_until(lambda: events)
        assert "TLS failed" in events[0].reason
        poll_until(lambda: not one.peers())
        assert coro.is_alive()
        coro.terminate()
    finally:
        relay.close()
    assert are_peers(one, other)


def test_a_place_where_nobody_listens_is_as_unreachable_as_without_TLS(tls_world, made):
    gone = tls_world.tls(made.both)
    gone.finish()
    with pytest.raises(PeerUnreachable, match="Connection refused"):
        tls_world.tls(made.both).connect(gone.location, 5)
