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


def test_a_broken_link_leaves_the_holder_its_five_intervals():
    clock = LeaseClock(10.0, 0.0, 0.0)
    assert run(clock, 1, 20) is None
    clock.lost()
    assert run(clock, 21, 69, pulses=False) is None
    clock.back(69.0)
    assert run(clock, 70, 118, pulses=False) is None
    assert run(clock, 119, 200, pulses=False) == (119, Overdue.SILENT)


def test_a_holder_without_pulses_is_judged_by_its_link():
    clock = LeaseClock(0.0, 0.0, 0.0)
    assert run(clock, 1, 1000, pulses=False) is None
    clock.lost()
    assert clock.overdue(1000.0) is Overdue.SILENT
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
    assert clock.next_due_at() == 50.0
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
    assert clock.next_due_at() == 5050.0


def test_next_due_is_the_first_of_the_two():
    clock = LeaseClock(10.0, 45.0, 0.0)
    assert clock.next_due_at() == 45.0
    clock.busy(1)
    assert clock.next_due_at() == 50.0
    clock.pulse(7.0)
    assert clock.next_due_at() == 57.0
    assert LeaseClock(0.0, 0.0, 0.0).next_due_at() is None
