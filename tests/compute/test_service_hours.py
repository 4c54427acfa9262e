import os
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greencoro.compute.service_hours import Service, ServiceHours, time_of_day
from greencoro.errors import ConfigError

OPEN, NO_NEW, CLOSED = Service.OPEN, Service.NO_NEW, Service.CLOSED
BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = 60.0
HOUR = 3600.0


def hours_of(start, stop=None, end=None):
    return ServiceHours(*(None if text is None else time_of_day(text) for text in (start, stop, end)))


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def clock(text, zone=UTC, fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def at(hours, text, zone=UTC, fold=0):
    return hours.service(clock(text, zone, fold), zone)


NIGHT = hours_of("17:00", "07:00", "08:00")  # the manual's example
DAY = hours_of("09:00", "17:00", "18:30")


@pytest.mark.parametrize(
    ("time_of_day", "expected"),
    [
        ("16:59:59", CLOSED),
        ("17:00", OPEN),
        ("23:59:59", OPEN),
        ("00:00", OPEN),
        ("06:59:59", OPEN),
        ("07:00", NO_NEW),
        ("07:59:59", NO_NEW),
        ("08:00", CLOSED),
        ("12:00", CLOSED),
    ],
)
def test_J10_hours_over_midnight(time_of_day, expected):
    assert at(NIGHT, f"2026-02-10T{time_of_day}") is expected


@pytest.mark.parametrize(
    ("time_of_day", "expected"),
    [("00:00", CLOSED), ("09:00", OPEN), ("16:59", OPEN), ("17:00", NO_NEW), ("18:29", NO_NEW), ("18:30", CLOSED)],
)
def test_J10_hours_within_a_day(time_of_day, expected):
    assert at(DAY, f"2026-02-10T{time_of_day}") is expected


def test_J10_without_an_end_running_jobs_go_on_until_the_next_start():
    hours = hours_of("9:00", "17:00")
    assert [at(hours, f"2026-02-10T{t}") for t in ("08:59", "09:00", "17:00", "23:59")] == [
        NO_NEW,
        OPEN,
        NO_NEW,
        NO_NEW,
    ]
    assert not hours.ended(clock("2026-02-10T00:00"), clock("2026-02-11T00:00"), UTC)


def test_J10_without_a_stop_jobs_are_taken_until_the_end():
    hours = hours_of("9:00", end="17:00")
    assert [at(hours, f"2026-02-10T{t}") for t in ("08:59", "09:00", "16:59", "17:00")] == [CLOSED, OPEN, OPEN, CLOSED]


def test_J10_a_stop_that_is_the_end_ends():
    hours = hours_of("9:00", "17:00", "17:00")
    assert at(hours, "2026-02-10T16:59:59") is OPEN
    assert at(hours, "2026-02-10T17:00") is CLOSED
    assert hours.ended(clock("2026-02-10T16:00"), clock("2026-02-10T17:00"), UTC)


def test_a_stop_at_midnight():
    hours = hours_of("12:00", "00:00", "00:30")
    assert [at(hours, f"2026-02-10T{t}") for t in ("23:59", "00:00", "00:30")] == [OPEN, NO_NEW, CLOSED]


# In 2026 Berlin's clocks jump from 2:00 to 3:00 on 29 March, and from 3:00 back to 2:00 on 25 October.


@pytest.mark.parametrize(
    ("moment", "expected"),
    [("2026-03-29T00:59:59", CLOSED), ("2026-03-29T01:00", OPEN), ("2026-03-29T01:29", OPEN)],
)
def test_a_start_that_the_clock_jumps_over_is_at_the_jump(moment, expected):
    hours = hours_of("02:30", "12:00", "13:00")
    assert hours.service(utc(moment), BERLIN) is expected
    assert hours.next_change_at(utc("2026-03-29T00:00"), BERLIN) == utc("2026-03-29T01:00")


def test_of_several_that_the_clock_jumps_over_the_last_counts_and_the_end_is_not_forgotten():
    hours = hours_of("02:40", "02:10", "02:20")
    before, after = utc("2026-03-29T00:59:59"), utc("2026-03-29T01:00")
    assert hours.service(before, BERLIN) is OPEN
    assert hours.service(after, BERLIN) is OPEN
    assert hours.ended(before, after, BERLIN)
    assert hours_of("12:00", "02:10", "02:20").service(after, BERLIN) is CLOSED


def test_the_short_night_is_an_hour_shorter():
    hours = hours_of("22:00", "06:00", "07:00")
    start = clock("2026-03-28T22:00", BERLIN)
    assert hours.next_change_at(start, BERLIN) - start == 7 * HOUR


def test_the_long_night_is_an_hour_longer():
    hours = hours_of("22:00", "06:00", "07:00")
    start = clock("2026-10-24T22:00", BERLIN)
    assert hours.next_change_at(start, BERLIN) - start == 9 * HOUR


def test_what_the_clock_shows_twice_takes_place_the_first_time():
    hours = hours_of("22:00", "02:30", "02:45")
    assert at(hours, "2026-10-25T02:29", BERLIN, fold=0) is OPEN
    assert at(hours, "2026-10-25T02:30", BERLIN, fold=0) is NO_NEW
    assert at(hours, "2026-10-25T02:45", BERLIN, fold=0) is CLOSED
    assert at(hours, "2026-10-25T02:00", BERLIN, fold=1) is CLOSED
    assert at(hours, "2026-10-25T02:40", BERLIN, fold=1) is CLOSED
    assert at(hours, "2026-10-25T03:00", BERLIN) is CLOSED
    assert hours.next_change_at(clock("2026-10-25T02:45", BERLIN), BERLIN) == clock("2026-10-25T22:00", BERLIN)


def test_a_whole_day_that_is_left_out():
    # Samoa went from the 29th of December 2011 to the 31st.
    apia, hours = ZoneInfo("Pacific/Apia"), hours_of("09:00", "17:00", "18:00")
    last_evening = clock("2011-12-29T20:00", apia)
    assert hours.service(last_evening + 4 * HOUR + 1, apia) is CLOSED
    assert hours.service(clock("2011-12-31T09:00", apia), apia) is OPEN


def test_the_zone_of_the_machine_is_used_where_none_is_named():
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    try:
        hours = hours_of("02:30", "12:00", "13:00")
        assert hours.service(utc("2026-03-29T00:59:59")) is CLOSED
        assert hours.service(utc("2026-03-29T01:00")) is OPEN
        assert hours.next_change_at(utc("2026-10-24T23:59")) == utc("2026-10-25T00:30")
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


def test_an_end_that_was_slept_over_is_told():
    assert NIGHT.ended(clock("2026-02-10T07:30"), clock("2026-02-10T18:00"), UTC)
    assert not NIGHT.ended(clock("2026-02-10T08:00"), clock("2026-02-10T18:00"), UTC)
    assert NIGHT.ended(clock("2026-02-10T18:00"), clock("2026-03-10T18:00"), UTC)
    assert NIGHT.ended(clock("2026-02-10T07:59"), clock("2026-02-11T07:59"), UTC)
    assert NIGHT.ended(clock("2026-02-10T07:30"), clock("2026-02-11T09:00"), UTC)
    assert not NIGHT.ended(clock("2026-02-10T18:00"), clock("2026-02-10T07:00"), UTC), "somebody set the clock back"


@pytest.mark.parametrize(
    ("times", "says"),
    [
        (("17:00",), "need a time to stop (service_stop) or to end (service_end)"),
        (("24:00", "07:00"), "'24:00' is no time of day"),
        (("7", "08:00"), "'7' is no time of day"),
        (("07:00", "8:5"), "'8:5' is no time of day"),
        (("07:00", None, "08:60"), "'08:60' is no time of day"),
        (("\u0661\u0662:00", "08:00"), "is no time of day"),
        (("17:00", "08:00", "07:00"), "start 17:00, stop 08:00, end 07:00: not in the order start, stop, end"),
        (("17:00", "17:00"), "not in the order"),
        (("17:00", "12:00", "17:00"), "not in the order"),
    ],
)
def test_hours_that_cannot_be_are_refused(times, says):
    with pytest.raises(ConfigError) as caught:
        hours_of(*times)
    assert says in str(caught.value)


def test_hours_say_what_they_are():
    assert str(NIGHT) == "start 17:00, stop 07:00, end 08:00"
    assert str(hours_of("9:00", end="10:00")) == "start 09:00, end 10:00"


def text(minute):
    return f"{minute % 1440 // 60:02}:{minute % 60:02}"


@st.composite
def hours_and_offsets(draw):
    start = draw(st.integers(0, 1439))
    stop, end = sorted(draw(st.tuples(st.integers(1, 1439), st.integers(1, 1439))))
    return hours_of(text(start), text(start + stop), text(start + end)), start, stop, end


ZONES = st.sampled_from([UTC, BERLIN, ZoneInfo("Europe/Lisbon"), ZoneInfo("Australia/Lord_Howe")])
ANY_MOMENT = st.integers(int(utc("2020-01-01")), int(utc("2030-01-01")))
# Within two days of a jump of Berlin's clock.
NEAR_A_JUMP = st.builds(
    int.__add__,
    st.sampled_from([int(utc("2026-03-29T01:00")), int(utc("2026-10-25T01:00"))]),
    st.integers(-172800, 172800),
)
MOMENTS = (ANY_MOMENT | NEAR_A_JUMP).map(float)


@given(hours_and_offsets(), MOMENTS)
def test_the_minute_of_the_day_decides_where_the_clock_never_jumps(case, now):
    hours, start, stop, end = case
    passed = (
        datetime.fromtimestamp(now, UTC) - datetime(1970, 1, 1, tzinfo=UTC) - timedelta(minutes=start)
    ) % timedelta(days=1)
    minutes = passed.total_seconds() / 60
    assert hours.service(now, UTC) is (OPEN if minutes < stop else NO_NEW if minutes < end else CLOSED)


@given(hours_and_offsets(), ZONES, MOMENTS)
def test_between_two_changes_nothing_changes(case, zone, now):
    hours = case[0]
    change = hours.next_change_at(now, zone)
    assert now < change <= now + 26 * HOUR
    assert hours.service(max(now, change - 1), zone) is hours.service(now, zone)
    assert hours.service(change, zone) is not hours.service(change - 1, zone) or hours.ended(change - 1, change, zone)


@given(hours_and_offsets(), ZONES, MOMENTS)
def test_each_day_starts_once_and_ends_once(case, zone, now):
    hours, seen = case[0], []
    moment = now
    while moment < now + 30 * 24 * HOUR:
        moment = hours.next_change_at(moment, zone)
        seen.append(hours.service(moment, zone))
    assert abs(seen.count(OPEN) - 30) <= 1
    assert abs(seen.count(CLOSED) - 30) <= 1
