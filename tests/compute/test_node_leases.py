"""How long a lease of a node lasts: pulses, links, idleness, service hours, how many are served, drains."""

from datetime import UTC, datetime, time

import pytest

from greencoro.compute.node_options import NodeOptions
from greencoro.compute.node_phase import NodePhase
from greencoro.compute.node_state import NodeState
from greencoro.compute.node_vocabulary import (
    Answer,
    AnswerPulse,
    Drain,
    EndServer,
    Holder,
    Identity,
    StartServer,
    Stopped,
    Tell,
)
from greencoro.compute.node_words import (
    LeaseEnded,
    Pulse,
    Pulsed,
    Refusal,
    Release,
    Released,
    Reserve,
    ReserveAnswer,
    ServerDied,
    ServerDraining,
    ServerStarted,
)
from greencoro.compute.service_hours import ServiceHours
from greencoro.compute.slots import SlotState
from greencoro.distributed.location import Location

T, U = "ab" * 32, "cd" * 32
HOLDER, AGAIN = Holder("h" * 32, "link 1"), Holder("h" * 32, "link 2")
SOMEBODY = Holder("s" * 32, "link 3")
HOURS = ServiceHours(time(17), time(7), time(8))


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def wall(hour, minute=0):
    return datetime(2026, 3, 10, hour, minute, tzinfo=UTC).timestamp()


def node(now=0.0, at=0.0, **options):
    """Both servers are warm."""
    state = NodeState(NodeOptions(servers=2, **options))
    state.start(now, at)
    for number in (1, 2):
        state.ready(number, 1, identity(number))
    return state


def identity(number):
    return Identity(f"{number:02x}" * 16, Location("10.0.0.1", number), f"node-{number}", 1000 + number)


def reserve(state, token=T, holder=HOLDER, now=0.0, **asked):
    return state.reserve("request", holder, Reserve(token, 7, "a client", **asked), now)


def pulse(state, now, token=T, holder=HOLDER):
    return state.pulse("pulse", holder, Pulse(token), now)


def run(state, since, until, pulses=()):
    """Be asked every second; when servers were told to end first, and what the holder was told then."""
    for now in range(since, until + 1):
        if now in pulses:
            assert pulse(state, float(now)) == [AnswerPulse("pulse")]
        done = state.due(float(now), 0.0)
        if any(isinstance(each, EndServer) for each in done):
            return now, [each.word.reason for each in done if isinstance(each, Tell)]
    return None


def refusal(instructions):
    assert isinstance(instructions[0], Answer)
    return instructions[0].word.refusal


def end_both(state, now=1.0):
    return [*state.exited(1, state.slots[0].run, "code 0", now), *state.exited(2, state.slots[1].run, "code 0", now)]


def test_a_holder_that_pulses_keeps_its_lease_and_one_that_is_silent_for_five_does_not():
    state = node()
    reserve(state, pulse_interval=10.0)
    assert run(state, 1, 500, pulses=range(0, 501, 10)) is None
    assert run(state, 501, 1000) == (
        550,
        ["was ended by its node, which heard nothing of the computation for 50 s"],
    )
    assert pulse(state, 551.0) == [Answer("pulse", Pulsed(is_held=False))]


def test_one_reset_ends_nothing():
    state = node()
    reserve(state, pulse_interval=10.0)
    assert state.holder_lost(HOLDER, 5.0) == []
    told = pulse(state, 8.0, holder=AGAIN)
    assert told[0] == AnswerPulse("pulse")
    assert [type(each.word) for each in told[1:]] == [ServerStarted, ServerStarted]
    assert {each.holder for each in told[1:]} == {AGAIN}
    assert pulse(state, 9.0, holder=AGAIN) == [AnswerPulse("pulse")]
    assert state.holder_lost(HOLDER, 9.0) == []
    assert run(state, 10, 40) is None


def test_who_asks_again_by_another_link_takes_its_lease_up():
    state = node()
    reserve(state, pulse_interval=10.0)
    state.holder_lost(HOLDER, 5.0)
    state.exited(1, 1, "was killed", 6.0)
    again = reserve(state, holder=AGAIN, now=8.0, pulse_interval=10.0)
    assert again[0] == Answer("request", ReserveAnswer())
    assert [type(each.word) for each in again[1:]] == [ServerDied, ServerStarted]


def test_a_holder_without_a_link_for_five_seconds_loses_its_lease():
    state = node()
    reserve(state, pulse_interval=10.0)
    assert run(state, 1, 20, pulses=[10, 20]) is None
    state.holder_lost(HOLDER, 21.0)
    assert run(state, 21, 200) == (26, ["was ended by its node, whose connection to the computation broke"])


