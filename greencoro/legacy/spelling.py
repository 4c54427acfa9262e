"""One thing that programs for asyncoro write, and how greencoro's own programs write it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Spelling", "import_lines"]

#: What natives may begin with besides what is imported from greencoro by its name.
_MODULES = ("greencoro.compute", "logging", "pickle")
_OTHER = ("pool", "return")

_FIRST = re.compile(r"greencoro\.compute|[A-Za-z_]\w*")


@dataclass(frozen=True)
class Spelling:
    """An old way to write something, and the native one.

    Attributes:
        module (str): The old module that it is told under.

        owner (str): The class whose method it is; empty for what a module has itself.

        name (str): Of the method, class, function or constant; empty where `of` itself is called.

        native (str): How it is written now, with ``{of}`` for what stands before the name, and ``{args}`` for the
            arguments. Empty where nothing stands in its place, of which `note` then says why.

        arguments (str | None): As in the manual; None: it is no call.

        of (str): What stands before the name, as in the manual.

        note (str): Where the two differ in what they do; a sentence or two.

        is_yielded (bool): Does it stand behind a ``yield``?

        arity (int | None): It is meant for calls with so many arguments, all by position; None: for any call.
    """

    module: str
    owner: str
    name: str
    native: str
    arguments: str | None = None
    of: str = ""
    note: str = ""
    is_yielded: bool = False
    arity: int | None = None

    @property
    def old(self) -> str:
        """As the manual has it."""
        call = "" if self.arguments is None else f"({self.arguments})"
        return f"{'yield ' if self.is_yielded else ''}{'.'.join(filter(None, (self.of, self.name)))}{call}"

    @property
    def new(self) -> str:
        """The native way, as the manual has it."""
        return self.instead_of(self.of, self.arguments or "")

    def instead_of(self, of: str, arguments: str) -> str:
        """The native way, for what stands before the name and in the parentheses of one call."""
        # Not by `format`: what a program has there may have braces.
        replaced = {"{of}": of, "{args}": arguments}
        text = re.sub(r"\{(?:of|args)\}", lambda found: replaced[found[0]], self.native)
        return text.replace("(, ", "(").replace(", )", ")")

    def is_for(self, positional: int, others: bool) -> bool:
        """Is it meant for a call with so many arguments by position, and perhaps others?"""
        return self.arity is None or (self.arity == positional and not others)


def import_lines(natives: Iterable[str]) -> str:
    """What a program imports that has these of `Spelling.native`; empty where that is nothing."""
    firsts = {first[0] for native in natives if (first := _FIRST.match(native))}.difference(_OTHER)
    lines = [f"import {module}" for module in _MODULES if module in firsts]
    names = sorted(firsts.difference(_MODULES))
    return "; ".join([*lines, f"from greencoro import {', '.join(names)}"] if names else lines)
