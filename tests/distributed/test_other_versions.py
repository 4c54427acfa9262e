"""Peers with another minor version of Python: refused with both versions on both sides, and not dialled for ever."""

from __future__ import annotations

import logging
import platform
import struct

import pytest

from greencoro.distributed import dial as dialling
from greencoro.distributed.dial import pause_after
from greencoro.distributed.hello import Hello, minor_version
from greencoro.errors import AuthenticationError, IncompatibleVersion, PeerUnreachable, RemoteProtocolError
from greencoro.hub.coroutine import Coro
from tests.distributed.hand_made import HandMade
from tests.support.polling import poll_until
from tests.support.ports import free_port

HERE = minor_version(platform.python_version())


@pytest.fixture
def modern(world, monkeypatch):
    """Make a runtime that says to run a Python that is not out yet."""

    def make(**arguments):
        with monkeypatch.context() as patch:
            patch.setattr(platform, "python_version", lambda: "3.99.1")
            return world.runtime(**arguments)

    return make


def lines(caplog, *words):
    return [line for line in map(logging.LogRecord.getMessage, caplog.records) if all(word in line for word in words)]


def test_both_sides_say_which_versions_there_are(world, modern, caplog):
    one, other = world.runtime(), modern()
    with pytest.raises(IncompatibleVersion) as caught:
        one.connect(other.location, 10)
    assert str(caught.value) == (
        f"cannot connect to {other.location}: the other side ({other.location}) runs Python 3.99, this side {HERE}: "
        "use the same minor version of Python on both"
    )
    said = (
        ("refused a connection", f"({one.location}) runs Python {HERE}, this side 3.99"),
        (f"cannot connect to {other.location}", f"runs Python 3.99, this side {HERE}"),
    )
    for words in said:
        poll_until(lambda words=words: len(lines(caplog, *words)) == 1, what=f"a line on {words}")
    assert not one.peers() and not other.peers()


def test_a_client_that_claims_another_version_is_cut_off_and_told_ours(tcp_world, caplog):
    runtime = tcp_world.runtime()
    client = HandMade(runtime, python="3.99.0")
    texts = client.introduced[struct.calcsize(">16sHIQQIB") :]
    assert bytes((len(platform.python_version()),)) + platform.python_version().encode() in texts
    assert client.is_cut_off()
    client.close()
    assert not runtime.peers()
    poll_until(lambda: lines(caplog, "refused a connection from 127.0.0.1", "(127.0.0.1:9) runs Python 3.99", HERE))
    friend = HandMade(runtime, name="friend")
    assert not friend.is_cut_off()
    friend.close()


def test_peer_says_so_also_where_no_logging_was_set_up(world, modern, capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger("greencoro"), "propagate", False)
    one, other = world.runtime(), modern()
    assert one.peer(other.location) == -1
    said = capsys.readouterr().err
    assert f"greencoro: peer({other.location}) failed: " in said
    assert f"runs Python 3.99, this side {HERE}" in said


def test_send_file_says_so(world, modern, caplog, tmp_path):
    one, other = world.runtime(), modern()
    file = tmp_path / "file"
    file.write_text("content")
    assert one.send_file(other.location, file) == -1
    assert lines(caplog, "send_file", f"runs Python 3.99, this side {HERE}")


def test_whoever_waits_is_told_who_was_refused(world, modern, caplog, monkeypatch):
    monkeypatch.setattr("greencoro.hub.waiting_aloud.SAY_SECONDS", 0.05)
    one, other = world.runtime(), modern()
    assert other.peer(one.location) == -1
    for wait in (lambda: one.locate("nobody", 0.2), lambda: one.spawn(Coro.locate, "nothing", None, 0.2).value(10)):
        caplog.clear()
        assert wait() is None
        assert lines(caplog, "still waiting for a", "runs Python 3.99", f"this side {HERE}")


