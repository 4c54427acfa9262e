"""Two processes over real sockets: one is killed, stopped, kept busy, or ends by itself."""

import logging
import signal
import time

import psutil
import pytest

from greencoro.config import Settings
from greencoro.distributed.runtime import Runtime
from greencoro.errors import PeerLost
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.cluster.peer_process import BUSY_TICK, KEY, TICK, peer_process
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

ECHO = """
def echo(coro=None):
    coro.register("echo")
    told("ready")
    while (message := coro.receive()) is not None:
        sender, value = message
        sender.send(value)
    return "over"
Coro(echo).value()
"""


@pytest.fixture
def runtime():
    with Runtime("127.0.0.1", discover_peers=False, secret_key=KEY, settings=Settings(tick_seconds=TICK)) as made:
        yield made


def run(function, *args, timeout=30):
    return Coro(function, *args).value(timeout)


def located(runtime, peer):
    peer.line()
    assert runtime.peer(peer.location) == 0
    found = Coro.locate("echo", peer.location, 5)
    assert found is not None
    return found


def ask(there, value, coro=None):
    there.send((coro, value))
    return coro.receive(10)


def hear_of_the_end(there, watched, coro=None):
    watched.set(coro.monitor(there))
    return coro.receive(30)


def test_messages_go_both_ways_and_the_end_is_heard_of(runtime):
    with peer_process(ECHO) as peer:
        there = located(runtime, peer)

        def talk(coro=None):
            assert coro.monitor(there) == 0
            answers = []
            for number in range(200):
                there.send((coro, number))
                answers.append(coro.receive(10))
            assert there.deliver(None, 10) == 1
            return answers, coro.receive(10)

        answers, notice = run(talk)
        assert answers == list(range(200))
        assert (notice.kind, notice.value) == ("finished", "over")
        assert peer.wait() == 0
        poll_until(lambda: not runtime.peers())
        assert there.send("x") == -1


def test_N1_a_killed_peer_is_noticed_at_once(runtime):
    with peer_process(ECHO) as peer:
        there = located(runtime, peer)
        waiting = Coro(there.value)
        assert run(ask, there, 1) == 1
        (link,) = runtime.peer_table.online()
        poll_until(lambda: len(link.notices))
        peer.signal(signal.SIGKILL)
        with pytest.raises(PeerLost) as caught:
            waiting.value(10)
        # It is noticed by the end of the connection, which takes no time, and not by ticks without a word.
        assert "nothing was heard" not in str(caught.value)
        poll_until(lambda: not runtime.peers())


def test_N1_a_stopped_peer_is_noticed_after_4_ticks_of_silence(runtime):
    with peer_process(ECHO) as peer:
        there = located(runtime, peer)
        waiting = Coro(there.value)
        (link,) = runtime.peer_table.online()
        poll_until(lambda: len(link.notices))
        began = time.monotonic()
        # What was heard last was heard after that.
        assert run(ask, there, 1) == 1
        peer.signal(signal.SIGSTOP)
        with pytest.raises(PeerLost, match="nothing was heard"):
            waiting.value(20)
        took = time.monotonic() - began
        print(f"noticed after {took / TICK:.2f} ticks")
        # Some seconds for a machine that does other things as well; test_membership.py has the exact times.
        assert 4 * TICK <= took < 5 * TICK + 5


def test_N4_a_stopped_peer_that_goes_on_is_a_new_link_and_old_references_work_again(runtime):
    with peer_process(ECHO) as peer:
        there = located(runtime, peer)
        peer.signal(signal.SIGSTOP)
        poll_until(lambda: not runtime.peers(), 20)
        assert there.send("x") == -1
        peer.signal(signal.SIGCONT)
        poll_until(lambda: runtime.peer(peer.location) == 0, 20)
        assert run(ask, there, "back") == "back"


def test_N2_a_busy_peer_is_not_lost():
    busy = """
    runtime.watch_peers(lambda event: told("online" if event.online else "lost: " + event.reason))
    def compute(coro=None):
        coro.register("echo")
        told("ready")
        until = time.monotonic() + coro.receive()
        while time.monotonic() < until:
            pass
        told("computed")
        return coro.receive()
    Coro(compute).value()
    """
    settings = {"tick_seconds": BUSY_TICK}
    with (
        Runtime("127.0.0.1", discover_peers=False, secret_key=KEY, settings=Settings(**settings)) as runtime,
        peer_process(busy, settings=settings) as peer,
    ):
        events = []
        runtime.watch_peers(events.append)
        there = located(runtime, peer)
        assert peer.line() == "online"
        # Forty ticks; a silent peer is given up after four.
        there.send(10 * 4 * BUSY_TICK)
        assert peer.line() == "computed", "it was told of nothing meanwhile"
        assert [event.online for event in events] == [True]
        assert there.send("over") == 0


@pytest.mark.parametrize("way", ["the main thread ends", "a coroutine ends last", "sys.exit", "peer not yet connected"])
def test_what_was_sent_before_the_end_of_the_program_arrives(runtime, way):
    def collect(coro=None):
        coro.register("sink")
        return [coro.receive(20) for _ in range(1001)]

    sink = Coro(collect)
    connect = f"assert runtime.peer(Location.parse({str(runtime.location)!r})) == 0"
    find = f"sink = Coro.locate('sink', Location.parse({str(runtime.location)!r}), 10)"
    send = "[sink.send(bytes(1000)) for _ in range(1000)] + [sink.send(bytes(5 << 20))]"
    program = {
        "the main thread ends": f"{connect}\n{find}\n{send}\n",
        "a coroutine ends last": f"{connect}\ndef last():\n    {find}\n    sleep(0.2)\n    {send}\nCoro(last)\n",
        "sys.exit": f"{connect}\n{find}\n{send}\nsys.exit(0)\n",
        "peer not yet connected": (
            "from greencoro.distributed.refs import Reference\n"
            f"sink = runtime.resolve(Reference(Location.parse({str(runtime.location)!r}), "
            f"{runtime.incarnation!r}, {sink.id}, 'collect'))\n{send}\n"
        ),
    }[way]
    with peer_process(program) as peer:
        assert peer.wait(20) == 0
        assert peer.errors() == ""
        got = sink.value(10)
    assert [len(message) for message in got] == [1000] * 1000 + [5 << 20]


