"""What was said already: the same report about the same thing is made once in a long while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

__all__ = ["Reports"]

#: Reports remembered at once; who invents addresses makes us forget the oldest, and meets the limit on log lines.
_MAX_REMEMBERED = 1000


class Reports:
    """Says whether a report is news.

    Args:
        seconds (float): How long a report stands for all the same ones after it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # Oldest first.
        self._made: OrderedDict[tuple[Hashable, Hashable], float] = OrderedDict()

    def is_new(self, subject: Hashable, cause: Hashable, now: float) -> bool:
        """Is it to be reported that ``cause`` befell ``subject``? ``now``: seconds of a monotonic clock."""
        made = self._made.get((subject, cause))
        if made is not None and now - made < self._seconds:
            return False
        self._made[subject, cause] = now
        self._made.move_to_end((subject, cause))
        if len(self._made) > _MAX_REMEMBERED:
            self._made.popitem(last=False)
        return True

    def forget(self, subject: Hashable) -> None:
        """Things go well now: whatever befalls ``subject`` next is news."""
        for report in [report for report in self._made if report[0] == subject]:
            del self._made[report]
