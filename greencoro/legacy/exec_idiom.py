"""What ``exec`` defines in a function, for ``locals()`` to find there: how old programs get functions out of texts.

    exec(text)
    function = locals()["name"]

Up to Python 3.12 that works by itself. From 3.13 on each ``locals()`` of a function is a new dictionary, and what
``exec`` writes into one of them the next does not have (PEP 667); but what is written into the frame itself it has.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from types import CodeType
from typing import Any

from greencoro.hub.main_program import MainProgram

__all__ = ["with_old_exec"]


def with_old_exec(program: MainProgram) -> MainProgram:
    """The program with an ``exec`` of which that is true, whatever the version of Python."""
    if sys.version_info < (3, 13):
        return program

    def load() -> tuple[CodeType, dict[str, Any]]:
        code, attributes = program.load()
        # Not in `builtins`: it would stand in the traceback of every import that fails.
        return code, {**attributes, "exec": _exec_in_caller}

    return replace(program, load=load)


def _exec_in_caller(
    source: Any,
    /,
    globals: dict[str, Any] | None = None,
    locals: Mapping[str, object] | None = None,
    *,
    closure: Any = None,
) -> None:
    """In place of `exec`."""
    caller = sys._getframe(1)
    if globals is None:
        globals = caller.f_globals
        locals = caller.f_locals if locals is None else locals
    exec(source, globals, locals, closure=closure)
