"""Whether a peer is alive, with the time as a number."""

import pytest

from greencoro.distributed.membership import Health, Liveness

TICK, TIMEOUT = 1.0, 4.0


def watched(until, heard=(), step=0.5, since=0.0):
    """What is found, looking every half tick; at the times `heard` something arrives."""
    liveness = Liveness(0.0, TICK, TIMEOUT)
    found, now, heard = [], since, list(heard)
    while now < until:
        now += step
        while heard and heard[0] <= now:
            liveness.heard(heard.pop(0))
        found.append((now, liveness.check(now)))
    return dict(found)


def test_a_peer_that_speaks_stays_up():
    assert set(watched(20.0, heard=[n * 0.9 for n in range(30)]).values()) == {Health.UP}


def test_silence_of_a_tick_is_suspect_and_of_the_timeout_final():
    found = watched(4.5)
    assert found[0.5] is Health.UP
    assert found[1.0] is Health.SUSPECT
    assert found[4.0] is Health.SUSPECT
    assert found[4.5] is Health.LOST


def test_speaking_again_clears_the_suspicion():
    found = watched(6.0, heard=[3.9])
    assert found[3.5] is Health.SUSPECT
    assert found[4.0] is Health.UP
    assert found[6.0] is Health.SUSPECT


def test_time_in_which_nobody_looked_is_not_held_against_the_peer():
    liveness = Liveness(0.0, TICK, TIMEOUT)
    assert liveness.check(0.5) is Health.UP
    assert liveness.check(100.0) is not Health.LOST
    # From there on the clock runs as ever.
    now = 100.0
    while liveness.check(now) is not Health.LOST:
        now += 0.5
    assert 102.0 <= now <= 104.5


def test_a_heartbeat_is_due_once_a_tick():
    liveness = Liveness(0.0, TICK, TIMEOUT)
    due = [now / 4 for now in range(17) if liveness.should_ping(now / 4)]
    assert due == [1.0, 2.0, 3.0, 4.0]


def one_way_cut(asked_at):
    """When a peer is lost that answered at ``-asked_at`` last, hears nothing after 0.0 and is heard until 1.0."""
    liveness = Liveness(-10.0, TICK, TIMEOUT)
    for half in range(-20, 30):
        now = half / 2
        if now <= -asked_at:
            liveness.heard(now)
            liveness.answered(now)
        elif now <= 1.0:
            liveness.heard(now)
        if liveness.check(now) is Health.LOST:
            return now
    return None


def test_N1_a_peer_that_is_heard_but_does_not_hear_is_lost_as_soon_as_it_loses_us():
    """It goes on for a tick until its own connection stands still, and gives us up after 4.5 ticks at the latest."""
    assert one_way_cut(0.0) == 4.5
    assert one_way_cut(0.5) == one_way_cut(1.0) == 4.5


def test_N2_a_peer_that_speaks_is_not_lost_however_late_its_answers_are():
    assert Health.LOST not in watched(50.0, heard=[n * 0.9 for n in range(60)]).values()


def test_what_is_left_where_nothing_is_heard_any_more_is_counted_from_the_last_answer_or_a_tick_before_it_was_heard():
    liveness = Liveness(0.0, TICK, TIMEOUT)
    assert liveness.seconds_left(0.5) == 3.75
    liveness.heard(0.75)
    assert liveness.seconds_left(1.5) == 2.75
    liveness.heard(1.5)
    assert liveness.seconds_left(1.5) == 3.25
    liveness.answered(1.5)
    assert liveness.seconds_left(1.5) == 4.25
    # Nobody looked: that is not held against it.
    assert liveness.seconds_left(101.5) == 3.25


def test_M4_of_a_peer_that_is_heard_all_the_time_and_whose_answers_are_late_there_is_time_left_when_it_breaks():
    liveness = Liveness(0.0, TICK, TIMEOUT)
    for half in range(1, 100):
        liveness.heard(half / 2)
        assert liveness.check(half / 2) is Health.UP
    assert liveness.seconds_left(50.0) == 2.75


@pytest.mark.parametrize("jitter", [0.0, 0.01, -0.01])
def test_N1_wherever_looks_and_heartbeats_stand_silence_is_found_after_3_to_5_ticks_with_something_to_spare(jitter):
    """Both sides look every half tick, ask every second time, and answer; then all that is under way is lost."""
    found = []
    for phase in range(20):
        for cut in range(20, 40):
            one, other = Liveness(0.0, TICK, TIMEOUT), Liveness(0.0, TICK, TIMEOUT)
            cut_at, due, over = cut / 10 + 0.05, {one: 0.5, other: 0.5 + phase / 40}, {}
            while len(over) < 2:
                look, now = min(due.items(), key=lambda item: item[1])
                due[look] += 0.5 + jitter
                peer = other if look is one else one
                if look.check(now) is Health.LOST:
                    over.setdefault(look, now - cut_at)
                if look.should_ping(now) and now < cut_at:
                    look.heard(now)
                    look.answered(now)
                    peer.heard(now)
            found += over.values()
    assert min(found) > 3.2 and max(found) < 4.8
