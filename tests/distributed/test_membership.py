"""Whether a peer is alive, with the time as a number."""

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
    found = watched(4.0)
    assert found[0.5] is Health.UP
    assert found[1.0] is Health.SUSPECT
    assert found[3.5] is Health.SUSPECT
    assert found[4.0] is Health.LOST


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
    assert 102.0 <= now <= 104.0


def test_a_heartbeat_is_due_once_a_tick():
    liveness = Liveness(0.0, TICK, TIMEOUT)
    due = [now / 4 for now in range(17) if liveness.should_ping(now / 4)]
    assert due == [1.0, 2.0, 3.0, 4.0]
