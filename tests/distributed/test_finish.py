"""A runtime that finishes is over for good, whatever ends a wait of `finish`; or it is not finished at all."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from greencoro.distributed import homes
from greencoro.distributed import reactor as reactors
from greencoro.distributed import runtime as runtime_module
from greencoro.distributed.runtime import PeerEvent, Runtime
from greencoro.errors import WouldBlock
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.distributed.conftest import World, reference
from tests.support.polling import poll_until


def is_over(runtime: Runtime, peer: Runtime) -> None:
    poll_until(lambda: not peer.peers())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((runtime.location.addr, runtime.location.port), 10)
    assert homes.default() is not runtime and runtime.names.network is None


def collect(count: int, coro: Coro | None = None) -> list[Any]:
    assert coro is not None
    return [coro.receive() for _ in range(count)]


def test_finish_sends_what_is_queued_first(world: World) -> None:
    for payload in ("small", bytes(20 << 20)):
        one, other = world.runtime(), world.runtime()
        coro = other.spawn(collect, 500 if payload == "small" else 2)
        there = reference(one, coro)
        for _ in range(500 if payload == "small" else 2):
            assert there.send(payload) == 0
        one.finish(20)
        assert coro.value(5) == [payload] * (500 if payload == "small" else 2)
        other.finish()


def test_finish_loses_nothing_where_the_other_side_floods_us_at_the_time(world: World) -> None:
    one, other = world.runtime(), world.runtime()
    sink = one.spawn(sleep, 30)
    coro = other.spawn(collect, 3000)
    there, back = reference(one, coro), reference(other, sink)
    assert back.deliver("x", 5) == 1
    flooding = other.spawn(lambda: [back.send(bytes(1000)) for _ in range(3000)])
    for _ in range(3000):
        assert there.send(bytes(1000)) == 0
    one.finish(20)
    assert len(coro.value(10)) == 3000
    flooding.value(5)
    sink.terminate()


def test_finish_is_over_by_its_timeout_where_the_other_side_does_not_read(tcp_world: World) -> None:
    one, other = tcp_world.runtime(), tcp_world.runtime()
    coro = other.spawn(sleep, 60)
    there = reference(one, coro)
    assert there.deliver("x", 5) == 1
    (link,) = other.peer_table.online()

    def read_no_more() -> None:
        link.wire.stream._read_watcher.stop()

    other.reactor.post(read_no_more)
    for _ in range(40):
        there.send(bytes(1 << 20))
    began = time.monotonic()
    one.finish(0.5)
    assert 0.4 < time.monotonic() - began < 20
    coro.terminate()


def test_finish_twice_and_in_a_with_statement(world: World) -> None:
    one, other = world.runtime(), world.runtime()
    with one:
        assert one.peer(other.location) == 0
    one.finish()
    poll_until(lambda: not other.peers())
    coro = other.spawn(sleep, 60)
    assert reference(one, coro).send("x") == -1
    assert one.peer(other.location) == -1
    coro.terminate()


def test_after_finish_the_next_runtime_is_the_default_again(world: World) -> None:
    for _ in range(3):
        first = world.runtime()
        second = world.runtime()
        assert runtime_module.runtime() is first
        coro = Coro(collect, 0)
        assert coro.location == first.location
        coro.value(5)
        first.finish()
        second.finish()
        assert Coro(collect, 0).location is None


def test_others_are_not_disturbed_by_the_finish_of_the_default(world: World) -> None:
    default, one, other = world.runtime(), world.runtime(), world.runtime()
    assert one.peer(other.location) == 0
    default.finish()
    coro = other.spawn(collect, 1)
    assert reference(one, coro).deliver("x", 5) == 1


@pytest.mark.parametrize("at", ["the files", "the first wait", "the second wait", "each wait"])
def test_a_finish_that_ctrl_c_ends_is_done_all_the_same(
    tcp_world: World, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    peer = tcp_world.runtime()
    users = reactors._users
    runtime = tcp_world.runtime()
    # As for one that is the first of a process.
    monkeypatch.setattr(homes, "_default", runtime)
    assert runtime.peer(peer.location) == 0
    waits: list[int] = []

    class Interrupted(Completion):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(len(waits) + 1)
            if at in (f"the {('', 'first', 'second')[waits[-1]]} wait", "each wait"):
                raise KeyboardInterrupt
            return super().wait(timeout)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runtime_module, "Completion", Interrupted)
    close = runtime._transfers.close
    if at == "the files":
        monkeypatch.setattr(runtime._transfers, "close", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runtime.finish()
    is_over(runtime, peer)
    assert reactors._users == users
    close()


def test_a_callback_that_may_not_wait_is_told_so_and_the_runtime_goes_on_until_somebody_else_finishes_it(
    tcp_world: World,
) -> None:
    runtime, peer = tcp_world.runtime(), tcp_world.runtime()
    raised: list[BaseException] = []

    def finish(event: PeerEvent) -> None:
        try:
            runtime.finish()
        except WouldBlock as error:
            raised.append(error)

    runtime.watch_peers(finish)
    assert peer.peer(runtime.location) == 0
    poll_until(lambda: raised)
    assert runtime.peers() == [peer.location]
    runtime.finish()
    is_over(runtime, peer)
