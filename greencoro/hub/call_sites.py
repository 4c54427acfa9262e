"""Which calls in a generator's code have their result yielded at once, told from its bytecode.

A call that waits may park a generator without a greenlet only where nothing can happen to its result but being yielded:
``yield coro.receive()``. A frame tells where it stands (``f_lasti``); the code object tells what is there. What counts
is the call of a method loaded by its name (or of a global function) whose next instruction is ``YIELD_VALUE``; its
arguments may be anything without a jump. Every other spelling is not found here and its call waits by blocking, which
gives the same result. Code called from C has no frame of its own: in ``yield list(map(coro.receive, [5]))`` the frame
stands at the call of ``list``, and that is the name that is found.

The second question is where a generator must not change its greenlet: inside ``try`` and ``with`` something may have
been entered that belongs to it (a `gevent.Timeout`, a re-entrant lock of a patched process). A ``yield from`` hides
what the inner generator has entered, so that counts as well.

The bytecode of each Python version differs; only those listed here are read.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from types import CodeType

__all__ = ["UNKNOWN", "CallSites", "can_read", "sites_of"]

#: Does this module know the bytecode of the interpreter?
can_read: bool = sys.implementation.name == "cpython" and (3, 11) <= sys.version_info[:2] <= (3, 13)

# Code objects are few and live as long as their functions; the cap is for programs that make functions without end.
_KEEP = 4096

# By identity, for the hash of a code object goes through all its instructions. The entry keeps the object alive, or its
# identity could become another's.
_known: dict[int, tuple[CodeType, CallSites]] = {}

_RESUME = dis.opmap.get("RESUME", -1)
# RESUME says what it follows, in its lowest bits; 1 is a plain yield.
_RESUME_KIND = 3
_AFTER_YIELD = 1

_CALLS = ("CALL", "CALL_KW")
_JUMPS = frozenset(dis.hasjrel) | frozenset(dis.hasjabs)


class CallSites:
    """What is known of one code object; offsets are those that a frame's ``f_lasti`` may have there.

    Attributes:
        yielded: Offset during a call whose result is yielded at once -> name of what is called.

        bound: Offsets of yields where the generator has to stay on its greenlet.
    """

    # No named tuple: every message looks in here.
    __slots__ = ("bound", "yielded")

    def __init__(self, yielded: dict[int, str], bound: frozenset[int]) -> None:
        self.yielded = yielded
        self.bound = bound


class _Everywhere(frozenset[int]):
    def __contains__(self, offset: object) -> bool:
        return True

    def __bool__(self) -> bool:
        return True


#: What there is to know of code that cannot be read, or must not be made use of.
UNKNOWN = CallSites({}, _Everywhere())


def sites_of(code: CodeType) -> CallSites:
    """The call sites of ``code``; only where `can_read`."""
    found = _known.get(id(code))
    if found is None:
        if len(_known) >= _KEEP:
            _known.clear()
        found = _known[id(code)] = (code, _analyse(code))
    return found[1]


def _analyse(code: CodeType) -> CallSites:
    instructions = list(dis.get_instructions(code))
    targets = {i.offset for i in instructions if i.is_jump_target}
    guarded = list(_guarded_ranges(code, {i.offset: i.opname for i in instructions}))
    yielded: dict[int, str] = {}
    bound: set[int] = set()
    for position, instruction in enumerate(instructions):
        name = _name_of_callable(instructions, position)
        if name is not None:
            for offset in _yielded_call(instructions, position, targets):
                if not any(start <= offset < end for start, end in guarded):
                    yielded[offset] = name
        elif instruction.opname == "YIELD_VALUE":
            offset = instruction.offset
            following = instructions[position + 1]
            plain = following.opcode == _RESUME and (following.arg or 0) & _RESUME_KIND == _AFTER_YIELD
            if not plain or any(start <= offset < end for start, end in guarded):
                # 3.13 stands at the following instruction already.
                bound.update((offset, following.offset))
    return CallSites(yielded, frozenset(bound))


def _name_of_callable(instructions: list[dis.Instruction], position: int) -> str | None:
    """The name, where this instruction completes a method, or a function of a module, on the stack for a call."""
    instruction = instructions[position]
    before = instructions[position - 1] if position else None
    name: str | None = instruction.argval
    if instruction.opname == "LOAD_METHOD":  # 3.11
        return name
    if instruction.opname == "LOAD_GLOBAL":
        # A module whose function is called comes with the flag for a call up to 3.12, and then its attribute.
        return name if _is_for_call(instruction) and not _is_attribute(instructions[position + 1]) else None
    if _is_attribute(instruction):
        is_of_module = before is not None and before.opname == "LOAD_GLOBAL" and _is_for_call(before)
        return name if is_of_module else None
    if instruction.opname == "LOAD_ATTR":  # 3.12: of a method
        return name
    if instruction.opname == "PUSH_NULL" and before is not None and _is_attribute(before):  # 3.13: of a module
        attribute: str | None = before.argval
        return attribute
    return None


def _is_for_call(instruction: dis.Instruction) -> bool:
    return bool((instruction.arg or 0) & 1)


def _is_attribute(instruction: dis.Instruction) -> bool:
    """Does it load an attribute, not a method to call?"""
    return instruction.opname == "LOAD_ATTR" and (sys.version_info < (3, 12) or not _is_for_call(instruction))


def _yielded_call(instructions: list[dis.Instruction], position: int, targets: set[int]) -> Iterator[int]:
    """The offsets of the call of what was loaded at ``position``, where that call's result is yielded at once."""
    depth = 0  # of the stack, above the callable
    for index in range(position + 1, len(instructions) - 1):
        instruction, following = instructions[index], instructions[index + 1]
        if instruction.opcode in _JUMPS or instruction.offset in targets:
            return
        argument = instruction.arg if instruction.opcode >= dis.HAVE_ARGUMENT else None
        depth += dis.stack_effect(instruction.opcode, argument, jump=False)
        if depth >= 0:
            continue
        if instruction.opname in _CALLS and following.opname == "YIELD_VALUE":
            # A frame stands at the call or at the last of the cache entries behind it, as the version and the kind of
            # callee have it.
            yield from range(instruction.offset, following.offset, 2)
        return


def _guarded_ranges(code: CodeType, opnames: dict[int, str]) -> Iterator[tuple[int, int]]:
    """Where an exception goes to a handler of the code's own: (first offset, offset behind the last)."""
    entries = iter(code.co_exceptiontable)
    for first in entries:
        start = _number(first, entries) * 2
        length = _number(next(entries), entries) * 2
        target = _number(next(entries), entries) * 2
        _number(next(entries), entries)  # depth of the stack there
        # From 3.12 on every generator has a handler around it that turns StopIteration into RuntimeError.
        if opnames.get(target) != "CALL_INTRINSIC_1":
            yield start, start + length


def _number(byte: int, rest: Iterator[int]) -> int:
    """One number of the exception table: six bits a byte, the highest first, bit 6 says that more come."""
    number = byte & 63
    while byte & 64:
        byte = next(rest)
        number = number << 6 | byte & 63
    return number
