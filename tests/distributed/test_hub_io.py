"""Whether the user hub serves a connection, and how: with nothing real around it."""

import contextlib
import errno
import signal

import pytest

from greencoro.distributed import hub_io
from greencoro.distributed.hub_door import Door
from greencoro.distributed.hub_io import HubIo
from greencoro.distributed.messages import Locate, Ping, Pong, Result, Send
from greencoro.errors import PeerLost
from greencoro.hub import native
from tests.distributed.hub_io_fakes import Events, FakeDoor, FakeQueue, FakeReactor, FakeShared, FakeWire


@pytest.fixture
def served(monkeypatch):
    """Makes a `HubIo` that the hub serves, with nothing real around it."""
    monkeypatch.setattr(hub_io.userhub, "is_started", lambda: True)
    monkeypatch.setattr(hub_io.userhub, "post", lambda function, *args: function(*args))
    monkeypatch.setattr(hub_io, "_door", FakeDoor())

    def make(took=None, told=False):
        io = HubIo(FakeReactor(), FakeWire(), FakeShared(took))
        io.queue = FakeQueue(told)
        for _ in range(10):
            io.busy()
        assert io.is_on
        io._reactor.run_posted()
        assert io._shared.reading is False
        return io

    return make


def test_the_look_sends_what_the_hub_was_told_to_send_and_takes_the_connection_back_where_that_comes_again(served):
    io = served(told=True)
    io._look()
    assert io.queue.flushed == io._shared.read == 1 and io.is_on
    io._look()
    assert not io.is_on and io._shared.reading and not hub_io._door.served
    assert io._reactor.hub_served == 0
    for _ in range(10):
        io.busy()
    assert not io.is_on, "it is the reactor's for a while"


def test_the_look_lets_a_hub_alone_that_turns(served):
    io = served(told=True)
    for _ in range(10):
        io._flush()
        io._look()
    assert io.queue.flushed == 10 and io._shared.read == 0 and io.is_on


