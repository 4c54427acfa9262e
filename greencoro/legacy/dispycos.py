"""The module ``pycos.dispycos``: clients, whose generator functions are sent to servers and run there as tasks."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from greencoro.compute import computation, generator_jobs, jobs
from greencoro.compute.avail_info import NodeAvailInfo
from greencoro.compute.filters import NodeFacts
from greencoro.compute.source_packaging import SourcePackager
from greencoro.compute.status import Status
from greencoro.distributed.location import Location
from greencoro.errors import MonitorException
from greencoro.hub import native
from greencoro.legacy import discoro, private_scheduler, pycos_config
from greencoro.legacy import netpycos as netpycos
from greencoro.legacy.aliases import add
from greencoro.legacy.coro import Coro
from greencoro.legacy.discoro_words import DiscoroNodeAvailInfo, DiscoroNodeInfo
from greencoro.legacy.dispycos_words import (
    DispycosNodeAllocate,
    DispycosNodeAvailInfo,
    DispycosNodeInfo,
    DispycosStatus,
    DispycosTaskInfo,
    StatusNumbers,
    number_of,
)
from greencoro.legacy.logger import logger
from greencoro.legacy.monitor_status import MonitorStatus, status_of
from greencoro.legacy.server_jobs import ENTRY, preamble
from greencoro.legacy.status_news import StatusNews
from greencoro.legacy.sub_calls import sub_call
from greencoro.legacy.task import Task

__all__ = [
    "Client",
    "Computation",
    "DispycosNodeAllocate",
    "DispycosNodeAvailInfo",
    "DispycosNodeInfo",
    "DispycosStatus",
    "DispycosTaskInfo",
    "Scheduler",
]

# Programs assign these, before there is a client.

#: Longest wait for messages between processes, in seconds.
MsgTimeout: float = pycos_config.MsgTimeout
#: Limits of a client's ``pulse_interval``, in seconds.
MinPulseInterval: float = pycos_config.MinPulseInterval
MaxPulseInterval: float = pycos_config.MaxPulseInterval


def prepare() -> Any:
    """Make this process, a server, one for tasks; what they know as ``pycos``."""
    add()
    pycos = importlib.import_module("pycos")
    # Of the runtime that there is.
    importlib.import_module("pycos.netpycos").Pycos()
    generator_jobs.run_as(Task)
    return pycos


class Scheduler(StatusNumbers, private_scheduler.Scheduler):
    """Finds nodes, and gives the clients of this process their turn at them; there is one of it in a process.

    Args:
        options: As `greencoro.legacy.private_scheduler.Scheduler` and `Pycos` take them. ``pulse_interval``,
            ``ping_interval`` and ``relay_nodes`` are ignored: the client's intervals count, and nodes are relayed to.
    """

    _instance: Any = None
    _word: ClassVar[str] = "dispycos"

    def __init__(self, **options: Any) -> None:
        for ignored in ("pulse_interval", "ping_interval", "relay_nodes"):
            options.pop(ignored, None)
        super().__init__(**options)


class _Computation(computation.Computation):
    """One whose code travels as source, and is run as tasks."""

    _new_packager = staticmethod(lambda: SourcePackager(ENTRY, preamble(__name__, "pycos")))


class _StatusNews(StatusNews):
    """What a status task is told."""

    def in_old_words(self, message: Any) -> Any:
        if isinstance(message, NodeAvailInfo):
            return _avail_info(super().in_old_words(message))
        if isinstance(message, MonitorException):
            return _status_of_task(message)
        if not isinstance(message, Status):
            return message
        info = super().in_old_words(message).info
        if isinstance(info, DiscoroNodeInfo):
            free = None if info.avail_info is None else _avail_info(info.avail_info)
            info = DispycosNodeInfo(info.name, info.addr, info.cpus, info.platform, free)
        elif message.status == Status.CoroCreated:
            info = DispycosTaskInfo(*info)
        elif isinstance(info, Location):
            info = Location(info.addr, info.port)
        return DispycosStatus(number_of(message.name), info)


def _avail_info(told: DiscoroNodeAvailInfo) -> DispycosNodeAvailInfo:
    return DispycosNodeAvailInfo(Location(told.addr, 0), told.cpu, told.memory, told.disk, told.swap)


def _status_of_task(notice: MonitorException) -> MonitorStatus:
    if notice.kind == "lost":
        return MonitorStatus(notice.coro, Scheduler.TaskAbandoned)
    if notice.kind == "terminated":
        return MonitorStatus(notice.coro, Scheduler.TaskTerminated)
    return status_of(notice)


class Client(discoro.Computation):
    """Functions, classes, modules and files that are sent to servers, and generator functions that are run there.

    What is not said here is as in `greencoro.legacy.discoro.Computation`.

    Args:
        components: One of them, or a list.

        nodes (list): `DispycosNodeAllocate`, or host names or addresses for it; what none of them is meant for is used.

        status_task (Task | None): Is sent what happens to nodes, servers and tasks; to be set until `schedule`.

        node_allocations (list): Further ``nodes``.

        abandon_zombie_nodes (bool): Ignored: tasks of a node that is lost are abandoned.

        node_setup, server_setup, disable_nodes, disable_servers, restart_servers: Not supported.

    Raises:
        Exception: One of them is not what it has to be, or not supported.
    """

    _native_class: ClassVar[type[computation.Computation]] = _Computation
    _news_class: ClassVar[type[StatusNews]] = _StatusNews
    _coro_class: ClassVar[type[Coro]] = Task

    def __init__(
        self,
        components: Any,
        nodes: Iterable[DispycosNodeAllocate | str] = (),
        status_task: Task | None = None,
        node_setup: Any = None,
        server_setup: Any = None,
        disable_nodes: bool = False,
        disable_servers: bool = False,
        pulse_interval: float | None = None,
        node_allocations: Iterable[DispycosNodeAllocate] = (),
        ping_interval: float | None = None,
        restart_servers: bool = False,
        zombie_period: float | None = None,
        abandon_zombie_nodes: bool = False,
    ) -> None:
        unsupported = {
            "node_setup": node_setup,
            "server_setup": server_setup,
            "disable_nodes": disable_nodes,
            "disable_servers": disable_servers,
            "restart_servers": restart_servers,
        }
        for name, given in unsupported.items():
            if given:
                raise Exception(f"{name} of pycos is not supported; leave it out")
        wanted = [*nodes, *node_allocations]
        if isinstance(nodes, str) or not all(isinstance(each, DispycosNodeAllocate | str) for each in wanted):
            raise Exception(f"nodes is a list of host names and DispycosNodeAllocate, not {nodes!r}")
        self._allocations = [DispycosNodeAllocate(each) if isinstance(each, str) else each for each in wanted]
        # There they are read, when there is a computation.
        discoro.MsgTimeout, discoro.MinPulseInterval, discoro.MaxPulseInterval = (
            MsgTimeout,
            MinPulseInterval,
            MaxPulseInterval,
        )
        pulse = 5 * MinPulseInterval if pulse_interval is None else pulse_interval
        period = 10 * pulse if zombie_period is None else zombie_period
        super().__init__(components, status_task, None, pulse, ping_interval, period)
        # As of old, who wants a server waits until there is one.
        self._alone = jobs.RemoteCoroScheduler(self._native, patience=math.inf)
        self._io_tasks: list[Any] = []

    @property
    def status_task(self) -> Any:
        """The task that is told; may be set until `schedule`."""
        return self.status_coro

    @status_task.setter
    def status_task(self, task: Any) -> None:
        self.status_coro = task

    def _learn(self, facts: NodeFacts) -> bool | None:
        super()._learn(facts)
        return next((verdict for each in self._allocations if (verdict := each.verdict(facts)) is not None), None)

    @sub_call
    def schedule(self, location: Location | None = None, timeout: float | None = None) -> int:
        """With ``yield``: wait for this client's turn.

        Args:
            location (Location | None): Where the scheduler is; None: in this process, which may start one by this.

            timeout (float | None): Longest wait for its answer, in seconds; None: `MsgTimeout`.

        Returns:
            int: 0 once it has its turn; -1 where there is no scheduler, it was scheduled before, or a file is missing.
        """
        if location is None:
            Scheduler()
        return self._schedule(location, timeout)

    @sub_call
    def close(self, await_io: bool = False, terminate: bool = False, timeout: float | None = None) -> None:
        """With ``yield``: wait for its tasks, then give the servers back; where it is not scheduled, nothing.

        Args:
            await_io (bool): Wait for those of `io_rtask` too.

            terminate (bool): Wait for none.

            timeout (float | None): Longest wait, in seconds.
        """
        if not terminate:
            deadline = math.inf if timeout is None else native.monotonic() + timeout
            tasks = [job.coro for job in list(self._alone._dispatcher.outstanding)]
            for rtask in [*tasks, *(self._io_tasks if await_io else ())]:
                if rtask is not None and rtask.kept is not None:
                    rtask.kept.wait(None if deadline == math.inf else max(0.0, deadline - native.monotonic()))
        self._close()

    # Tasks.

    @sub_call
    def rtask(self, gen: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """With ``yield``: wait for a server that runs no other task of `rtask`, and run ``gen(*args, **kwargs)`` there.

        Returns:
            Task | None: A reference, whose `finish` has its result; None where it could not be started.
        """

        def start(where: None, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            return self._alone.schedule(function, *args, **kwargs)

        return self._task(None, gen, args, kwargs, start)

    @sub_call
    def rtask_at(self, where: Any, gen: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """With ``yield``: as `rtask`, at this server, or at a server of this node: at once, whatever else runs there.

        Args:
            where: The location of the one, or the address of the other.
        """
        return self._task(where, gen, args, kwargs, self._alone.submit_at)

    @sub_call
    def io_rtask(self, gen: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """With ``yield``: as `rtask`, beside what runs at the server."""
        return self._io_task(None, gen, args, kwargs)

    @sub_call
    def io_rtask_at(self, where: Any, gen: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """With ``yield``: as `io_rtask`, at this server, or at a server of this node, as of `rtask_at`."""
        return self._io_task(where, gen, args, kwargs)

    # Their names in older programs.
    run, run_at = rtask, rtask_at  # type: ignore[assignment]
    run_async, run_async_at = io_rtask, io_rtask_at

    def _io_task(self, where: Any, gen: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        def start(where: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            if where is None:
                self._native.wait_for_servers(1, None)
            return self._native.run_at(where, function, *args, **kwargs)

        rtask = self._task(where, gen, args, kwargs, start)
        self._io_tasks = [each for each in self._io_tasks if each.kept is not None and not each.kept.done]
        if rtask is not None:
            self._io_tasks.append(rtask)
        return rtask

    def _task(
        self, where: Any, gen: Any, args: tuple[Any, ...], kwargs: dict[str, Any], start: Callable[..., Any]
    ) -> Any:
        if isinstance(gen, str):
            logger.warning("%s is not run: it is the name of a generator function, none itself", gen)
            return None
        rtask = self._started(where, gen, args, kwargs, start)
        if isinstance(rtask, tuple):
            logger.warning("%s is not run: %s", rtask[1], rtask[2])
            return None
        return rtask


#: Its name in older programs.
Computation = Client
