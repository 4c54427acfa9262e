"""Credit: sender and receiver agree on it, and it never runs dry."""

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from greencoro.distributed import codec, flow, messages
from greencoro.distributed.flow import Inflow, Outflow, Unread
from greencoro.distributed.link import Link
from greencoro.errors import PeerLost, RemoteProtocolError
from greencoro.hub.execution import sleep
from tests.distributed.conftest import reference
from tests.distributed.test_bounds import waiting_in
from tests.distributed.test_link import INFO, call, make, up
from tests.support.polling import poll_until

MESSAGES, BYTES = 6, 100


class OneMailbox(RuleBasedStateMachine):
    """A sender, a receiver, and the messages and grants on the way between them."""

    def __init__(self):
        super().__init__()
        self.out, self.inflow = Outflow(MESSAGES, BYTES), Inflow(MESSAGES, BYTES)
        self.under_way = deque()
        self.mailbox = deque()
        self.grants = deque()
        self.waiting = None
        self.breaks = 0
        # Of the messages in the mailbox, the first ones: they came over earlier connections.
        self.old = 0

    @rule(hears_at_once=st.booleans())
    def break_the_connection(self, hears_at_once):
        """What is on its way is lost, grants among it; what is in the mailbox stays there, and its sender is told."""
        self.under_way.clear()
        self.grants.clear()
        unread, self.out, self.waiting = self.out.unread, Outflow(MESSAGES, BYTES), None
        self.out.assume(*unread)
        self.breaks += 1
        self.old = len(self.mailbox)
        messages, size = self.inflow.carry_over()
        assert (messages, size) == (len(self.mailbox), sum(self.mailbox))
        if messages:
            self.grants.append((-messages, -size))
        self.grants.append(None)
        while hears_at_once and self.grants:
            self.granted()

    @rule(size=st.integers(0, BYTES))
    def send(self, size):
        if self.waiting is None and not self.try_send(size):
            self.waiting = size

    def try_send(self, size):
        if not self.out.take(size):
            return False
        self.under_way.append(size)
        return True

    @rule(size=st.integers(0, BYTES))
    def send_and_withdraw(self, size):
        if self.waiting is None and self.out.take(size):
            self.out.untake(size)

    @precondition(lambda self: self.under_way)
    @rule()
    def arrive(self):
        size = self.under_way.popleft()
        self.inflow.arrived(size)  # raises where the two disagree
        self.mailbox.append(size)

    @precondition(lambda self: self.mailbox)
    @rule()
    def take(self):
        self.old = max(0, self.old - 1)
        grant = self.inflow.taken(self.mailbox.popleft())
        if grant is not None:
            self.grants.append(grant)

    @precondition(lambda self: self.grants)
    @rule()
    def granted(self):
        grant = self.grants.popleft()
        if grant is None:
            self.out.owe_what_was_said()
        elif grant[0] < 0:
            self.out.owe(-grant[0], -grant[1])
        else:
            self.out.grant(*grant)
        if self.waiting is not None and self.try_send(self.waiting):
            self.waiting = None

    @invariant()
    def memory_is_bounded(self):
        assert len(self.mailbox) + len(self.under_way) <= MESSAGES
        # One message of any size on top of a quarter of the window.
        assert sum(self.mailbox) + sum(self.under_way) <= BYTES + BYTES // 4

    @invariant()
    def no_less_is_unconfirmed_than_was_not_read_and_not_much_more(self):
        unread = len(self.under_way) + len(self.mailbox) - self.old
        assert unread <= self.out.unconfirmed_messages
        if not self.breaks:
            granted = sum(messages for messages, _ in self.grants)
            assert unread <= self.out.unconfirmed_messages - granted < unread + MESSAGES / 4

    @invariant()
    def as_much_may_be_unread_as_is(self):
        messages, size = self.out.unread
        assert messages >= len(self.mailbox) + len(self.under_way)
        assert size >= sum(self.mailbox) + sum(self.under_way)

    @invariant()
    def who_waits_waits_for_something(self):
        # Were everything delivered, read and granted, the message that waits would go.
        if self.waiting is not None:
            assert self.under_way or self.mailbox or self.grants


TestOneMailbox = OneMailbox.TestCase
TestOneMailbox.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)


def test_B1_who_comes_back_with_full_credit_before_it_hears_what_waits_gets_twice_the_window_at_most():
    inflow = Inflow(2, 100)
    for _ in range(2):
        assert inflow.carry_over() in ((0, 0), (2, 40))
        inflow.arrived(20)
        inflow.arrived(20)
        with pytest.raises(RemoteProtocolError, match=r"more than it had credit for$"):
            inflow.arrived(20)
    assert inflow.carry_over() == (4, 80)
    with pytest.raises(RemoteProtocolError, match="after connections that broke"):
        inflow.arrived(1)
    by_size = Inflow(10, 100)
    by_size.arrived(100)
    by_size.carry_over()
    by_size.arrived(90)
    by_size.carry_over()
    with pytest.raises(RemoteProtocolError, match="after connections that broke"):
        by_size.arrived(20)
    by_size.arrived(10)