def test_S16_nobody_else_takes_a_lease_up():
    state = node()
    reserve(state, pulse_interval=10.0)
    state.holder_lost(HOLDER, 1.0)
    assert pulse(state, 2.0, holder=SOMEBODY) == [Answer("pulse", Pulsed(is_held=False))]
    assert pulse(state, 2.0, token=U) == [Answer("pulse", Pulsed(is_held=False))]
    assert refusal(reserve(state, holder=SOMEBODY)) is Refusal.BUSY
    assert run(state, 2, 200)[0] == 6


def test_who_lost_its_link_and_asks_for_another_lease_has_given_up_the_first():
    state = node()
    reserve(state, pulse_interval=10.0)
    assert reserve(state, U, AGAIN) == [
        Answer("request", ReserveAnswer(Refusal.BUSY, "the node is in use by a client"))
    ]
    state.holder_lost(HOLDER, 1.0)
    assert [type(each) for each in reserve(state, U, AGAIN)] == [Answer, EndServer, EndServer]
    end_both(state)
    assert refusal(reserve(state, U, AGAIN)) is None


@pytest.mark.parametrize(("interval", "is_taken"), [(0.0, True), (5.0, True), (50.0, True), (4.9, False), (51, False)])
def test_a_pulse_interval_beyond_the_limits_is_refused_with_the_limits(interval, is_taken):
    state = node(min_pulse_interval=5.0, max_pulse_interval=50.0)
    answer = reserve(state, pulse_interval=interval)[0].word
    if is_taken:
        assert answer == ReserveAnswer()
    else:
        assert answer.refusal is Refusal.PULSES
        assert "from 5 s to 50 s" in answer.reason


def test_J9_a_daemon_that_was_stopped_listens_again_before_it_ends_anything():
    state = node()
    reserve(state, pulse_interval=10.0)
    assert run(state, 1, 20) is None
    assert state.due(5000.0, 0.0) == []
    assert run(state, 5001, 6000)[0] == 5050


def test_it_is_to_be_called_often_enough_to_see_that():
    state = node()
    assert state.next_due_at() is None
    reserve(state, pulse_interval=10.0)
    assert state.next_due_at() == 5.0
    state.due(3.0, 0.0)
    assert state.next_due_at() == 8.0


def test_J5_a_lease_without_a_job_ends_after_the_zombie_period():
    state = node(zombie_period=100.0)
    reserve(state)
    state.busy(1, 1)
    assert run(state, 1, 1000) is None
    state.idle(1, 1, 1000.0)
    assert run(state, 1001, 2000) == (
        1100,
        ["was ended by its node, for no job ran for 100 s (zombie_period)"],
    )


def test_J5_news_of_earlier_processes_and_of_servers_without_a_lease_do_not_count():
    state = node(zombie_period=100.0)
    state.busy(1, 1)
    reserve(state)
    state.busy(1, 0)
    state.exited(2, 1, "was killed", 1.0)
    state.busy(2, 2)
    assert run(state, 1, 1000)[0] == 100


# Service hours.


def test_J10_outside_its_hours_a_node_refuses_and_says_when_it_serves():
    state = node(at=wall(12), hours=HOURS)
    answer = reserve(state)[0].word
    assert answer.refusal is Refusal.CLOSED
    assert "start 17:00, stop 07:00, end 08:00" in answer.reason
    assert state.due(5.0, wall(17)) == []  # not before it is time to look
    assert state.next_due_at() == 30.0
    state.due(30.0, wall(17))
    assert refusal(reserve(state)) is None


def test_J10_after_stop_servers_take_no_new_jobs_and_the_lease_ends_with_the_last_one():
    state = node(at=wall(6), hours=HOURS)
    reserve(state)
    done = state.due(30.0, wall(7))
    assert [each.slot for each in done if isinstance(each, Drain)] == [1, 2]
    assert [type(each.word) for each in done if isinstance(each, Tell)] == [ServerDraining, ServerDraining]
    assert state.drained(1, 1) == []
    assert refusal(reserve(state, U, SOMEBODY)) is Refusal.CLOSED
    ended = state.drained(2, 1)
    assert ended[0].word == LeaseEnded(T, 7, "was ended by its node, whose service hours are over")
    assert [type(each) for each in ended[1:]] == [EndServer, EndServer]
    end_both(state)
    assert refusal(reserve(state, U, SOMEBODY)) is Refusal.CLOSED
    state.due(60.0, wall(17))
    assert refusal(reserve(state, U, SOMEBODY)) is None


def test_J10_at_the_end_jobs_that_run_are_ended():
    state = node(at=wall(6), hours=HOURS)
    reserve(state)
    state.due(30.0, wall(7, 30))
    ended = state.due(60.0, wall(8))
    assert ended[0].word.reason == "was ended by its node, whose service hours are over"
    assert [type(each) for each in ended[1:]] == [EndServer, EndServer]
    # Fresh servers wait for the next day.
    assert [type(each) for each in end_both(state)] == [StartServer, StartServer]


