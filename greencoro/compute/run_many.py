"""One job at each of several servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greencoro.compute.job import JobFunction
from greencoro.compute.job_launcher import JobLauncher
from greencoro.compute.server_pool import Where
from greencoro.compute.shipping import Prepared
from greencoro.distributed.location import Location
from greencoro.errors import PartialFailure
from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro

__all__ = ["run_at_each", "run_at_nodes", "run_at_servers"]


def run_at_each(
    jobs: JobLauncher,
    where: str | Location,
    function: JobFunction,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> list[Coro]:
    """See `Computation.run_each`."""
    if isinstance(where, Location) or where == "server":
        return run_at_servers(jobs, None, function, args, kwargs)
    if where == "node":
        return run_at_nodes(jobs, function, args, kwargs)
    if not isinstance(where, str):
        raise TypeError(f"where is 'node', 'server', the address of a node or a Location, not {where!r}")
    return run_at_servers(jobs, where, function, args, kwargs)


def run_at_nodes(jobs: JobLauncher, function: JobFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Coro]:
    """See `Computation.run_nodes`."""
    prepared, deadline = _begin(jobs, function, args, kwargs)
    addresses = dict.fromkeys(server.address for server in jobs.await_ready(None, deadline))
    return _Starts(jobs, prepared, deadline).at(list(addresses))


def run_at_servers(
    jobs: JobLauncher, address: str | None, function: JobFunction, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[Coro]:
    """See `Computation.run_servers` and `Computation.run_node_servers`."""
    prepared, deadline = _begin(jobs, function, args, kwargs)
    locations = [server.location for server in jobs.await_ready(address, deadline)]
    return _Starts(jobs, prepared, deadline).at(locations)


def _begin(
    jobs: JobLauncher, function: JobFunction, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Prepared, float]:
    return jobs.prepare_once(function, args, kwargs), native.monotonic() + jobs.timeout


class _Starts:
    """Starts of one call at several places at once, with one deadline for all."""

    def __init__(self, jobs: JobLauncher, prepared: Prepared, deadline: float) -> None:
        self._jobs = jobs
        self._prepared = prepared
        self._deadline = deadline
        self._started: dict[Any, Coro] = {}
        self._failures: dict[Any, BaseException] = {}

    def at(self, places: Sequence[Where]) -> list[Coro]:
        """The references, in the order of the places.

        Raises:
            PartialFailure: There is not one for each.
        """
        over = [Completion() for _ in places]
        for place, each in zip(places, over, strict=True):
            self._jobs.client.runtime.spawn(self._start, place, each).set_daemon()
        for each in over:
            each.wait()
        started = [self._started[place] for place in places if place in self._started]
        if self._failures:
            reasons = "; ".join(f"{place}: {error}" for place, error in self._failures.items())
            message = f"{self._prepared.name} was started at {len(started)} of {len(places)} places; {reasons}"
            raise PartialFailure(message, started, self._failures)
        return started

    def _start(self, place: Where, over: Completion) -> None:
        try:
            self._started[place] = self._jobs.start_at(place, self._prepared, self._deadline).coro
        except Exception as error:
            # Whatever kept it from starting there is that place's failure.
            self._failures[place] = error
        finally:
            over.set()
