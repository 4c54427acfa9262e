"""Which channels stand under which, so that no message of this process goes round for ever."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from greencoro.hub import native

__all__ = ["leads_to", "nesting"]

# Held while channels are put under each other, so that two threads do not make a circle of two halves. Re-entrant: a
# signal handler may come upon its own thread there. What is being put under what counts as done, so nor do those two.
_guard = native.RLock()
_pending: list[tuple[Any, Any]] = []


@contextlib.contextmanager
def nesting(above: Any, below: Any) -> Iterator[None]:
    """While it is found out whether ``below`` may be put under ``above``, and done; one thread at a time."""
    with _guard:
        depth = len(_pending)
        try:
            _pending.append((above, below))
            yield
        finally:
            del _pending[depth:]


def leads_to(start: Any, target: Any, channels_under: Callable[[Any], Iterable[Any]]) -> bool:
    """Does what is sent to ``start`` come to ``target``?

    Args:
        channels_under: The channels of this process that subscribe to a channel.
    """
    found, waiting = {start}, [start]
    while waiting:
        channel = waiting.pop()
        soon = [below for above, below in _pending if above is channel]
        for nested in (*channels_under(channel), *soon):
            if nested not in found:
                found.add(nested)
                waiting.append(nested)
    return target in found
