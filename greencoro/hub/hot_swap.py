"""Hot swap: a coroutine goes on as another function, with its messages."""

from __future__ import annotations

from collections.abc import Callable
from types import GeneratorType
from typing import Any

from greenlet import getcurrent

from greencoro.errors import HotSwapException
from greencoro.hub import native, userhub
from greencoro.hub.binding import bind, is_generator_function
from greencoro.hub.completion import Completion
from greencoro.hub.lifecycle import State

__all__ = ["Swap", "SwapRequested", "Swappable"]

_ACTIVE, _FAILED = State.ACTIVE, State.FAILED


class Swap:
    """A function that was checked to take its arguments, for a coroutine to go on as."""

    __slots__ = ("args", "kwargs", "takes_coro", "target")

    def __init__(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], takes_coro: bool
    ) -> None:
        self.takes_coro = takes_coro
        self.target = target
        self.args = args
        self.kwargs = kwargs

    def make_generator(self, coro: Any) -> GeneratorType[Any, Any, Any] | None:
        """What a generator function makes; None for other functions, which are not called yet."""
        if not is_generator_function(self.target):
            return None
        kwargs = {**self.kwargs, "coro": coro} if self.takes_coro else self.kwargs
        generator: GeneratorType[Any, Any, Any] = self.target(*self.args, **kwargs)
        return generator


class SwapRequested(HotSwapException):
    """The exception as it is raised, with what it asks for and of whom."""

    def __init__(self, coro: Any, swap: Swap) -> None:
        self.generator = swap.make_generator(coro)
        super().__init__(swap.target if self.generator is None else self.generator)
        self.coro = coro
        self.swap = swap


class _Swapping:
    """What one coroutine and others have said of its going on as another function."""

    __slots__ = ("is_allowed", "swap")

    def __init__(self) -> None:
        self.is_allowed = False
        #: What to go on as when that may be asked for.
        self.swap: Swap | None = None


class Swappable:
    """The part of a coroutine that is about its going on as another function."""

    __slots__ = ("_swapping",)

    # Can it be called so, and is its coroutine to be given in? See `bind`.
    _takes_coro = staticmethod(bind)

    # None until there is something to remember, as for most coroutines all the time.
    _swapping: _Swapping | None

    _failure: Any
    _interrupt: Callable[[BaseException], None]
    _routine: Any
    _state: State
    _worker: Any

    def hot_swappable(self, flag: bool = True) -> int:
        """Say whether this coroutine may go on as another function now (it may not, unless told).

        Returns:
            int: 0; -1 where somebody else than the coroutine itself says so.

        Raises:
            TypeError: ``flag`` is no bool.
        """
        if not isinstance(flag, bool):
            raise TypeError(f"hot_swappable() takes True or False, not {flag!r}")
        if self._worker is not getcurrent():
            return -1
        self._remembered().is_allowed = flag
        self._request_swap()
        return 0

    def hot_swap(self, target: Callable[..., Any], /, *args: Any, **kwargs: Any) -> int:
        """Have the coroutine go on as ``target(*args, **kwargs)``, with the messages it has.

        While it is swappable (`hot_swappable`) a `HotSwapException` is raised at the call where it waits, and may be
        caught to refuse; until then this is remembered, and a later ``hot_swap`` takes its place. A generator is not
        asked in a sub-call but after it.

        One that failed, and whose failure a coroutine of this process was told of as its monitor, starts anew: it waits
        for messages again, its `value` is to be waited for again, and its monitors will be told again.

        Returns:
            int: 0 where the coroutine starts anew, or the swap will be asked for as soon as it may be; one that is over
            before that goes on as nothing (but one that fails between a call on another thread and the hub's next turn
            starts anew, as above). -1 where it is over.

        Raises:
            TypeError: ``target`` cannot be called with these arguments.
        """
        swap = Swap(target, args, kwargs, self._takes_coro(target, args, kwargs))
        if self._state > _ACTIVE:
            return self._start_anew(swap)
        if native.get_ident() == userhub.ident:
            self._set_swap(swap)
        else:
            # It may be over when that is done.
            userhub.post(self._restart_if_monitored, swap)
        return 0

    @property
    def _swap(self) -> Swap | None:
        return None if self._swapping is None else self._swapping.swap

    def _remembered(self) -> _Swapping:
        if self._swapping is None:
            self._swapping = _Swapping()
        return self._swapping

    def _set_swap(self, swap: Swap) -> None:
        self._remembered().swap = swap
        self._request_swap()

    def _ask_later(self, swap: Swap) -> None:
        """Remember ``swap``, which could not be asked for after all, unless there is a later one."""
        swapping = self._remembered()
        swapping.swap = swapping.swap or swap

    def _request_swap(self) -> None:
        swapping, routine = self._swapping, self._routine
        if swapping is None or swapping.swap is None or not swapping.is_allowed:
            return
        if routine is None or not routine.in_sub_call():
            swap, swapping.swap = swapping.swap, None
            self._interrupt(SwapRequested(self, swap))

    def _start_anew(self, swap: Swap) -> int:
        if userhub.on_hub():
            return self._restart_if_monitored(swap)
        if self._state is not _FAILED or not userhub.is_started():
            return -1
        # Whoever was told that it starts anew may send to it at once.
        done = Completion()
        userhub.post(lambda: done.set(self._restart_if_monitored(swap)))
        answer: int = done.result()
        return answer

    def _restart_if_monitored(self, swap: Swap) -> int:
        if self._state <= _ACTIVE:
            # It is not over, or somebody else was first.
            self._set_swap(swap)
        elif self._state is _FAILED and any(monitor.is_alive() for monitor in self._failure.monitors):
            self._restart(swap)
        else:
            return -1
        return 0

    def _restart(self, swap: Swap) -> None:
        raise NotImplementedError
