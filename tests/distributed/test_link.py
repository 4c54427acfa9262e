"""What there is with one peer: the queue and the waiting, with threads that race."""

import threading

import pytest

from greencoro.distributed.link import Link
from greencoro.distributed.link_states import LinkState
from greencoro.distributed.location import Location
from greencoro.distributed.outbox import Parcel
from greencoro.distributed.peer_info import PeerInfo, PeerLimits
from greencoro.errors import LocalProtocolError, PeerLost
from tests.support.interrupting import interrupt
from tests.support.polling import poll_until

INFO = PeerInfo(Location("127.0.0.1", 1), "peer", b"i" * 16)


class FakeConnection:
    has_room = True
    waiting = (0, 0)

    def __init__(self):
        self.pushed = []

    def push(self, key, message, size):
        if isinstance(message, Parcel):
            message = message.take()
        # A message in one buffer comes as that.
        self.pushed.append((key, [message] if isinstance(message, bytes) else message, size))
        return True


class FakeWire:
    def __init__(self, link):
        self.connection = FakeConnection()
        self.link = link
        self.source = None
        self.hub_io = None

    def flush(self, records=None):
        if self.source is not None:
            self.source(self.connection)


def make(messages=10, size=1000, post=lambda *args: None):
    return Link(INFO, post, PeerLimits(messages, size, 500))


def call(function, *args):
    """As a reactor's `guard`, where nothing raises."""
    function(*args)


def up(link, limits=None):
    wire = FakeWire(link)
    assert link.up(wire, INFO, limits if limits is not None else link._own)
    wire.flush()
    return wire.connection.pushed


def test_what_is_queued_while_it_is_dialled_goes_when_it_is_up():
    link = make()
    assert link.send("a", [b"1"])
    assert link.send_credited(7, [b"2"], None) is True
    assert link.is_needed
    assert [message for _, message, _ in up(link)] == [[b"1"], [b"2"]]
    assert not link.is_needed


def test_the_protocols_own_messages_go_first():
    link = make()
    link.send("a", [b"1"])
    link.send_urgent([b"urgent"])
    assert [message for _, message, _ in up(link)] == [[b"urgent"], [b"1"]]


def test_what_is_too_large_is_refused_and_nothing_is_queued():
    link = make()
    for sending in (
        lambda: link.send("a", [bytes(501)]),
        lambda: link.send_credited(1, [bytes(400), bytes(101)], None),
    ):
        with pytest.raises(LocalProtocolError):
            sending()
    assert up(link) == []


def test_a_withdrawn_message_does_not_go_and_its_credit_is_back():
    link = make(messages=2)
    entries = [link.send_credited(7, [b"x"], None, True) for _ in range(2)]
    assert link.send_credited(7, [b"y"], None) is False
    link.withdraw(entries[0])
    assert [message for _, message, _ in up(link)] == [[b"x"]]
    assert link.send_credited(7, [b"y"], None) is True


def test_M6_a_message_is_taken_back_from_the_connection_until_it_goes_and_is_free_at_once():
    link = make(messages=3, size=1000)
    wire = FakeWire(link)
    assert link.up(wire, INFO, link._own)
    taken = []
    wire.connection.push = lambda key, message, size: taken.append(message) or True
    entries = [link.send_credited(7, [bytes(300)], None, True) for _ in range(3)]
    assert link.send_credited(7, [b"x"], None) is False
    link.flush()
    wire.connection.waiting = (3, 900)
    assert link.send_credited(8, [b"x"], None) is False, "the connection holds as much as there is room for"
    assert taken[0].take() == [bytes(300)], "the first goes"
    assert not link.withdraw(entries[0]) and link.withdraw(entries[1]) and not link.withdraw(entries[1])
    assert taken[1].take() is None
    assert link.send_credited(7, [b"x"], None) is True


@pytest.mark.parametrize("reason", ["room", "credit"])
def test_M6_who_waits_hears_of_what_was_taken_back(reason):
    called = []
    link = make(messages=1 if reason == "room" else 10, post=lambda function, *args: function(*args))
    if reason == "credit":
        up(link, PeerLimits(1, 1000, 500))
        link.wire.connection.has_room = False
    entry = link.send_credited(1, [b"x"], None, True)
    other = 2 if reason == "room" else 1
    assert link.send_credited(other, [b"x"], lambda: called.append(1)) is False
    assert not called and link.withdraw(entry) and called == [1]
    assert link.send_credited(other, [b"x"], None) is True


def test_what_is_left_of_messages_that_were_taken_back_does_not_pile_up():
    link = make(messages=10, post=lambda function, *args: function(*args))
    for _ in range(5000):
        assert link.withdraw(link.send_credited(7, [b"x"], None, True))
    assert len(link._queue._queue) < 1100
    assert not link.is_needed
    assert up(link) == []