def test_what_was_read_when_the_connection_broke_is_owed_by_nobody():
    inflow = Inflow(100, 100)
    for _ in range(3):
        inflow.arrived(1)
    assert inflow.taken(1) is None
    assert inflow.carry_over() == (2, 2)


def test_what_is_owed_from_before_is_less_credit_and_no_message_of_this_link():
    out = Outflow(4, 100)
    out.owe(3, 60)
    assert out.unconfirmed_messages == 0
    assert out.take(10) and not out.take(10)
    assert out.unconfirmed_messages == 1
    out.grant(3, 60)
    assert out.unconfirmed_messages == 1
    assert [out.take(10) for _ in range(4)] == [True, True, True, False]


def test_more_than_the_credit_is_refused():
    inflow = Inflow(2, 100)
    inflow.arrived(1)
    inflow.arrived(1)
    with pytest.raises(RemoteProtocolError, match="credit"):
        inflow.arrived(1)
    inflow = Inflow(10, 100)
    inflow.arrived(60)
    with pytest.raises(RemoteProtocolError, match="credit"):
        inflow.arrived(60)


def test_a_message_larger_than_the_window_goes_when_little_is_under_way():
    out = Outflow(10, 100)
    assert out.take(10)
    assert out.take(1000)
    assert not out.take(1)


@pytest.mark.parametrize(
    ("window", "fits"), [((2, 100), True), ((1, 100), False), ((2, 80), True), ((2, 79), False), ((9, 1000), True)]
)
def test_a_window_learnt_late_is_taken_over_where_what_was_sent_fits_into_it(window, fits):
    out = Outflow(3, 100)
    assert out.take(30) and out.take(50)
    assert out.renew(*window) is fits
    if fits:
        inflow = Inflow(*window)
        for size in (30, 50):
            inflow.arrived(size)
        sent = 2
        while out.take(20):
            inflow.arrived(20)  # raises where the two disagree
            sent += 1
        assert sent == min(window[0], 3 if window[1] == 100 else 2 if window[1] == 80 else 9)


def test_what_is_unconfirmed_is_counted_from_the_window_of_the_receiver_and_is_never_negative():
    out = Outflow(3, 100)
    assert out.unconfirmed_messages == 0
    assert out.take(1) and out.take(1)
    assert out.renew(9, 100) and out.unconfirmed_messages == 2
    out.grant(1, 1)
    assert out.unconfirmed_messages == 1
    out.grant(5, 1)
    assert out.unconfirmed_messages == 0


def test_everybody_who_waits_for_credit_is_woken_once_by_a_grant():
    out, woken = Outflow(1, 100), []
    out.take(1)
    assert not out.take_or_wait(1, lambda: woken.append("one"))
    assert not out.take_or_wait(1, lambda: woken.append("two"))
    out.grant(1, 1)
    assert woken == ["one", "two"] and not out.waiters


def test_what_is_assumed_holds_until_the_receiver_says_what_is_owed():
    out, woken = Outflow(4, 100), []
    out.assume(4, 40)
    assert out.unread == (4, 40) and out.unconfirmed_messages == 0
    assert not out.take_or_wait(1, lambda: woken.append(1))
    out.owe(3, 30)
    assert woken and out.unread == (3, 30)
    assert out.take(1) and not out.take(1)
    out.owe_what_was_said()
    assert out.unread == (4, 31)
    out.owe(1, 1)
    assert out.unread == (5, 32), "what it says later comes on top"


def test_what_is_assumed_is_less_credit_of_a_window_learnt_late_as_well():
    out = Outflow(10, 100)
    out.assume(4, 40)
    assert out.renew(5, 50)
    assert out.take(1) and not out.take(1)
    out.owe_what_was_said()
    assert [out.take(1) for _ in range(5)] == [True] * 4 + [False]