@pytest.mark.parametrize(
    "came", [b"", OSError(errno.ECONNRESET, "reset"), PeerLost("bad"), ValueError("bug"), KeyboardInterrupt()]
)
def test_the_end_and_every_error_are_told_to_the_wire_at_once_and_the_hub_reads_no_more(served, came):
    io = served(came)
    if isinstance(came, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            io.read()
        (what,) = io._wire.ends
        assert isinstance(what, PeerLost)
    else:
        io.read()
        assert io._wire.ends == [came or None]
    assert not io.is_on and not hub_io._door.served
    assert io._reactor.turn.acquire(False), "the turn is free"


def test_what_is_served_is_not_served_once_more(served):
    io = served()
    for _ in range(10):
        io.busy()
    assert io._reactor.hub_served == 1


@pytest.mark.parametrize("why", ["the link is not up", "no user hub turns"])
def test_the_reactor_keeps_a_connection(monkeypatch, why):
    monkeypatch.setattr(hub_io.userhub, "is_started", lambda: why != "no user hub turns")
    monkeypatch.setattr(hub_io.userhub, "post", lambda *args: pytest.fail("asked the hub"))
    io = HubIo(FakeReactor(), FakeWire(), FakeShared())
    io.queue = None if why == "the link is not up" else FakeQueue()
    for _ in range(10):
        io.busy()
    assert io._reactor.hub_served == 0


def test_a_hub_that_does_not_get_its_turn_leaves_sending_to_the_reactor_and_reading_for_later(served):
    io = served(ValueError("read"))
    held, go_on = native.Event(), native.Event()

    def hold():
        with io._reactor.turn:
            held.set()
            go_on.wait(20)

    thread = native.Thread(hold, "holds the turn")
    thread.start()
    try:
        assert held.wait(10)
        io.read()
        io._flush()
        assert io.is_on and not io._wire.ends and not io.queue.flushed
        io._reactor.run_posted()
        assert io.queue.flushed == 1
    finally:
        go_on.set()
        assert thread.join(10)
    io.read()
    assert io._wire.ends


def test_what_comes_behind_a_message_that_is_the_reactors_waits_for_it():
    reactor, wire = FakeReactor(), FakeWire()
    io = HubIo(reactor, wire, None)
    first, locate, second, third = Send(1, b"1"), Locate(1, False, "coro", "x"), Send(1, b"2"), Result(1, 1)
    io._deal_with([first, locate, second])
    io._deal_with([third])
    assert wire.there == [first]
    assert not wire.handled
    reactor.run_posted()
    assert wire.handled == [locate, second, third]
    io._deal_with([first])
    assert wire.there == [first, first]


def test_only_so_many_connections_are_the_hubs(monkeypatch):
    monkeypatch.setattr(hub_io, "_MAX_SERVED", 1)
    monkeypatch.setattr(hub_io.userhub, "is_started", lambda: True)
    posted = []
    monkeypatch.setattr(hub_io.userhub, "post", lambda *args: posted.append(args))
    reactor = FakeReactor()
    ios = [HubIo(reactor, FakeWire(), None) for _ in range(2)]
    for io in ios:
        io.queue = FakeQueue()
        for _ in range(10):
            io.busy()
    assert reactor.hub_served == len(posted) == 1


def test_where_no_descriptor_is_left_the_reactor_goes_on_alone(served, monkeypatch):
    def add(descriptor, io):
        raise OSError(errno.EMFILE, "too many open files")

    io = served()
    io._take_back()
    monkeypatch.setattr(hub_io._door, "add", add)
    for _ in range(10):
        io.busy()
    io._reactor.run_posted()
    assert not io.is_on and io._shared.reading and io._reactor.hub_served == 0


def test_of_much_data_the_hub_reads_a_little_and_leaves_the_rest_to_the_reactor_for_a_while(served):
    io = served(bytes(1 << 20))
    some = bytes(100)
    for number in range(hub_io._POOR_READS):
        assert io.is_on
        io._shared._took = some
        for _ in range(number):
            io.read()
        io._shared._took = bytes(1 << 20)
        io.read()
        io._reactor.run_posted()
    assert io.is_on, "it was never much in a row"
    for _ in range(hub_io._POOR_READS):
        io.read()
    io._reactor.run_posted()
    assert not io.is_on and io._shared.reading
    for _ in range(10):
        io.busy()
    assert not io.is_on


def test_what_is_the_reactors_piles_up_there_no_higher_than_a_few_reads(served):
    io = served(b"something")
    io._wire.connection = Events([Locate(1, False, "coro", "x")])
    for _ in range(100):
        io.read()
    assert io._behind == hub_io._POOR_READS and not io.is_on
    io._reactor.run_posted()
    assert len(io._wire.handled) == hub_io._POOR_READS and io._shared.reading


def test_what_is_the_reactors_is_left_to_it_now_and_then(served):
    io = served(b"something")
    for kind in [Locate(1, False, "coro", "x"), Pong()] * 20:
        io._wire.connection = Events([kind])
        io.read()
        io._reactor.run_posted()
    assert io.is_on and len(io._wire.handled) == len(io._wire.there) == 20


def test_M9_of_pings_that_come_together_the_hub_answers_one():
    wire = FakeWire()
    io = HubIo(FakeReactor(), wire, None)
    io._deal_with([Ping(), Send(1, b"1"), Ping(), Pong(), Ping()])
    assert wire.there == [Ping(), Send(1, b"1"), Pong()]
    io._deal_with([Ping()])
    assert wire.there[-1] == Ping()


def test_a_coroutine_that_sends_on_and_on_is_left_to_the_reactor(served, monkeypatch):
    monkeypatch.setattr(hub_io.userhub, "ident", native.get_ident())
    io = served()
    for _ in range(10):
        io.flush_now()
    assert io.queue.flushed == hub_io._EARLY_FLUSHES
    io._flush()
    io.flush_now()
    assert io.queue.flushed == hub_io._EARLY_FLUSHES + 2


def test_what_the_hub_was_told_to_send_goes_when_the_connection_is_taken_from_it(served):
    io = served(told=True)
    io.stop()
    assert io.queue.flushed == 1


def test_only_the_hub_sends_early_and_only_what_it_serves(served, monkeypatch):
    io = served()
    io.flush_now()
    monkeypatch.setattr(hub_io.userhub, "ident", native.get_ident())
    io._take_back()
    io.flush_now()
    assert not io.queue.flushed


class Interrupted(BaseException):
    """What a signal's handler raises."""


def test_a_signal_whose_handler_raises_never_leaves_the_turn_taken():
    """Where the hub has the main thread, that comes after any call: between taking the turn and noting it as well."""

    told = []

    def interrupt(number, frame):
        if not told:
            told.append(number)
            raise Interrupted

    io = HubIo(FakeReactor(), FakeWire(), None)
    held = 0

    def turns_until_interrupted(seconds):
        told.clear()
        # Again and again: Python 3.11 may forget a signal until another comes or another thread wants to run.
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.05)
        while not told:
            io._in_turn(lambda: None)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for number in range(3000):
            # A call, as Python 3.13 runs handlers at the end of a loop, which is outside of the `with` around that.
            with contextlib.suppress(Interrupted):
                turns_until_interrupted(2e-5 + number % 7 * 1e-6)
            with contextlib.suppress(RuntimeError):
                io._reactor.turn.release()
                held += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert held == 0


