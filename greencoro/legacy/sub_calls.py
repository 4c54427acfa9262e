"""Methods that asyncoro's programs call by ``yield``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec

__all__ = ["sub_call"]

P = ParamSpec("P")


def sub_call(function: Callable[P, Any]) -> Callable[P, Iterator[Any]]:
    """As a generator function, whose result the ``yield`` evaluates to.

    Where it waits, the coroutine waits that has called it. Without ``yield`` nothing is done, as of old; and what takes
    generator functions, as `Coro` does, takes it.
    """

    @functools.wraps(function)
    def generator(*args: P.args, **kwargs: P.kwargs) -> Iterator[Any]:
        return function(*args, **kwargs)
        yield  # what makes it a generator function

    return generator
