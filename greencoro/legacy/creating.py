"""Whether a server could make the coroutine of a job.

asyncoro's programs are told so by what their call of ``run_at`` evaluates to. A server takes a job as soon as it comes,
also while it computes, and makes its coroutine later: so where the client cannot know by itself whether it can, it
waits a moment for the server's word. Of a failure that comes later the job's end tells.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import Any

from greencoro.distributed.proxies import RemoteCoro
from greencoro.distributed.runtime import runtime
from greencoro.errors import MonitorException, PackagingError
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro

__all__ = ["Failure", "NotCreated", "failure_of", "making", "started_there", "without_word"]

#: Longest wait for a server's word; one that computes has none.
_WORD_SECONDS = 2.0
#: Among the keyword arguments of a job: whom the server tells that it is made. No function has such a parameter.
_TOLD = "greencoro: is made"

#: Class of the exception, name of the function, traceback as text.
Failure = tuple[type[BaseException], str, str]


class NotCreated(Exception):
    """What a job comes to whose coroutine could not be made.

    Attributes:
        failure: Why.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure

    def __str__(self) -> str:
        return f"{self.failure[1]} cannot be run: {self.failure[2].rstrip().rpartition(chr(10))[2]}"


# The server's part.


def making(make: Callable[[], Iterator[Any]], name: str, kwargs: dict[str, Any]) -> Iterator[Any]:
    """The generator of a job, whose keyword arguments say whom to tell of that; that one is taken out.

    Raises:
        NotCreated: It cannot be made.
    """
    told = kwargs.pop(_TOLD, None)
    try:
        made = make()
    except Exception as error:
        kind = type(error) if type(error).__module__ == "builtins" else Exception
        raise NotCreated((kind, name, traceback.format_exc())) from error
    if told is not None:
        told.send(True)
    return made


# The client's.


def started_there(start: Callable[[dict[str, Any]], Any], kwargs: dict[str, Any], name: str) -> Any:
    """What ``start(kwargs)`` returns, a reference, once its server has made the job, or did not say so in time.

    Returns:
        Coro | Failure: Where the server has said that it cannot, why.
    """
    heard = Completion()
    told = runtime().spawn(_hear, heard)
    told.set_daemon()
    try:
        rcoro = start({**kwargs, _TOLD: told})
        if isinstance(rcoro, RemoteCoro) and rcoro.kept is not None:
            rcoro.kept.add_callback(heard.set)
            heard.wait(_WORD_SECONDS)
            if rcoro.kept.done:
                return failure_of(rcoro.notice_of(rcoro.kept), name) or rcoro
        return rcoro
    finally:
        told.terminate()


def _hear(heard: Completion, coro: Coro) -> None:
    coro.receive()
    heard.set()


def without_word(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments as the program gave them."""
    return {key: value for key, value in kwargs.items() if key != _TOLD}


def failure_of(notice: MonitorException, name: str) -> Failure | None:
    """Why a job that is over could not be made; None where it was."""
    error = notice.error
    if isinstance(error, NotCreated):
        return error.failure
    if isinstance(error, PackagingError):
        return type(error), name, notice.traceback_text or str(error)
    return None