@pytest.mark.parametrize("at", ["before", "after"])
def test_where_ctrl_c_comes_as_the_hub_begins_to_serve_the_reactor_takes_the_connection_back(monkeypatch, at):
    monkeypatch.setattr(hub_io.userhub, "is_started", lambda: True)
    monkeypatch.setattr(hub_io.userhub, "post", lambda function, *args: function(*args))
    door = FakeDoor()
    add = door.add

    def interrupted(*args):
        if at == "after":
            add(*args)
        raise KeyboardInterrupt

    door.add = interrupted
    monkeypatch.setattr(hub_io, "_door", door)
    io = HubIo(FakeReactor(), FakeWire(), FakeShared())
    io.queue = FakeQueue()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(10):
            io.busy()
    assert io._reactor.turn.acquire(False) and io._reactor.turn.release() is None
    io._reactor.run_posted()
    io._shared.has_some = True
    for _ in range(hub_io._MISSED_LOOKS):
        io._look()
    assert not io.is_on and io._shared.reading and not door.served and not io._reactor.hub_served


def test_where_the_reactor_is_busy_the_hub_waits_for_it_once_and_not_for_each_connection():
    asked = []

    class Refused:
        def __init__(self, number):
            self.number = number

        def read(self):
            asked.append(self.number)
            return self.number == 1

    class Set:
        def poll(self, timeout):
            return [(number, 1) for number in (1, 2, 3)]

    door = Door()
    door._set = Set()
    door._served = {number: Refused(number) for number in (1, 2, 3)}
    door._on_readable()
    assert asked == [1, 2]


def test_what_is_to_be_said_about_the_connection_is_sent_though_no_coroutine_sends(served):
    io = served(b"something")
    before = io.queue.flushed
    io.read()
    assert io.queue.flushed == before
    io._wire.is_urgent = True
    io.read()
    assert io.queue.flushed == before + 1 and not io._wire.ends


def test_of_many_connections_the_hub_waits_in_vain_for_one_alone(served, monkeypatch):
    class Busy:
        def __init__(self):
            self.waited = []

        def acquire(self, blocking, seconds):
            self.waited.append(seconds)
            return False

    monkeypatch.setattr(hub_io, "_PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr(hub_io, "_in_vain_at", -60.0)
    turn, made = Busy(), [served() for _ in range(16)]
    for io in made:
        io._reactor.turn = turn
        io._flush()
        assert [function for function, _ in io._reactor.posted][-1] == io.queue.flush, "the reactor will"
    assert turn.waited == [60.0] + [0.0] * 15
    monkeypatch.setattr(hub_io, "_in_vain_at", native.monotonic() - 61)
    made[0]._flush()
    assert turn.waited[-1] == 60.0
