"""The module ``asyncoro``: coroutines in the style of 2016, each wait of which is yielded."""

from __future__ import annotations

from greencoro.errors import HotSwapException, MonitorException
from greencoro.hub.thread_pool import AsyncThreadPool
from greencoro.legacy.categories import CategorizeMessages
from greencoro.legacy.channel import Channel
from greencoro.legacy.coro import Coro
from greencoro.legacy.database import AsyncDBCursor
from greencoro.legacy.location import Location
from greencoro.legacy.logger import Logger, logger
from greencoro.legacy.scheduler import AsynCoro
from greencoro.legacy.serialization import deserialize, serialize, unserialize
from greencoro.legacy.singleton import Singleton
from greencoro.legacy.sockets import AsynCoroSocket, AsyncSocket
from greencoro.legacy.sync import Condition, Event, Lock, RLock, Semaphore
from greencoro.legacy.version import VERSION

__all__ = [
    "AsynCoro",
    "AsynCoroSocket",
    "AsyncDBCursor",
    "AsyncSocket",
    "AsyncThreadPool",
    "CategorizeMessages",
    "Channel",
    "Condition",
    "Coro",
    "Event",
    "HotSwapException",
    "Location",
    "Lock",
    "Logger",
    "MonitorException",
    "RLock",
    "Semaphore",
    "Singleton",
    "deserialize",
    "logger",
    "serialize",
    "unserialize",
]

__version__ = VERSION

#: How long, in seconds, what concerns messages between processes is waited for.
MsgTimeout = 10

# Python imports `asyncoro.discoro` from nothing but a package.
__path__: list[str] = []