def test_of_one_that_was_refused_and_then_is_a_peer_nobody_is_told_any_more(tcp_world, monkeypatch):
    one, wrong = tcp_world.runtime(), tcp_world.runtime(secret="another secret")
    location = wrong.location
    for runtime, there in ((one, location), (wrong, one.location)):
        assert runtime.peer(there) == -1
        poll_until(runtime.peer_table.refused)
    poll_until(lambda: len(one.peer_table.refused()) == 2, what="the one that it dialled, and the one that dialled it")
    wrong.finish()
    right = tcp_world.runtime(tcp_port=location.port)
    assert right.peer(one.location) == one.peer(location) == 0
    poll_until(lambda: len(one.peer_table.refused()) < 2)
    right.finish()
    again = tcp_world.runtime(tcp_port=location.port)
    assert one.peer(again.location) == 0
    poll_until(lambda: not one.peer_table.refused())


def test_two_that_hear_of_each_other_by_discovery_say_so_once_each(tcp_world, monkeypatch, caplog):
    settings = {"discover_peers": True, "udp_port": free_port(), "ping_interval_seconds": 0.05}
    one = tcp_world.runtime(**settings)
    with monkeypatch.context() as patch:
        patch.setattr(platform, "python_version", lambda: "3.99.1")
        other = tcp_world.runtime(**settings)
    both = one, other
    poll_until(lambda: all(len(each.peer_table.refused()) == 2 for each in both), 20, "each dialled and was dialled")
    for words in ("refused a connection from", "cannot connect to"):
        poll_until(lambda words=words: len(lines(caplog, words, "this side 3.99")) == 1)
        poll_until(lambda words=words: len(lines(caplog, words, f"this side {HERE}")) == 1)
    assert not one.peers() and not other.peers()


def test_what_is_remembered_of_those_who_were_refused_is_bounded(world):
    table = world.runtime().peer_table
    for number in range(20):
        table.report("from %s: %s", f"10.0.0.{number}", RemoteProtocolError("nonsense"))
    table.report("from %s: %s", "10.0.0.17", AuthenticationError("wrong"))
    assert table.refused() == ["from 10.0.0.18: nonsense", "from 10.0.0.19: nonsense", "from 10.0.0.17: wrong"]


@pytest.mark.parametrize("seek", ["peers", "locate"])
def test_one_that_was_refused_is_not_dialled_each_second(world, modern, monkeypatch, seek):
    other = modern()
    one = world.runtime(peers=[other.location] if seek == "peers" else [], tick_seconds=0.02)
    dialled = []
    real = one.peer_table._transport.dial
    monkeypatch.setattr(one.peer_table._transport, "dial", lambda *args: dialled.append(args) or real(*args))
    if seek == "locate":
        assert one.spawn(Coro.locate, "nothing", other.location, 0.6).value(10) is None
    else:
        poll_until(one.peer_table.refused)
        nobody = world.runtime()
        gone = nobody.location
        nobody.finish()
        # Meanwhile one that is not there at all is dialled again and again.
        assert one.spawn(Coro.locate, "nothing", gone, 0.6).value(10) is None
        assert sum(args[0] == gone for args in dialled) > 3
    assert sum(args[0] == other.location for args in dialled) <= 1


def test_after_a_refusal_the_pause_is_long_and_never_shorter_than_a_tick():
    assert pause_after(PeerUnreachable("nobody"), 0.5) == pause_after(None, 0.5) == 0.5
    for error in (AuthenticationError("wrong"), IncompatibleVersion("other")):
        assert pause_after(error, 0.5) == dialling._REFUSED_PAUSE_SECONDS == 30.0
        assert pause_after(error, 60.0) == 60.0


def test_a_hello_names_the_python_that_runs(tcp_world):
    runtime = tcp_world.runtime()
    client = HandMade(runtime)
    assert Hello.decode(client.introduced).python_version == platform.python_version()
    client.close()
