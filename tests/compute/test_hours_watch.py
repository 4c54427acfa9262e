from datetime import UTC, datetime, time

import pytest

from greencoro.compute.hours_watch import HoursWatch
from greencoro.compute.service_hours import Service, ServiceHours

HOURS = ServiceHours(time(17), time(7), time(8))


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(hour, minute=0, day=10):
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("hour", "service", "has_ended"),
    [(16, Service.CLOSED, True), (17, Service.OPEN, False), (7, Service.NO_NEW, False), (8, Service.CLOSED, True)],
)
def test_J10_it_says_what_holds(hour, service, has_ended):
    assert HoursWatch(HOURS).look(0.0, at(hour)) == (service, has_ended)


def test_it_is_to_look_at_once_then_twice_a_minute_and_at_every_change():
    watch = HoursWatch(HOURS)
    assert watch.next_look_at < 0
    watch.look(100.0, at(6, 30))
    assert watch.next_look_at == 130.0
    watch.look(200.0, at(7) - 12.0)
    assert watch.next_look_at == pytest.approx(212.0)


def test_J10_whoever_slept_over_the_end_hears_of_it_in_the_next_service():
    watch = HoursWatch(HOURS)
    assert watch.look(0.0, at(6)) == (Service.OPEN, False)
    assert watch.look(5.0, at(18)) == (Service.OPEN, True)
    assert watch.look(10.0, at(18, 1)) == (Service.OPEN, False)


def test_J10_a_clock_that_was_set_counts_as_it_shows():
    watch = HoursWatch(HOURS)
    assert watch.look(0.0, at(8, 1)) == (Service.CLOSED, True)
    assert watch.look(30.0, at(6)) == (Service.OPEN, False)
    assert watch.look(60.0, at(7, 30)) == (Service.NO_NEW, False)
