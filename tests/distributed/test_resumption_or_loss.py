"""Which break of a connection is gone on after, and which is a loss: by when the peer answered last (N1, M4)."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from greencoro.distributed.link import Link
from greencoro.distributed.runtime import PeerEvent
from tests.distributed.conftest import World
from tests.distributed.hand_made import HandMade
from tests.distributed.hand_made_server import silent_place
from tests.distributed.test_resumption import Scene
from tests.support.polling import poll_until


def test_N1_one_that_resets_and_has_not_answered_for_the_time_out_is_lost_at_once(
    tcp_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It heard nothing, and gave us up for that: to wait for another connection would be to wait twice as long."""
    one = tcp_world.runtime(redials=True, tick_seconds=0.25)
    events: list[PeerEvent] = []
    suspended: list[Link] = []
    with silent_place() as place:
        client = HandMade(one, "hand-made", place.getsockname()[1])
        until = time.monotonic() + 1.5
        poll_until(one.peers)
        one.watch_peers(events.append)
        monkeypatch.setattr(Link, "suspend", lambda link: suspended.append(link))
        while time.monotonic() < until:
            client.send()
            time.sleep(0.05)
        assert one.peers() and not events
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        poll_until(lambda: [event.online for event in events] == [False])
    assert "reset" in events[0].reason
    assert not suspended


def test_M4_N1_a_quiet_link_that_was_answered_in_time_is_gone_on_with_however_long_it_is_up(world: World) -> None:
    scene = Scene(world, tick_seconds=0.1)
    connections = [link.wire.connection for link in scene.links if link.wire is not None]
    began = time.monotonic()
    # Ten ticks: an answer that comes at the start alone would not do.
    poll_until(lambda: all(end._liveness._answered > began + 1.0 for end in connections), what="answers")
    for _ in range(3):
        scene.cut()
        scene.await_up()
    assert not scene.events
