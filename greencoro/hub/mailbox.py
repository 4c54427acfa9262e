"""The queue of messages of one coroutine.

It has no limit, unless it is given one: then `room` says who may put what in.

Any thread puts; only the coroutine whose mailbox it is takes. No lock is needed for that: the putter appends first and
then looks whether somebody waits, the taker says that it waits and then looks at the queue again. Either the taker sees
the message or the putter sees the taker.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent

from greencoro.hub import native, userhub
from greencoro.hub.room import Room

__all__ = ["EMPTY", "Encoded", "Mailbox", "Selection"]

#: In place of a message: there is none yet.
EMPTY: Any = object()

_get_ident = native.get_ident

# Taken only to make a queue, so that two threads that send a first message at once do not make two.
_making = native.RLock()

# Every class of `Encoded`: whether a message's type is among them is known sooner than whether it is an instance (a
# twentieth of the time of a message).
_encodings: set[type] = set()


class Encoded:
    """Base of what stands in a mailbox for a message that came as bytes: decoded when it is taken, by its receiver."""

    __slots__ = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _encodings.add(cls)

    def decode(self) -> tuple[bool, Any]:
        """(True, the message), or (False, None) where it cannot be decoded and was reported as dropped."""
        raise TypeError("decode() is the subclass's")

    def taken(self) -> None:
        """It has left the mailbox: what it took up there is free."""


class _Seen(Encoded):
    """What was decoded for a selective `receive` that did not want it, and still counts as what it came as."""

    __slots__ = ("_encoded", "_message")

    def __init__(self, encoded: Encoded, message: Any) -> None:
        self._encoded = encoded
        self._message = message

    def decode(self) -> tuple[bool, Any]:
        return True, self._message

    def taken(self) -> None:
        self._encoded.taken()


class Selection:
    """The search of one selective `receive`, which looks at each message once.

    Args:
        mailbox: Where.

        match: Says whether a message is wanted.
    """

    __slots__ = ("_looked_at", "_mailbox", "_match")

    def __init__(self, mailbox: Mailbox, match: Callable[[Any], object]) -> None:
        self._mailbox = mailbox
        self._match = match
        self._looked_at = 0

    def poll(self, receiver: Any) -> Any:
        """The oldest message that is wanted; or `EMPTY`, as `Mailbox.poll`."""
        mailbox = self._mailbox
        while True:
            queue = mailbox._queue
            while queue is not None and self._looked_at < len(queue):
                entry = message = queue[self._looked_at]
                if isinstance(entry, Encoded):
                    usable, message = entry.decode()
                    if not usable:
                        mailbox._remove(queue, self._looked_at)
                        continue
                    if not isinstance(entry, _Seen):
                        entry = queue[self._looked_at] = _Seen(entry, message)
                wanted = self._match(message)
                if self._looked_at >= len(queue) or queue[self._looked_at] is not entry:
                    raise RuntimeError("the match= of a receive() called receive() itself; it may only look")
                if wanted:
                    mailbox._remove(queue, self._looked_at)
                    return message
                self._looked_at += 1
            mailbox._receiver = receiver
            if mailbox._queue is None or self._looked_at >= len(mailbox._queue):
                return EMPTY
            mailbox._receiver = None


class Mailbox:
    """Messages in the order they came."""

    __slots__ = ("_queue", "_receiver", "_waking", "room")

    def __init__(self) -> None:
        #: Who waits at the limit; None while there is none.
        self.room: Room | None = None
        # An empty deque costs 780 bytes, and many coroutines never get a message.
        self._queue: deque[Any] | None = None
        self._receiver: Any = None
        # Has another thread posted a `_wake` that did not come to run yet?
        self._waking = False

    def __len__(self) -> int:
        queue = self._queue
        return len(queue) if queue is not None else 0

    @property
    def limit(self) -> int | None:
        """How many messages fit in before senders wait; None for no limit."""
        return None if self.room is None or self.room.limit == sys.maxsize else self.room.limit

    @limit.setter
    def limit(self, limit: int | None) -> None:
        if self.room is not None:
            self.room.limit = sys.maxsize if limit is None else limit
        elif limit is not None:
            self.room = Room(self.__len__, self.put, limit)

    def put(self, message: Any) -> None:
        """Append ``message``, whatever the limit, and wake whoever waits for one. Never blocks, never switches."""
        queue = self._queue
        if queue is None:
            queue = self._make_queue()
        queue.append(message)
        receiver = self._receiver
        if receiver is not None:
            if _get_ident() == userhub.ident:
                # In this order: where `ready` is refused (a RecursionError), the next message wakes the receiver.
                userhub.ready(receiver)
                self._receiver = None
            elif not self._waking:
                self._waking = True
                userhub.post(self._wake)

    def _make_queue(self) -> deque[Any]:
        queue: deque[Any] = deque()
        with _making:
            # A signal handler that sends comes in at a call, so before these two lines or after them.
            if self._queue is None:
                self._queue = queue
            return self._queue

    def _wake(self) -> None:
        """Let the receiver look at the queue again: there is a message, or its time is over, or it was told before."""
        self._waking = False
        self.wake()

    def take(self, timeout: float | None, alarm_value: Any, owner: Any = None) -> Any:
        """The oldest message; ``alarm_value`` where none came within ``timeout`` seconds.

        What cannot be decoded is passed over. Called by the owner, on the hub's thread.
        """
        deadline = None
        while True:
            queue = self._queue
            if queue:
                message = queue.popleft()
                if self.room is not None:
                    self.room.admit()
                if type(message) not in _encodings:
                    return message
                message.taken()
                usable, message = message.decode()
                if usable:
                    return message
            elif timeout is None:
                self._receiver = owner or getcurrent()
                if not self._queue:
                    # `_leave` written out: a frame less to keep of each coroutine that waits.
                    try:
                        userhub.leave()
                    except BaseException:
                        if self._receiver is None:
                            userhub.unready(getcurrent())
                        raise
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

    def poll(self, receiver: Any) -> Any:
        """The oldest message; or `EMPTY`, and then ``receiver`` is made ready when there may be one (or see `forget`).

        For a receiver that waits without a greenlet of its own. Called by the owner, on the hub's thread.
        """
        while True:
            queue = self._queue
            if not queue:
                self._receiver = receiver
                if not self._queue:
                    return EMPTY
                self._receiver = None
                continue
            message = queue.popleft()
            if self.room is not None:
                self.room.admit()
            if type(message) not in _encodings:
                return message
            message.taken()
            usable, message = message.decode()
            if usable:
                return message

    def forget(self, receiver: Any) -> bool:
        """Do not make ``receiver`` ready; False where that was done already."""
        if self._receiver is not receiver:
            return False
        self._receiver = None
        return True

    def wake(self) -> None:
        """Make the receiver ready, though there may be no message for it; hub's thread only."""
        receiver = self._receiver
        if receiver is not None:
            self._receiver = None
            userhub.ready(receiver)

    def take_matching(self, match: Callable[[Any], object], timeout: float | None, alarm_value: Any) -> Any:
        """The oldest message for which ``match(message)`` is true, as `take` does; the others stay as they are.

        What ``match`` raises goes to the caller, and then nothing was taken.
        """
        deadline = None if timeout is None else native.monotonic() + timeout
        selection = Selection(self, match)
        receiver = getcurrent()
        timer = None
        try:
            while True:
                message = selection.poll(receiver)
                if message is not EMPTY:
                    return message
                if deadline is not None:
                    remaining = deadline - native.monotonic()
                    if not remaining > 0:
                        return alarm_value
                    if timer is not None:
                        # Woken by a message that it does not want, or by a timer that fired early.
                        timer.close()
                    timer = userhub.call_later(remaining, self.wake)
                self._leave()
        finally:
            self._receiver = None
            if timer is not None:
                timer.close()

    def _remove(self, queue: deque[Any], index: int) -> None:
        entry = queue[index]
        del queue[index]
        if isinstance(entry, Encoded):
            entry.taken()
        if self.room is not None:
            self.room.admit()

    def _await(self, seconds: float) -> None:
        """Park until a message may be there, at the longest for ``seconds``."""
        self._receiver = getcurrent()
        if self._queue:
            self._receiver = None
            return
        timer = userhub.call_later(seconds, self._wake)
        try:
            self._leave()
        finally:
            timer.close()

    def _leave(self) -> None:
        """Park the receiver until it is made ready."""
        try:
            userhub.leave()
        except BaseException:
            if self._receiver is None:
                # It had been made ready; its turn must not come any more.
                userhub.unready(getcurrent())
            raise
        finally:
            self._receiver = None

    def clear(self) -> None:
        """Drop what is in it; whoever waits for room waits no more."""
        self._queue = None
        if self.room is not None:
            self.room.close()
