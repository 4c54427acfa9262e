"""Credit: sender and receiver agree on it, and it never runs dry."""

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from greencoro.distributed.flow import Inflow, Outflow
from greencoro.errors import RemoteProtocolError

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
        self.out, self.waiting = Outflow(MESSAGES, BYTES), None
        self.breaks += 1
        self.old = len(self.mailbox)
        messages, size = self.inflow.carry_over()
        assert (messages, size) == (len(self.mailbox), sum(self.mailbox))
        self.grants.append((-messages, -size))
        if hears_at_once:
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
        try:
            self.inflow.arrived(size)  # raises where the two disagree
        except RemoteProtocolError:
            # Who sends on and on before it hears what waits from before.
            assert self.breaks > 1
            assert len(self.mailbox) + 1 > 2 * MESSAGES or sum(self.mailbox) + size > 2 * BYTES - BYTES // 4
            self.break_the_connection(True)
        else:
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
        messages, size = self.grants.popleft()
        if messages < 0:
            self.out.owe(-messages, -size)
        else:
            self.out.grant(messages, size)
        if self.waiting is not None and self.try_send(self.waiting):
            self.waiting = None

    @invariant()
    def memory_is_bounded(self):
        if self.breaks:
            assert len(self.mailbox) <= 2 * MESSAGES and sum(self.mailbox) <= 2 * BYTES
        else:
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


def test_who_waits_for_credit_that_came_meanwhile_has_it_and_is_not_called():
    class GrantedMeanwhile(list):
        def append(self, waiter):
            super().append(waiter)
            out.granted_messages += 1

    out, called = Outflow(1, 100), []
    assert out.take_or_wait(1, lambda: called.append("first"))
    assert not out.take_or_wait(1, None)
    out.waiters = GrantedMeanwhile()
    assert out.take_or_wait(1, lambda: called.append("second"))
    out.wake()
    assert not called and not out.waiters


def test_everybody_who_waits_is_woken_once_by_a_grant():
    out, woken = Outflow(1, 100), []
    out.take(1)

    def waits_again():
        woken.append("again")
        out.waiters.append(waits_again)

    out.waiters += [lambda: woken.append("one"), waits_again]
    out.grant(1, 1)
    assert woken == ["one", "again"]
    assert out.waiters == [waits_again]
