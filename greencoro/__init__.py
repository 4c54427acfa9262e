"""greencoro: plain blocking-style functions as coroutines, in one process or on many machines.

General layout, from the bottom up: `errors`, `config` and `log` are used everywhere; `hub` runs many coroutines in one
process; `distributed` joins processes into one space of names; `compute` ships code to servers; `monitor` looks at
them; `cli` is the ``greencoro`` command. Each package's docstring lists its modules in the order to read them.

This file is the shop window: the public names, each found in its module at its first use. Importing greencoro starts
nothing, opens nothing and patches nothing.
"""

from __future__ import annotations

import importlib
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

# Attaches the NullHandler, before any part of greencoro can log.
from greencoro import log as _log  # noqa: F401
from greencoro._version import __version__

if TYPE_CHECKING:
    from greencoro.compute.avail_info import NodeAvailInfo
    from greencoro.compute.cluster import LocalCluster
    from greencoro.compute.computation import Computation
    from greencoro.compute.executor import Executor
    from greencoro.compute.filters import NodeFacts, NodeFilter
    from greencoro.compute.futures import as_completed
    from greencoro.compute.job import Job
    from greencoro.compute.jobs import RemoteCoroScheduler
    from greencoro.compute.scattered import Scattered
    from greencoro.compute.scheduler import Scheduler
    from greencoro.compute.status import CoroInfo, Status
    from greencoro.config import Settings
    from greencoro.distributed.location import Location
    from greencoro.distributed.peer_status import PeerStatus
    from greencoro.distributed.rci import RCI
    from greencoro.distributed.runtime import Runtime, runtime
    from greencoro.errors import (
        AuthenticationError,
        BrokenResource,
        BusyResource,
        ClosedResource,
        ComputationClosed,
        ComputeError,
        ConfigError,
        CoroTerminated,
        DeadlineExceeded,
        EndOfChannel,
        GreencoroError,
        HotSwapException,
        IncompatibleVersion,
        JobTimeLimit,
        LinkedCoroEnded,
        LocalProtocolError,
        MonitorException,
        NetworkError,
        NoMatchingServer,
        PackagingError,
        PartialFailure,
        PeerLost,
        PeerUnreachable,
        ProtocolError,
        RemoteError,
        RemoteProtocolError,
        ServerDied,
        Terminated,
        TooManyRestarts,
        TransferError,
        WouldBlock,
    )
    from greencoro.hub.categories import CategorizeMessages
    from greencoro.hub.channel import Channel
    from greencoro.hub.coroutine import Coro
    from greencoro.hub.execution import sleep
    from greencoro.hub.files import AsyncFile
    from greencoro.hub.pipes import AsyncPipe
    from greencoro.hub.popen import Popen
    from greencoro.hub.requests import Request
    from greencoro.hub.sockets import AsyncSocket
    from greencoro.hub.stacks import show_stacks_on_signal, stacks
    from greencoro.hub.supervisor import Supervisor
    from greencoro.hub.sync import Condition, Event, Lock, RLock, Semaphore
    from greencoro.hub.thread_pool import AsyncThreadPool
    from greencoro.hub.timers import Timer, every, send_after

