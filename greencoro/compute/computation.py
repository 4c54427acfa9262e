"""Computation: what a client declares once, and the calls that run its jobs on servers.

Little is imported here, and the rest when the first one is made: where that is after a LocalCluster, the node daemon
imports meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gevent import monkey

from greencoro.compute.client_phase import Phase
from greencoro.compute.shown import counted, table
from greencoro.distributed.location import Location
from greencoro.errors import ComputeError, DeadlineExceeded
from greencoro.hub import forks, native
from greencoro.hub.telling import tell
from greencoro.hub.waiting import seconds

if TYPE_CHECKING:
    from greencoro.compute.filters import Filter
    from greencoro.compute.job import JobFunction
    from greencoro.compute.job_handle import JobHandle
    from greencoro.compute.packed import CodePackager
    from greencoro.compute.scattered import Scattered
    from greencoro.compute.server_pool import Where
    from greencoro.hub.coroutine import Coro

if monkey.is_module_patched("threading"):
    # There two threads that import at once may wait for each other for ever, see `_preload`.
    from greencoro.compute import declaration, run_many  # noqa: F401

__all__ = ["Computation"]

_log = logging.getLogger(__name__)

#: Beyond the nodes' own limit for ending their servers.
_CLOSE_SECONDS = 15.0

_PHASES = {
    Phase.NEW: "not scheduled",
    Phase.ASKED: "waits for its scheduler",
    Phase.QUEUED: "waits for its turn",
    Phase.CURRENT: "open",
    Phase.CLOSING: "is being closed",
    Phase.ENDING: "is being closed",
    Phase.OVER: "closed",
}


class Computation:
    """Functions, and what they need, to be run as coroutines on the servers that a scheduler finds.

    All jobs at one server share its modules and their globals. Every method may be called from any thread or coroutine.
    Usable as a context manager: it is scheduled on entry and closed at the end.

    Args:
        components (list): Functions, classes, modules, packages, or paths of files, that are sent to every server
            before jobs run there. What a job's function refers to by itself is sent anyway. A job opens a file that was
            given by a relative path by that path; one that was given by an absolute path, or by one that leads out of
            this process's working directory, by its name alone.

        status_coro (Coro | None): Is sent a `Status` at every change of nodes, servers and jobs, a `NodeAvailInfo` of
            every node once in a pulse interval, and the `MonitorException` of every job of `run` and `run_at`. It may
            be a coroutine of another process, and be set until `schedule`.

        timeout (float | None): Longest wait for a server, and for its answer, in seconds; None:
            `greencoro.compute.MsgTimeout`.

        pulse_interval (float | None): How often client, scheduler and nodes say that they are alive, in seconds, from
            `greencoro.compute.MinPulseInterval` to `MaxPulseInterval`. Whoever is not heard for 5 intervals is given
            up, and this side with its jobs where it was itself stopped for so long. Jobs that compute are heard all the
            same. None: twice the shortest.

        ping_interval (float | None): While the computation has its turn, look for further nodes on the network every so
            many seconds, at least `MinPulseInterval`; None: the scheduler's runtime does it as often as it does anyway.

        zombie_period (float): After so many seconds without a job, at least `MaxPulseInterval`, a node gives its
            servers to others, and the computation is closed when the last node has; 0: never.

        node_filters (list): Which nodes are used: `NodeFilter`, or functions of `NodeFacts` that return True, False, or
            None for "ask the next one". The first one meant for a node decides; without one it is used.

        requirements (list): Installed packages that jobs need, such as ``"numpy>=2"``. A server that lacks one is not
            used, and it is said what it lacks; a warning names those that are there in another minor version than here.

        forward_output (bool): Show here what jobs print and log, with where it comes from; else it is shown at the
            nodes.

        node_setup, server_setup (function): Run as jobs, without arguments, before others: the one at one server of
            every node, then the other at every server. A server where one raises is not used.

        server_cleanup, node_cleanup (function): The same at `close`, in that order, while other jobs may still run;
            after `timeout` seconds they are terminated. Where a node or server is lost they are not run.

    Raises:
        PackagingError: A component cannot be shipped.

        TypeError, ValueError: Another argument is none of what it may be.
    """

    #: What makes the packager of the code, for computations of a layer above; None: `Packager`.
    _new_packager: Callable[[], CodePackager] | None = None

    def __init__(
        self,
        components: Sequence[Any] | Any = (),
        status_coro: Coro | None = None,
        timeout: float | None = None,
        pulse_interval: float | None = None,
        ping_interval: float | None = None,
        zombie_period: float = 0.0,
        node_filters: Iterable[Filter] = (),
        *,
        requirements: Iterable[str] = (),
        forward_output: bool = True,
        node_setup: Callable[[], Any] | None = None,
        server_setup: Callable[[], Any] | None = None,
        server_cleanup: Callable[[], Any] | None = None,
        node_cleanup: Callable[[], Any] | None = None,
    ) -> None:
        forks.refuse()
        from greencoro.compute.declaration import launcher
        from greencoro.compute.hook_functions import HookFunctions

        self._jobs = launcher(
            components,
            timeout=timeout,
            pulse_interval=pulse_interval,
            ping_interval=ping_interval,
            zombie_period=zombie_period,
            node_filters=node_filters,
            requirements=requirements,
            forward_output=forward_output,
            hooks=HookFunctions(node_setup, server_setup, server_cleanup, node_cleanup),
            packager=None if self._new_packager is None else self._new_packager(),
        )
        self.timeout = self._jobs.timeout
        self._status_coro: Coro | None = None
        self.status_coro = status_coro
        self._before_close: list[Callable[[], object]] = []

    @property
    def status_coro(self) -> Coro | None:
        """Who is told what happens.

        Raises:
            TypeError: It is set to something else than a coroutine.

            ComputeError: It is set when the computation is scheduled already.
        """
        return self._status_coro

    @status_coro.setter
    def status_coro(self, coro: Coro | None) -> None:
        from greencoro.hub.coroutine import Coro

        if coro is not None and not isinstance(coro, Coro):
            raise TypeError(f"status_coro is a coroutine, not {coro!r}")
        if self._jobs.client.phase is not Phase.NEW:
            raise ComputeError("the computation is scheduled already: status_coro is to be set before")
        self._status_coro = coro

    def __enter__(self) -> Computation:
        self.schedule()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Its life.

    def schedule(self, location: Location | None = None, timeout: float | None = None) -> int:
        """Wait for this computation's turn at a scheduler.

        While others that were scheduled there before are open, the wait has no limit.

        Args:
            location (Location | None): Where the scheduler is; None: this process's own `Scheduler`, and where it has
                none, one on the network.

            timeout (float | None): Longest wait for the scheduler's answer, in seconds; None: the computation's.

        Returns:
            int: 0: from now on servers are set up for it, and jobs can be run.

        Raises:
            DeadlineExceeded: No scheduler has answered within the timeout.

            ComputeError: It was scheduled before; or there is no scheduler at the location.

            NetworkError: The location cannot be reached.

            ComputationClosed: It was closed meanwhile, or its scheduler is gone.
        """
        if location is not None and not isinstance(location, Location):
            raise TypeError(f"schedule takes the Location of a scheduler, not {location!r}")
        self._jobs.client.schedule(self.status_coro, location, seconds(timeout, "schedule()"))
        return 0

    def close(self) -> None:
        """End what still runs and give the servers back; where it is not scheduled, nothing.

        When it returns, whoever waits for a job has got `ComputationClosed`, and the server processes have ended, with
        their files. Where a node does not say that within 15 seconds, a WARNING does not leave that unsaid.
        """
        if forks.is_child():
            return
        if self._jobs.client.phase is Phase.CURRENT:
            for step in tuple(self._before_close):
                step()
            client = self._jobs.client
            client.hooks.clean_up(client.transport, client.ready(), self.timeout)
        if not self._jobs.client.close(_CLOSE_SECONDS):
            late = f"not every node has said within {_CLOSE_SECONDS:g} s that its servers have ended"
            tell(_log, logging.WARNING, f"the computation is closed, but {late}")

    def before_close(self, step: Callable[[], object]) -> None:
        """Have ``step()`` called by `close`, which waits for it, while jobs can still be run."""
        self._before_close.append(step)

    # Where it runs.

    def nodes(self) -> list[str]:
        """The addresses of the nodes that have a server ready for this computation."""
        return list(dict.fromkeys(server.address for server in self._jobs.client.ready()))

    def servers(self) -> list[Location]:
        """The locations of the servers that are ready for this computation."""
        return [server.location for server in self._jobs.client.ready()]

    def wait_for_servers(self, n: int = 1, timeout: float | None = 30.0) -> int:
        """Wait until ``n`` servers are ready.

        Args:
            timeout (float | None): Longest wait, in seconds; None: no limit.

        Returns:
            int: How many are.

        Raises:
            DeadlineExceeded: There were fewer in time; the message says why.

            ComputationClosed: It is not scheduled, or closed, perhaps meanwhile.

            TypeError: ``n`` is no whole number.
        """
        if isinstance(n, bool) or not isinstance(n, int):
            raise TypeError(f"wait_for_servers() takes a whole number of servers, not {n!r}")
        from greencoro.hub.completion import Completion

        limit = seconds(timeout, "wait_for_servers()")
        deadline = None if limit is None else native.monotonic() + limit
        while True:
            changed = Completion()
            with self._jobs.listening(changed.set):
                self._jobs.check_open()
                ready = len(self._jobs.client.ready())
                if ready >= n:
                    return ready
                if not changed.wait(None if deadline is None else deadline - native.monotonic()):
                    why = self._jobs.client.link.why_no_server()
                    raise DeadlineExceeded(f"{ready} of {n} servers were ready after {limit:g} s: {why}")

    def __repr__(self) -> str:
        client = self._jobs.client
        if client.phase is not Phase.CURRENT:
            return f"<Computation: {_PHASES[client.phase]}>"
        running, waiting = self._jobs.counts
        state = f"{counted(running, 'job')} at servers, {waiting} waiting"
        return f"<Computation at {client.link.location}: {counted(len(client.ready()), 'server')}, {state}>"

    def _repr_html_(self) -> str:
        """What notebooks show."""
        servers = ", ".join(map(str, self.servers()))
        return table("Computation", [("is", _PHASES[self._jobs.client.phase]), ("servers", servers or "none")])

    # Jobs.

    def run(self, function: JobFunction, /, *args: Any, **kwargs: Any) -> Coro:
        """Run ``function(*args, **kwargs)`` as a coroutine at the least loaded server of the least loaded node.

        It does not matter how many run there already; see `RemoteCoroScheduler` for jobs that compute.

        Returns:
            Coro: A reference; its `value` waits for the result.

        Raises:
            PackagingError: The function, or an argument, cannot be shipped; the message names the path to the culprit.

            TypeError: The function does not take these arguments, or is a `Job` with retries, to which there cannot be
                a reference.

            NoMatchingServer: There was no server within the computation's timeout; the message says what was tried.

            DeadlineExceeded: The server did not answer in time; the job will not start, or is terminated.

            ComputationClosed: It is not scheduled, or closed.
        """
        return self.run_at(None, function, *args, **kwargs)

    def run_at(self, where: Where, function: JobFunction, /, *args: Any, **kwargs: Any) -> Coro:
        """As `run`, at a given place.

        Args:
            where: The `Location` of a server; the address of a node, for its least loaded server; None for `run`.

        Raises:
            As `run`.
        """
        coro: Coro = self._jobs.run_at(where, function, args, kwargs).coro
        return coro

    def run_nodes(self, function: JobFunction, /, *args: Any, **kwargs: Any) -> list[Coro]:
        """As `run`, at the least loaded server of every node that has one ready; all at once.

        Returns:
            list: References, in the order of `nodes`.

        Raises:
            PartialFailure: It was not started at every one. What was started goes on: its ``results`` are the
                references, its ``failures`` say by address why it was not started there.

            As `run`; `NoMatchingServer` where there was no node at all.
        """
        from greencoro.compute.run_many import run_at_nodes

        return run_at_nodes(self._jobs, function, args, kwargs)

    def run_servers(self, function: JobFunction, /, *args: Any, **kwargs: Any) -> list[Coro]:
        """As `run_nodes`, at every server that is ready; in the order of `servers`, failures by `Location`."""
        from greencoro.compute.run_many import run_at_servers

        return run_at_servers(self._jobs, None, function, args, kwargs)

    def run_node_servers(self, address: str, function: JobFunction, /, *args: Any, **kwargs: Any) -> list[Coro]:
        """As `run_servers`, at the servers of the node with this address."""
        from greencoro.compute.run_many import run_at_servers

        return run_at_servers(self._jobs, address, function, args, kwargs)

    def run_each(self, where: str | Location, function: JobFunction, /, *args: Any, **kwargs: Any) -> list[Coro]:
        """`run_nodes`, `run_servers` or `run_node_servers`.

        Args:
            where: ``"node"`` for the first, ``"server"`` or any `Location` for the second, else the address of a node.
        """
        from greencoro.compute.run_many import run_at_each

        return run_at_each(self._jobs, where, function, args, kwargs)

    def scatter(self, thing: Any) -> Scattered:
        """Send an object to every server once, for jobs to have as an argument without its being sent again.

        It is copied now; every server gets it, those that come later and those started anew included, before the first
        job there that uses it. It travels in pieces, and other jobs and messages go on meanwhile.

        Args:
            thing: Whatever could be an argument of a job, of at most 1 GiB as a pickle.

        Returns:
            Scattered: To be passed to jobs of this computation, also inside other arguments. A job gets the object
            itself in its place, and all jobs at one server get the same one. `Scattered.free` forgets it; with the
            computation that is done by itself.

        Raises:
            PackagingError: It cannot be shipped; the message names the path to the culprit.

            ComputationClosed: It is closed.
        """
        return self._jobs.scatter(thing)

    def explain(self, job: Coro | JobHandle | int) -> list[str]:
        """How long a job waited and for what, where it ran, and how it ended, a line each.

        Of the jobs of this process, but for those that were over before its last 10,000; `greencoro explain` shows the
        same from outside.

        Args:
            job: A reference or handle, or its number: jobs are counted from 1 in each process.

        Raises:
            ComputeError: Nothing is known of it.

            TypeError: It is none of these.
        """
        from greencoro.compute.job_handle import JobHandle
        from greencoro.compute.job_journal import journal
        from greencoro.hub.coroutine import Coro

        if isinstance(job, JobHandle):
            return job.explain()
        if not isinstance(job, Coro | int):
            raise TypeError(f"a job is named by its reference or its number, and {job!r} is neither")
        return journal.lines(job if isinstance(job, int) else str(job))

    def cancel(self, jobs: Coro | JobHandle | Iterable[Coro | JobHandle] | None = None) -> int:
        """End jobs, as `Coro.terminate` does; those that have not begun do not begin, and none is run again.

        Args:
            jobs: References or handles, one or many; None: all jobs of this computation that servers have.

        Returns:
            int: How many of them were not over yet. What came of each says its outcome: it may have been faster.

        Raises:
            TypeError: One is neither.
        """
        return self._jobs.cancel(jobs)
