"""Connections of two runtimes that the user hub serves: nothing is lost, overtaken or held up by it."""

import contextlib
import errno
import gc
import os
import signal
import socket
import time
import weakref

import pytest

from greencoro.distributed import hub_io
from greencoro.distributed.messages import Locate, Result, Send
from greencoro.errors import PeerLost
from greencoro.hub import native, sync
from greencoro.hub.execution import sleep
from tests.distributed.conftest import reference
from tests.support.held import hold_still
from tests.support.polling import poll_until


def wire_between(one, other):
    (link,) = [link for link in one.peer_table.online() if link.info.incarnation == other.incarnation]
    return link.wire


@pytest.fixture
def pair(tcp_world):
    one, other = tcp_world.runtime(), tcp_world.runtime()
    assert one.peer(other.location, timeout=10) == 0
    poll_until(lambda: one.location in other.peers())
    return one, other


@pytest.fixture
def no_idling(monkeypatch):
    """The reactor takes a connection back only where the hub left something lying."""
    monkeypatch.setattr(hub_io, "_IDLE_LOOKS", 1_000_000)


@pytest.fixture
def talk(pair):
    """Makes two coroutines send to each other until the hub serves both ends; they go on until the test is over."""
    one, other = pair
    over = []

    def echo(coro=None):
        while True:
            sender = coro.receive()
            if sender is None:
                return
            sender.send(1)

    echoing = other.spawn(echo)

    def ask(coro=None):
        there = reference(one, echoing)
        while not over:
            there.send(coro)
            coro.receive(0.2)
        echoing.send(None)

    asking = one.spawn(ask)
    ends = wire_between(one, other).hub_io, wire_between(other, one).hub_io
    poll_until(lambda: all(end.is_on for end in ends), what="the hub serves both ends")

    def stop():
        over.append(True)
        asking.value(10)

    yield ends, stop
    if not over:
        stop()


def test_the_hub_gives_a_connection_back_on_which_nothing_comes_and_messages_go_on_arriving(pair, talk):
    ends, stop = talk
    assert pair[0].reactor.hub_served == len(ends)
    stop()
    poll_until(lambda: not any(end.is_on for end in ends), what="the reactor has both ends")
    assert pair[0].reactor.hub_served == 0
    receiving = pair[1].spawn(lambda coro=None: coro.receive(10))
    assert reference(pair[0], receiving).send("later") == 0
    assert receiving.value(10) == "later"


def test_N2_while_a_coroutine_computes_the_reactor_deals_with_what_the_hub_left_lying(no_idling, pair, talk):
    one, other = pair
    receiving = other.spawn(lambda coro=None: [coro.receive(10) for _ in range(20)])
    delivered, computing = native.Event(), native.Event()

    def compute():
        computing.set()
        limit = time.monotonic() + 30
        while not delivered.is_set() and time.monotonic() < limit:
            pass
        return delivered.is_set()

    spinning = one.spawn(compute)
    assert computing.wait(10)
    # From this thread, and there and back while no hub turns.
    assert [reference(one, receiving).deliver(number, 20) for number in range(20)] == [1] * 20
    delivered.set()
    assert spinning.value(40) is True
    assert receiving.value(10) == list(range(20))


def test_a_message_that_a_coroutine_sends_before_it_computes_goes_out(no_idling, pair, talk):
    one, other = pair
    receiving = other.spawn(lambda coro=None: coro.receive(10))

    def send_and_compute():
        reference(one, receiving).send("now")
        limit = time.monotonic() + 30
        while not len(receiving._mailbox) and time.monotonic() < limit:
            pass
        return len(receiving._mailbox)

    assert one.spawn(send_and_compute).value(40) == 1
    assert receiving.value(10) == "now"


