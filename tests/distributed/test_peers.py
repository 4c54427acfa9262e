"""The peers of one runtime: what becomes of a connection whose peer is given up."""

from __future__ import annotations

import select

import pytest

from greencoro.hub.execution import sleep
from tests.distributed.conftest import World, reference
from tests.support.polling import poll_until


@pytest.mark.parametrize("world", ["tcp", "tls"], indirect=True)
def test_N1_B5_one_that_is_silent_is_told_of_its_loss_whatever_it_has_not_acknowledged(world: World) -> None:
    # The other side is patient: it hears of the loss, or of nothing.
    one, other = world.runtime(tick_seconds=0.25), world.runtime(tick_seconds=20)
    assert one.peer(other.location) == 0
    (there,) = poll_until(other.peer_table.online)
    assert there.wire is not None
    stream = getattr(there.wire.stream, "_carrier", there.wire.stream)
    ended = select.poll()
    ended.register(stream._sock.fileno(), 0)
    receiver = other.spawn(sleep, 60)
    target = reference(one, receiver)
    # It neither reads nor says anything, and more is sent to it than the buffers between them hold.
    other.reactor.post(stream._read_watcher.stop)
    for _ in range(32):
        assert target.send(bytes(1 << 20)) == 0
    poll_until(lambda: not one.peers())
    poll_until(lambda: ended.poll(0), what="the other side's kernel knows")
    assert ended.poll(0)[0][1] & select.POLLERR
    # What was cut off is found when it reads on.
    other.reactor.post(stream._end, ConnectionResetError(104, "Connection reset by peer"))
    poll_until(lambda: not other.peers())
    receiver.terminate()
