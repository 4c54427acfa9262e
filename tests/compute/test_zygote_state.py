import pytest

from greencoro.compute.zygote_state import PATIENCE_SECONDS, End, Tell, ZygoteState
from greencoro.compute.zygote_words import Over
from greencoro.errors import LocalProtocolError

OVER = Over(-9, 1.5, 1024)


@pytest.fixture
def state():
    """Servers 1 and 2 run, as processes 101 and 102."""
    made = ZygoteState()
    made.forked(1, 101)
    made.forked(2, 102)
    return made


def ends(state, pid, children, now):
    """A server ends and is waited for; what follows from that."""
    state.ended(pid, now=now)
    ended = state.left_behind({*children, pid}, now=now)
    state.waited_for(pid, OVER)
    return ended + state.left_behind(children, now=now)


def test_server_that_leaves_nothing_is_over_at_once(state):
    assert ends(state, 101, {102}, now=10.0) == [Tell(1, OVER)]
    assert state.kill_all() == [End(102)]
    assert state.next_due_at() is None


def test_server_is_over_once_what_it_left_is_and_what_that_left(state):
    assert ends(state, 101, {102, 501, 502}, now=10.0) == [End(501), End(502)]
    assert state.orphans == {501, 502}
    assert state.left_behind({102, 502}, now=10.1) == []
    assert state.left_behind({102, 503}, now=10.2) == [End(503)]
    assert state.left_behind({102}, now=10.3) == [Tell(1, OVER)]


def test_what_does_not_end_is_waited_for_for_a_while(state):
    assert ends(state, 101, {102, 501}, now=10.0) == [End(501)]
    assert state.next_due_at() == 10.0 + PATIENCE_SECONDS
    assert state.due(9.0 + PATIENCE_SECONDS) == []
    assert state.due(10.0 + PATIENCE_SECONDS) == [Tell(1, Over(-9, 1.5, 1024, left=(501,)))]
    assert state.due(10.0 + PATIENCE_SECONDS) == []
    # No other one waits because of it, or is told to have left it.
    assert (state.orphans, state.left) == (set(), {501})
    assert state.next_due_at() is None
    state.forked(3, 103)
    assert ends(state, 102, {103, 501}, now=20.0) == [Tell(2, OVER)]
    assert not state.is_alone
    assert ends(state, 103, {501}, now=30.0) == [Tell(3, OVER)]
    assert state.is_alone
    # What it leaves is killed in its turn.
    assert state.left_behind({502}, now=40.0) == [End(502)]
    assert (state.orphans, state.left) == ({502}, set())


def test_each_process_that_is_left_has_its_own_time(state):
    assert ends(state, 101, {102, 501}, now=10.0) == [End(501)]
    assert ends(state, 102, {501, 502}, now=13.0) == [End(502)]
    assert state.due(10.0 + PATIENCE_SECONDS) == [Tell(1, Over(-9, 1.5, 1024, left=(501, 502)))]
    assert (state.orphans, state.left) == ({502}, {501})
    assert state.next_due_at() == 13.0 + PATIENCE_SECONDS
    assert state.left_behind({501}, now=16.0) == [Tell(2, OVER)]
    with pytest.raises(LocalProtocolError, match="one of them is known"):
        state.forked(3, 501)


def test_server_that_is_traced_is_over_when_its_tracer_is_or_after_a_while(state):
    state.ended(101, now=10.0)
    assert state.left_behind({101, 102, 501}, now=10.0) == [End(501)]
    assert state.orphans == {101, 501}
    state.waited_for(501, Over(-9))
    assert state.left_behind({101, 102}, now=10.1) == []
    state.waited_for(101, OVER)
    assert state.left_behind({102}, now=10.1) == [Tell(1, OVER)]
    state.ended(102, now=20.0)
    assert state.left_behind({102}, now=20.0) == []
    assert state.due(20.0 + PATIENCE_SECONDS) == [Tell(2, Over(None, left=(102,)))]
    state.waited_for(102, OVER)
    assert state.left_behind(set(), now=30.0) == []
    assert state.is_alone


def test_servers_that_end_together_are_over_together(state):
    assert ends(state, 101, {102, 501}, now=10.0) == [End(501)]
    assert ends(state, 102, {501}, now=10.0) == []
    assert state.left_behind(set(), now=10.1) == [Tell(1, OVER), Tell(2, OVER)]


def test_only_what_runs_is_killed(state):
    assert state.kill(1) == [End(101)]
    state.ended(101, now=10.0)
    assert state.kill(1) == []
    assert state.kill(7) == []
    assert state.kill_all() == [End(102)]


def test_number_of_a_process_can_come_again(state):
    ends(state, 101, {102}, now=10.0)
    state.forked(3, 101)
    assert state.kill(3) == [End(101)]


@pytest.mark.parametrize(("number", "pid"), [(1, 103), (3, 101)])
def test_what_is_known_is_not_started_once_more(state, number, pid):
    with pytest.raises(LocalProtocolError, match="one of them is known"):
        state.forked(number, pid)
    assert state.kill_all() == [End(101), End(102)]


def test_end_of_a_stranger_is_refused(state):
    with pytest.raises(LocalProtocolError, match="no server"):
        state.ended(501, now=1.0)
    assert state.kill_all() == [End(101), End(102)]


def test_of_a_server_whose_keeper_was_killed_in_its_place_it_is_not_said_what_it_used(state):
    assert state.kill(1) == [End(101)]
    assert ends(state, 101, {102}, now=10.0) == [Tell(1, Over(-9))]
    assert ends(state, 102, set(), now=11.0) == [Tell(2, OVER)]
