"""pycos' tasks: asyncoro's coroutines, with what pycos changed about them."""

from __future__ import annotations

from typing import Any, ClassVar

from greencoro.distributed.monitors import EncodedNotice
from greencoro.errors import CoroTerminated, DeadlineExceeded, MonitorException
from greencoro.hub import coroutine
from greencoro.hub.deferring import DeferringRoutine
from greencoro.hub.execution import Failure
from greencoro.legacy.coro import Coro, CoroType
from greencoro.legacy.logger import logger
from greencoro.legacy.monitor_status import EncodedStatus, MonitorStatus, status_of
from greencoro.legacy.references import RemoteCoro

__all__ = ["RemoteTask", "Task"]


class _TaskType(CoroType):
    def __instancecheck__(cls, thing: Any) -> bool:
        # One elsewhere, or that greencoro made itself, is one, too.
        return isinstance(thing, coroutine.Coro) if cls is Task else type.__instancecheck__(cls, thing)


class _TaskRoutine(DeferringRoutine):
    __slots__ = ()

    keeps_last_yield: ClassVar[bool] = False


class Task(Coro, metaclass=_TaskType):
    """A generator function running as a coroutine, and the handle to it.

    ``Task(function, *args, **kwargs)`` returns at once; the function begins soon after. Where it has a parameter
    ``task`` with a default, that is set to this object. What is not said here is as in `greencoro.legacy.coro.Coro`.

    Its result is what its function returns; of one that failed it is a `MonitorStatus`.
    """

    __slots__ = ()

    own_parameter: ClassVar[str] = "task"
    _routine_class = _TaskRoutine

    def put_past_limit(self, message: Any) -> None:
        """Put ``message`` into the mailbox though that may be full; notices of ends as pycos has them."""
        if isinstance(message, MonitorException):
            message = status_of(message)
        elif isinstance(message, EncodedNotice):
            message = EncodedStatus(message)
        super().put_past_limit(message)

    def finish(self, timeout: float | None = None) -> Any:
        """With ``yield``: `value`, which is for threads there; here both are for all."""
        return self.value(timeout)

    __call__ = finish

    def _ended_with(self) -> Any:
        return status_of(self.notice()) if self._value.__class__ is Failure else self._value


class RemoteTask(RemoteCoro):
    """A reference to a task elsewhere."""

    __slots__ = ()

    def value(self, timeout: float | None = None) -> Any:
        """With ``yield``: wait for its end; None where it was not over within ``timeout`` seconds.

        Returns:
            Its result. Of one that failed, or whose process is lost, it is a `MonitorStatus`; of one that was
            terminated it is None.
        """
        try:
            return super().value(timeout)
        except (CoroTerminated, DeadlineExceeded):
            return None
        except Exception as error:
            outcome = self.kept
            notice = None if outcome is None else self.notice_of(outcome)
            logger.warning("%s failed: %r", self, error)
            if notice is None or notice.error is None:
                return MonitorStatus(self, type(error), str(error))
            status = status_of(notice)
            return MonitorStatus(self, status.type, status.value)

    def finish(self, timeout: float | None = None) -> Any:
        """`value`."""
        return self.value(timeout)

    __call__ = finish
