import pytest
from hypothesis import given
from hypothesis import strategies as st

from greencoro.compute.pulse_clock import SILENT_PULSES, PulseClock


@pytest.fixture
def clock():
    clock = PulseClock(10.0, 0.0)
    clock.watch("a", 0.0)
    clock.watch("b", 0.0)
    return clock


def look(clock, since, until):
    """Ask every second, as is to be done at least; the moments and names of those found silent for the first time."""
    found = {}
    for now in range(since, until + 1):
        for who in clock.silent(float(now)):
            found.setdefault(who, now)
    return found


def test_J4_who_is_silent_for_five_intervals_is_lost_and_another_is_not(clock):
    for now in range(1, 101):
        if now % 10 == 0:
            assert clock.heard("b", float(now))
        assert clock.silent(float(now)) == (["a"] if now >= 50 else [])


def test_who_is_heard_again_is_silent_no_longer(clock):
    assert look(clock, 1, 60) == {"a": 50, "b": 50}
    clock.heard("a", 60.0)
    assert clock.silent(61.0) == ["b"]


def test_J9_time_in_which_this_process_was_stopped_is_nobodys_silence(clock):
    look(clock, 1, 45)
    assert clock.silent(500.0) == []
    assert look(clock, 501, 549) == {}
    assert set(clock.silent(550.0)) == {"a", "b"}


def test_J9_the_longest_gap_is_kept(clock):
    assert clock.longest_gap == 0.0
    look(clock, 1, 5)
    assert clock.longest_gap == 0.0
    clock.silent(305.0)
    clock.silent(325.0)
    assert clock.longest_gap == 300.0


def test_a_look_that_is_a_little_late_is_no_gap(clock):
    for now in (10.0, 20.0, 30.0, 40.0):
        assert clock.silent(now) == []
    assert len(clock.silent(50.0)) == 2
    assert clock.longest_gap == 0.0


def test_who_is_forgotten_is_not_silent_and_not_heard(clock):
    clock.forget("a")
    clock.forget("nobody")
    assert not clock.heard("a", 1.0)
    assert look(clock, 1, 60) == {"b": 50}


def test_who_comes_later_has_all_the_time(clock):
    look(clock, 1, 40)
    clock.watch("c", 40.0)
    assert look(clock, 41, 100) == {"a": 50, "b": 50, "c": 90}


def test_next_due_is_the_first_to_become_silent(clock):
    assert clock.next_due_at() == 50.0
    clock.heard("a", 7.0)
    assert clock.next_due_at() == 50.0
    clock.heard("b", 8.0)
    assert clock.next_due_at() == 57.0
    clock.forget("a")
    clock.forget("b")
    assert clock.next_due_at() is None


def test_without_an_interval_nobody_is_silent():
    clock = PulseClock(0.0, 0.0)
    clock.watch("a", 0.0)
    assert clock.silent(1e6) == []
    assert clock.next_due_at() is None


@given(st.lists(st.tuples(st.floats(0.01, 4.9), st.booleans()), max_size=80))
def test_silence_is_told_from_its_end_on_and_never_before(steps):
    clock, now, heard = PulseClock(5.0, 0.0), 0.0, 0.0
    clock.watch("a", 0.0)
    for step, spoke in steps:
        now += step
        if spoke:
            clock.heard("a", now)
            heard = now
        assert clock.silent(now) == (["a"] if now - heard >= SILENT_PULSES * 5.0 else [])
