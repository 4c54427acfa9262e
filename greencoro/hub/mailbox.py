"""The queue of messages of one coroutine.

Any thread puts; only the coroutine whose mailbox it is takes. No lock is needed for that: the putter appends first and
then looks whether somebody waits, the taker says that it waits and then looks at the queue again. Either the taker sees
the message or the putter sees the taker.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from greenlet import getcurrent

from greencoro.hub import native, userhub

__all__ = ["Encoded", "Mailbox"]

_get_ident = native.get_ident

# Taken only to make a queue, so that two threads that send a first message at once do not make two.
_making = native.Lock()


class Encoded:
    """Base of what stands in a mailbox for a message that came as bytes: decoded when it is taken, by its receiver."""

    __slots__ = ()

    def decode(self) -> tuple[bool, Any]:
        """(True, the message), or (False, None) where it cannot be decoded and was reported as dropped."""
        raise TypeError("decode() is the subclass's")


class Mailbox:
    """Messages in the order they came."""

    __slots__ = ("_queue", "_receiver", "_waking")

    def __init__(self) -> None:
        # An empty deque costs 780 bytes, and many coroutines never get a message.
        self._queue: deque[Any] | None = None
        self._receiver: Any = None
        # Has another thread posted a `_wake` that did not come to run yet?
        self._waking = False

    def __len__(self) -> int:
        queue = self._queue
        return len(queue) if queue is not None else 0

    def put(self, message: Any) -> None:
        """Append ``message`` and wake whoever waits for one. Never blocks, never switches."""
        queue = self._queue
        if queue is None:
            queue = self._make_queue()
        queue.append(message)
        receiver = self._receiver
        if receiver is not None:
            if _get_ident() == userhub.ident:
                self._receiver = None
                userhub.ready(receiver)
            elif not self._waking:
                self._waking = True
                userhub.post(self._wake)

    def _make_queue(self) -> deque[Any]:
        with _making:
            queue = self._queue
            if queue is None:
                queue = self._queue = deque()
            return queue

    def _wake(self) -> None:
        """Let the receiver look at the queue again: there is a message, or its time is over, or it was told before."""
        self._waking = False
        receiver = self._receiver
        if receiver is not None:
            self._receiver = None
            userhub.ready(receiver)

    def take(self, timeout: float | None, alarm_value: Any) -> Any:
        """The oldest message; ``alarm_value`` where none came within ``timeout`` seconds.

        What cannot be decoded is passed over. Called by the owner, on the hub's thread.
        """
        deadline = None
        while True:
            queue = self._queue
            if queue:
                message = queue.popleft()
                if not isinstance(message, Encoded):
                    return message
                usable, message = message.decode()
                if usable:
                    return message
            elif timeout is None:
                self._receiver = getcurrent()
                if not self._queue:
                    try:
                        userhub.park()
                    finally:
                        self._receiver = None
                else:
                    self._receiver = None
            else:
                # Woken for nothing (a `_wake` from another thread came late), it waits for the rest of its time.
                now = native.monotonic()
                if deadline is None:
                    deadline = now + timeout
                if not now < deadline:  # NaN is no time at all
                    return alarm_value
                self._await(deadline - now)

    def _await(self, seconds: float) -> None:
        """Park until a message may be there, at the longest for ``seconds``."""
        self._receiver = getcurrent()
        if self._queue:
            self._receiver = None
            return
        timer = userhub.call_later(seconds, self._wake)
        try:
            userhub.park()
        finally:
            self._receiver = None
            timer.close()

    def clear(self) -> None:
        """Drop what is in it."""
        self._queue = None
