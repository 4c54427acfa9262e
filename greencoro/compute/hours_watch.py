"""When a node looks at the clock on the wall for its service hours."""

from __future__ import annotations

import math

from greencoro.compute.service_hours import Service, ServiceHours

__all__ = ["HoursWatch"]

#: Somebody may set the clock: it is looked at so often, at least.
_LOOK_SECONDS = 30.0


class HoursWatch:
    """Looks at the clock at the hours' changes, and often enough to see when somebody has set it.

    Attributes:
        next_look_at (float): When `look` is due, on a monotonic clock.
    """

    def __init__(self, hours: ServiceHours) -> None:
        self._hours = hours
        self._looked: float | None = None
        self.next_look_at = -math.inf

    def look(self, now: float, wall: float) -> tuple[Service, bool]:
        """What holds, and whether the service has ended since the last look, perhaps to begin again.

        Args:
            now (float): On a monotonic clock.

            wall (float): On the wall, in seconds since the epoch.
        """
        service = self._hours.service(wall)
        has_ended = service is Service.CLOSED or (self._looked is not None and self._hours.ended(self._looked, wall))
        self._looked = wall
        self.next_look_at = now + min(_LOOK_SECONDS, self._hours.next_change_at(wall) - wall)
        return service, has_ended
