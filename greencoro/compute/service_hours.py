"""At which times of day a node is in service.

The times are those of a clock on the wall, which makes days of 23 and of 25 hours: each takes place once a day, at the
first moment at which the clock shows it, and where the clock jumps over it, at the moment of the jump.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from typing import NamedTuple

from greencoro.errors import ConfigError

__all__ = ["Service", "ServiceHours", "time_of_day"]

_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_DAY_MINUTES = 24 * 60
_LONGEST_JUMP_SECONDS = 2 * 24 * 60 * 60


class Service(enum.Enum):
    """What a node does for clients."""

    #: Serves them.
    OPEN = "open"
    #: Takes no new jobs; those that run go on.
    NO_NEW = "no new jobs"
    #: Runs no jobs; those that still ran were ended.
    CLOSED = "closed"


# Of two at the same moment the later in this list counts.
_ORDER = list(Service)


class _Change(NamedTuple):
    at: float
    local: datetime
    rank: int

    @property
    def to(self) -> Service:
        return _ORDER[self.rank]


@dataclass(frozen=True)
class ServiceHours:
    """The daily hours of a node.

    From `start` it serves clients, at `stop` it takes no more jobs, at `end` it ends those that run. A time before the
    one that it follows is one of the next day.

    Attributes:
        start (time): A whole minute of the day, as the others.

        stop (time | None): None: at `end`.

        end (time | None): None: never; the jobs that run go on until they are over.

    Raises:
        ConfigError: The times are not in the order start, stop, end within one day, or both stop and end are None.
    """

    start: time
    stop: time | None = None
    end: time | None = None

    def __post_init__(self) -> None:
        if self.stop is None and self.end is None:
            raise ConfigError("service hours need a time to stop (service_stop) or to end (service_end), or both")
        first, *others = (_minutes(at) for _, at in self._times())
        after_start = [(minute - first) % _DAY_MINUTES for minute in others]
        if after_start != sorted(after_start) or 0 in after_start:
            raise ConfigError(f"service hours {self}: not in the order start, stop, end within one day")

    def __str__(self) -> str:
        words = {Service.OPEN: "start", Service.NO_NEW: "stop", Service.CLOSED: "end"}
        return ", ".join(f"{words[service]} {at:%H:%M}" for service, at in self._times())

    def service(self, now: float, zone: tzinfo | None = None) -> Service:
        """What holds at a moment.

        Args:
            now (float): In seconds since the epoch.

            zone (tzinfo | None): Where; None: the time zone of this machine.
        """
        return max(change for change in self._changes(now, zone) if change.at <= now).to

    def next_change_at(self, now: float, zone: tzinfo | None = None) -> float:
        """When the next start, stop or end is, after `now`; in seconds since the epoch, as everywhere here.

        Somebody may set the clock before that: look at least every minute.
        """
        return min(change.at for change in self._changes(now, zone) if change.at > now)

    def ended(self, since: float, now: float, zone: tzinfo | None = None) -> bool:
        """Was there an end after `since`, up to `now`?

        Whoever slept over it has jobs to end, also where the next service has begun by then.
        """
        return any(change.to is Service.CLOSED and since < change.at <= now for change in self._changes(now, zone))

    def _times(self) -> list[tuple[Service, time]]:
        all_three = zip(_ORDER, (self.start, self.stop, self.end), strict=True)
        return [(service, at) for service, at in all_three if at is not None]

    def _changes(self, now: float, zone: tzinfo | None) -> Iterator[_Change]:
        """Those of the days around a moment."""
        midnight = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
        for day in range(-1, 2):
            for service, at in self._times():
                # A sum is never the second of two times that the clock shows alike.
                local = midnight + timedelta(days=day, minutes=_minutes(at))
                yield _Change(_first_moment(local), local.replace(tzinfo=None), _ORDER.index(service))


def time_of_day(text: str) -> time:
    """Read ``HH:MM``, of 24 hours.

    Raises:
        ConfigError: The text is nothing of the kind.
    """
    match = _TIME.fullmatch(text)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise ConfigError(f"{text!r} is no time of day, like 17:00")
    return time(int(match[1]), int(match[2]))


def _minutes(at: time) -> int:
    """Since midnight."""
    return at.hour * 60 + at.minute


def _first_moment(local: datetime) -> float:
    """When a local time comes first; where it is jumped over, when the clock jumps."""
    if not _is_jumped_over(local):
        return local.timestamp()
    # Find the last second before the jump. Of a local time that does not exist, `fold` chooses the reckoning: with 0
    # that of before the jump, in which the second after the last one is the jump itself.
    before, after = _LONGEST_JUMP_SECONDS, 0
    while before - after > 1:
        middle = (before + after) // 2
        if _is_jumped_over(local - timedelta(seconds=middle)):
            after = middle
        else:
            before = middle
    return (local - timedelta(seconds=after)).timestamp()


def _is_jumped_over(local: datetime) -> bool:
    # PEP 495: only then is the reckoning of after the change the earlier moment.
    return local.replace(fold=1).timestamp() < local.replace(fold=0).timestamp()
