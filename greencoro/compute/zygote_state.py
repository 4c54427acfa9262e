"""The decisions of a zygote: which processes it ends, when it says that a server is over.

A server is over once it has ended, and what it started as well. The zygote knows it by its keeper, which ends with it:
all that is left then becomes a child of the zygote, and nothing else does, for what outlives its parent while the
keeper lives becomes a child of that. So a child that is no keeper is one to be killed, as are the children that fall to
the zygote by that, and so on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from greencoro.compute.zygote_words import Over
from greencoro.errors import LocalProtocolError

__all__ = ["PATIENCE_SECONDS", "End", "Instruction", "Tell", "ZygoteState"]

#: A process that was killed may take this long, if the kernel is busy with it or somebody traces it, before a server is
#: over without it.
PATIENCE_SECONDS = 5.0
_MOST_NAMED = 100


@dataclass(frozen=True)
class End:
    """Kill a child."""

    pid: int


@dataclass(frozen=True)
class Tell:
    """A server is over."""

    number: int
    word: Over


Instruction = End | Tell


class ZygoteState:
    """Events in, instructions out; ``now`` is of a clock that does not go back."""

    def __init__(self) -> None:
        #: Those that run: number by process, and the other way round.
        self._servers: dict[int, int] = {}
        self._pids: dict[int, int] = {}
        #: Children that are no servers, and when each is waited for no longer.
        self._orphans: dict[int, float] = {}
        #: Those that this time is over for.
        self._left: set[int] = set()
        #: Those whose keepers are killed in their place.
        self._to_be_killed: set[int] = set()
        #: Servers that have ended, and what they started perhaps has not; with when that is waited for no longer.
        self._dead: dict[int, tuple[Over, float]] = {}
        #: Those of them that have not been waited for: number by process.
        self._not_waited_for: dict[int, int] = {}

    @property
    def orphans(self) -> frozenset[int]:
        """The other children, which are to be waited for: servers that have ended, and what was to be killed."""
        return frozenset(self._orphans)

    @property
    def left(self) -> frozenset[int]:
        """Children that were killed, but have not ended in time: no server's end waits for them."""
        return frozenset(self._left)

    @property
    def is_alone(self) -> bool:
        """Is there no process to wait for?"""
        return not self._servers and not self._orphans

    def forked(self, number: int, pid: int) -> None:
        """A server runs.

        Raises:
            LocalProtocolError: There is another one with this number, or with this process.
        """
        if number in self._pids or number in self._dead or pid in {*self._servers, *self._orphans, *self._left}:
            raise LocalProtocolError(f"server {number} cannot be process {pid}: one of them is known")
        self._servers[pid] = number
        self._pids[number] = pid

    def kill(self, number: int) -> list[Instruction]:
        """The daemon wants a server's end."""
        pid = self._pids.get(number)
        if pid is None:
            return []
        self._to_be_killed.add(number)
        return [End(pid)]

    def kill_all(self) -> list[Instruction]:
        """The daemon is gone."""
        return [End(pid) for pid in sorted(self._servers)]

    def ended(self, pid: int, now: float) -> None:
        """A server has ended; `left_behind` comes next.

        Raises:
            LocalProtocolError: It is none.
        """
        number = self._servers.pop(pid, None)
        if number is None:
            raise LocalProtocolError(f"process {pid} is no server")
        del self._pids[number]
        self._dead[number] = (Over(None), now + PATIENCE_SECONDS)
        self._not_waited_for[pid] = number

    def waited_for(self, pid: int, over: Over) -> None:
        """A child that is no running server has been waited for; `left_behind` comes next."""
        number = self._not_waited_for.pop(pid, None)
        if number is not None:
            if number in self._to_be_killed:
                # The keeper has not waited for its server, whose use is not in this.
                over = Over(over.returncode)
            self._dead[number] = (over, self._dead[number][1])

    def left_behind(self, children: Iterable[int], now: float) -> list[Instruction]:
        """These are all the children that there are, just after one has ended, whichever."""
        there = frozenset(children)
        self._left &= there
        orphans = there - self._servers.keys() - self._left
        new = sorted(orphans - self._orphans.keys() - self._not_waited_for.keys())
        self._orphans = {pid: self._orphans.get(pid, now + PATIENCE_SECONDS) for pid in orphans}
        return [*map(End, new), *self.due(now)]

    def next_due_at(self) -> float | None:
        """When `due` has something to do; None for no time soon."""
        return min([*self._orphans.values(), *(at for _, at in self._dead.values())], default=None)

    def due(self, now: float) -> list[Instruction]:
        """It is that time, perhaps."""
        left = tuple(sorted(self._orphans))[:_MOST_NAMED]
        self._left |= {pid for pid, at in self._orphans.items() if at <= now}
        self._orphans = {pid: at for pid, at in self._orphans.items() if at > now}
        over = [number for number, (_, at) in self._dead.items() if not self._orphans or at <= now]
        self._not_waited_for = {pid: number for pid, number in self._not_waited_for.items() if number not in over}
        self._to_be_killed.difference_update(over)
        return [Tell(number, dataclasses.replace(self._dead.pop(number)[0], left=left)) for number in over]