def test_M1_M2_threads_and_coroutines_that_send_at_once_keep_their_order_and_nothing_comes_twice(pair, talk):
    one, other = pair
    count, senders = 3000, 4

    def receive_all(coro=None):
        return [coro.receive(20) for _ in range(count * senders)]

    receiving = other.spawn(receive_all)
    there = reference(one, receiving)
    done = []

    def send_all(who):
        for number in range(count):
            payload = b"x" * (100_000 if number % 500 == 7 else number % 50)
            assert there.send((who, number, payload)) == 0
            if number % 100 == who:
                sleep(0) if who < 2 else native.sleep(0)
        done.append(who)

    coros = [one.spawn(send_all, who) for who in (0, 1)]
    threads = [native.Thread(lambda who=who: send_all(who), f"sender-{who}") for who in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        assert thread.join(60)
    for coro in coros:
        coro.value(60)
    assert sorted(done) == [0, 1, 2, 3]
    received = receiving.value(60)
    for who in range(senders):
        assert [number for sender, number, _ in received if sender == who] == list(range(count))


def test_N5_the_notice_of_an_end_does_not_overtake_what_was_sent_before(pair, talk):
    one, other = pair

    def watch(coro=None):
        orders = []
        for _ in range(30):
            start = sync.Event()
            ending = other.spawn(send_and_end, start, coro)
            assert coro.monitor(reference(one, ending)) == 0
            start.set()
            orders.append([coro.receive(10) for _ in range(6)])
        return orders

    def send_and_end(start, watcher):
        start.wait()
        there = reference(other, watcher)
        for number in range(5):
            there.send(number)

    for order in one.spawn(watch).value(60):
        assert order[:5] == list(range(5))
        assert order[5].kind == "finished"


@pytest.mark.parametrize("end", ["closed", "broken"])
def test_the_end_of_a_connection_that_the_hub_serves_is_noticed(no_idling, pair, talk, end):
    one, other = pair
    ends, _ = talk
    here, there = wire_between(one, other), wire_between(other, one)
    if end == "closed":
        there.stream._sock.shutdown(socket.SHUT_WR)
    else:
        other.reactor.post(there.stream.reset)
    poll_until(lambda: here.is_closed)
    assert not ends[0].is_on


def test_a_stream_that_breaks_when_the_hub_writes_is_ended_on_the_reactors_thread(no_idling, pair, talk):
    one, other = pair
    here = wire_between(one, other)
    on_reactor = []

    class Broken:
        def __init__(self, sock):
            self._sock = sock

        def __getattr__(self, name):
            return getattr(self._sock, name)

        def send(self, data):
            raise ConnectionResetError(errno.ECONNRESET, "reset")

        def close(self):
            on_reactor.append(one.reactor.is_current)
            self._sock.close()

    with one.reactor.turn:
        here.stream._sock = Broken(here.stream._sock)
    poll_until(lambda: here.is_closed)
    assert on_reactor == [True]


def test_S3_an_altered_record_that_the_hub_reads_ends_the_connection(no_idling, pair, talk):
    one, other = pair
    ends, _ = talk
    here, there = wire_between(one, other), wire_between(other, one)
    other.reactor.post(there.stream.write, [b"\0\0\0\x20" + bytes(4) + bytes(32)])
    poll_until(lambda: here.is_closed)
    assert not ends[0].is_on


def test_coroutines_go_on_while_a_callback_of_the_reactor_takes_long_and_nothing_is_sent(no_idling, pair, talk):
    one, other = pair
    here = wire_between(one, other)
    receiving = other.spawn(lambda coro=None: [coro.receive(10) for _ in range(200)])
    hold = hold_still(one.reactor)
    try:
        sent = []
        with counted_writes(here, sent):
            sending = one.spawn(lambda: [reference(one, receiving).send(number) for number in range(200)])
            assert sending.value(10) == [0] * 200
            assert one.spawn(lambda: sleep(0.05) or "went on").value(10) == "went on"
        assert not sent
    finally:
        hold.set()
    assert receiving.value(10) == list(range(200))


@contextlib.contextmanager
def counted_writes(wire, sent):
    write = wire.stream.write
    wire.stream.write = lambda buffers: (sent.append(len(buffers)), write(buffers))
    try:
        yield
    finally:
        del wire.stream.write


def test_a_connection_that_fails_on_the_hub_neither_sends_nor_hears_until_the_reactor_ends_it(no_idling, pair, talk):
    one, other = pair
    here = wire_between(one, other)
    (link,) = one.peer_table.online()
    hold = hold_still(one.reactor)
    try:
        sent = []
        with counted_writes(here, sent):
            here.fail(PeerLost("a record was lost"))
            link.send_urgent(Result(1, 1).encode())
            link.flush()
            here.connection.receive_data = lambda *args: pytest.fail("it heard something")
            here.on_data(memoryview(b"what is no record"))
        assert not sent and not here.is_closed
    finally:
        hold.set()
    poll_until(lambda: here.is_closed)
    poll_until(lambda: other.location not in one.peers())


def test_a_connection_that_failed_on_the_hub_says_no_goodbye_where_something_is_missing(no_idling, pair, talk):
    one, other = pair
    here = wire_between(one, other)
    hold = hold_still(one.reactor)
    closed, sent = native.Event(), []
    here.fail(PeerLost("a record was lost"))
    write = here.stream.write
    here.stream.write = lambda buffers: (sent.append(buffers), write(buffers))
    one.reactor._posted.appendleft((here.close, ("bye", closed.set)))
    hold.set()
    assert closed.wait(10)
    assert not sent


def test_a_runtime_that_is_finished_while_the_hub_serves_it_says_goodbye(pair, talk):
    one, other = pair
    ends, _ = talk
    receiving = other.spawn(lambda coro=None: [coro.receive(10) for _ in range(500)])
    one.spawn(lambda: [reference(one, receiving).send(number) for number in range(500)]).value(10)
    one.finish()
    assert receiving.value(10) == list(range(500))
    poll_until(lambda: not other.peers())
    assert not any(end.is_on for end in ends)
    assert other.reactor.hub_served == 0


def test_M2_what_the_reactor_reads_waits_for_what_the_hub_left_to_it_and_so_does_the_end(no_idling, pair, talk):
    one, other = pair
    here = wire_between(one, other)
    heard = []

    class Owner:
        def on_message(self, wire, message):
            heard.append(message)

        def on_closed(self, wire, error):
            heard.append(error)

    locate, send = Locate(1, False, "coro", "x"), Send(1, b"2")

    def hear():
        # As it is between the hub's first look and the reactor's hearing that the hub reads now.
        here.owner = Owner()
        here.connection.receive_data = lambda data, now: [send]
        here.hub_io._deal_with([locate])
        here.on_data(memoryview(b"x"))
        here.stream._end(None)

    one.reactor.post(hear)
    poll_until(lambda: here.is_closed)
    assert heard[:2] == [locate, send]
    assert isinstance(heard[-1], PeerLost)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("end", ["eof", "reset", "silence"])
def test_what_a_forked_process_keeps_open_does_not_keep_the_hub_busy(no_idling, pair, talk, end):
    one, other = pair
    here, there = wire_between(one, other), wire_between(other, one)
    descriptor = here.hub_io._descriptor
    # A child closes what it knows to be ours; it does not know these.
    copies = [os.dup(wire.hub_io._descriptor) for wire in (here, there)]
    child = os.fork()
    if child == 0:
        while True:
            native.sleep(60)
    for copy in copies:
        os.close(copy)
    try:
        if end == "eof":
            there.stream._sock.shutdown(socket.SHUT_WR)
        elif end == "reset":
            one.reactor.post(here.stream._end, ConnectionResetError(errno.ECONNRESET, "reset"))
        else:
            one.reactor.post(be_silent, here)
        # The other end hears of it only where the child, which has the socket as well, does not matter.
        poll_until(lambda: here.is_closed)
        with other.reactor.turn:
            if end != "eof":
                there.stream._sock.send(b"x")
        assert descriptor not in [readable for readable, _ in hub_io._door._set.poll(0.05)]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def be_silent(wire):
    def tick(now, is_blocked, has_moved):
        wire.connection.is_silent = True
        raise PeerLost("nothing was heard")

    wire.connection.tick = tick
    wire._tick()


def test_a_hub_that_serves_nothing_watches_nothing(pair, talk):
    _, stop = talk
    assert hub_io._door._watcher is not None
    stop()
    poll_until(lambda: hub_io._door._watcher is None)


def test_B5_of_a_connection_that_the_hub_served_nothing_is_kept_until_the_garbage_collector_comes(pair):
    one, other = pair
    (link,) = one.peer_table.online()
    receiving = other.spawn(lambda coro=None: [None for _ in iter(coro.receive, None)])

    def deliver():
        while not link.wire.hub_io.is_on:
            reference(one, receiving).deliver(1)

    one.spawn(deliver).value(20)
    receiving.send(None)
    gc.collect()
    gc.disable()
    try:
        kept = [weakref.ref(link.wire), weakref.ref(link.wire.connection)]
        one.reactor.post(lambda: link.wire.stream._end(ConnectionResetError(errno.ECONNRESET, "reset")))
        poll_until(lambda: link.is_lost)
        poll_until(lambda: [each() for each in kept] == [None, None], what="they are gone")
    finally:
        gc.enable()
