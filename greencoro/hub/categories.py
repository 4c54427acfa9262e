"""CategorizeMessages: a coroutine's messages sorted by what the user's functions say of them."""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

from greencoro.hub import native
from greencoro.hub.binding import name_of
from greencoro.hub.coroutine import Coro
from greencoro.hub.waiting import seconds

__all__ = ["CategorizeMessages"]

_log = logging.getLogger(__name__)

# What `receive` gets where nothing came: no message can be it.
_NOTHING: Any = object()


class CategorizeMessages:
    """The messages of a coroutine by category, each category in the order in which they came.

    A message's category is what the first of the functions `add`-ed says that does not say None, asked from the latest
    to the oldest; where all say None it is None. An exception in such a function, or a category that is not hashable or
    cannot be compared with the others, is logged and counts as None.

    Args:
        coro (Coro): Whose messages; only that coroutine may `receive` here.

    Raises:
        TypeError: ``coro`` is no coroutine.
    """

    def __init__(self, coro: Coro) -> None:
        if not isinstance(coro, Coro):
            raise TypeError(f"CategorizeMessages() takes the coroutine that receives, not {coro!r}")
        self._coro = coro
        # The latest first.
        self._functions: list[Callable[[Any], Hashable | None]] = []
        # No queue is empty: there may be any number of categories in the course of time.
        self._queues: dict[Hashable, deque[Any]] = {}
        self._unsorted: deque[Any] = deque()

    def add(self, function: Callable[[Any], Hashable | None]) -> None:
        """Have ``function(message)`` asked for the category of each message, before those added earlier.

        Raises:
            TypeError: It cannot be called with one argument.
        """
        if not callable(function):
            raise TypeError(f"a category function is called with each message, and {function!r} cannot be called")
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise TypeError(f"category function {name_of(function)} has to be a plain one, without yield or async")
        try:
            signature = inspect.signature(function)
        except ValueError:
            pass  # some C functions have no signature: the calls will tell
        else:
            try:
                signature.bind(None)
            except TypeError as error:
                raise TypeError(f"category function {name_of(function)} has to take one message: {error}") from None
        self._functions.insert(0, function)

    def remove(self, function: Callable[[Any], Hashable | None]) -> None:
        """Ask ``function`` no more; messages already sorted stay in their category.

        Raises:
            ValueError: It was not added.
        """
        try:
            self._functions.remove(function)
        except ValueError:
            raise ValueError(f"category function {function!r} was not added, or was removed already") from None

    def receive(self, category: Hashable | None = None, timeout: float | None = None, alarm_value: Any = None) -> Any:
        """Take the oldest message of ``category``, waiting for one if there is none.

        What comes meanwhile and belongs elsewhere is kept, in order, for later calls.

        Args:
            category: ``None`` stands for the messages of which no function says anything.

            timeout (float | None): Longest wait altogether, in seconds. ``None`` waits for ever; ``0`` does not wait.

            alarm_value: What to return where nothing came in time. A message equal to it is a message like others.

        Returns:
            The message, or ``alarm_value``.

        Raises:
            Terminated: The coroutine was terminated while it waited. No message is lost.

            RuntimeError: Called by somebody else than the coroutine itself.

            TypeError: ``category`` is not hashable.
        """
        timeout = seconds(timeout, "receive()")
        if Coro.current() is not self._coro:
            raise RuntimeError(f"receive() of the categories of {self._coro!r} may be called by that coroutine only")
        try:
            hash(category)
        except TypeError as error:
            raise TypeError(f"receive() takes a category, which is hashable: {error}") from None
        deadline = None if timeout is None else native.monotonic() + timeout
        while category not in self._queues:
            message = self._next(deadline)
            if message is _NOTHING or self._ends_wait(message, alarm_value):
                return alarm_value
            self._sort(message)
        queue = self._queues[category]
        if len(queue) == 1:
            # First: comparing categories may fail.
            del self._queues[category]
        return queue.popleft()

    def _ends_wait(self, message: Any, alarm_value: Any) -> bool:
        """Does ``message`` say what ``alarm_value`` does, whatever category it has?"""
        return False

    def _next(self, deadline: float | None) -> Any:
        if self._unsorted:
            return self._unsorted.popleft()
        # What is in the mailbox already is looked through even when the time is over.
        left = None if deadline is None else max(0.0, deadline - native.monotonic())
        return self._coro.receive_here(left, _NOTHING)

    def _sort(self, message: Any) -> None:
        try:
            queue = self._queue_of(self._category_of(message))
        except BaseException:
            # The coroutine was ended, or thrown into, where a function waits: another `receive` will ask again.
            self._unsorted.appendleft(message)
            raise
        queue.append(message)

    def _queue_of(self, category: Hashable | None) -> deque[Any]:
        try:
            return self._queues.setdefault(category, deque())
        except Exception:
            _log.exception("a category, a %s, cannot be compared with the others", type(category).__name__)
            return self._queues.setdefault(None, deque())

    def _category_of(self, message: Any) -> Hashable | None:
        # A function may add or remove some.
        for function in tuple(self._functions):
            try:
                category = function(message)
                hash(category)
            except Exception:
                _log.exception("category function %s failed; for this message it is passed over", name_of(function))
            else:
                if category is not None:
                    return category
        return None
