"""Jobs of asyncoro's computations in server processes.

What is sent to a server before all components is `PREAMBLE`; so only servers of such computations import any of this.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

from greencoro.compute import generator_jobs
from greencoro.compute.parts import Entry, SourceText
from greencoro.compute.source_packaging import source_text
from greencoro.legacy.aliases import add
from greencoro.legacy.coro import Coro
from greencoro.legacy.creating import making
from greencoro.legacy.signatures import filled_in

__all__ = ["ENTRY", "PREAMBLE", "preamble", "prepare", "run"]

#: What runs a job.
ENTRY = Entry(__name__, "run")


def preamble(module: str, word: str) -> list[SourceText]:
    """All that jobs find at a server beside what the client sends: what they know as ``word``.

    Args:
        module (str): Has a function ``prepare``, which returns that and makes the process one for such jobs.
    """
    return [source_text(word, f"from {module} import prepare as {word}; {word} = {word}()", f"<{word}>")]


#: For those of asyncoro.
PREAMBLE = preamble(__name__, "asyncoro")


def prepare() -> Any:
    """Make this process one for such jobs; what they know as ``asyncoro``."""
    add()
    asyncoro = importlib.import_module("asyncoro.disasyncoro")
    # Of the runtime that there is.
    asyncoro.AsynCoro()
    generator_jobs.run_as(Coro)
    return asyncoro


def run(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], coro: Any) -> Iterator[Any]:
    """The generator of one job.

    Args:
        name (str): Its function, in ``__main__``.

    Raises:
        NotCreated: There is none, it is no generator function, or does not take these arguments.
    """

    def make() -> Iterator[Any]:
        try:
            function = vars(sys.modules["__main__"])[name]
        except KeyError:
            raise NameError(f"there is no function {name!r} at this server") from None
        called = filled_in(function, args, kwargs, coro, coro.own_parameter)
        made: Iterator[Any] = function(*called[0], **called[1])
        return made

    return making(make, name, kwargs)
