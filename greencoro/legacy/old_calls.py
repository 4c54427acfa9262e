"""Where the text of a program has something of asyncoro's, and what it would be natively."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from greencoro.legacy.kinds import Kinds, is_generator, old_module
from greencoro.legacy.spelling import Spelling, import_lines
from greencoro.legacy.spellings import BY_NAME, PAUSE, RETURN, SUB_CALL

__all__ = ["Site", "sites"]

#: Methods that no others are called like, also where no ``yield`` tells that they are asyncoro's.
_UNMISTAKABLE = {
    "close_peer",
    "cur_coro",
    "hot_swap",
    "hot_swappable",
    "ignore_peers",
    "peer_status",
    "set_daemon",
    "set_transform",
}


@dataclass(frozen=True)
class Site:
    """One place in the text.

    Attributes:
        line (int): Counted from 1.

        old (str): What stands there, in one line.

        new (str | None): The native way; empty where nothing takes its place; None where it is not known.

        spelling (Spelling | None): What it was found by; None where reading alone did not tell.
    """

    line: int
    old: str
    new: str | None
    spelling: Spelling | None


def sites(text: str) -> list[Site]:
    """All there are, in the order of the text, and none where it does not import asyncoro.

    Raises:
        SyntaxError: It is no Python.
    """
    tree = ast.parse(text)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and _is_old_import(node)]
    if not imports:
        return []
    found = list(dict.fromkeys(_Reading(text, tree).sites()))
    line = import_lines(site.spelling.native for site in found if site.spelling and site.new)
    first = imports[0]
    heads = [Site(node.lineno, ast.unparse(node), line if node is first else "", _IMPORT) for node in imports]
    return sorted([*heads, *found], key=lambda site: site.line)


_IMPORT = Spelling("asyncoro", "", "import", "from greencoro import {args}")


def _is_old_import(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import):
        return any(old_module(alias.name) for alias in node.names)
    return isinstance(node, ast.ImportFrom) and not node.level and old_module(node.module) is not None


_Found: TypeAlias = tuple[ast.AST, Callable[[], str] | None, Spelling | None]


class _Reading:
    """One pass over a text whose names are known."""

    def __init__(self, text: str, tree: ast.Module) -> None:
        self._text = text
        self._tree = tree
        self._kinds = Kinds(tree)
        #: What is a part of something that was told already.
        self._done: set[ast.AST] = set()
        #: What gives the native way for what has one.
        self._ways: dict[ast.AST, Callable[[], str]] = {}

    def sites(self) -> list[Site]:
        """Those there are; what is in parts of others is native in these as well."""
        return [
            Site(
                getattr(node, "lineno", 0),
                _in_one_line(ast.get_source_segment(self._text, node) or ""),
                None if way is None else way(),
                spelling,
            )
            for node, way, spelling in sorted(self._found(), key=_position)
        ]

    def _found(self) -> Iterator[_Found]:
        # What is around comes before what is in it.
        for node in ast.walk(self._tree):
            if isinstance(node, ast.FunctionDef) and is_generator(node):
                yield from self._returns(node)
            if isinstance(node, ast.Yield):
                yield from self._yield(node)
            elif isinstance(node, ast.Call) and node not in self._done:
                yield from self._call(node, node)
            if isinstance(node, ast.Name | ast.Attribute) and node not in self._done:
                yield from self._name(node)

    def _returns(self, function: ast.AST) -> Iterator[_Found]:
        for node in ast.walk(function):
            if not isinstance(node, ast.Raise) or node in self._done:
                continue
            raised = node.exc
            called = raised.func if isinstance(raised, ast.Call) else raised
            if isinstance(called, ast.Name) and called.id == "StopIteration":
                self._done.add(node)
                yield self._site(node, partial(self._return, raised), RETURN)

    def _return(self, raised: ast.AST | None) -> str:
        arguments = self._arguments(raised) if isinstance(raised, ast.Call) else ""
        return RETURN.instead_of("", arguments).strip()

    def _yield(self, node: ast.Yield) -> Iterator[_Found]:
        value = node.value
        if value is None:
            yield self._site(node, lambda: PAUSE.native, PAUSE)
        elif isinstance(value, ast.Call):
            self._done.add(value)
            yield from self._call(value, node)

    def _call(self, call: ast.Call, whole: ast.Call | ast.Yield) -> Iterator[_Found]:
        kind = self._kinds.of(call.func)
        method = self._kinds.method(call)
        is_yielded = isinstance(whole, ast.Yield)
        if kind and kind[0] == "name":
            yield from self._told(call, whole, _in_module(BY_NAME.get(("", kind[2]), ()), kind[1]))
        elif method:
            yield from self._told(call, whole, BY_NAME.get(method, ()), is_certain=False)
        elif kind and kind[0] == "function":
            if is_yielded and is_generator(kind[1]):
                yield self._site(whole, partial(self._new, call, SUB_CALL), SUB_CALL)
        elif isinstance(call.func, ast.Attribute):
            yield from self._by_name(call, call.func, whole)
        elif is_yielded:
            yield self._site(whole, None, None)

    def _told(
        self, call: ast.Call, whole: ast.Call | ast.Yield, candidates: tuple[Spelling, ...], is_certain: bool = True
    ) -> Iterator[_Found]:
        self._done.add(call.func)
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name | ast.Attribute):
            self._done.add(call.func.value)
        spelling = _fitting(candidates, call)
        if spelling is not None:
            yield self._site(whole, partial(self._new, call, spelling), spelling)
        elif is_certain or isinstance(whole, ast.Yield):
            yield self._site(whole, None, None)

    def _by_name(self, call: ast.Call, function: ast.Attribute, whole: ast.Call | ast.Yield) -> Iterator[_Found]:
        """A method of an object of which the class is not known: told where it makes no difference."""
        is_yielded = isinstance(whole, ast.Yield)
        if not is_yielded and function.attr not in _UNMISTAKABLE:
            return
        fitting = [
            spelling
            for (owner, name), those in BY_NAME.items()
            if owner and name == function.attr and (spelling := _fitting(those, call)) is not None
        ]
        natives = {spelling.native for spelling in fitting}
        if len(natives) == 1:
            # Of several classes it is not known whose sentence holds.
            only = fitting[0] if len(fitting) == 1 else replace(fitting[0], note="")
            yield self._site(whole, partial(self._new, call, only), only)
        elif is_yielded:
            yield self._site(whole, None, None)

    def _name(self, node: ast.Name | ast.Attribute) -> Iterator[_Found]:
        """What is no call: a constant, or a class that is named."""
        if isinstance(node, ast.Attribute):
            owner = self._kinds.of(node.value)
            if owner and owner[0] in ("name", "a"):
                spelling = next(
                    (each for each in BY_NAME.get((owner[-1], node.attr), ()) if each.arguments is None), None
                )
                if spelling is not None:
                    self._done.add(node.value)
                    yield self._site(node, partial(getattr, spelling, "new"), spelling)
                    return
        kind = self._kinds.of(node)
        if kind and kind[0] == "name" and (isinstance(node, ast.Attribute) or node.id in self._kinds.imported):
            self._done.add(node)
            those = _in_module(BY_NAME.get(("", kind[2]), ()), kind[1])
            if not those:
                yield self._site(node, None, None)
            for spelling in those[:1]:
                bare = spelling.native.partition("(")[0] if "{args}" in spelling.native else spelling.native
                # A class is named as it is called; its sentence is about calls.
                told = spelling if spelling.arguments is None else Spelling("", "", kind[2], bare)
                yield self._site(node, partial(str, bare), told)

    def _new(self, call: ast.Call, spelling: Spelling) -> str:
        of = self._source(call.func.value) if isinstance(call.func, ast.Attribute) else ""
        if not spelling.name:
            # What is called stands there as it is.
            of = self._source(call.func)
        elif of and spelling.of in ("Coro", "Channel", "RCI"):
            of = spelling.of
        return spelling.instead_of(of, self._arguments(call))

    def _arguments(self, call: ast.Call) -> str:
        parts = [self._source(argument) for argument in call.args]
        parts += [
            f"{word.arg}={self._source(word.value)}" if word.arg else f"**{self._source(word.value)}"
            for word in call.keywords
        ]
        return ", ".join(parts)

    def _source(self, node: ast.AST) -> str:
        """The text of an expression, with the native ways of what is in it."""
        way = self._ways.get(node)
        if way is not None and (text := way()):
            return text
        whole = (ast.get_source_segment(self._text, node) or "").encode()
        parts, at = [], 0
        for child in sorted(_expressions_in(node), key=lambda each: (each.lineno, each.col_offset)):
            old = (ast.get_source_segment(self._text, child) or "").encode()
            start = whole.find(old, at)
            if start >= 0 and old:
                parts += [whole[at:start], self._source(child).encode()]
                at = start + len(old)
        return _in_one_line(b"".join([*parts, whole[at:]]).decode())

    def _site(self, node: ast.AST, way: Callable[[], str] | None, spelling: Spelling | None) -> _Found:
        if way is not None:
            self._ways[node] = way
        return node, way, spelling


def _expressions_in(node: ast.AST) -> Iterator[ast.expr]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            # What is in a text has no place of its own before Python 3.12.
            yield from () if isinstance(child, ast.JoinedStr) else (child,)
        else:
            yield from _expressions_in(child)


def _position(found: _Found) -> tuple[int, int, int, int]:
    """In the order of the text, and what is around before what is in it."""
    node: Any = found[0]
    return node.lineno, node.col_offset, -node.end_lineno, -node.end_col_offset


def _in_one_line(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text)


def _fitting(candidates: tuple[Spelling, ...], call: ast.Call) -> Spelling | None:
    positional = len(call.args) if not any(isinstance(each, ast.Starred) for each in call.args) else -1
    fitting = (each for each in candidates if each.is_for(positional, bool(call.keywords)))
    return next(fitting, None)


def _in_module(candidates: tuple[Spelling, ...], module: str) -> tuple[Spelling, ...]:
    """Those of that module first: two have a name in common."""
    return tuple(sorted(candidates, key=lambda each: each.module != module and each.arity is None))
