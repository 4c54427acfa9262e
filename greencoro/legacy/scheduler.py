"""AsynCoro: what runs the coroutines of asyncoro's programs, started with the first of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

from greencoro.hub import exit as process_exit
from greencoro.hub import userhub
from greencoro.hub.execution import running
from greencoro.legacy.logger import logger
from greencoro.legacy.singleton import Singleton
from greencoro.legacy.version import VERSION

__all__ = ["AsynCoro", "call_at_exit", "current", "ensure_started", "started"]


class AsynCoro(metaclass=Singleton):
    """Runs coroutines, in one thread of their own; there is one of it in a process.

    Attributes:
        location: Where it is among its peers; None, for it has none.

        name (str): What its peers call it; empty.
    """

    _instance: AsynCoro | None = None
    #: What is said at its start.
    _version: ClassVar[str] = VERSION

    location: Any = None
    name = ""

    def __init__(self) -> None:
        process_exit.start()
        logger.info("version %s with %s I/O notifier", self._version, userhub.backend())

    @classmethod
    def instance(cls, *args: Any, **kwargs: Any) -> Any:
        """The one there is; where there is none, it is made with these arguments."""
        return cls(*args, **kwargs)

    @staticmethod
    def scheduler() -> Any:
        """The one there is, to coroutines; None to other places."""
        return None if running() is None else started()

    @staticmethod
    def cur_coro(scheduler: Any = None) -> Any:
        """The coroutine that runs this code; None outside of coroutines."""
        return running()

    def join(self, show_running: bool = False) -> None:
        """Wait until no coroutine is left that is no daemon; for threads.

        Args:
            show_running (bool): Log those that are waited for.
        """
        if self._may_join(show_running):
            process_exit.wait_for_coroutines()

    @staticmethod
    def _may_join(show_running: bool) -> bool:
        if not _may_wait("join"):
            return False
        if show_running:
            for coro in process_exit.holding():
                logger.info("waiting for %s", coro)
        return True

    def finish(self) -> None:
        """`join`, then end the daemons and stop for good, as the end of the program does; for threads."""
        if _may_wait("finish"):
            process_exit.finish()

    def terminate(self) -> None:
        """End all coroutines, then stop for good; for threads."""
        if _may_wait("terminate"):
            process_exit.terminate()

    def atexit(self, priority: int, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have ``func(*args, **kwargs)`` called at the program's end, when the coroutines that it waits for are over.

        Args:
            priority (int): Higher ones come first.
        """
        call_at_exit(priority, functools.partial(func, *args, **kwargs))


def call_at_exit(priority: int, call: Callable[[], Any]) -> None:
    """`AsynCoro.atexit`, for what can be told from others."""
    # After 0 there are no peers any more.
    process_exit.at_exit(priority if priority > 0 else 1 / (2 - priority), call)


def _may_wait(what: str) -> bool:
    if not userhub.on_hub():
        return True
    logger.warning("%s() would have a coroutine wait for itself, and does nothing", what)
    return False


#: What is started with the first coroutine; ``asyncoro.disasyncoro`` puts its own in the place of this.
current: type[AsynCoro] = AsynCoro


def ensure_started() -> None:
    """Start what is `current`, with default parameters, where it was not started yet."""
    if current._instance is None:
        current()


def started() -> AsynCoro | None:
    """What was started; None where nothing was."""
    return current._instance