__all__ = [
    "RCI",
    "AsyncFile",
    "AsyncPipe",
    "AsyncSocket",
    "AsyncThreadPool",
    "AuthenticationError",
    "BrokenResource",
    "BusyResource",
    "CategorizeMessages",
    "Channel",
    "ClosedResource",
    "Computation",
    "ComputationClosed",
    "ComputeError",
    "Condition",
    "ConfigError",
    "Coro",
    "CoroInfo",
    "CoroTerminated",
    "DeadlineExceeded",
    "EndOfChannel",
    "Event",
    "Executor",
    "GreencoroError",
    "HotSwapException",
    "IncompatibleVersion",
    "Job",
    "JobTimeLimit",
    "LinkedCoroEnded",
    "LocalCluster",
    "LocalProtocolError",
    "Location",
    "Lock",
    "MonitorException",
    "NetworkError",
    "NoMatchingServer",
    "NodeAvailInfo",
    "NodeFacts",
    "NodeFilter",
    "PackagingError",
    "PartialFailure",
    "PeerLost",
    "PeerStatus",
    "PeerUnreachable",
    "Popen",
    "ProtocolError",
    "RLock",
    "RemoteCoroScheduler",
    "RemoteError",
    "RemoteProtocolError",
    "Request",
    "Runtime",
    "Scattered",
    "Scheduler",
    "Semaphore",
    "ServerDied",
    "Settings",
    "Status",
    "Supervisor",
    "Terminated",
    "Timer",
    "TooManyRestarts",
    "TransferError",
    "WouldBlock",
    "__version__",
    "as_completed",
    "every",
    "runtime",
    "send_after",
    "show_stacks_on_signal",
    "sleep",
    "stacks",
]

# Public name -> the module that defines it. Errors are most of the names, so a name that is not here is one of theirs.
_HOME = {
    "AsyncFile": "greencoro.hub.files",
    "AsyncPipe": "greencoro.hub.pipes",
    "AsyncSocket": "greencoro.hub.sockets",
    "AsyncThreadPool": "greencoro.hub.thread_pool",
    "CategorizeMessages": "greencoro.hub.categories",
    "Channel": "greencoro.hub.channel",
    "Computation": "greencoro.compute.computation",
    "Condition": "greencoro.hub.sync",
    "Coro": "greencoro.hub.coroutine",
    "CoroInfo": "greencoro.compute.status",
    "Event": "greencoro.hub.sync",
    "Executor": "greencoro.compute.executor",
    "Job": "greencoro.compute.job",
    "LocalCluster": "greencoro.compute.cluster",
    "Location": "greencoro.distributed.location",
    "Lock": "greencoro.hub.sync",
    "NodeAvailInfo": "greencoro.compute.avail_info",
    "NodeFacts": "greencoro.compute.filters",
    "NodeFilter": "greencoro.compute.filters",
    "PeerStatus": "greencoro.distributed.peer_status",
    "Popen": "greencoro.hub.popen",
    "RCI": "greencoro.distributed.rci",
    "RLock": "greencoro.hub.sync",
    "RemoteCoroScheduler": "greencoro.compute.jobs",
    "Request": "greencoro.hub.requests",
    "Runtime": "greencoro.distributed.runtime",
    "Scattered": "greencoro.compute.scattered",
    "Scheduler": "greencoro.compute.scheduler",
    "Semaphore": "greencoro.hub.sync",
    "Settings": "greencoro.config",
    "Status": "greencoro.compute.status",
    "Supervisor": "greencoro.hub.supervisor",
    "Timer": "greencoro.hub.timers",
    "as_completed": "greencoro.compute.futures",
    "every": "greencoro.hub.timers",
    "runtime": "greencoro.distributed.runtime",
    "send_after": "greencoro.hub.timers",
    "show_stacks_on_signal": "greencoro.hub.stacks",
    "sleep": "greencoro.hub.execution",
    "stacks": "greencoro.hub.stacks",
}


def _require_gil() -> None:
    gil_enabled = getattr(sys, "_is_gil_enabled", lambda: True)
    if sysconfig.get_config_var("Py_GIL_DISABLED") or not gil_enabled():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise ImportError(
            f"greencoro needs a Python with the global interpreter lock, but {sys.executable} is a free-threaded "
            f"build; use the ordinary build of Python {version}"
        )


_require_gil()


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME.get(name, "greencoro.errors")), name)
    globals()[name] = value  # so that this is asked once a name
    return value


def __dir__() -> list[str]:
    # Not what this file needs for itself, nor the packages below that were imported since.
    return sorted({*__all__, *(name for name in globals() if name.startswith("__") and name.endswith("__"))})
