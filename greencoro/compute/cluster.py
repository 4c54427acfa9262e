"""LocalCluster: a node daemon of one's own on this machine, for as long as it is needed."""

from __future__ import annotations

import os
from types import TracebackType

from greencoro.compute.inline import InlineServer
from greencoro.compute.node_words import Attach, NodeFacts
from greencoro.compute.own_node import OwnNode
from greencoro.compute.scheduler import Scheduler, current_scheduler
from greencoro.compute.scheduler_report import ready_locations
from greencoro.compute.shown import table
from greencoro.config import Settings
from greencoro.distributed import runtime as runtimes
from greencoro.distributed.location import Location
from greencoro.errors import ComputeError, DeadlineExceeded, NetworkError
from greencoro.hub import exit as process_exit
from greencoro.hub import forks, native
from greencoro.hub.execution import sleep
from greencoro.hub.waiting import seconds

__all__ = ["LocalCluster"]

#: How soon the scheduler is looked at again, how soon the daemon is asked again.
_LOOK_SECONDS = 0.01
_ASK_SECONDS = 0.05
#: Longest wait for an answer of the daemon.
_ANSWER_SECONDS = 5.0


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
        # First, so that it starts while this process imports and looks up its secret.
        self._node = None if inline else OwnNode()
        self._inline: InlineServer | None = None
        self._scheduler: Scheduler | None = None
        self._runtime: runtimes.Runtime | None = None  # where it is this one's to finish
        self._owns_scheduler = current_scheduler() is None
        process_exit.prepare()
        process_exit.at_exit(10, self.close)
        try:
            settings = Settings.from_env() if settings is None else settings
            if runtimes.current_runtime() is None:
                self._runtime = runtimes.Runtime(
                    node="127.0.0.1", discover_peers=False, settings=settings, announce=False
                )
            #: Where the node daemon is.
            self.location = self._start(settings, dest_path)
        except BaseException:
            self.close()
            raise

    def _start(self, settings: Settings, dest_path: str | os.PathLike[str] | None) -> Location:
        runtime = runtimes.runtime()
        if self._node is None:
            self._inline = InlineServer(runtime)
            return runtime.location
        location = self._node.start(runtime.secret.key, self.servers, settings, dest_path)
        self._scheduler = Scheduler(nodes=[location])
        return location

    def __enter__(self) -> LocalCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def scheduler(self) -> Scheduler:
        """What uses the servers.

        Raises:
            ComputeError: An inline cluster has none.
        """
        if self._scheduler is None:
            raise ComputeError("an inline cluster has no scheduler of that kind")
        return self._scheduler

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
        wanted = self.servers if n is None else n
        limit = seconds(timeout, "wait_for_servers()")
        deadline = None if limit is None else native.monotonic() + limit
        while True:
            ready, pause = self._ready(deadline)
            if ready >= wanted:
                return
            if deadline is not None and native.monotonic() > deadline:
                why = self._why_no_server()
                raise DeadlineExceeded(f"{ready} of {wanted} servers were ready after {limit:g} s: {why}")
            sleep(pause)

    def _ready(self, deadline: float | None) -> tuple[int, float]:
        """How many servers are ready, and when to look again, in seconds."""
        if self._inline is not None:
            return int(self._inline.is_ready), _LOOK_SECONDS
        if self._node is None or self._node.has_ended:
            raise ComputeError("the cluster has no servers: its node daemon has ended")
        if self.scheduler.look(lambda state: state.current) is None:
            return self._ask(deadline), _ASK_SECONDS
        return len(self.scheduler.look(ready_locations)), _LOOK_SECONDS

    def _why_no_server(self) -> str:
        return self.scheduler.why_no_server() if self._inline is None else self._inline.why_no_server()

    def _ask(self, deadline: float | None) -> int:
        """How many servers the daemon says are ready; 0 where it does not answer."""
        left = _ANSWER_SECONDS if deadline is None else max(_ASK_SECONDS, deadline - native.monotonic())
        try:
            answer = self.scheduler.runtime.request(self.location, Attach.operation, Attach().to_header(), timeout=left)
        except (NetworkError, DeadlineExceeded):
            return 0  # it is ending, or hangs: the next look at its process tells
        return NodeFacts.from_header(answer.header).ready

    @property
    def pid(self) -> int:
        """The process id of the node daemon; of this process where the cluster is inline."""
        return os.getpid() if self._node is None else self._node.pid

    def close(self) -> None:
        """End everything that was started: when it returns, no process is left. A second call does nothing."""
        if self._closed or forks.is_child():
            return
        self._closed = True
        process_exit.cancel_at_exit(self.close)
        if self._node is not None:
            self._node.close(self._give_back)
        if self._inline is not None:
            self._inline.close()
        if self._runtime is not None:
            self._runtime.finish()

    def _give_back(self) -> None:
        if self._scheduler is None:
            return  # the start failed
        if self._owns_scheduler:
            self._scheduler.close()
        else:
            self._scheduler.remove_node(self.location)

    def __repr__(self) -> str:
        return f"<LocalCluster {', '.join(f'{name} {value}' for name, value in self._facts())}>"

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return table("LocalCluster", self._facts())

    def _facts(self) -> list[tuple[str, str]]:
        if self._closed:
            return [("servers", "0 (closed)")]
        kind = [("inline", "jobs run in this process")] if self._inline is not None else []
        where = str(getattr(self, "location", "not started"))
        return [("servers", str(self.servers)), ("at", where), ("pid", str(self.pid)), *kind]