def test_B1_what_may_be_unread_is_remembered_of_so_many_mailboxes(monkeypatch):
    monkeypatch.setattr(flow, "_MAX_UNREAD", 3)
    unread = Unread()
    unread.remember(b"a", {1: (1, 1), 2: (1, 1)})
    unread.remember(b"b", {1: (2, 2)})
    assert unread.of(b"a") == {1: (1, 1), 2: (1, 1)} and unread.of(b"b") == {1: (2, 2)}
    unread.remember(b"a", {1: (1, 1)})
    unread.remember(b"c", {5: (3, 3)})
    assert unread.of(b"a") and unread.of(b"b") and unread.of(b"c")
    unread.remember(b"d", {6: (3, 3)})
    assert not unread.of(b"b") and unread.of(b"a") and unread.of(b"c") and unread.of(b"d")
    unread.remember(b"d", {})
    unread.remember(b"e", {6: (3, 3)})
    assert not unread.of(b"d") and unread.of(b"a") and unread.of(b"c")


@pytest.mark.parametrize("what", ["messages", "bytes"])
def test_M3_B1_who_sends_as_soon_as_it_is_online_is_not_cut_off_however_often_the_connection_breaks(world, what):
    if what == "messages":
        limits, size = {"max_queue_messages": 20}, 1
    else:
        limits, size = {"max_queue_bytes": 20_000, "max_message_bytes": 8000}, 970
    one, other = world.runtime(**limits), world.runtime(**limits)
    go_on = []

    def late_reader(coro=None):
        while not go_on:
            sleep(0.02)
        return [coro.receive() for _ in range(go_on[0])]

    reader, sent, reasons = other.spawn(late_reader), [], []
    message = codec.dumps("x" * size, messages.send_header(reader.id))

    def send_all_there_is_credit_for(event):
        if event.online:
            there = reference(one, reader)
            # The link may be lost again before this is told.
            while (link := there.reach()) is not None and there.queue(link, message, None):
                sent.append(event)
        else:
            reasons.append(event.reason)

    def all_has_arrived():
        flows = [link.outflows.get(reader.id) for link in one.peer_table.online()]
        return other.peers() and flows and flows[0] is not None and flows[0].unread[0] == waiting_in(reader)

    one.watch_peers(send_all_there_is_credit_for)
    assert one.peer(other.location, timeout=10) == 0
    for _ in range(4):
        poll_until(all_has_arrived)
        (link,) = one.peer_table.online()
        one.reactor.post(link.wire.on_end, ConnectionResetError(104, "Connection reset by peer"))
        poll_until(lambda link=link: link.is_lost)
        assert one.peer(other.location, timeout=10) == 0
    poll_until(all_has_arrived)
    assert 15 < waiting_in(reader) <= 20
    poll_until(lambda: len(reasons) >= 4)
    assert all("reset" in reason for reason in reasons)
    # With that read there is as much credit as ever.
    go_on.append(waiting_in(reader) + 100)
    there = reference(one, reader)
    assert one.spawn(lambda: [there.send("x" * size) for _ in range(100)]).value(20) == [0] * 100
    assert len(reader.value(20)) == go_on[0]


def test_what_was_read_before_the_connection_broke_is_credit_again_soon_after(world):
    one, other = (world.runtime(max_queue_messages=20) for _ in range(2))
    reader = other.spawn(lambda coro=None: [coro.receive() for _ in range(5)])
    assert one.peer(other.location, timeout=10) == 0
    there = reference(one, reader)
    link = there.reach()
    assert [there.send(number) for number in range(3)] == [0] * 3
    poll_until(lambda: other.peers() and not waiting_in(reader))
    assert link.outflow(reader.id).unread[0] == 3, "so few that it was told nothing yet"
    one.reactor.post(link.wire.on_end, ConnectionResetError(104, "Connection reset by peer"))
    poll_until(lambda: link.is_lost)
    assert one.peer(other.location, timeout=10) == 0
    (link,) = one.peer_table.online()
    poll_until(lambda: link.outflow(reader.id).granted_messages == 20)
    assert [reference(one, reader).send(number) for number in (3, 4)] == [0, 0]
    assert reader.value(10) == [0, 1, 2, 3, 4]


def test_what_may_be_unread_goes_from_link_to_link_until_the_peer_has_said_what_is():
    first = make(messages=3)
    assert first.send_credited(7, [b"12"], None) and first.send_credited(7, [b"3"], None)
    first.lose(PeerLost("gone"), call)
    assert first.unread() == {7: (2, 3)}
    second = Link(INFO, lambda *args: None, first._own, first.unread())
    assert second.send_credited(8, [b"1"], None)
    second.lose(PeerLost("gone"), call)
    assert second.unread() == {7: (2, 3), 8: (1, 1)}
    third, woken = Link(INFO, lambda *args: None, first._own, second.unread()), []
    assert third.send_credited(7, [b"1"], None)
    assert not third.send_credited(7, [b"1"], lambda: woken.append(1))
    up(third)
    third.heard_debts()
    assert woken and third.unread() == {7: (1, 1)}
    assert [third.send_credited(8, [b"1"], None) for _ in range(4)] == [True] * 3 + [False]
