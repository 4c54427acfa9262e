"""A database cursor whose queries let other coroutines run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from greencoro.errors import ClosedResource, WouldBlock
from greencoro.hub.sync import Semaphore
from greencoro.hub.thread_pool import AsyncThreadPool

__all__ = ["AsyncDBCursor"]


class AsyncDBCursor:
    """A cursor of any module of the DB-API, whose queries run in the threads of a pool, one at a time.

    What it does not have itself (``fetchall``, ``rowcount`` …) is the cursor's. The module must allow for a cursor to
    be used in several threads one after the other: ``sqlite3.connect(…, check_same_thread=False)``.

    Args:
        thread_pool (AsyncThreadPool): Where the queries run; other cursors may share it.

        cursor: The cursor, which nobody else uses.
    """

    def __init__(self, thread_pool: AsyncThreadPool, cursor: Any) -> None:
        self._thread_pool = thread_pool
        self._cursor = cursor
        self._turns = Semaphore(1)

    def execute(self, query: Any, args: Any = None) -> Any:
        """What the cursor's ``execute`` returns, and raises. None is no arguments, for all modules alike."""
        return self._run(partial(self._cursor.execute, query, *(() if args is None else (args,))))

    def executemany(self, query: Any, args: Any) -> Any:
        """What the cursor's ``executemany`` returns, and raises."""
        return self._run(partial(self._cursor.executemany, query, args))

    def callproc(self, proc: Any, args: Any = ()) -> Any:
        """What the cursor's ``callproc`` returns, and raises."""
        return self._run(partial(self._cursor.callproc, proc, args))

    def _run(self, query: Callable[[], Any]) -> Any:
        self._turns.acquire()
        turn = ExitStack()
        turn.callback(self._turns.release)

        def task() -> Any:
            # Over here: the caller may be terminated long before the cursor can be used again.
            with turn:
                return query()

        try:
            return self._thread_pool.async_task(task)
        except (ClosedResource, WouldBlock):
            # The pool may not have taken it.
            turn.close()
            raise

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"AsyncDBCursor has no {name!r}")
        return getattr(self._cursor, name)
