"""asyncoro's CategorizeMessages."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from greencoro.hub import categories
from greencoro.legacy.logger import logger

__all__ = ["CategorizeMessages"]


class CategorizeMessages(categories.CategorizeMessages):
    """The messages of a coroutine by category, each category in the order in which they came.

    A message equal to the ``alarm_value`` of a `receive` that waits ends that wait, whatever its category.
    """

    def add(self, function: Callable[[Any], Hashable | None]) -> None:
        """Have ``function(message)`` asked for the category of each message, before those added earlier.

        What is no function of one argument is ignored.
        """
        try:
            super().add(function)
        except TypeError as error:
            logger.warning("%s; it is ignored", error)

    def remove(self, function: Callable[[Any], Hashable | None]) -> None:
        """Ask ``function`` no more; messages already sorted stay in their category. One not added is ignored."""
        try:
            super().remove(function)
        except ValueError as error:
            logger.warning("%s", error)

    recv = categories.CategorizeMessages.receive

    def _ends_wait(self, message: Any, alarm_value: Any) -> bool:
        # Of the same class, for what an array is equal to is an array.
        return message is alarm_value or (message.__class__ is alarm_value.__class__ and bool(message == alarm_value))
