"""The module ``asyncoro``: coroutines in the style of 2016, each wait of which is yielded."""

from __future__ import annotations

from greencoro.hub.thread_pool import AsyncThreadPool
from greencoro.legacy.database import AsyncDBCursor
from greencoro.legacy.logger import Logger, logger
from greencoro.legacy.serialization import deserialize, serialize, unserialize
from greencoro.legacy.singleton import Singleton
from greencoro.legacy.sockets import AsynCoroSocket, AsyncSocket

__all__ = [
    "AsynCoroSocket",
    "AsyncDBCursor",
    "AsyncSocket",
    "AsyncThreadPool",
    "Logger",
    "Singleton",
    "deserialize",
    "logger",
    "serialize",
    "unserialize",
]

__version__ = "4.2.1"

# Python imports `asyncoro.discoro` from nothing but a package.
__path__: list[str] = []
