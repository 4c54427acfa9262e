"""What a supervisor does about a child that ended: the decision, as a function of what happened and when.

The words and rules are those of Erlang/OTP's `supervisor`. Pure: names in, names out, and the time is an argument.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["RESTARTS", "STRATEGIES", "Decision", "Supervision"]

#: Who is restarted along with a child: nobody, everybody, or those that were started after it.
STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")

#: When a child is restarted: always, only where it failed, or never.
RESTARTS = ("permanent", "transient", "temporary")

#: Ends that nobody wanted. Who terminates a child on purpose wants its end.
_FAILURES = ("exception", "lost")


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, in this order."""

    #: Children to end, one after the other (those that are over already need no ending).
    stop: tuple[str, ...] = ()
    #: Children to start, one after the other.
    start: tuple[str, ...] = ()
    #: Children that are no longer the supervisor's.
    forget: tuple[str, ...] = ()
    #: Too many restarts: end all children and fail.
    give_up: bool = False


class Supervision:
    """The rules of one supervisor, and what it has to remember for them.

    Args:
        strategy (str): One of `STRATEGIES`.

        max_restarts (int): So many restarts are carried out within the time; one more is too many. One that restarts
            several children counts once.

        within_seconds (float): That time, which slides.

    Raises:
        TypeError, ValueError: One of them cannot be.
    """

    def __init__(self, strategy: str, max_restarts: int, within_seconds: float) -> None:
        if strategy not in STRATEGIES:
            raise ValueError(f"strategy= of a supervisor is one of {', '.join(STRATEGIES)}, not {strategy!r}")
        if isinstance(max_restarts, bool) or not isinstance(max_restarts, int):
            raise TypeError(f"max_restarts= is a whole number, not {max_restarts!r}")
        if max_restarts < 0:
            raise ValueError(f"max_restarts= is at least 0, not {max_restarts!r}")
        if isinstance(within_seconds, bool) or not isinstance(within_seconds, int | float):
            raise TypeError(f"within_seconds= is a number, not {within_seconds!r}")
        if not within_seconds > 0:
            raise ValueError(f"within_seconds= is more than 0, not {within_seconds!r}")
        self.strategy = strategy
        self.max_restarts = max_restarts
        self.within_seconds = within_seconds
        # In the order they are started.
        self._children: dict[str, str] = {}
        self._restarted_at: deque[float] = deque()

    def add(self, name: str, restart: str) -> None:
        """Take a child in, after the others.

        Raises:
            ValueError: There is one of that name.
        """
        if name in self._children:
            raise ValueError(f"there is a child named {name!r} already")
        self._children[name] = restart

    def ended(self, name: str, kind: str, now: float) -> Decision:
        """Decide about the end of a child that nobody here had asked for.

        Args:
            kind (str): As in `MonitorException`: ``"finished"``, ``"exception"``, ``"terminated"`` or ``"lost"``.

            now (float): In seconds, of a clock that does not go back.
        """
        restart = self._children[name]
        if restart == "temporary":
            del self._children[name]
            return Decision(forget=(name,))
        if restart == "transient" and kind not in _FAILURES:
            return Decision()
        if self._is_too_much(now):
            return Decision(give_up=True)
        affected = self._affected(name)
        forget = tuple(other for other in affected if self._children[other] == "temporary")
        start = tuple(other for other in affected if other not in forget)
        for other in forget:
            del self._children[other]
        return Decision(tuple(other for other in reversed(affected) if other != name), start, forget)

    def shutdown_order(self) -> tuple[str, ...]:
        """All children, in the order in which they are to be ended."""
        return tuple(reversed(self._children))

    def _is_too_much(self, now: float) -> bool:
        times = self._restarted_at
        while times and now - times[0] > self.within_seconds:
            times.popleft()
        times.append(now)
        return len(times) > self.max_restarts

    def _affected(self, name: str) -> tuple[str, ...]:
        names = tuple(self._children)
        if self.strategy == "one_for_one":
            return (name,)
        return names if self.strategy == "one_for_all" else names[names.index(name) :]
