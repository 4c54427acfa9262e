"""What the names in the text of a program for asyncoro stand for, as far as reading alone can tell.

Each scope's name has one kind where everything that is bound to it is of that kind; else it has none. Values are
followed through assignments, through attributes of ``self``, and from calls to the parameters of the functions that
they start.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from greencoro.legacy.spellings import BY_NAME, SPELLINGS

__all__ = ["OLD_MODULES", "Kinds", "is_generator", "old_module"]

#: The old modules, with what they have beside their own: of the base, and each other by its last name.
OLD_MODULES = (*dict.fromkeys(spelling.module for spelling in SPELLINGS), "asyncoro.httpd")
_NAMES = {
    module: {each.name for each in SPELLINGS if each.module == module and not each.owner} for module in OLD_MODULES
}
_NAMES["asyncoro.disasyncoro"] |= _NAMES["asyncoro"]

#: How often what a pass over the text found out may help the next one.
_PASSES = 12

#: ``("module", its name)``, ``("name", module, name)`` of what an old module has, ``("a", class)`` for an object of it,
#: ``("list", kind of its elements)``, ``("first", kind)`` for a tuple of which only the first one is known,
#: ``("function", node)`` and ``("class", node)`` of the program's own, ``("self", node of the class)``. Among what is
#: bound to a name also ``("instead", kind)``, which holds whatever else is.
Kind: TypeAlias = tuple[Any, ...]

_SAME_CLASS = {
    "SysCoro": "Coro",
    "AsynCoroSocket": "AsyncSocket",
    "ProcScheduler": "RemoteCoroScheduler",
    "Logger": "logger",
}
_CORO: Kind = ("a", "Coro")
#: What methods return, where that is something that is told about.
_RESULTS: dict[tuple[str, str], Kind] = {
    ("AsynCoro", "cur_coro"): _CORO,
    ("AsynCoro", "instance"): ("a", "AsynCoro"),
    ("AsynCoro", "scheduler"): ("a", "AsynCoro"),
    ("AsyncSocket", "accept"): ("first", ("a", "AsyncSocket")),
    ("Channel", "locate"): ("a", "Channel"),
    ("Computation", "run"): _CORO,
    ("Computation", "run_at"): _CORO,
    ("Computation", "run_each"): ("list", _CORO),
    ("Computation", "run_node_servers"): ("list", _CORO),
    ("Computation", "run_nodes"): ("list", _CORO),
    ("Computation", "run_servers"): ("list", _CORO),
    ("Coro", "locate"): _CORO,
    ("Coro", "scheduler"): ("a", "AsynCoro"),
    ("RCI", ""): _CORO,
    ("RCI", "locate"): ("a", "RCI"),
    ("RemoteCoroScheduler", "schedule"): _CORO,
    ("RemoteCoroScheduler", "submit"): _CORO,
    ("RemoteCoroScheduler", "submit_at"): _CORO,
}
_ATTRIBUTES: dict[tuple[str, str], Kind] = {
    ("AsyncPipe", "stderr"): ("a", "AsyncFile"),
    ("AsyncPipe", "stdin"): ("a", "AsyncFile"),
    ("AsyncPipe", "stdout"): ("a", "AsyncFile"),
    ("Computation", "status_coro"): _CORO,
    ("RemoteCoroScheduler", "computation"): ("a", "Computation"),
    ("RemoteCoroScheduler", "status_coro"): _CORO,
}

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def old_module(name: str | None) -> str | None:
    """The old module that ``import name`` brings; None where that is another one."""
    if name and name.partition(".")[0] in ("asyncoro", "asyncoro3"):
        return "asyncoro" + name.removeprefix("asyncoro3").removeprefix("asyncoro")
    return None


def is_generator(function: ast.AST) -> bool:
    """Is there a ``yield`` in the body of a function, apart from functions in it?"""
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own_nodes(function))


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, (*_FUNCTIONS, ast.ClassDef)):
            yield from _own_nodes(child)


@dataclass(frozen=True)
class _Place:
    """Where a node stands."""

    #: Whose names it sees, the innermost first; classes only from their own level.
    scopes: tuple[ast.AST, ...]
    #: The class whose method it is in.
    owner: ast.ClassDef | None


@dataclass
class _Found:
    """The kinds of all that is bound, by scope and name; None stands for what is not known."""

    names: dict[tuple[ast.AST, str], set[Kind | None]] = field(default_factory=lambda: defaultdict(set))

    def settled(self) -> dict[tuple[ast.AST, str], Kind | None]:
        return {key: _one_of(kinds) for key, kinds in self.names.items()}


def _one_of(kinds: set[Kind | None]) -> Kind | None:
    if len(kinds) > 1 and all(kind is not None and kind[0] == "module" for kind in kinds):
        # `import asyncoro.discoro` after `import asyncoro.disasyncoro as asyncoro`.
        return "module", "asyncoro.disasyncoro"
    for kind in kinds:
        if kind is not None and kind[0] == "instead":
            # `sock = AsyncSocket(sock)`: what the name was for before, nobody yields.
            inner: Kind = kind[1]
            return inner
    return next(iter(kinds)) if len(kinds) == 1 else None


class Kinds:
    """The kinds of the expressions of one program's text."""

    def __init__(self, tree: ast.Module) -> None:
        self._places: dict[ast.AST, _Place] = {}
        self._place(tree, _Place((tree,), None))
        self._global_names = {
            (place.scopes[0], name)
            for node, place in self._places.items()
            if isinstance(node, ast.Global)
            for name in node.names
        }
        self._tree = tree
        #: Names that are bound to what old modules have by ``from … import``.
        self.imported = set[str]()
        self._known: dict[tuple[ast.AST, str], Kind | None] = {}
        for _ in range(_PASSES):
            found = self._pass()
            if found == self._known:
                break
            self._known = found

    def _place(self, node: ast.AST, place: _Place) -> None:
        self._places[node] = place
        inner = place
        if isinstance(node, _FUNCTIONS):
            outer = tuple(scope for scope in place.scopes if not isinstance(scope, ast.ClassDef))
            inner = _Place((node, *outer), place.owner)
        elif isinstance(node, ast.ClassDef):
            inner = _Place((node, *place.scopes), node)
        for child in ast.iter_child_nodes(node):
            self._place(child, inner)

    # What an expression is.

    def of(self, node: ast.AST | None) -> Kind | None:
        """The kind of an expression; None where it is not known, or none that matters."""
        if isinstance(node, ast.Name):
            return self._of_name(node.id, self._places[node].scopes)
        if isinstance(node, ast.Yield | ast.NamedExpr | ast.Starred | ast.Await):
            return self.of(node.value)
        if isinstance(node, ast.Attribute):
            return self._of_attribute(self.of(node.value), node.attr)
        if isinstance(node, ast.Call):
            return self._of_call(node)
        if isinstance(node, ast.Subscript):
            kind = self.of(node.value)
            return kind[1] if kind and kind[0] == "list" and not isinstance(node.slice, ast.Slice) else None
        if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.SetComp):
            return _list_of(self.of(node.elt))
        if isinstance(node, ast.List | ast.Tuple | ast.Set) and node.elts:
            return _list_of(_one_of({self.of(element) for element in node.elts}))
        return None

    def _of_name(self, name: str, scopes: tuple[ast.AST, ...]) -> Kind | None:
        for scope in scopes:
            if (scope, name) in self._known:
                return self._known[scope, name]
        return None

    def _of_attribute(self, kind: Kind | None, name: str) -> Kind | None:
        if kind is None:
            return None
        if kind[0] == "module":
            return _of_module(kind[1], name)
        if kind[0] == "self":
            return self._known.get((kind[1], name))
        return _ATTRIBUTES.get((kind[1], name)) if kind[0] == "a" else None

    def _of_call(self, call: ast.Call) -> Kind | None:
        kind = self.of(call.func)
        if kind and kind[0] == "name":
            owner = _SAME_CLASS.get(kind[2], kind[2])
            return ("a", owner) if any(of == owner for of, _ in BY_NAME) else None
        if kind and kind[0] == "class":
            return "self", kind[1]
        owned = self.method(call)
        return None if owned is None else _RESULTS.get(owned)

    def method(self, call: ast.Call) -> tuple[str, str] | None:
        """The old class and the name of the method that is called; None where the class is not known."""
        kind = self.of(call.func)
        if kind and kind[0] == "a":
            return kind[1], ""
        if not isinstance(call.func, ast.Attribute):
            return None
        owner = self.of(call.func.value)
        if owner and owner[0] == "a":
            return owner[1], call.func.attr
        if owner and owner[0] == "name":
            named = str(owner[2])
            return _SAME_CLASS.get(named, named), call.func.attr
        return None

    # What is bound to names.

    def _pass(self) -> dict[tuple[ast.AST, str], Kind | None]:
        found = _Found()
        for node in self._places:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self._bind_parameters(node, found)
        for node in self._places:
            self._bind(node, found)
        for node in self._places:
            # Of a parameter for which nobody gives anything.
            if isinstance(node, ast.arg):
                kinds = found.names[self._places[node].scopes[0], node.arg]
                if not kinds:
                    kinds.add(None)
        return found.settled()

    def _bind(self, node: ast.AST, found: _Found) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            self._bind_import(node, found)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self._add(node, node.name, ("function", node), found)
        elif isinstance(node, ast.ClassDef):
            self._add(node, node.name, ("class", node), found)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self._assign(target, node.value, found)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            self._assign(node.target, node.value, found)
        elif isinstance(node, ast.For | ast.comprehension):
            kind = self.of(node.iter)
            self._assign_kind(node.target, kind[1] if kind and kind[0] == "list" else None, found)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            self._assign(node.optional_vars, node.context_expr, found)
        elif isinstance(node, ast.AugAssign):
            self._assign_kind(node.target, self.of(node.target), found)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            self._add(node, node.name, None, found)
        elif isinstance(node, ast.Call):
            self._bind_call(node, found)

    def _add(self, node: ast.AST, name: str, kind: Kind | None, found: _Found) -> None:
        scope = self._places[node].scopes[0]
        found.names[self._tree if (scope, name) in self._global_names else scope, name].add(kind)

    def _bind_import(self, node: ast.Import | ast.ImportFrom, found: _Found) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = old_module(alias.name)
                if module and not alias.asname:
                    module = "asyncoro"
                self._add(
                    node, alias.asname or alias.name.partition(".")[0], ("module", module) if module else None, found
                )
            return
        module = None if node.level else old_module(node.module)
        if module:
            self.imported |= {alias.asname or alias.name for alias in node.names}
        for alias in node.names:
            if alias.name != "*":
                self._add(node, alias.asname or alias.name, _of_module(module, alias.name) if module else None, found)
            elif module:
                self.imported |= _NAMES.get(module, set())
                for name in _NAMES.get(module, ()):
                    self._add(node, name, _of_module(module, name), found)

    def _bind_parameters(self, node: ast.FunctionDef | ast.AsyncFunctionDef, found: _Found) -> None:
        positional = [*node.args.posonlyargs, *node.args.args]
        owner = self._places[node].owner
        if isinstance(self._places[node].scopes[0], ast.ClassDef) and positional and owner:
            found.names[node, positional[0].arg].add(("self", owner))
        for parameter in positional[len(positional) - len(node.args.defaults) :]:
            if parameter.arg == "coro":
                found.names[node, "coro"].add(_CORO)

    def _assign(self, target: ast.AST, value: ast.AST, found: _Found) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, its in zip(target.elts, value.elts, strict=True):
                self._assign(one, its, found)
        elif not _is_nothing(value):
            kind = self.of(value)
            if kind and isinstance(target, ast.Name) and _is_made_of(target.id, value):
                kind = "instead", kind
            self._assign_kind(target, kind, found)

    def _assign_kind(self, target: ast.AST, kind: Kind | None, found: _Found) -> None:
        if isinstance(target, ast.Name):
            self._add(target, target.id, kind, found)
        elif isinstance(target, ast.Tuple | ast.List):
            for number, element in enumerate(target.elts):
                is_known = kind and (kind[0] == "list" or (kind[0] == "first" and number == 0))
                self._assign_kind(element, kind[1] if kind and is_known else None, found)
        elif isinstance(target, ast.Attribute):
            owner = self.of(target.value)
            if owner and owner[0] == "self":
                found.names[owner[1], target.attr].add(kind)

    def _bind_call(self, call: ast.Call, found: _Found) -> None:
        """What a list takes in; what the parameters of a function get that is called, or given to be called."""
        if isinstance(call.func, ast.Attribute) and call.func.attr == "append" and len(call.args) == 1:
            self._assign_kind(call.func.value, _list_of(self.of(call.args[0])), found)
        if isinstance(call.func, ast.Attribute) and call.func.attr == "map_results":
            return
        keywords = {word.arg: word.value for word in call.keywords if word.arg}
        given = keywords.pop("args", None)
        listed = [*call.args, *(given.elts if isinstance(given, ast.Tuple | ast.List) else ())]
        candidates = [
            (call.func, call.args),
            *((each, listed[place + 1 :]) for place, each in enumerate(call.args[:2])),
        ]
        if "target" in keywords:
            candidates.append((keywords.pop("target"), listed))
        for called, arguments in candidates:
            kind = self.of(called)
            if kind and kind[0] == "class":
                kind = self._known.get((kind[1], "__init__"))
            if kind and kind[0] == "function":
                self._give(kind[1], arguments, keywords, found)

    def _give(self, function: Any, arguments: list[ast.expr], keywords: dict[str, ast.expr], found: _Found) -> None:
        positional = [*function.args.posonlyargs, *function.args.args]
        if isinstance(self._places[function].scopes[0], ast.ClassDef):
            positional = positional[1:]
        names = [parameter.arg for parameter in positional]
        given = [*zip(names, arguments, strict=False), *((name, value) for name, value in keywords.items())]
        for name, value in given:
            # What is given for `coro` is dropped where that has a default.
            if not _is_nothing(value) and (name != "coro" or _CORO not in found.names[function, name]):
                found.names[function, name].add(self.of(value))


def _of_module(module: str, name: str) -> Kind | None:
    if f"asyncoro.{name}" in OLD_MODULES:
        return "module", f"asyncoro.{name}"
    if name == "logger":
        return "a", "logger"
    if name.startswith("__"):
        return None
    home = module if name in _NAMES.get(module, ()) else next((m for m in OLD_MODULES if name in _NAMES[m]), module)
    return "name", home, name


def _list_of(kind: Kind | None) -> Kind | None:
    return None if kind is None else ("list", kind)


def _is_made_of(name: str, value: ast.AST) -> bool:
    return isinstance(value, ast.Call) and any(isinstance(each, ast.Name) and each.id == name for each in value.args)


def _is_nothing(value: ast.AST) -> bool:
    """Does it say nothing of what its name is for: None, or an empty list to begin with?"""
    return (isinstance(value, ast.Constant) and value.value is None) or (
        isinstance(value, ast.List | ast.Tuple) and not value.elts
    )
