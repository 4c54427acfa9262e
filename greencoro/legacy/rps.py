"""pycos' RPS: generator functions that peers may start as tasks here."""

from __future__ import annotations

from typing import Any, ClassVar

from greencoro.distributed import rci as native_rci
from greencoro.distributed.elsewhere import Home
from greencoro.distributed.refs import Reference
from greencoro.hub import exit as process_exit
from greencoro.hub.coroutine import Coro as NativeCoro
from greencoro.legacy.logger import logger
from greencoro.legacy.rci import RCI
from greencoro.legacy.task import Task

__all__ = ["RPS", "RemoteRPS"]

#: Among what is called at the end of a program, where higher ones come first.
_CLOSE = 5


class RPS(RCI):
    """A generator function that peers may start as a task here, once it is registered.

    They find it with `locate`; with ``yield`` a call of what that gives starts it: ``rtask = yield rps(*args)``.

    Args:
        method: A generator function.

        name (str | None): What it is registered as; default: the function's name.

    Raises:
        RuntimeError: ``method`` is no generator function.
    """

    coro_class: ClassVar[type[NativeCoro]] = Task

    def monitor(self, task: Any) -> int:
        """Have ``task`` be sent the `MonitorStatus` of each task that a call starts elsewhere; 0, or -1."""
        logger.warning("%s is of this process: its calls are monitored where they are made", self)
        return -1

    def close(self) -> int:
        """Only a reference can be closed: -1."""
        return -1


class RemoteRPS(native_rci.RemoteRCI, RPS):
    """A reference to an RPS of another process."""

    def __init__(self, runtime: Home, reference: Reference) -> None:
        super().__init__(runtime, reference)
        self._monitors: list[Any] = []
        self._started: list[Any] = []
        self._is_closed = False

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """With ``yield``: start the task there.

        Returns:
            Task | None: A reference to it, whose `finish` has its result; None where it could not be started.
        """
        if self._is_closed:
            logger.warning("%s is not called: it was closed", self)
            return None
        try:
            rtask: Any = super().__call__(*args, **kwargs)
        except Exception as error:
            logger.warning("%s is not called: %s", self, error)
            return None
        if not self._started:
            process_exit.cancel_at_exit(self.close)
            process_exit.at_exit(_CLOSE, self.close)
        self._started = [each for each in self._started if not each.kept.done]
        self._started.append(rtask)
        for monitor in self._monitors:
            monitor.monitor(rtask)
        return rtask

    def monitor(self, task: Any) -> int:
        """Have ``task`` be sent the `MonitorStatus` of each task that is started from now on; 0, or -1 for no task."""
        if not isinstance(task, Task):
            return -1
        if task not in self._monitors:
            self._monitors.append(task)
        return 0

    def close(self) -> int:
        """Terminate the tasks that were started by it, and start no others; 0, or -1 where it is closed."""
        if self._is_closed:
            return -1
        self._is_closed = True
        process_exit.cancel_at_exit(self.close)
        for rtask in self._started:
            if not rtask.kept.done:
                rtask.terminate()
        self._started.clear()
        self._monitors.clear()
        return 0