def test_B1_answers_are_held_up_to_twice_the_limit_in_bytes_and_own_messages_up_to_the_limit():
    link = make(messages=100, size=1000)
    own, answers = [], []
    while link.send_if_room("a", [bytes(400)], None):
        own.append(1)
    while link.send_answer([bytes(300)]):
        answers.append(1)
    assert (len(own), len(answers)) == (3, 2)
    assert link.send("a", [b"the protocol's own"])
    link.lose(PeerLost("gone"), call)
    assert link.send_answer([b"x"]) and not link.send_if_room("a", [b"x"], None)


@pytest.mark.parametrize("count", [1, 3])
def test_B1_a_peer_that_does_not_read_what_is_urgent_is_cut_off(count):
    posted, failed = [], []
    link = make(size=1000, post=lambda function, *args: posted.append(function))
    wire = FakeWire(link)
    link.up(wire, INFO, link._own)
    wire.fail = failed.append
    for _ in range(count):
        link.send_urgent([bytes(400)])
    for function in posted:
        if function != link.flush:
            function()
    assert len(failed) == (1 if count == 3 else 0)


@pytest.mark.parametrize("reason", ["room", "credit"])
def test_who_waits_is_called_when_it_is_worth_another_try_and_not_before(reason):
    link = make(messages=2)
    called = []
    # Room is the whole link's, credit one mailbox's.
    targets = (1, 2, 3) if reason == "room" else (1, 1, 1)
    if reason == "credit":
        up(link)
    for target in targets[:2]:
        assert link.send_credited(target, [b"x"], None) is True
        if reason == "credit":
            link.flush()
    assert link.send_credited(targets[2], [b"x"], lambda: called.append(1)) is False
    assert not called
    if reason == "room":
        up(link)
    else:
        link.flush()
        assert not called
        link.outflows[1].grant(1, 1)
    assert called == [1]
    assert link.send_credited(targets[2], [b"x"], None) is True


def test_the_limits_of_the_peer_count_once_they_are_known():
    link = make(messages=10, size=1000)
    assert link.send_credited(1, [bytes(100)], None) is True
    up(link, PeerLimits(2, 300, 200))
    with pytest.raises(LocalProtocolError, match=r"max_message_bytes of .* is 200"):
        link.send_credited(1, [bytes(201)], None)
    assert link.send_credited(1, [b"x"], None) is True
    assert link.send_credited(1, [b"x"], None) is False
    larger = make()
    up(larger, PeerLimits(20, 2000, 5000))
    with pytest.raises(LocalProtocolError, match="max_message_bytes is 500"):
        larger.send("a", [bytes(501)])


def test_who_waited_for_credit_hears_that_the_peer_gives_more():
    link, called = make(messages=2), []
    link._queue.has_room = lambda waiter=None: True
    for _ in range(2):
        link.send_credited(1, [b"x"], None)
    assert link.send_credited(1, [b"x"], lambda: called.append(1)) is False
    up(link, PeerLimits(3, 1000, 500))
    assert called == [1]
    assert link.send_credited(1, [b"x"], None) is True


@pytest.mark.parametrize("limits", [PeerLimits(1, 1000, 500), PeerLimits(10, 1000, 99), PeerLimits(10, 100, 500)])
def test_what_was_queued_before_the_limits_were_known_and_is_beyond_them_is_not_sent(limits):
    link = make()
    for _ in range(2):
        link.send_credited(1, [bytes(100)], None)
    wire = FakeWire(link)
    assert link.up(wire, INFO, limits) is False
    assert wire.source is None and link.state is LinkState.DIALING


def test_who_stopped_waiting_is_not_called():
    link = make(messages=1)
    called = []
    for target in (1, 2):
        link.send_credited(target, [b"x"], lambda: called.append(1))
    waiter = called.append
    link.send_credited(1, [b"x"], waiter)
    link.forget_waiter(1, waiter)
    link.lose(PeerLost("gone"), call)
    assert 1 in called and len(called) == 1


def test_a_loss_answers_everybody_once_and_refuses_what_comes_after():
    link = make()
    heard = []
    number = link.answers.expect(lambda answer, error: heard.append((answer, str(error))))
    link.when_lost("a", lambda error: heard.append(("cleaned", str(error))))
    link.when_lost("b", lambda error: link.on_lost.pop("a", None))
    link.send("a", [b"1"])
    link.lose(PeerLost("gone"), call)
    assert heard in ([(None, "gone"), ("cleaned", "gone")], [(None, "gone")])
    link.answers.came(number, 1)
    assert link.state is LinkState.LOST
    assert not link.send("a", [b"1"])
    assert link.send_credited(1, [b"1"], None) is False
    link.answers.expect(lambda answer, error: heard.append("late"))
    link.when_lost("c", lambda error: heard.append("late as well"))
    assert heard[-2:] == ["late", "late as well"]
    assert not link.answers.pending and not link.on_lost


