from datetime import time

import pytest

from greencoro.compute.service_hours import ServiceHours, time_of_day
from greencoro.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"), [("17:00", time(17)), ("7:05", time(7, 5)), ("00:00", time(0)), ("23:59", time(23, 59))]
)
def test_a_time_of_day_is_hours_and_minutes(text, expected):
    assert time_of_day(text) == expected


@pytest.mark.parametrize(
    "text", ["24:00", "12:60", "12", "12:", ":30", "12:30:00", "-1:30", "1e:30", "", "٣:30", "012:30"]
)
def test_Z4_what_is_no_time_of_day_is_refused(text):
    with pytest.raises(ConfigError, match="is no time of day, like 17:00"):
        time_of_day(text)


def test_Z4_hours_that_only_start_are_refused():
    with pytest.raises(ConfigError, match="service_stop"):
        ServiceHours(time(17))
    ServiceHours(time(17), stop=time(7))
    ServiceHours(time(17), end=time(8))