def test_ctrl_c_with_an_open_runtime_ends_the_program_by_SIGINT(runtime, caplog):
    program = """
    from greencoro.hub import exit as process_exit
    # A machine that does other things as well: the end may take longer than a person would wait.
    process_exit.GRACE_SECONDS, process_exit._INTERRUPTED_SECONDS = 10, 15
    def forever(coro=None):
        coro.register("echo")
        told("ready")
        try:
            coro.receive()
        finally:
            told("cleaned up")
    Coro(forever)
    time.sleep(60)
    """
    for patched in (False, True):
        with peer_process(program, patched) as peer:
            there = located(runtime, peer)
            watched = Completion()
            waiting = Coro(hear_of_the_end, there, watched)
            assert watched.result(10) == 0
            peer.signal(signal.SIGINT)
            assert peer.wait(20) == -signal.SIGINT
            assert peer.line() == "cleaned up"
            assert "Traceback" not in peer.errors()
            assert waiting.value(30).kind == "terminated"
            poll_until(lambda: not runtime.peers())


def test_a_peer_that_cannot_start_says_why_in_one_line(runtime):
    program = f"""
    Runtime("127.0.0.1", discover_peers=False, tcp_port={runtime.location.port}, secret_key=KEY)
    """
    with peer_process(program) as peer:
        assert peer.wait() == 1
        last = peer.errors().strip().splitlines()[-1]
        assert last.startswith(f"OSError: [Errno 98] cannot listen at {runtime.location}: Address already in use: ")
        assert "tcp_port=0 takes any that is free" in last


def test_a_wrong_secret_makes_one_line_in_each_process_with_its_own_fingerprint(runtime, caplog):
    program = f"""
    import logging
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    with Runtime("127.0.0.1", discover_peers=False, secret_key=b"w" * 32) as stranger:
        told(stranger.secret.fingerprint)
        told(str([stranger.peer({str(runtime.location)!r}) for _ in range(4)]))
    """
    with caplog.at_level(logging.WARNING, "greencoro"), peer_process(program) as peer:
        fingerprint = peer.line()
        assert peer.line() == "[-1, -1, -1, -1]"
        assert peer.wait() == 0
        (theirs,) = peer.errors().splitlines()
        poll_until(lambda: caplog.records)
        (ours,) = [record.getMessage() for record in caplog.records]
    assert fingerprint != runtime.secret.fingerprint
    assert "wrong secret" in theirs and fingerprint in theirs and str(runtime.location) in theirs
    assert "wrong secret" in ours and runtime.secret.fingerprint in ours and "127.0.0.1" in ours


def test_B1_memory_is_bounded_where_a_receiver_never_reads():
    limits = {"max_queue_bytes": 8 << 20, "max_message_bytes": 4 << 20, "send_timeout_seconds": 1.0}
    settings = Settings(tick_seconds=TICK, **limits)
    program = """
    def never_reads(coro=None):
        coro.register("echo")
        told("ready")
        sleep(60)
    Coro(never_reads).value()
    """
    with (
        Runtime("127.0.0.1", discover_peers=False, secret_key=KEY, settings=settings) as runtime,
        peer_process(program, settings=limits) as peer,
    ):
        there = located(runtime, peer)
        mine, theirs = psutil.Process(), psutil.Process(peer.process.pid)
        before = mine.memory_info().rss, theirs.memory_info().rss
        sent = 0
        while there.send(bytes(100_000)) == 0:
            sent += 100_000
        grown = mine.memory_info().rss - before[0], theirs.memory_info().rss - before[1]
        print(f"sent {sent}, grown {grown}")
        assert 8_000_000 <= sent <= 16 << 20
        assert max(grown) < 2 * (8 << 20) + (16 << 20)
        assert runtime.peers()


def test_M9_a_ping_passes_bulk_transfers(runtime):
    program = """
    def swallow(coro=None):
        coro.register("echo")
        told("ready")
        total = 0
        while (message := coro.receive()) is not None:
            total += len(message)
        return total
    Coro(swallow).value()
    time.sleep(60)
    """
    with peer_process(program) as peer:
        there = located(runtime, peer)
        result = Coro(there.value)
        sizes = [1 << 20, 60 << 20, 100, 300_000, 20 << 20] * 2

        def send_all():
            for size in sizes:
                assert there.send(bytearray(size)) == 0
            there.send(None)

        sending = Coro(send_all)
        times = []
        while result.is_alive():
            began = time.monotonic()
            runtime.request(peer.location, "greencoro.ping", {}, timeout=5)
            times.append(time.monotonic() - began)
        sending.value(30)
        assert result.value(30) == sum(sizes)
        times.sort()
        print(f"{len(times)} pings, median {times[len(times) // 2] * 1000:.1f} ms, worst {times[-1] * 1000:.1f} ms")
        # Some of them came while more than a hundred megabytes were on their way.
        assert len(times) > 2


def test_logging_at_debug_level_over_two_processes_raises_nothing(runtime, caplog):
    with caplog.at_level(logging.DEBUG, "greencoro"), peer_process(ECHO) as peer:
        there = located(runtime, peer)
        assert run(ask, there, "x") == "x"
        there.send(None)
        assert peer.wait() == 0
    sleep(0)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
