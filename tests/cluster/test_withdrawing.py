"""Deliveries that time out while the other process stands still."""

import signal
import time

import pytest

from greencoro.config import Settings
from greencoro.distributed.refs import Reference
from greencoro.distributed.runtime import Runtime
from tests.cluster.peer_process import KEY, peer_process
from tests.support.held import hold_still
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

# Gathers the first bytes of what it is sent, until the word comes to tell them.
GATHER = """
    def gather(coro=None):
        got = []
        while True:
            message = coro.receive()
            if message == b"tell":
                told(b" ".join(got).decode())
                return
            got.append(message[:8])
    receiver = Coro(gather)
    told(f"{runtime.incarnation.hex()} {receiver.id}")
    receiver.value()
"""

#: More than the kernels of both sides take.
FILLING, TIMEOUT = 80, 0.3
#: Nothing is lost because the peer stands still for some seconds.
SETTINGS = {"tick_seconds": 3.0}


@pytest.mark.parametrize("size", [300 << 10, 100], ids=["large", "small"])
@pytest.mark.parametrize("is_filled_before", [False, True], ids=["into the connection", "behind a full socket"])
def test_M6_what_had_not_begun_to_go_when_its_delivery_timed_out_never_arrives(size, is_filled_before):
    with peer_process(GATHER, settings=SETTINGS) as peer:
        runtime = Runtime("127.0.0.1", discover_peers=False, secret_key=KEY, settings=Settings(**SETTINGS))
        try:
            incarnation, coro_id = peer.line().split()
            there = runtime.resolve(Reference(peer.location, bytes.fromhex(incarnation), int(coro_id), "receiver"))
            assert there.deliver(b"first...", 10) == 1
            link = there.reach()
            peer.signal(signal.SIGSTOP)
            # All of it stands in the queue before the first byte goes, so that the connection takes what it can.
            hold = hold_still(runtime.reactor)
            for number in range(FILLING):
                assert there.send(message(f"fill{number}", 300 << 10)) == 0
            if is_filled_before:
                hold.set()
                poll_until(lambda: link.wire.stream.blocked)
            took = []

            def deliver(number):
                started = time.monotonic()
                took.append((there.deliver(message(f"late{number}", size), TIMEOUT), time.monotonic() - started))

            senders = [runtime.spawn(deliver, number) for number in range(20)]
            poll_until(lambda: len(link.answers.pending) == 20)
            hold.set()
            for sender in senders:
                sender.value(10)
            assert [result for result, _ in took] == [0] * 20
            assert max(seconds for _, seconds in took) < TIMEOUT + 0.5
            assert link.wire.stream.blocked
            # Nothing of them is kept, and their credit is there again.
            assert link._queue.waiting[1] < FILLING * (301 << 10)
            assert link.outflows[int(coro_id)].unconfirmed_messages == 1 + FILLING
            peer.signal(signal.SIGCONT)
            assert there.deliver(b"last....", 20) == 1
            assert there.send(b"tell") == 0
            got = peer.line().split()
            filled = [f"fill{number}" for number in range(FILLING)]
            assert [word.strip(".") for word in got] == ["first", *filled, "last"]
        finally:
            runtime.finish(2.0)


def message(word, size):
    return word.encode().ljust(8, b".").ljust(size, b"x")
