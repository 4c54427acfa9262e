"""Requests of one runtime to another, which the layers above are built on."""

import logging

import pytest

from greencoro.distributed.messages import Locate, Request
from greencoro.errors import (
    BusyResource,
    ConfigError,
    DeadlineExceeded,
    GreencoroError,
    PeerLost,
    PeerUnreachable,
    RemoteError,
)
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.support.polling import poll_until


def test_a_request_is_done_in_a_coroutine_or_on_the_reactor(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    seen = {}

    def handler(request):
        seen[request.operation] = Coro.current()
        assert request.peer.incarnation == one.incarnation
        request.reply({"got": request.header["x"]}, [part + b"!" for part in request.parts])

    other.handle("test.coroutine", handler)
    other.handle("test.reactor", handler, on_reactor=True)
    (info,) = one.peer_infos()
    for operation in ("test.coroutine", "test.reactor"):
        for to in (info, other.location):
            reply = one.request(to, operation, {"x": 7}, [b"a", b"", bytes(300_000)], 5)
            assert reply.header == {"got": 7}
            assert [len(part) for part in reply.parts] == [2, 1, 300_001]
    assert isinstance(seen["test.coroutine"], Coro)
    assert seen["test.reactor"] is None


@pytest.mark.parametrize("on_reactor", [False, True])
def test_a_request_that_fails_raises_here_what_it_raised_there(runtime_pair, on_reactor):
    errors = {
        "known": BusyResource("too much"),
        "other": ZeroDivisionError("by zero"),
        "config": ConfigError("no good"),
        "silly": RemoteError("elsewhere"),
    }

    def handler(request):
        if request.header["what"] in errors:
            raise errors[request.header["what"]]
        request.reply({"not json": {1, 2}} if request.header["what"] == "no JSON" else {}, [bytes(70 << 20)])

    runtime_pair.other.handle("test.fail", handler, on_reactor=on_reactor)

    def ask(what):
        return runtime_pair.one.request(runtime_pair.other.location, "test.fail", {"what": what}, timeout=20)

    with pytest.raises(BusyResource, match="too much") as caught:
        ask("known")
    assert "handler" in caught.value.__cause__.traceback_text
    with pytest.raises(RemoteError, match="ZeroDivisionError: by zero"):
        ask("other")
    with pytest.raises(ConfigError, match="no good"):
        ask("config")
    with pytest.raises(RemoteError, match="elsewhere"):
        ask("silly")
    with pytest.raises(RemoteError, match="TypeError"):
        ask("no JSON")
    with pytest.raises(GreencoroError, match="max_message_bytes"):
        ask("too large")
    with pytest.raises(GreencoroError, match=r"no operation 'test\.unknown'"):
        runtime_pair.one.request(runtime_pair.other.location, "test.unknown", {}, timeout=5)


def test_a_request_that_is_not_answered_times_out_and_a_loss_ends_it(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    kept = []
    other.handle("test.keep", kept.append)
    with pytest.raises(DeadlineExceeded, match=r"test\.keep"):
        one.request(other.location, "test.keep", {}, timeout=0.1)
    (link,) = one.peer_table.online()
    assert not link.answers.pending
    (info,) = one.peer_infos()
    asking = one.spawn(lambda: one.request(info, "test.keep", {}))
    poll_until(lambda: len(kept) == 2)
    runtime_pair.cut()
    with pytest.raises(PeerLost):
        asking.value(5)
    kept[0].reply({})
    with pytest.raises(PeerUnreachable):
        one.request(info, "test.keep", {}, timeout=5)
    assert one.post(info, "test.keep", {}) == -1


def test_a_posted_operation_is_done_without_an_answer(runtime_pair):
    done = []
    runtime_pair.other.handle("test.post", lambda request: (done.append(request.header), request.reply()))
    (info,) = runtime_pair.one.peer_infos()
    assert runtime_pair.one.post(info, "test.post", {"a": 1}) == 0
    poll_until(lambda: done == [{"a": 1}])


@pytest.mark.parametrize("on_reactor", [False, True])
def test_a_posted_operation_that_fails_or_is_none_is_told_of_in_the_log_where_it_failed(
    runtime_pair, caplog, on_reactor
):
    def fail(request):
        raise KeyError("no such\nthing")

    def fail_late(request):
        request.reply()
        raise KeyError("after all")

    runtime_pair.other.handle("test.fail", fail, on_reactor=on_reactor)
    runtime_pair.other.handle("test.late", fail_late, on_reactor=on_reactor)
    (info,) = runtime_pair.one.peer_infos()
    with caplog.at_level(logging.WARNING, "greencoro"):
        for operation in ("test.fail", "test.unknown"):
            assert runtime_pair.one.post(info, operation, {}) == 0
        runtime_pair.one.request(info, "test.late", {}, timeout=5)
        poll_until(lambda: len(caplog.records) == 3)
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    for words in ("test.fail", r"KeyError: 'no such\nthing'", "no operation 'test.unknown'", "KeyError: 'after all'"):
        assert words in caplog.text
    assert str(runtime_pair.one.location) in caplog.text


def test_B1_only_so_many_requests_of_a_peer_are_worked_on_at_once(world):
    one, other = world.runtime(), world.runtime(max_queue_messages=20)
    go_on = []
    other.handle("test.slow", lambda request: (poll_until(lambda: go_on, 10), request.reply()))
    info = one.connect(other.location)
    (link,) = one.peer_table.online()
    askers = [one.spawn(one.request, info, "test.slow", {}, (), 10) for _ in range(21)]
    poll_until(lambda: any(not asker.is_alive() for asker in askers))
    go_on.append(True)
    ended = []
    for asker in askers:
        try:
            ended.append(asker.value(10))
        except BusyResource:
            ended.append("busy")
    assert ended.count("busy") == 1
    poll_until(lambda: not len(other._calls.serving))
    assert link.is_lost is False


@pytest.mark.parametrize("question", ["locate", "request"])
def test_B1_who_asks_and_does_not_read_is_cut_off(tcp_world, monkeypatch, question):
    monkeypatch.setattr("greencoro.distributed.send_queue._MAX_ANSWERS", 1000)
    one, other = (tcp_world.runtime(max_queue_messages=1000) for _ in range(2))
    other.handle("test.long", lambda request: request.reply({"x": "x" * 1000}), on_reactor=True)
    assert one.peer(other.location) == 0
    (link,) = one.peer_table.online()

    def read_no_more():
        link.wire.stream._read_watcher.stop()
        link._hub_io = link.wire.hub_io = None

    one.reactor.post(read_no_more)
    asked = 0
    while other.peers() and asked < 200_000:
        for _ in range(1000):
            asked += 1
            if question == "locate":
                link.send(None, Locate(asked, False, "coro", "x" * 1000).encode())
            else:
                link.send(None, Request(asked, "test.long", {}, ()).encode())
        sleep(0.001)
    poll_until(lambda: not other.peers())
