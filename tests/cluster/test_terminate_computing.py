"""Coroutines that compute in another process are ended, whatever they are in with regard to the network."""

import pytest

from greencoro.config import Settings
from greencoro.distributed.runtime import Runtime
from greencoro.hub.coroutine import Coro
from tests.cluster.peer_process import KEY, TICK, peer_process

pytestmark = pytest.mark.cluster

ROUNDS = 60

# As a server process begins.
SERVE = """
import random
from greencoro.hub import native, preemption, userhub
userhub.adopt()
preemption.install(print, after=0.002)
"""


@pytest.fixture
def runtime():
    with Runtime("127.0.0.1", discover_peers=False, secret_key=KEY, settings=Settings(tick_seconds=TICK)) as made:
        yield made


def notice_of(there):
    def wait(coro=None):
        assert coro.monitor(there) == 0
        there.terminate()
        return coro.receive(30)

    return Coro(wait).value(60)


def test_terminate_from_another_process_ends_a_coroutine_that_computes(runtime):
    program = """
    def compute(coro=None):
        coro.register("computing")
        told("ready")
        while True:
            pass

    Coro(compute)
    userhub.run_adopted()
    """
    with peer_process(SERVE + program.replace("\n    ", "\n"), True) as peer:
        peer.line()
        there = Coro.locate("computing", peer.location, 10)
        assert notice_of(there).kind == "terminated"
        # It serves on.
        assert Coro.locate("computing", peer.location, 0.5) is None


def test_ending_senders_at_random_instants_leaves_the_connection_whole(runtime):
    program = f"""
    sent = [0]

    def send(begun, there):
        begun.append(True)
        while True:
            sent[0] += there.send(sent[0]) == 0

    def find():
        return Coro.locate("sink", Location.parse(sys.argv[1]), 10)

    def control():
        there = Coro(find).value(20)
        for _ in range({ROUNDS}):
            begun = []
            sender = Coro(send, begun, there)
            while not begun:
                native.sleep(0.001)
            native.sleep(random.random() * 0.005)
            sender.terminate()
            while sender.is_alive():
                native.sleep(0.001)
            assert Coro(there.deliver, None, 20).value(30) == 1
            assert sender.notice().kind == "terminated", sender.notice()
        told(str(sent[0]))

    native.Thread(control, "control").start()
    userhub.run_adopted()
    """

    def sink(coro=None):
        coro.register("sink")
        numbers, rounds = [], 0
        while rounds < ROUNDS:
            message = coro.receive()
            if message is None:
                rounds += 1
            else:
                numbers.append(message)
        return numbers

    receiver = Coro(sink)
    with peer_process(SERVE + program.replace("\n    ", "\n"), True, str(runtime.location)) as peer:
        sent = int(peer.line())
        assert sent > 0
        assert receiver.value(60) == list(range(sent))
