"""At which instructions of a function what another throws into it does the least harm.

Python runs signal handlers at three kinds of instruction: where a function begins, where a loop turns back, where a
call of something written in C has returned (or is under way). What is raised where a function begins may be raised in
one that was called to clean up; what is raised between ``lock.acquire()`` and its ``try`` leaves the lock taken.
"""

from __future__ import annotations

import opcode
from collections.abc import Iterator
from types import CodeType

__all__ = ["is_clean"]

# From a call to a `try` that is the next statement: the call's own caches, the storing of its result, a NOP. In bytes.
_NEXT_STATEMENT = 24

# How the table of a function's exception handlers is written: numbers of six bits a byte, in units of two bytes.
_VALUE, _MORE = 0x3F, 0x40
_REST_OF_AN_ENTRY = ("handler", "depth of the stack")
_UNIT = 2


def is_clean(code: CodeType, offset: int) -> bool:
    """May a function be left by an exception at this instruction, as far as a look at the function tells?

    Args:
        code: The function's.

        offset (int): Of the instruction, as ``f_lasti`` of a frame gives it.
    """
    name = opcode.opname[code.co_code[offset]]
    if "JUMP_BACKWARD" in name:
        # Python 3.13 leaves a loop's last instruction out of the `try` around it: its handlers would not run.
        return not any(end == offset for _, end in _blocks(code.co_exceptiontable))
    if name == "RESUME":
        return False
    return not any(offset < start <= offset + _NEXT_STATEMENT for start, _ in _blocks(code.co_exceptiontable))


def _blocks(table: bytes) -> Iterator[tuple[int, int]]:
    """The offsets between which there is a handler for exceptions (`try`, `with`)."""
    numbers = _numbers(table)
    for start in numbers:
        length = next(numbers)
        yield start * _UNIT, (start + length) * _UNIT
        for _ in _REST_OF_AN_ENTRY:
            next(numbers)


def _numbers(table: bytes) -> Iterator[int]:
    number = 0
    for byte in table:
        number = number << 6 | byte & _VALUE
        if not byte & _MORE:
            yield number
            number = 0
