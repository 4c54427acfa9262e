"""What users' objects raise while they are made into bytes or texts and back.

That runs code of theirs, which may raise anything: `asyncio.CancelledError`, `SystemExit`, any other `BaseException`.
Whoever waits for the outcome is to hear of it all the same.
"""

from __future__ import annotations

from typing import Any

from greenlet import GreenletExit, getcurrent

from greencoro.hub import exit as process_exit
from greencoro.hub import native, userhub
from greencoro.hub.coroutine import Coro

__all__ = ["TEXT_CHARACTERS", "in_words", "is_interruption", "reason", "text_of"]

#: Longest text that stands for an object, where there is room for it.
TEXT_CHARACTERS = 2000


def is_interruption(error: BaseException) -> bool:
    """Is ``error``, which came out of users' code, one to end its caller, for which nothing may stand in?

    That is the termination of the coroutine that called it, which may come while that code waits for something, and
    Ctrl-C. A coroutine that is over, whose result is being told, is not terminated any more.
    """
    if isinstance(error, KeyboardInterrupt):
        # It comes in the main thread, and coroutines run in another.
        return not userhub.on_hub()
    if not isinstance(error, GreenletExit):
        return False
    coro = Coro.current()
    if coro is not None:
        return coro.is_alive() and coro.id in process_exit.cleaning_up
    # A greenlet of the user's may be killed; the hub's own and the main one of a thread cannot.
    return getcurrent().parent is not None and getcurrent() is not native.thread_hub()


def text_of(thing: Any, limit: int = TEXT_CHARACTERS) -> str:
    """``limit`` characters of a text for a value (its `repr`) or an exception (its `str`), whatever those do."""
    try:
        text = str(thing) if isinstance(thing, BaseException) else repr(thing)
        # It may be of a class of the user's as well.
        return str.__getitem__(text, slice(limit))
    except BaseException as error:
        if is_interruption(error):
            raise
        return f"<{type(thing).__name__[:100]} whose text raised {type(error).__name__[:100]}>"[:limit]


def reason(error: BaseException) -> str:
    """``error`` as the words that stand for it."""
    return f"{type(error).__name__[:100]}: {text_of(error)}"


def in_words(error: str, why: str) -> str:
    """What stands for an exception of another process that cannot be made here.

    Args:
        error (str): Its `reason`.

        why (str): That of what has kept it from being made: this process lacks its class, or its constructor takes
            other arguments than it was given by `BaseException.__reduce__`.
    """
    hint = "; give it __reduce__" if why.startswith("TypeError: ") else ""
    return f"{error} (as RemoteError, for {error.partition(':')[0]} cannot be made here: {why}{hint})"