def test_whoever_raises_at_a_loss_keeps_nobody_else_from_being_told():
    link = make()
    raised, heard = [], []

    def guard(function, *args):
        try:
            function(*args)
        except RuntimeError as error:
            raised.append(error)

    def fail(*_):
        raise RuntimeError

    link.answers.expect(fail)
    link.answers.expect(lambda answer, error: heard.append("answer"))
    link.when_lost("a", fail)
    link.when_lost("b", lambda error: heard.append("cleaned"))
    link.lose(PeerLost("gone"), guard)
    assert heard == ["answer", "cleaned"] and len(raised) == 2


def test_M3_a_loss_counts_what_was_accepted_and_is_not_known_to_have_been_read():
    link = make(messages=100)
    for target in (1, 1, 1, 2):
        assert link.send_credited(target, [b"gone out"], None) is True
    up(link)
    link.outflows[1].grant(1, 8)
    # More than it was sent: that makes up for nothing that went to others.
    link.outflows[2].grant(50, 8)
    link.wire.connection.has_room = False
    for target in (1, 3, 4):
        assert link.send_credited(target, [b"queued"], None) is True
    # None of these is a message that is lost: one was taken back, one's receiver is over, one is a request.
    withdrawn = link.send_credited(3, [b"withdrawn"], None, True)
    link.withdraw(withdrawn)
    link.target_gone(4)
    link.send("a", [b"a request"])
    link.flush()
    # Taken back when the connection had it.
    link.wire.connection.has_room = True
    link.wire.connection.push = lambda *args: None
    late = link.send_credited(5, [b"withdrawn as well"], None, True)
    link.flush()
    assert link.withdraw(late)
    assert link.lose(PeerLost("gone"), call) == 2 + 0 + 2


def test_M3_a_loss_while_it_is_dialled_counts_what_was_queued_whatever_the_peer_would_have_taken():
    for limits in (None, PeerLimits(1, 1000, 500)):
        link = make()
        for _ in range(2):
            link.send_credited(1, [b"x"], None)
        assert limits is None or not link.up(FakeWire(link), INFO, limits)
        assert link.lose(PeerLost("gone"), call) == 2


def test_B5_whoever_keeps_the_reason_of_a_loss_keeps_nothing_of_the_place_where_it_was_found():
    link = make()
    try:
        raise PeerLost("nothing was heard")
    except PeerLost as error:
        link.lose(error, call)
    assert str(link.error) == "nothing was heard"
    assert link.error.__traceback__ is None


def test_a_lost_link_cannot_come_up():
    link = make()
    link.lose(PeerLost("gone"), call)
    with pytest.raises(LocalProtocolError, match="LOST cannot become UP"):
        up(link)


def test_senders_that_race_a_draining_reactor_all_get_through_in_order():
    """Four threads that wait for room and for credit, one that drains and grants: nobody sleeps for ever."""
    ring = threading.Event()
    link = make(messages=5, size=100, post=lambda *args: ring.set())
    pushed = up(link)
    count, done = 2000, []

    def send(target):
        for number in range(count):
            while True:
                woken = threading.Event()
                if link.send_credited(target, [b"%d" % number], woken.set):
                    break
                assert woken.wait(20), f"lost wake-up at {number}"
                link.forget_waiter(target, woken.set)
        done.append(target)

    threads = [threading.Thread(target=send, args=(target,)) for target in (1, 1000, 2, 3)]
    for thread in threads:
        thread.start()

    def drain():
        ring.wait(0.01)
        ring.clear()
        link.flush()
        while len(pushed) > drain.granted:
            target, _, size = pushed[drain.granted]
            drain.granted += 1
            link.outflows[target].grant(1, size)
        return len(done) == 4 or None

    drain.granted = 0
    poll_until(drain, seconds=30, interval=0)
    for thread in threads:
        thread.join()
    for target in (1, 1000, 2, 3):
        sent = [int(message[0]) for key, message, _ in pushed if key == target]
        assert sent == list(range(count))
    assert not link._queue.waiters
    assert not any(flow.waiters for flow in link.outflows.values())


def test_a_signal_whose_handler_raises_in_a_send_keeps_no_message_from_being_told_of():
    """At whatever line: neither what other threads send meanwhile nor what anybody sends later."""
    steps = 1
    while True:
        told = []
        link = make(post=lambda function, *args, told=told: told.append(function))
        is_interrupted = interrupt(
            lambda link=link: link.send("a", [b"1"]), steps, lambda link=link: link.send("b", [b"2"])
        )
        assert link.flush in told, steps
        if not is_interrupted:
            break
        link.flush()
        told.clear()
        link.send("a", [b"3"])
        assert link.flush in told, steps
        steps += 1
    assert steps > 10


def test_a_send_that_is_interrupted_twice_leaves_telling_to_the_next():
    told, interruptions = [], [KeyboardInterrupt(), KeyboardInterrupt()]

    def post(function, *args):
        if interruptions:
            raise interruptions.pop()
        told.append(function)

    link = make(post=post)
    with pytest.raises(KeyboardInterrupt):
        link.send("a", [b"1"])
    link.send("a", [b"2"])
    assert told
