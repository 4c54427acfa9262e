"""What a LocalCluster is made of: its node daemon, and a scheduler that uses that."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable

from greencoro.compute.inline import InlineServer
from greencoro.compute.node_words import Attach, NodeFacts
from greencoro.compute.own_node import OwnNode
from greencoro.compute.scheduler import Scheduler, current_scheduler
from greencoro.compute.scheduler_report import ready_locations
from greencoro.config import Settings
from greencoro.distributed import runtime as runtimes
from greencoro.distributed.location import Location
from greencoro.errors import ComputeError, DeadlineExceeded, NetworkError
from greencoro.hub import exit as process_exit
from greencoro.hub import native
from greencoro.hub.execution import sleep
from greencoro.hub.waiting import seconds

__all__ = ["ClusterParts"]

#: How soon the scheduler is looked at again, how soon the daemon is asked again.
_LOOK_SECONDS = 0.01
_ASK_SECONDS = 0.05
#: Longest wait for an answer of the daemon.
_ANSWER_SECONDS = 5.0


class ClusterParts:
    """The parts of one cluster; `start` puts them together, `close` ends them.

    Args:
        node (OwnNode | None): None where it is inline.

        servers (int): How many it has.

        on_exit: Called at the end of this process, if it is not closed by then.
    """

    def __init__(self, node: OwnNode | None, servers: int, on_exit: Callable[[], None]) -> None:
        self._node = node
        self._servers = servers
        self._on_exit = on_exit
        self._inline: InlineServer | None = None
        self._scheduler: Scheduler | None = None
        self._runtime: runtimes.Runtime | None = None  # where it is this one's to finish
        self._owns_scheduler = current_scheduler() is None
        process_exit.prepare()
        process_exit.at_exit(10, on_exit)

    def start(self, settings: Settings | None, dest_path: str | os.PathLike[str] | None) -> Location:
        """Begin; where the node daemon is.

        Raises:
            ComputeError: See `LocalCluster`.
        """
        settings = Settings.from_env() if settings is None else settings
        if runtimes.current_runtime() is None:
            self._runtime = runtimes.Runtime(node="127.0.0.1", discover_peers=False, settings=settings, announce=False)
        runtime = runtimes.runtime()
        if self._node is None:
            self._inline = InlineServer(runtime)
            return runtime.location
        self._node.configure(runtime.secret.key, self._servers, settings, dest_path)
        # The daemon needs a moment yet, and what comes next is a computation.
        importlib.import_module("greencoro.compute.declaration")
        location = self._node.wait()
        self._scheduler = Scheduler(nodes=[location])
        return location

    @property
    def scheduler(self) -> Scheduler:
        """See `LocalCluster`."""
        if self._scheduler is None:
            raise ComputeError("an inline cluster has no scheduler of that kind")
        return self._scheduler

    def wait_for_servers(self, wanted: int, timeout: float | None) -> None:
        """See `LocalCluster`."""
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
            return self._ask(self._node.location, deadline), _ASK_SECONDS
        return len(self.scheduler.look(ready_locations)), _LOOK_SECONDS

    def _why_no_server(self) -> str:
        return self.scheduler.why_no_server() if self._inline is None else self._inline.why_no_server()

    def _ask(self, daemon: Location, deadline: float | None) -> int:
        """How many servers the daemon says are ready; 0 where it does not answer."""
        left = _ANSWER_SECONDS if deadline is None else max(_ASK_SECONDS, deadline - native.monotonic())
        try:
            answer = self.scheduler.runtime.request(daemon, Attach.operation, Attach().to_header(), timeout=left)
        except (NetworkError, DeadlineExceeded):
            return 0  # it is ending, or hangs: the next look at its process tells
        return NodeFacts.from_header(answer.header).ready

    def close(self) -> None:
        """End everything that was started: when it returns, no process is left."""
        process_exit.cancel_at_exit(self._on_exit)
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
        elif self._node is not None:
            self._scheduler.remove_node(self._node.location)
