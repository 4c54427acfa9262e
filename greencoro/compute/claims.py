"""The part of a `JobLauncher` that counts jobs for servers, and waits for those."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any

from greencoro.compute.client import Client
from greencoro.compute.client_state import Phase
from greencoro.compute.placement import Candidate, least_loaded
from greencoro.compute.server_pool import Server, Where
from greencoro.errors import ComputationClosed, NoMatchingServer
from greencoro.hub import native
from greencoro.hub.completion import Completion

__all__ = ["Claims"]


class Claims:
    """See the module. `JobLauncher` sets the attributes.

    Attributes:
        client (Client): The computation.

        timeout (float): Longest wait for a server, in seconds.

        on_servers (list): Called on the user hub when servers are ready or gone.
    """

    client: Client
    timeout: float
    on_servers: list[Callable[[], Any]]

    def claim(self, where: Where, deadline: float, but: Container[str] = ()) -> Server:
        """Count a job for a server there, waiting for one, that is none of ``but``."""

        def choose(candidates: Iterable[Candidate]) -> str | None:
            return least_loaded(each for each in candidates if each.server not in but)

        while True:
            changed = Completion()
            with self.listening(changed.set):
                server = self.assign(choose, where)
                if server is not None:
                    return server
                if not changed.wait(deadline - native.monotonic()):
                    raise self.no_server(where)

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
        others = [server.location for server in self.client.ready()]
        why = f"there are {', '.join(map(str, others))}" if others else self.client.link.why_no_server()
        return NoMatchingServer(f"no server{there} within {self.timeout:g} s: {why}")

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
        phase = self.client.phase
        if phase in (Phase.NEW, Phase.ASKED, Phase.QUEUED):
            raise ComputationClosed("the computation is not scheduled: call schedule(), or use it in a with statement")
        if phase is not Phase.CURRENT:
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