def test_J10_who_sleeps_over_the_end_ends_the_jobs_of_yesterday():
    state = node(at=wall(6), hours=HOURS)
    reserve(state)
    assert [type(each) for each in state.due(30.0, wall(18))] == [Tell, EndServer, EndServer]
    assert state.phase is NodePhase.OPEN


def test_J10_a_server_that_becomes_ready_after_stop_is_not_handed_over():
    state = node(at=wall(6), hours=HOURS)
    reserve(state)
    state.exited(1, 1, "was killed", 20.0)
    state.due(30.0, wall(7))
    assert state.ready(1, 2, identity(3)) == []
    assert state.slots[0].state is SlotState.WARM


def test_J10_a_lease_that_drains_when_service_begins_again_ends_with_its_last_job():
    state = node(at=wall(6), hours=ServiceHours(time(17), time(7)))
    reserve(state)
    state.due(30.0, wall(7))
    state.drained(1, 1)
    state.due(60.0, wall(17))
    assert state.phase is NodePhase.OPEN
    assert refusal(reserve(state, U, SOMEBODY)) is Refusal.BUSY
    assert isinstance(state.drained(2, 1)[0].word, LeaseEnded)
    end_both(state)
    assert refusal(reserve(state, U, SOMEBODY)) is None


def test_J10_hours_are_nothing_to_a_node_that_is_going_to_end():
    state = node(at=wall(6), hours=HOURS)
    reserve(state)
    state.drain(10.0)
    assert state.due(30.0, wall(8)) == []
    assert state.next_due_at() > 30.0
    assert state.phase is NodePhase.DRAINING


# So many computations.


def test_J10_after_the_last_computation_to_be_served_the_node_ends():
    state = node(serve=2)
    reserve(state)
    assert [each.slot for each in state.release("bye", Release(T))] == [1, 2]
    end_both(state)
    for number in (1, 2):
        state.ready(number, 2, identity(number))
    reserve(state, U)
    state.release("bye", Release(U))
    assert refusal(reserve(state, "ef" * 32, SOMEBODY)) is Refusal.ENDING
    assert end_both(state) == [Answer("bye", Released()), Stopped()]


def test_J10_a_computation_that_never_had_a_server_is_not_counted():
    state = NodeState(NodeOptions(servers=2, serve=1))
    state.start(0.0, 0.0)
    reserve(state)
    assert state.release("bye", Release(T)) == [Answer("bye", Released())]
    assert refusal(reserve(state, U)) is None


def test_J10_a_server_that_waits_for_nobody_is_ended_with_the_last_computation():
    state = NodeState(NodeOptions(servers=2, serve=1))
    state.start(0.0, 0.0)
    state.ready(1, 1, identity(1))
    reserve(state)
    done = state.release("bye", Release(T))
    assert set(done) == {EndServer(1), EndServer(2, at_once=True)}
    assert end_both(state)[-2:] == [Answer("bye", Released()), Stopped()]


# Drains.


def test_Z1_a_drain_with_a_time_ends_then_what_runs_still():
    state = node()
    reserve(state)
    assert [each for each in state.drain(100.0, 10.0) if isinstance(each, Drain)] == [Drain(1), Drain(2)]
    assert state.is_counting_down
    assert state.drained(1, 1) == []
    assert state.due(109.9, 0.0) == []
    assert state.next_due_at() <= 110.0
    done = state.due(110.0, 0.0)
    assert done[0].word.reason == "was ended with its node"
    assert done[1:] == [EndServer(1), EndServer(2)]
    assert state.next_due_at() is None
    assert end_both(state) == [Stopped()]


def test_Z1_a_drain_without_a_time_gets_one():
    state = node()
    reserve(state)
    state.drain(100.0)
    assert not state.is_counting_down
    assert state.drain(100.0) == []
    assert state.drain(200.0, 10.0) == []
    assert state.is_counting_down
    assert state.due(210.0, 0.0)[1:] == [EndServer(1), EndServer(2)]


def test_Z1_a_drain_ends_as_soon_as_nothing_runs():
    state = node()
    reserve(state)
    state.drain(100.0, 10.0)
    state.drained(1, 1)
    assert EndServer(2) in state.drained(2, 1)


def test_a_draining_lease_is_taken_up_as_such():
    state = node()
    reserve(state, pulse_interval=10.0)
    state.drain(1.0)
    state.holder_lost(HOLDER, 2.0)
    told = pulse(state, 3.0, holder=AGAIN)
    assert [type(each.word) for each in told[1:]] == [ServerStarted, ServerDraining, ServerStarted, ServerDraining]
