"""The module ``pycos``: asyncoro under the names that its successor gave it.

To import it makes `Pycos` what runs the coroutines of this process.
"""

from __future__ import annotations

from greencoro.errors import HotSwapException
from greencoro.hub.thread_pool import AsyncThreadPool
from greencoro.legacy import scheduler
from greencoro.legacy.categories import CategorizeMessages
from greencoro.legacy.channel import Channel
from greencoro.legacy.database import AsyncDBCursor
from greencoro.legacy.location import Location
from greencoro.legacy.logger import Logger, logger
from greencoro.legacy.monitor_status import MonitorStatus
from greencoro.legacy.pycos_config import MsgTimeout as MsgTimeout
from greencoro.legacy.pycos_scheduler import Pycos
from greencoro.legacy.pycos_version import VERSION
from greencoro.legacy.serialization import deserialize, serialize
from greencoro.legacy.singleton import Singleton
from greencoro.legacy.sockets import AsyncSocket
from greencoro.legacy.sync import Condition, Event, Lock, RLock, Semaphore
from greencoro.legacy.task import Task

__all__ = [
    "AsyncDBCursor",
    "AsyncSocket",
    "AsyncThreadPool",
    "CategorizeMessages",
    "Channel",
    "Condition",
    "Event",
    "HotSwapException",
    "Location",
    "Lock",
    "Logger",
    "MonitorStatus",
    "Pycos",
    "RLock",
    "Semaphore",
    "Singleton",
    "Task",
    "deserialize",
    "logger",
    "serialize",
]

__version__ = VERSION

# Python imports `pycos.netpycos` from nothing but a package.
__path__: list[str] = []

logger.name = "pycos"
scheduler.current = Pycos
