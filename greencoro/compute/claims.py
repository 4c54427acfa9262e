"""The part of a `JobLauncher` that counts jobs for servers, and waits for those."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any

from greencoro.compute.client import Client
from greencoro.compute.client_phase import Phase
from greencoro.compute.job_journal import journal
from greencoro.compute.placement import Candidate, least_loaded
from greencoro.compute.server_pool import Server, Where
from greencoro.errors import ComputationClosed, NoMatchingServer
from greencoro.hub import forks, native
from greencoro.hub.completion import Completion

__all__ = ["Claims"]


class Claims:
    """See the module. `JobLauncher` sets the attributes.

    Attributes:
        client (Client): The computation.

        timeout (float): Longest wait for a server, in seconds.

        on_servers (list): Called on the user hub when servers are ready or gone.

        on_shortage (list): Each says how many jobs wait for their turn at a server.

        in_want (dict): The jobs, by their numbers, for which there is no server where they are to run.
    """

    client: Client
    timeout: float
    on_servers: list[Callable[[], Any]]
    on_shortage: list[Callable[[], int]]
    in_want: dict[Completion, int]

    def claim(self, job: int, where: Where, deadline: float, but: Container[str] = ()) -> Server:
        """Count a job, by its number, for a server there, waiting for one, that is none of ``but``."""

        def choose(candidates: Iterable[Candidate]) -> str | None:
            return least_loaded(each for each in candidates if each.server not in but)

        while True:
            changed = Completion()
            with self.listening(changed.set):
                server = self.assign(choose, where)
                if server is not None:
                    return server
                death = self.client.pool.death_at(where)
                if death:
                    raise NoMatchingServer(f"no server at {where} any more: it {death}")
                self.in_want[changed] = job
                try:
                    if not changed.wait(deadline - native.monotonic()):
                        raise self.no_server(where)
                finally:
                    del self.in_want[changed]

    def await_ready(self, where: Where, deadline: float) -> list[Server]:
        """The servers there that take jobs, waiting for a first one."""
        while True:
            changed = Completion()
            with self.listening(changed.set):
                self.check_open()
                ready = [server for server in self.client.ready() if server.is_at(where)]
                if ready:
                    return ready
                if not changed.wait(deadline - native.monotonic()):
                    raise self.no_server(where)

    @contextlib.contextmanager
    def listening(self, callback: Callable[[], Any]) -> Iterator[None]:
        """Meanwhile have ``callback()`` called on the user hub when servers are ready or gone."""
        self.on_servers.append(callback)
        try:
            yield
        finally:
            self.on_servers.remove(callback)

    def no_server(self, where: Where = None) -> NoMatchingServer:
        """What a job raises that has waited in vain."""
        there = "" if where is None else f" at {where}"
        return NoMatchingServer(f"no server{there} within {self.timeout:g} s: {self._why_no_other()}")

    def _why_no_other(self) -> str:
        others = [server.location for server in self.client.ready()]
        return f"there are {', '.join(map(str, others))}" if others else self.client.link.why_no_server()

    def shortage(self) -> tuple[int, str]:
        """How many jobs wait because there is no server for them, and why there is none; may take a moment."""
        jobs = list(self.in_want.values())
        count = len(jobs) + self._more_in_want()
        if not count:
            return 0, ""
        why = self._why_no_other()
        for job in jobs:
            journal.waits(job, why)
        return count, why

    def _more_in_want(self) -> int:
        """Of those that wait for their turn; where there are servers, that is something to wait for."""
        return 0 if self.client.ready() else sum(each() for each in tuple(self.on_shortage))

    def assign(self, choose: Callable[[Iterable[Candidate]], str | None], where: Where = None) -> Server | None:
        """Count a job for the server there that ``choose`` picks, if it does."""
        self.check_open()
        with self.client.lock:
            pool = self.client.pool
            server = choose(pool.candidates(where))
            return None if server is None else pool.job_started(server)

    def take(self, server: str) -> Server | None:
        """Count a job for a given server; None where that takes none."""
        self.check_open()
        with self.client.lock:
            return self.client.pool.take(server)

    def check_open(self) -> None:
        """Raise `ComputationClosed` where there are no jobs to be run now."""
        forks.refuse()
        phase = self.client.phase
        if phase is Phase.CURRENT:
            return
        if phase in (Phase.NEW, Phase.ASKED, Phase.QUEUED):
            raise ComputationClosed("the computation is not scheduled: call schedule(), or use it in a with statement")
        why = f": {self.client.reason}" if self.client.reason else ""
        raise ComputationClosed(f"the computation is closed{why}")

    def servers_changed(self) -> None:
        """Servers are ready or gone. User hub's thread."""
        for callback in tuple(self.on_servers):
            callback()

    def count_less(self, server: Server) -> None:
        """A job that was counted for a server is over, or not sent."""
        with self.client.lock:
            self.client.pool.job_over(server)
