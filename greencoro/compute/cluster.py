"""LocalCluster: a node daemon of one's own on this machine, for as long as it is needed."""

from __future__ import annotations

import os
from types import TracebackType

from greencoro.compute.child import settings_as_json, spawn
from greencoro.compute.node_words import Attach, NodeFacts
from greencoro.compute.scheduler import Scheduler, current_scheduler
from greencoro.compute.scheduler_state import SchedulerState
from greencoro.config import Settings
from greencoro.distributed import runtime as runtimes
from greencoro.distributed.location import Location
from greencoro.errors import ComputeError, DeadlineExceeded, NetworkError
from greencoro.hub import exit as process_exit
from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.execution import sleep

__all__ = ["LocalCluster"]

_START_SECONDS = 30.0
#: How soon the scheduler is looked at again, how soon the daemon is asked again.
_LOOK_SECONDS = 0.01
_ASK_SECONDS = 0.05
#: What the daemon is given to end its servers, itself and its files; then it is killed, which ends the servers too.
_END_SECONDS = 5.0


class LocalCluster:
    """Server processes on this machine, and a `Scheduler` that uses them.

    The daemon that has started them ends, with them, at `close`, at the end of this process, and when this process dies
    in whatever way. Usable as a context manager.

    Args:
        servers (int | None): How many; None: one for each CPU that this process may use.

        settings (Settings | None): For the processes that are started, and for this one's `Runtime` where there is
            none; None: those of the environment.

        dest_path (path | None): Where the servers' directories are made; None: the user's own temporary one.

    Raises:
        ComputeError: The daemon could not start; it has said why on standard error.

        ValueError: ``servers`` is not positive.
    """

    def __init__(
        self,
        servers: int | None = None,
        *,
        settings: Settings | None = None,
        dest_path: str | os.PathLike[str] | None = None,
    ) -> None:
        count = len(os.sched_getaffinity(0)) if servers is None else servers
        if count < 1:
            raise ValueError(f"a cluster has at least one server, not {count}")
        self._closed = False
        #: How many server processes it has.
        self.servers = count
        # First, so that it starts while this process imports and looks up its secret.
        self._process, self._channel = spawn(["greencoro", "node", "--handshake"])
        process_exit.prepare()
        process_exit.at_exit(10, self.close)
        self._runtime: runtimes.Runtime | None = None  # where it is this one's to finish
        self._owns_scheduler = current_scheduler() is None
        try:
            settings = Settings.from_env() if settings is None else settings
            if runtimes.current_runtime() is None:
                self._runtime = runtimes.Runtime(
                    node="127.0.0.1", discover_peers=False, settings=settings, announce=False
                )
            self.scheduler = self._start(count, settings, dest_path)
        except BaseException:
            self.close()
            raise

    def _start(self, count: int, settings: Settings, dest_path: str | os.PathLike[str] | None) -> Scheduler:
        self._channel.send(
            {
                "key": runtimes.runtime().secret.key.hex(),
                "host": "127.0.0.1",
                "servers": count,
                "dest_path": None if dest_path is None else os.fspath(dest_path),
                "settings": settings_as_json(settings),
            }
        )
        answer = Completion()
        native.Thread(lambda: self._read(answer), "greencoro-cluster").start()
        if not answer.wait(_START_SECONDS):
            raise ComputeError(f"the node daemon did not start within {_START_SECONDS:g} s")
        if answer.value is None:
            raise ComputeError("the node daemon ended while it started; standard error says why")
        #: Where the node daemon is.
        self.location = Location(answer.value["host"], answer.value["port"])
        return Scheduler(nodes=[self.location])

    def _read(self, answer: Completion) -> None:
        answer.set(self._channel.receive())

    def __enter__(self) -> LocalCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait_for_servers(self, n: int | None = None, timeout: float | None = 30.0) -> None:
        """Wait until ``n`` servers take jobs of the current computation; where there is none, until they could at once.

        Args:
            n (int | None): How many; None: all of this cluster.

            timeout (float | None): Longest wait, in seconds; None: no limit.

        Raises:
            DeadlineExceeded: There were fewer in time; the message says why.

            ComputeError: The node daemon has ended.
        """
        wanted = self.servers if n is None else n
        deadline = None if timeout is None else native.monotonic() + timeout
        while True:
            if self._process.poll() is not None:
                raise ComputeError("the cluster has no servers: its node daemon has ended")
            asks = self.scheduler.look(lambda state: state.current) is None
            ready = self._ask(deadline) if asks else len(self.scheduler.look(SchedulerState.ready_locations))
            if ready >= wanted:
                return
            if deadline is not None and native.monotonic() > deadline:
                why = self.scheduler.why_no_server()
                raise DeadlineExceeded(f"{ready} of {wanted} servers were ready after {timeout:g} s: {why}")
            sleep(_ASK_SECONDS if asks else _LOOK_SECONDS)

    def _ask(self, deadline: float | None) -> int:
        """How many servers the daemon says are ready; 0 where it does not answer."""
        left = _END_SECONDS if deadline is None else max(_ASK_SECONDS, deadline - native.monotonic())
        try:
            answer = self.scheduler.runtime.request(self.location, Attach.operation, Attach().to_header(), timeout=left)
        except (NetworkError, DeadlineExceeded):
            return 0  # it is ending, or hangs: the next look at its process tells
        return NodeFacts.from_header(answer.header).ready

    @property
    def pid(self) -> int:
        """The process id of the node daemon."""
        return self._process.pid

    def close(self) -> None:
        """End everything that was started: when it returns, no process is left. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        process_exit.cancel_at_exit(self.close)
        self._channel.send({"order": "retire"})
        scheduler: Scheduler | None = getattr(self, "scheduler", None)  # none where the start failed
        if scheduler is not None:
            if self._owns_scheduler:
                scheduler.close()
            else:
                scheduler.remove_node(self.location)
        self._channel.send({"order": "end"})
        deadline = native.monotonic() + _END_SECONDS
        while self._process.poll() is None:
            if native.monotonic() > deadline:
                self._process.kill()
            sleep(0.002)
        self._channel.close()
        if self._runtime is not None:
            self._runtime.finish()
