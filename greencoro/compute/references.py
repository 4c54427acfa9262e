"""Which names of other things a code object uses."""

from __future__ import annotations

import dis
import functools
import types
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Import", "References", "lines_of", "references_of"]

# LOAD_NAME and its kin: the body of a class that a function defines looks names up in its own namespace, then in the
# globals. A name that is only set counts, too: it has to be known as the client's before a job sets it, or the client's
# value would come later, with the first job that reads it, and undo that.
_USES = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "STORE_GLOBAL", "DELETE_GLOBAL"}


@dataclass(frozen=True)
class Import:
    """An import statement inside a function.

    Attributes:
        module (str): As written; may be ``""`` where ``level`` is not 0.

        names (tuple[str, ...]): What is imported from it; any of these may be a submodule.

        level (int): The number of leading dots.
    """

    module: str
    names: tuple[str, ...]
    level: int


@dataclass(frozen=True)
class References:
    """What a code object uses, with the code objects nested in it.

    Attributes:
        names (tuple[str, ...]): Names looked up or set among globals, builtins included.

        attributes (frozenset[str]): Every name that is used as an attribute or otherwise.

        imports (tuple[Import, ...]): Its import statements.
    """

    names: tuple[str, ...]
    attributes: frozenset[str]
    imports: tuple[Import, ...]


@functools.lru_cache(maxsize=4096)
def references_of(code: types.CodeType) -> References:
    """What ``code`` refers to. Names that it builds at run time (``globals()[x]``, ``importlib``) are not seen."""
    names: dict[str, None] = {}
    attributes: set[str] = set()
    imports: dict[Import, None] = {}
    for nested in _with_nested(code):
        attributes.update(nested.co_names)
        # An import pushes two constants, its level and its names, right before it.
        constants: list[object] = [None, None]
        for instruction in dis.get_instructions(nested):
            if instruction.opname in _USES:
                names[instruction.argval] = None
            elif instruction.opname == "IMPORT_NAME":
                level, listed = constants
                imports[
                    Import(
                        instruction.argval,
                        tuple(listed) if isinstance(listed, tuple) else (),
                        level if isinstance(level, int) else 0,
                    )
                ] = None
            if "CONST" in instruction.opname or instruction.opname == "LOAD_SMALL_INT":
                constants = [constants[1], instruction.argval]
    return References(tuple(names), frozenset(attributes), tuple(imports))


def lines_of(code: types.CodeType) -> tuple[int, int]:
    """The first and last line of its file that ``code`` spans, counted from 1."""
    lines = [line for nested in _with_nested(code) for _, _, line in nested.co_lines() if line]
    return code.co_firstlineno, max([code.co_firstlineno, *lines])


def _with_nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _with_nested(constant)
