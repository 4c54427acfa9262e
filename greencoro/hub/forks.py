"""What a process that was forked may have of its parent's: nothing that threads serve, for of these it has none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["REASON", "Gone", "became_child", "is_child", "keep_from_children", "refuse"]

#: Why something is not to be had, and what to do.
REASON = (
    "this process was forked from one that had coroutines, connections or computations, and has none of these; start "
    "such a process anew instead: by Popen, or by the start method 'spawn' or 'forkserver' of multiprocessing"
)

T = TypeVar("T")

_is_child = False
_kept: WeakKeyDictionary[Any, Callable[[Any], object]] = WeakKeyDictionary()


def keep_from_children(thing: T, let_go: Callable[[T], object]) -> None:
    """As long as there is ``thing``, call ``let_go(thing)`` in each process that is forked from this one.

    For descriptors: others shall see that they are closed when this process closes them, or has ended, though a child
    lives on. No lock may be taken there, as a thread that is gone may hold it.
    """
    _kept[thing] = let_go


def became_child() -> None:
    """This process was just forked."""
    global _is_child
    _is_child = True
    for thing, let_go in list(_kept.items()):
        with contextlib.suppress(OSError):  # closed behind our back: no reason to keep the others open
            let_go(thing)
    _kept.clear()


def is_child() -> bool:
    """Was this process forked from one with coroutines, connections or computations?

    What ends, or closes, such a thing does nothing there: it is the parent's.
    """
    return _is_child


def refuse() -> None:
    """Call this before a lock is taken, or something waited for, that is a thread's to release or to bring.

    Raises:
        RuntimeError: This process was forked.
    """
    if _is_child:
        raise RuntimeError(REASON)


class Gone:
    """In place of something that is the parent's: each attribute of it raises `RuntimeError`.

    Args:
        what (str): What that means for whoever wants one.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{self._what}: {REASON}")
