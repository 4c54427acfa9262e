import pytest

from greencoro.compute.lease_clock import LeaseClock, Overdue


def run(clock, since, until, pulses=True):
    """Look every second, the holder pulsing every 10 s; when the lease was over first, and why."""
    for now in range(since, until + 1):
        if pulses and now % 10 == 0:
            clock.pulse(float(now))
        why = clock.overdue(float(now))
        if why is not None:
            return now, why
    return None


def test_a_lease_lasts_while_its_holder_pulses():
    assert run(LeaseClock(10.0, 0.0, 0.0), 1, 1000) is None


def test_a_lease_is_over_after_five_silent_intervals():
    clock = LeaseClock(10.0, 0.0, 0.0)
    assert run(clock, 1, 23) is None
    assert run(clock, 24, 200, pulses=False) == (70, Overdue.SILENT)


def test_a_holder_whose_link_broke_has_five_seconds_for_another_one():
    clock = LeaseClock(10.0, 0.0, 0.0)
    assert run(clock, 1, 20) is None
    clock.lost(20.0)
    assert run(clock, 21, 24, pulses=False) is None
    assert clock.next_look_at() == 25.0
    clock.back(24.0)
    assert run(clock, 25, 72, pulses=False) is None
    clock.lost(72.0)
    assert run(clock, 73, 200, pulses=False) == (74, Overdue.SILENT)
    clock = LeaseClock(10.0, 0.0, 0.0)
    clock.lost(3.0)
    clock.lost(5.0)
    assert run(clock, 4, 200, pulses=False) == (8, Overdue.CUT_OFF)


def test_J9_time_in_which_the_daemon_was_stopped_is_no_time_without_a_link():
    clock = LeaseClock(10.0, 0.0, 0.0)
    clock.lost(1.0)
    assert clock.overdue(1000.0) is None
    assert run(clock, 1001, 2000, pulses=False) == (1005, Overdue.CUT_OFF)


def test_a_holder_without_pulses_is_judged_by_its_link():
    clock = LeaseClock(0.0, 0.0, 0.0)
    assert run(clock, 1, 1000, pulses=False) is None
    clock.lost(1000.0)
    assert clock.overdue(1000.0) is Overdue.CUT_OFF
    clock.back(1000.0)
    assert clock.overdue(1001.0) is None


def test_J9_a_stopped_daemon_listens_again_before_it_judges():
    clock = LeaseClock(10.0, 0.0, 0.0)
    assert run(clock, 1, 45, pulses=False) is None
    assert clock.overdue(4000.0) is None
    assert run(clock, 4001, 4049, pulses=False) is None
    assert clock.overdue(4050.0) is Overdue.SILENT


def test_J6_a_lease_without_a_job_is_over_after_the_zombie_period():
    assert run(LeaseClock(10.0, 300.0, 0.0), 1, 1000) == (300, Overdue.IDLE)


def test_J6_a_job_that_runs_is_not_idle():
    clock = LeaseClock(10.0, 300.0, 0.0)
    assert run(clock, 1, 100) is None
    clock.busy(1)
    assert run(clock, 101, 5000) is None
    clock.idle(1, 5000.0)
    assert run(clock, 5001, 9000) == (5300, Overdue.IDLE)


def test_J6_one_busy_server_is_enough():
    clock = LeaseClock(10.0, 300.0, 0.0)
    clock.busy(1)
    clock.busy(2)
    clock.idle(1, 10.0)
    assert run(clock, 11, 1000) is None
    clock.busy(1)
    clock.idle(2, 1000.0)
    assert run(clock, 1001, 2000) is None
    clock.idle(1, 2000.0)
    assert run(clock, 2001, 3000) == (2300, Overdue.IDLE)


def test_a_server_that_is_idle_twice_is_idle_since_the_first_time():
    clock = LeaseClock(10.0, 300.0, 0.0)
    clock.idle(1, 200.0)
    clock.busy(1)
    clock.idle(1, 250.0)
    clock.idle(1, 260.0)
    assert run(clock, 1, 1000) == (550, Overdue.IDLE)


@pytest.mark.parametrize(("pulse_interval", "look_seconds"), [(20.0, 20.0), (0.0, 10.0)])
def test_J6_time_in_which_the_daemon_was_stopped_is_not_idle(pulse_interval, look_seconds):
    clock = LeaseClock(pulse_interval, 300.0, 0.0)
    assert run(clock, 1, 100, pulses=True) is None
    # Of the gap only what passes between two looks anyway is counted.
    assert clock.overdue(1000.0) is None
    assert run(clock, 1001, 2000) == (1000 + 200 - look_seconds, Overdue.IDLE)


def test_a_server_that_became_idle_in_a_gap_is_not_idle_before_its_time():
    clock = LeaseClock(10.0, 300.0, 0.0)
    clock.busy(1)
    clock.idle(1, 1000.0)
    assert clock.overdue(1000.0) is None
    assert run(clock, 1001, 2000) == (1300, Overdue.IDLE)


def test_without_a_zombie_period_idleness_is_no_reason():
    clock = LeaseClock(10.0, 0.0, 0.0)
    assert run(clock, 1, 5000) is None


def test_it_is_looked_at_twice_in_an_interval_and_when_it_may_be_over():
    clock = LeaseClock(100.0, 45.0, 0.0)
    assert clock.next_look_at() == 45.0
    clock.busy(1)
    assert clock.next_look_at() == 50.0
    assert clock.overdue(50.0) is None
    assert clock.next_look_at() == 100.0
    for now in range(100, 500, 50):
        clock.overdue(float(now))
    clock.idle(1, 480.0)
    assert clock.next_look_at() == 500.0
    assert LeaseClock(0.0, 0.0, 0.0).next_look_at() == 5.0
