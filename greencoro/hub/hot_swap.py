"""What a coroutine goes on as after a hot swap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greencoro.errors import HotSwapException

__all__ = ["Swap", "SwapRequested"]


class Swap:
    """A function that was checked to take its arguments, for a coroutine to go on as."""

    __slots__ = ("args", "kwargs", "takes_coro", "target")

    def __init__(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], takes_coro: bool
    ) -> None:
        self.target = target
        self.args = args
        self.kwargs = kwargs
        self.takes_coro = takes_coro


class SwapRequested(HotSwapException):
    """The exception as it is raised, with what it asks for and of whom."""

    def __init__(self, coro: Any, swap: Swap) -> None:
        super().__init__(swap.target)
        self.coro = coro
        self.swap = swap
