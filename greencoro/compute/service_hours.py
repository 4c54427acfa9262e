"""The time of day at which a node is in service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time

from greencoro.errors import ConfigError

__all__ = ["ServiceHours", "time_of_day"]


@dataclass(frozen=True)
class ServiceHours:
    """From `start` the node serves computations, at `stop` it takes no more jobs, at `end` it ends those that run.

    Each is a time of day by the node's clock; one that is not later than that before it is of the next day.

    Attributes:
        stop, end (time | None): One of them may be missing.

    Raises:
        ConfigError: Both are missing.
    """

    start: time
    stop: time | None = None
    end: time | None = None

    def __post_init__(self) -> None:
        if self.stop is None and self.end is None:
            raise ConfigError("hours of service that start have to stop or end too: service_stop, service_end")


def time_of_day(text: str) -> time:
    """Read ``HH:MM``, of 24 hours.

    Raises:
        ConfigError: The text is nothing of the kind.
    """
    hours, colon, minutes = text.partition(":")
    digits = all(part.isascii() and part.isdecimal() and len(part) <= 2 for part in (hours, minutes))
    if not (colon and digits and int(hours) < 24 and int(minutes) < 60):
        raise ConfigError(f"{text!r} is no time of day, like 17:00")
    return time(int(hours), int(minutes))
