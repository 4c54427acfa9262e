"""Which of its servers takes the next job of a `RemoteCoroScheduler`.

Each server has a *lane*, whose jobs it runs one after another. Who wants a place in one asks with a *ticket*, of one of
two kinds: *alone* wants a lane without jobs, any other one with room. A lane that becomes empty goes to the ticket that
waits longest. One that has jobs left takes only tickets that are not alone, and not if it is *held*: for each ticket
alone that waits, the lane with the fewest jobs runs empty, and the others are kept full.

Time comes in as an argument; jobs are known by their tickets.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from greencoro.compute.placement import lane_depth, least_loaded

__all__ = ["Grant", "Lane", "Lanes"]

#: Weight of the newest job in the moving average of what a job takes.
_NEWEST = 0.2

#: A ticket that waited, with the id of the server whose lane it has now.
Grant = tuple[Hashable, str]


class Lane:
    """The jobs of one scheduler at one server, run one after another there.

    Attributes:
        server (str), node (str): Ids.

        is_open (bool): Does it take jobs?

        depth (int): How many jobs may be here at once.

        job_seconds (float | None): What a job takes, on average; None before the first is over.

        load (int): Jobs that are not over.
    """

    __slots__ = ("_jobs", "_since", "depth", "is_open", "job_seconds", "load", "node", "server")

    def __init__(self, server: str, node: str) -> None:
        self.server = server
        self.node = node
        self.is_open = True
        #: In the order in which the server runs them: the first one is running.
        self._jobs: dict[Hashable, None] = {}
        self.job_seconds: float | None = None
        self.depth = lane_depth(None)
        self.load = 0
        #: When the server became free for the job that is running now.
        self._since = 0.0

    def estimate(self, job_seconds: float) -> None:
        """A job takes so long, on average."""
        self.job_seconds = job_seconds
        self.depth = lane_depth(job_seconds)

    def begin(self, job: Hashable, now: float) -> None:
        """A job is sent."""
        if not self._jobs:
            self._since = now
        self._jobs[job] = None
        self.load += 1

    def end(self, job: Hashable, now: float, ran: bool) -> None:
        """A job is over; one that did not run to its end says nothing of how long jobs take."""
        was_running = next(iter(self._jobs)) is job
        del self._jobs[job]
        self.load -= 1
        if ran:
            took = now - self._since
            before = self.job_seconds
            self.estimate(took if before is None else before + _NEWEST * (took - before))
        if ran or was_running:
            self._since = now


class Lanes:
    """The lanes of one scheduler, and who waits for a place in one."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        #: Those that run empty, each for a ticket alone.
        self._held: dict[Lane, None] = {}
        #: In the order in which they came, by number.
        self._alone: dict[Hashable, int] = {}
        self._others: dict[Hashable, int] = {}
        self._number = 0

    def open(self, server: str, node: str, now: float) -> list[Grant]:
        """A server is there that may be used."""
        lane = self._lanes[server] = Lane(server, node)
        return self._settle([lane], now)

    def shut(self, server: str, now: float) -> list[Grant]:
        """A server takes no more jobs; those that are there go on. One that is not known is no news."""
        lane = self._lanes.get(server)
        if lane is None:
            return []
        lane.is_open = False
        self._held.pop(lane, None)
        if not lane.load:
            del self._lanes[server]
        return self._settle([], now)

    @property
    def room(self) -> int:
        """How many jobs all lanes together may have at once."""
        return sum(lane.depth for lane in self._open())

    @property
    def is_waited_for(self) -> bool:
        """Does anybody wait?"""
        return bool(self._alone or self._others)

    def waiting(self) -> Iterator[Hashable]:
        """Who waits, in no order."""
        yield from self._alone
        yield from self._others

    # Tickets.

    def ask(self, ticket: Hashable, alone: bool, now: float) -> str | None:
        """Have a place in a lane: the id of its server; None where the ticket has to wait until it is granted."""
        if not (self._alone if alone else self._others):
            server = least_loaded(self._candidates(alone))
            if server is not None:
                self._lanes[server].begin(ticket, now)
                return server
        self._number += 1
        (self._alone if alone else self._others)[ticket] = self._number
        self._settle([], now)
        return None

    def give_up(self, ticket: Hashable, now: float) -> list[Grant]:
        """A ticket waits no more; where it does not, nothing."""
        self._alone.pop(ticket, None)
        self._others.pop(ticket, None)
        return self._settle([], now)

    def over(self, server: str, ticket: Hashable, ran: bool, now: float) -> list[Grant]:
        """A job is over.

        Args:
            ran (bool): Did it run to its end?
        """
        lane = self._lanes[server]
        lane.end(ticket, now, ran)
        if not lane.is_open:
            if not lane.load:
                del self._lanes[server]
            return []
        # Where many short jobs are under way, whoever waits for room is woken for several at once.
        if lane.load > lane.depth // 2:
            return []
        return self._settle([lane], now)

    def _candidates(self, alone: bool) -> Iterator[Lane]:
        for lane in self._lanes.values():
            if lane.is_open and (not lane.load or (not alone and lane.load < lane.depth and lane not in self._held)):
                yield lane

    def _open(self) -> Iterator[Lane]:
        return (lane for lane in self._lanes.values() if lane.is_open)

    # Who comes next.

    def _settle(self, lanes: Iterable[Lane], now: float) -> list[Grant]:
        """Give what these lanes have room for to those who wait, and hold as many lanes as it takes."""
        grants: list[Grant] = []
        pending = list(lanes)
        while True:
            for lane in pending:
                while (ticket := self._next_for(lane)) is not None:
                    lane.begin(ticket, now)
                    grants.append((ticket, lane.server))
            pending = self._hold()
            if not pending:
                return grants

    def _next_for(self, lane: Lane) -> Hashable | None:
        """The ticket that gets a place there next, taken out of those that wait."""
        alone = next(iter(self._alone), None)
        other = next(iter(self._others), None)
        if not lane.load:
            if alone is not None and (other is None or self._alone[alone] < self._others[other]):
                del self._alone[alone]
                return alone
        elif lane in self._held or lane.load >= lane.depth:
            return None
        if other is not None:
            del self._others[other]
        return other

    def _hold(self) -> list[Lane]:
        """Have one lane held for each ticket alone that waits; those that are let go."""
        excess = len(self._held) - len(self._alone)
        if excess > 0:
            # The fullest: the others will be empty sooner.
            let_go = sorted(self._held, key=lambda lane: -lane.load)[:excess]
            for lane in let_go:
                del self._held[lane]
            return let_go
        if excess < 0 and len(self._held) < len(self._lanes):
            rest = sorted((lane for lane in self._open() if lane not in self._held), key=lambda lane: lane.load)
            self._held.update(dict.fromkeys(rest[:-excess]))
        return []
