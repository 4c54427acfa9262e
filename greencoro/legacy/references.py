"""asyncoro's references to coroutines and channels of other processes."""

from __future__ import annotations

from typing import Any

from greencoro.distributed import proxies, remote_channel
from greencoro.distributed.messages import Terminate
from greencoro.errors import LocalProtocolError, WouldBlock
from greencoro.hub import native
from greencoro.hub.ends import Ends
from greencoro.legacy.logger import logger

__all__ = ["RemoteChannel", "RemoteCoro"]


class RemoteCoro(proxies.RemoteCoro):
    """A reference to a coroutine elsewhere: to send to it, deliver, monitor it, terminate it."""

    __slots__ = ()

    def send(self, message: Any) -> int:
        """Queue a copy of ``message`` for the coroutine.

        Returns:
            int: 0 where it is queued, which does not say that it arrives: what cannot be pickled, or is for one that is
            over, is dropped. -1 where its process is lost, the message too large, or for too long without room.
        """
        result = _sent(self, message, super().send)
        if result and self._is_over_there():
            logger.warning("a message for %s is dropped: that is over", self)
            return 0
        return result

    def deliver(self, message: Any, timeout: float | None = None) -> int:
        """With ``yield``: send ``message``; 1 once it is in the mailbox, 0 where that is not confirmed."""
        try:
            return super().deliver(message, timeout)
        except WouldBlock:
            raise
        except Exception as error:
            logger.warning("a message for %s is dropped: %r", self, error)
            return 0

    def terminate(self, hard: bool = False) -> int:
        """Ask for its end, in order with what was sent to it before; 0, or -1 where its process is lost."""
        # Nothing of old is to wait but at its `yield`: whether it is over there, nobody learns.
        link = self.reach()
        if link is None:
            return 0 if self._is_over_there() else -1
        return 0 if self._queue_terminate(link, Terminate(self.id, 0, hard)) else -1

    def _is_over_there(self) -> bool:
        return self.reach() is None and not self.is_lost()

    def _add_monitor(self, monitor: Ends) -> Any:
        began = native.monotonic()
        return _answer(self, super()._add_monitor(monitor), began, self._runtime.answer_timeout_seconds)

    def notify(self, monitor: Ends) -> int:
        """A coroutine has others notified in its own process: -1."""
        return self._elsewhere("notify")

    def receive(self, *args: Any, **kwargs: Any) -> int:
        """As all that only the coroutine's own process does: -1."""
        return self._elsewhere("receive")

    def suspend(self, *args: Any, **kwargs: Any) -> int:
        """-1."""
        return self._elsewhere("suspend")

    recv, sleep = receive, suspend

    def resume(self, update: Any = None) -> int:
        """-1."""
        return self._elsewhere("resume")

    wakeup = resume

    def throw(self, *exception: Any) -> int:
        """-1."""
        return self._elsewhere("throw")

    def set_daemon(self, flag: bool = True) -> int:
        """-1."""
        return self._elsewhere("set_daemon")

    def hot_swappable(self, flag: bool = True) -> int:
        """-1."""
        return self._elsewhere("hot_swappable")

    def hot_swap(self, *args: Any, **kwargs: Any) -> int:
        """-1."""
        return self._elsewhere("hot_swap")

    def _elsewhere(self, what: str) -> int:
        logger.warning("%s() of %s works in its own process only", what, self)
        return -1

    def __repr__(self) -> str:
        return f"~{super().__repr__()}"


class RemoteChannel(remote_channel.RemoteChannel):
    """A reference to a channel elsewhere: to send through it, deliver, subscribe to it."""

    def send(self, message: Any) -> int:
        """Queue a copy of ``message`` for all who subscribe when it arrives; as `RemoteCoro.send`."""
        result = _sent(self, message, super().send)
        return 0 if result and self.reach() is None and not self.is_lost() else result

    def deliver(self, message: Any, timeout: float | None = None, n: int = 0) -> int:
        """With ``yield``: send ``message`` and learn how many have it; -1 where ``n`` is no number of subscribers."""
        if not isinstance(n, int) or n < 0:
            return -1
        try:
            return super().deliver(message, timeout, int(n))
        except WouldBlock:
            raise
        except Exception as error:
            logger.warning("a message for %s is dropped: %r", self, error)
            return 0

    def subscribe(self, subscriber: Any, timeout: float | None = None) -> Any:
        """With ``yield``: let ``subscriber`` get what is sent; 0, -1 where it cannot, None for no answer in time."""
        return self._asked(super().subscribe, subscriber, timeout)

    def unsubscribe(self, subscriber: Any, timeout: float | None = None) -> Any:
        """With ``yield``: undo `subscribe`; the same results, and -1 where it does not subscribe."""
        return self._asked(super().unsubscribe, subscriber, timeout)

    def _asked(self, ask: Any, subscriber: Any, timeout: float | None) -> Any:
        began = native.monotonic()
        try:
            return _answer(self, ask(subscriber, timeout), began, timeout)
        except (TypeError, ValueError) as error:
            logger.warning("%s", error)
            return -1

    def set_transform(self, transform: Any) -> int:
        """Only its own process can: -1."""
        logger.warning("set_transform() of %s works in its own process only", self)
        return -1

    def close(self) -> None:
        """Only its own process can."""
        logger.warning("close() of %s works in its own process only", self)

    def __repr__(self) -> str:
        return f"~{self.name}@{self.location}"


def _sent(to: Any, message: Any, send: Any) -> int:
    try:
        result: int = send(message)
    except WouldBlock:
        raise
    except LocalProtocolError as error:
        logger.warning("a message for %s is dropped: %s", to, error)
        return -1
    except Exception as error:
        # Whoever sent it never was told.
        logger.warning("a message for %s is dropped: %r", to, error)
        return 0
    return result


def _answer(reference: Any, result: int, began: float, limit: float | None) -> int | None:
    """What was answered; None where nothing was in all that time, though the process is not lost."""
    in_time = limit is None or native.monotonic() - began < limit
    return result if result == 0 or in_time or reference.reach() is None else None
