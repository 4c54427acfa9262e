"""LocalCluster: a node daemon of one's own on this machine, for as long as it is needed.

The daemon imports while this process does, so this module imports little: what else a cluster needs comes after the
daemon's start, with its first `ClusterParts`.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING

from gevent import monkey

from greencoro.compute.own_node import OwnNode
from greencoro.compute.shown import table
from greencoro.hub import forks

if TYPE_CHECKING:
    from greencoro.compute.cluster_parts import ClusterParts
    from greencoro.compute.scheduler import Scheduler
    from greencoro.config import Settings

if monkey.is_module_patched("threading"):
    # There two threads that import at once may wait for each other for ever, see `_preload`.
    from greencoro.compute import cluster_parts  # noqa: F401

__all__ = ["LocalCluster"]


class LocalCluster:
    """Server processes on this machine, and a `Scheduler` that uses them.

    The daemon that has started them ends, with them, at `close`, at the end of this process, and when this process dies
    in whatever way. Usable as a context manager.

    Args:
        servers (int | None): How many; None: one for each CPU that this process may use.

        inline (bool): Start no process: jobs are coroutines of this one, so that debuggers, and what measures coverage,
            see them. There is one server then, arguments and results are copied as always, and what a job changes in
            its modules stays changed.

        settings (Settings | None): For the processes that are started, and for this one's `Runtime` where there is
            none; None: those of the environment.

        dest_path (path | None): Where the servers' directories are made; None: the user's own temporary one.

    Raises:
        ComputeError: The daemon could not start; it has said why on standard error. Or there is another inline cluster.

        TypeError: ``servers`` is no whole number.

        ValueError: ``servers`` is not positive; or an inline cluster is to have several, or a ``dest_path``.
    """

    def __init__(
        self,
        servers: int | None = None,
        *,
        inline: bool = False,
        settings: Settings | None = None,
        dest_path: str | os.PathLike[str] | None = None,
    ) -> None:
        forks.refuse()
        if servers is None:
            servers = 1 if inline else len(os.sched_getaffinity(0))
        if isinstance(servers, bool) or not isinstance(servers, int):
            raise TypeError(f"a cluster has a whole number of servers, not {servers!r}")
        if servers < 1:
            raise ValueError(f"a cluster has at least one server, not {servers}")
        if inline and (servers != 1 or dest_path is not None):
            raise ValueError("an inline cluster is this process: it has one server, and no dest_path")
        self._closed = False
        #: How many servers it has.
        self.servers = servers
        self._node = None if inline else OwnNode()
        self._parts: ClusterParts | None = None
        try:
            from greencoro.compute.cluster_parts import ClusterParts

            self._parts = ClusterParts(self._node, servers, self.close)
            #: Where the node daemon is.
            self.location = self._parts.start(settings, dest_path)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> LocalCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _running(self) -> ClusterParts:
        assert self._parts is not None, "without them it was not made"
        return self._parts

    @property
    def scheduler(self) -> Scheduler:
        """What uses the servers.

        Raises:
            ComputeError: An inline cluster has none.
        """
        return self._running.scheduler

    def wait_for_servers(self, n: int | None = None, timeout: float | None = 30.0) -> None:
        """Wait until ``n`` servers take jobs of the current computation; where there is none, until they could at once.

        Args:
            n (int | None): How many; None: all of this cluster.

            timeout (float | None): Longest wait, in seconds; None: no limit.

        Raises:
            DeadlineExceeded: There were fewer in time; the message says why.

            ComputeError: The node daemon has ended.
        """
        forks.refuse()
        self._running.wait_for_servers(self.servers if n is None else n, timeout)

    @property
    def pid(self) -> int:
        """The process id of the node daemon; of this process where the cluster is inline."""
        return os.getpid() if self._node is None else self._node.pid

    def close(self) -> None:
        """End everything that was started: when it returns, no process is left. A second call does nothing."""
        if self._closed or forks.is_child():
            return
        self._closed = True
        if self._parts is not None:
            self._parts.close()
        elif self._node is not None:
            self._node.close()

    def __repr__(self) -> str:
        return f"<LocalCluster {', '.join(f'{name} {value}' for name, value in self._facts())}>"

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return table("LocalCluster", self._facts())

    def _facts(self) -> list[tuple[str, str]]:
        if self._closed:
            return [("servers", "0 (closed)")]
        kind = [("inline", "jobs run in this process")] if self._node is None else []
        where = str(getattr(self, "location", "not started"))
        return [("servers", str(self.servers)), ("at", where), ("pid", str(self.pid)), *kind]
