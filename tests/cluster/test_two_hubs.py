"""The reactor goes on while user code holds the process: patched or not, and whatever lock it holds.

The promise is 50 ms (docs/explanation/decisions.md, "Two hubs in one process"). It is asserted of 95 of 100 answers; a
single one on a machine that does other things as well may take longer, as far as `WORST`.
"""

import statistics
import time

import pytest

from greencoro.config import Settings
from greencoro.distributed.runtime import Runtime
from greencoro.hub.coroutine import Coro
from tests.cluster.peer_process import KEY, TICK, peer_process
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

P95, WORST = 0.050, 0.250

# Each is what a coroutine does for some seconds once it is told to, without ever giving way.
HOLDS = {
    "nothing": "compute()",
    "the root logger's handler lock": """
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(handler)
    handler.acquire()
    compute()
    handler.release()
    """,
    "logging's module lock": """
    logging._acquireLock() if hasattr(logging, "_acquireLock") else logging._lock.acquire()
    compute()
    logging._releaseLock() if hasattr(logging, "_releaseLock") else logging._lock.release()
    """,
    "the import lock": """
    import _imp
    _imp.acquire_lock()
    compute()
    _imp.release_lock()
    """,
    "a lock of threading": """
    with threading.RLock(), threading.Lock():
        compute()
    """,
    "locks that its peers' log lines need": """
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger("greencoro").addHandler(handler)
    logging.getLogger("greencoro").setLevel(logging.DEBUG)
    handler.acquire()
    compute()
    handler.release()
    """,
}

PROGRAM = """
import logging
def compute():
    until = time.monotonic() + {seconds}
    while time.monotonic() < until:
        sum(range(100))

def holder(coro=None):
    coro.register("holder")
    told("ready")
    coro.receive()
    {hold}
    return coro.receive(0, "the mailbox was empty")
print(Coro(holder).value(), flush=True)
"""


@pytest.fixture
def runtime():
    with Runtime("127.0.0.1", secret_key=KEY, settings=Settings(tick_seconds=TICK)) as made:
        yield made


def answers_for(runtime, there, seconds):
    """How long each ping took for so many seconds."""
    times = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        runtime.request(there.location, "greencoro.ping", {}, timeout=5)
        times.append(time.monotonic() - began)
        time.sleep(0.005)
    return times


def check(times, what):
    p95, worst = statistics.quantiles(times, n=20)[-1], max(times)
    print(f"{what}: {len(times)} answers, 95 % within {p95 * 1000:.2f} ms, worst {worst * 1000:.1f} ms")
    assert p95 < P95
    assert worst < WORST


CASES = [
    ("the root logger's handler lock", True, 3.0),
    ("nothing", True, 1.5),
    ("logging's module lock", True, 1.5),
    ("the import lock", True, 1.5),
    ("a lock of threading", True, 1.5),
    ("locks that its peers' log lines need", True, 1.5),
    ("nothing", False, 1.5),
    ("the root logger's handler lock", False, 1.5),
]


@pytest.mark.parametrize(
    ("hold", "patched", "seconds"),
    CASES,
    ids=[f"{hold}, {'' if patched else 'not '}patched" for hold, patched, _ in CASES],
)
def test_the_reactor_answers_while_a_coroutine_computes_and_holds(runtime, hold, patched, seconds):
    program = PROGRAM.format(seconds=seconds, hold=HOLDS[hold].strip())
    with peer_process(program, patched) as peer:
        peer.line()
        events = []
        runtime.connect(peer.location)
        runtime.watch_peers(events.append)
        there = Coro.locate("holder", peer.location, 5)
        began = time.monotonic()
        there.send("go")
        times = answers_for(runtime, there, seconds * 0.4)
        # It computes: nothing but the reactor can have said that this is in the mailbox.
        delivered = []
        while time.monotonic() - began < seconds * 0.7:
            asked = time.monotonic()
            assert there.deliver("a message", 5) == 1
            delivered.append(time.monotonic() - asked)
        # Names are told, monitors are set and new peers are let in meanwhile.
        assert Coro.locate("holder", peer.location, 1) == there
        assert Coro(lambda coro=None: coro.monitor(there)).value(5) == 0
        with Runtime("127.0.0.1", secret_key=KEY) as another:
            assert another.peer(peer.location, timeout=1) == 0
        assert time.monotonic() - began < seconds
        assert not events
        check(times, f"holding {hold}, ping")
        check(delivered, f"holding {hold}, deliver")
        assert peer.line() == "a message"


def test_the_reactor_answers_while_the_main_thread_sleeps(runtime):
    program = """
    def idle(coro=None):
        coro.register("holder")
        coro.receive()
    Coro(idle)
    told("ready")
    time.sleep(60)
    """
    with peer_process(program) as peer:
        peer.line()
        runtime.connect(peer.location)
        there = Coro.locate("holder", peer.location, 5)
        check(answers_for(runtime, there, 0.5), "main thread sleeps")


def test_in_a_patched_process_several_threads_first_hubs_do_not_wait_for_each_other(runtime):
    program = """
    from gevent import get_hub
    def work(coro=None):
        sleep(0.01)
        import concurrent.futures, json, decimal, sqlite3, xml.dom.minidom
        return socket_work()
    def socket_work():
        import socket
        return socket.getaddrinfo("localhost", 1)[0][4][1]
    hub = get_hub()
    coros = [Coro(work) for _ in range(50)]
    pool = hub.threadpool
    assert pool.apply(lambda: 7) == 7
    assert [coro.value(10) for coro in coros] == [1] * 50
    told("done")
    """
    with peer_process(program, True) as peer:
        runtime.connect(peer.location)
        assert peer.line() == "done"
        assert peer.wait(10) == 0
    poll_until(lambda: not runtime.peers())
