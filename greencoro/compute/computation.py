"""Computation: what a client declares once, and the calls that run its jobs on servers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from greencoro import compute
from greencoro.compute.job_launcher import JobLauncher
from greencoro.compute.server_pool import Where
from greencoro.compute.shipping import Shipping
from greencoro.distributed.location import Location
from greencoro.hub.coroutine import Coro

__all__ = ["Computation"]

_log = logging.getLogger(__name__)

#: Beyond the nodes' own limit for ending their servers.
_CLOSE_SECONDS = 15.0


class Computation:
    """Functions, and what they need, to be run as coroutines on the servers that a scheduler finds.

    All jobs at one server share its modules and their globals. Every method may be called from any thread or coroutine.
    Usable as a context manager: it is scheduled on entry and closed at the end.

    Args:
        components (list): Functions, classes, modules, packages, or paths of files, that are sent to every server
            before jobs run there. What a job's function refers to by itself is sent anyway.

        status_coro (Coro | None): Is sent a `Status` at every change of nodes, servers and jobs, and the
            `MonitorException` of every job of `run` and `run_at`. May be set until `schedule`.

        timeout (float | None): Longest wait for a server, and for its answer, in seconds; None:
            `greencoro.compute.MsgTimeout`.

    Raises:
        PackagingError: A component cannot be shipped.

        ValueError: The timeout is not positive.
    """

    def __init__(
        self, components: Sequence[Any] | Any = (), status_coro: Coro | None = None, timeout: float | None = None
    ) -> None:
        self.timeout = float(compute.MsgTimeout if timeout is None else timeout)
        if not self.timeout > 0:
            raise ValueError(f"the timeout is a positive number of seconds, not {timeout!r}")
        if status_coro is not None and not isinstance(status_coro, Coro):
            raise TypeError(f"status_coro is a coroutine, not {status_coro!r}")
        self.status_coro = status_coro
        shipping = Shipping(components if isinstance(components, list | tuple) else [components])
        self._jobs = JobLauncher(shipping, self.timeout)

    def __enter__(self) -> Computation:
        self.schedule()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Its life.

    def schedule(self) -> int:
        """Wait for this computation's turn at the process's scheduler.

        Returns:
            int: 0: from now on servers are set up for it, and jobs can be run.

        Raises:
            ComputeError: There is no `Scheduler`, or it was scheduled before.

            ComputationClosed: It was closed meanwhile.
        """
        self._jobs.client.schedule(self.status_coro)
        return 0

    def close(self) -> None:
        """End what still runs and give the servers back; where it is not scheduled, nothing.

        When it returns, whoever waits for a job has got `ComputationClosed`, and the server processes have ended, with
        their files. Where a node does not say that within 15 seconds, a WARNING does not leave that unsaid.
        """
        if not self._jobs.client.close(_CLOSE_SECONDS):
            _log.warning(
                "the computation is closed, but not every node has said within %g s that its servers have ended",
                _CLOSE_SECONDS,
            )

    # Where it runs.

    def nodes(self) -> list[str]:
        """The addresses of the nodes that have a server ready for this computation."""
        return list(dict.fromkeys(server.address for server in self._jobs.client.ready()))

    def servers(self) -> list[Location]:
        """The locations of the servers that are ready for this computation."""
        return [server.location for server in self._jobs.client.ready()]

    # Jobs.

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coro:
        """Run ``function(*args, **kwargs)`` as a coroutine at the least loaded server of the least loaded node.

        It does not matter how many run there already; see `RemoteCoroScheduler` for jobs that compute.

        Returns:
            Coro: A reference; its `value` waits for the result.

        Raises:
            PackagingError: The function, or an argument, cannot be shipped; the message names the path to the culprit.

            TypeError: The function does not take these arguments.

            NoMatchingServer: There was no server within the computation's timeout; the message says what was tried.

            DeadlineExceeded: The server did not answer in time; the job will not start, or is terminated.

            ComputationClosed: It is not scheduled, or closed.
        """
        return self.run_at(None, function, *args, **kwargs)

    def run_at(self, where: Where, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coro:
        """As `run`, at a given place.

        Args:
            where: The `Location` of a server; the address of a node, for its least loaded server; None for `run`.

        Raises:
            As `run`.
        """
        coro: Coro = self._jobs.run_at(where, function, args, kwargs).coro
        return coro
