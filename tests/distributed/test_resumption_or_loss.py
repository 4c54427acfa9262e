"""Which break of a connection is gone on after, and which is a loss: by when the peer answered last (N1, M4)."""

from __future__ import annotations

import socket
import struct
import time

from greencoro.distributed.runtime import PeerEvent
from tests.distributed.conftest import World
from tests.distributed.hand_made import HandMade
from tests.distributed.hand_made_server import silent_place
from tests.distributed.test_resumption import Scene
from tests.support.polling import poll_until


def test_N1_one_that_resets_after_it_was_silent_for_a_while_is_not_waited_for_as_long_again(
    tcp_world: World,
) -> None:
    """It heard nothing, and gave us up for that: to wait anew would be to wait twice as long."""
    tick = 1.0
    one = tcp_world.runtime(redials=True, tick_seconds=tick)
    events: list[tuple[PeerEvent, float]] = []
    with silent_place() as place:
        client = HandMade(one, "hand-made", place.getsockname()[1])
        poll_until(one.peers)
        one.watch_peers(lambda event: events.append((event, time.monotonic())))
        client.send()
        heard = time.monotonic()
        # It is given up 4.25 ticks after that.
        time.sleep(2.5 * tick)
        assert one.peers() and not events
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        poll_until(lambda: [event.online for event, _ in events] == [False])
    assert "reset" in events[0][0].reason
    assert events[0][1] - heard < 5.5 * tick


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
