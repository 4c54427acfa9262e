"""Connections that came in: which are dropped before they prove themselves."""

from __future__ import annotations

import contextlib
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from tests.distributed.conftest import World
from tests.distributed.hand_made import PREAMBLE
from tests.support.polling import poll_until

ONE, OTHER = b"1" * 16, b"2" * 16


def test_S9_of_too_many_those_that_have_said_nothing_are_dropped_first(tcp_world: World) -> None:
    one = tcp_world.runtime(max_unauthenticated_per_address=3)
    place = one.location.addr, one.location.port
    with contextlib.ExitStack() as stack:
        speaks = stack.enter_context(socket.create_connection(place))
        speaks.sendall(PREAMBLE)
        assert speaks.recv(len(PREAMBLE)) == PREAMBLE
        silent = []
        for _ in range(6):
            silent.append(stack.enter_context(socket.create_connection(place)))
            poll_until(lambda: len(one.peer_table.incoming._unproven) == min(3, 1 + len(silent)))
        for dropped in silent[:4]:
            dropped.settimeout(10)
            # Not by an end, as one with another secret.
            with pytest.raises(ConnectionResetError):
                dropped.recv(1)
        speaks.setblocking(False)
        with pytest.raises(BlockingIOError):
            speaks.recv(1)


def test_only_the_connections_of_that_one_are_dropped(tcp_world: World) -> None:
    class CameIn:
        def __init__(self, incarnation: bytes | None) -> None:
            self.hello: Any = None if incarnation is None else SimpleNamespace(incarnation=incarnation)

        def reset(self) -> None:
            dropped.append(self)

    runtime = tcp_world.runtime()
    incoming: Any = runtime.peer_table.incoming
    came = [CameIn(incarnation) for incarnation in (ONE, None, OTHER, ONE)]
    dropped: list[CameIn] = []
    left: list[CameIn] = []

    def drop() -> None:
        incoming._unproven.update((wire, wire.hello) for wire in came)
        incoming.drop(ONE)
        left.extend(incoming._unproven)
        incoming._unproven.clear()

    runtime.reactor.post(drop)
    poll_until(lambda: left)
    assert dropped == [came[0], came[3]] and left == came[1:3]
