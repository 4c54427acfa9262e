"""The reactor goes on while user code holds the process: patched or not, and whatever lock it holds.

The promise is 50 ms (docs/explanation/decisions.md, "Two hubs in one process"). It is asserted of 95 of 100 answers
within the best of some stretches of time: other work on the machine makes answers slow, and nothing makes them fast.
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

P95 = 0.050
STRETCHES = 12

# Each is what a coroutine does once it is told to, without ever giving way, until there is a file `over`.
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
from os.path import exists
def compute():
    while not exists({over!r}):
        for _ in range(20_000):
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
    with Runtime("127.0.0.1", discover_peers=False, secret_key=KEY, settings=Settings(tick_seconds=TICK)) as made:
        yield made


def ping(runtime, there):
    runtime.request(there.location, "greencoro.ping", {}, timeout=10)


def check(what, ask):
    """Call ``ask`` again and again: it is quick."""
    for stretch in range(STRETCHES):
        times = []
        until = time.monotonic() + 0.5
        while time.monotonic() < until or len(times) < 5:
            began = time.monotonic()
            ask()
            times.append(time.monotonic() - began)
            time.sleep(0.005)
        p95, worst = statistics.quantiles(times, n=20)[-1], max(times)
        print(f"{what} {stretch}: {len(times)} answers, 95 % in {p95 * 1000:.2f} ms, worst {worst * 1000:.1f} ms")
        if p95 < P95:
            return
    pytest.fail(f"{what}: in none of {STRETCHES} stretches 95 % of the answers came within {P95} s")


CASES = [
    ("the root logger's handler lock", True),
    ("nothing", True),
    ("logging's module lock", True),
    ("the import lock", True),
    ("a lock of threading", True),
    ("locks that its peers' log lines need", True),
    ("nothing", False),
    ("the root logger's handler lock", False),
]


@pytest.mark.parametrize(
    ("hold", "patched"), CASES, ids=[f"{hold}, {'' if patched else 'not '}patched" for hold, patched in CASES]
)
def test_the_reactor_answers_while_a_coroutine_computes_and_holds(runtime, tmp_path, hold, patched):
    over = tmp_path / "over"
    program = PROGRAM.format(over=str(over), hold=HOLDS[hold].strip())
    with peer_process(program, patched) as peer:
        peer.line()
        events = []
        runtime.connect(peer.location)
        runtime.watch_peers(events.append)
        there = Coro.locate("holder", peer.location, 5)
        there.send("go")
        began = time.monotonic()
        check("ping", lambda: ping(runtime, there))

        def deliver():
            # It computes: nothing but the reactor can have said that this is in the mailbox.
            assert there.deliver("a message", 10) == 1

        check("deliver", deliver)
        # Names are told, monitors are set and new peers are let in meanwhile.
        assert Coro.locate("holder", peer.location, 10) == there
        assert Coro(lambda coro=None: coro.monitor(there)).value(10) == 0
        with Runtime("127.0.0.1", discover_peers=False, secret_key=KEY) as another:
            assert another.peer(peer.location, timeout=10) == 0
        # So long that one who does not answer would have been given up.
        while time.monotonic() - began < 6 * TICK:
            ping(runtime, there)
            time.sleep(0.005)
        assert all(event.online for event in events)
        over.touch()
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
        check("ping", lambda: ping(runtime, there))


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
    assert [coro.value(30) for coro in coros] == [1] * 50
    def last(coro=None):
        coro.register("last")
        coro.receive()
    ending = Coro(last)
    told("done")
    ending.value()  # it is not to be over before the other side has connected
    """
    with peer_process(program, True) as peer:
        runtime.connect(peer.location)
        assert peer.line() == "done"
        Coro.locate("last", peer.location, 10).send(None)
        assert peer.wait(10) == 0
    poll_until(lambda: not runtime.peers())
