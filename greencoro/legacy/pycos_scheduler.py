"""Pycos: what runs the tasks of pycos' programs, started with the first of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

from greencoro.distributed.addresses import resolve
from greencoro.distributed.options import off_the_hub
from greencoro.hub import exit as process_exit
from greencoro.hub import userhub
from greencoro.legacy import scheduler
from greencoro.legacy.pycos_version import VERSION

__all__ = ["Pycos", "PycosNames"]


class PycosNames(scheduler.AsynCoro):
    """What pycos calls otherwise than asyncoro, or added."""

    _instance: scheduler.AsynCoro | None = None
    _version: ClassVar[str] = VERSION

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: What was to be called at the end, by its priority and the function that was given.
        self._at_exit: list[tuple[int, Callable[..., Any], Callable[[], Any]]] = []
        super().__init__(*args, **kwargs)

    @staticmethod
    def cur_task(scheduler: Any = None) -> Any:
        """The task that runs this code; None outside of tasks."""
        return PycosNames.cur_coro()

    @property
    def locations(self) -> list[Any]:
        """Where it is among its peers: one location, or none."""
        return [] if self.location is None else [self.location]

    @staticmethod
    def host_ipaddr(host: str) -> str | None:
        """The address of a host; None where there is no such host."""
        try:
            return off_the_hub(lambda: resolve(host))[0]
        except OSError:
            return None

    def is_alive(self) -> bool:
        """Is there what runs tasks?"""
        return userhub.is_started()

    def join(self, show_running: bool = False, timeout: float | None = None) -> bool:  # type: ignore[override]
        """Wait until no task is left that is no daemon, for ``timeout`` seconds at most; for threads. Is none left?"""
        if not self._may_join(show_running):
            return False
        return process_exit.wait_for_coroutines(timeout)

    def atexit(self, priority: int, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have ``func(*args, **kwargs)`` called at the program's end, higher priorities first."""
        call = functools.partial(func, *args, **kwargs)
        self._at_exit.append((priority, func, call))
        scheduler.call_at_exit(priority, call)

    def drop_atexit(self, priority: int, func: Callable[..., Any]) -> None:
        """Undo `atexit` of this function with this priority, whatever its arguments."""
        for entry in [each for each in self._at_exit if each[:2] == (priority, func)]:
            self._at_exit.remove(entry)
            process_exit.cancel_at_exit(entry[2])


class Pycos(PycosNames):
    """Runs tasks, in one thread of their own; there is one of it in a process."""

    _instance: scheduler.AsynCoro | None = None
