"""Jobs that are generator functions. They come from a layer above alone, which may have a class of coroutines for them;
natively a job is a plain function."""

from __future__ import annotations

from greencoro.hub.coroutine import Coro

__all__ = ["class_of_coroutines", "run_as"]

_class: type[Coro] = Coro


def class_of_coroutines() -> type[Coro]:
    """What such jobs are run as in this process."""
    return _class


def run_as(cls: type[Coro]) -> None:
    """From now on, have such jobs run as coroutines of this class."""
    global _class
    _class = cls
