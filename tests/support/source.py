"""The package's source as syntax trees, for tests that read instead of run."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent / "greencoro"


def files() -> list[Path]:
    """Every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def label(path: Path) -> str:
    """How a file is called in these tests: its path inside the package, with slashes."""
    return path.relative_to(PACKAGE).as_posix()


def imports(tree: ast.AST, path: Path, type_checking: bool = True) -> Iterator[str]:
    """Absolute dotted names that the file at `path` imports, inside functions too.

    Args:
        type_checking (bool): Whether those under ``if TYPE_CHECKING:`` count.
    """
    package = ("greencoro", *path.relative_to(PACKAGE).parent.parts)
    for node in _walk(tree, type_checking):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join(base + ((node.module,) if node.module else ()))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _walk(node: ast.AST, type_checking: bool) -> Iterator[ast.AST]:
    yield node
    if not type_checking and isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        children: list[ast.AST] = [*node.orelse]
    else:
        children = [*ast.iter_child_nodes(node)]
    for child in children:
        yield from _walk(child, type_checking)


def uses(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(enclosing function, dotted name) of each name that is used, with import aliases resolved.

    ``from pickle import loads as open_it`` at the top makes ``open_it(data)`` in ``Reader.take`` yield
    ``("Reader.take", "pickle.loads")``. The function is ``""`` at the top of the module.
    """
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                target = alias.name if alias.asname else alias.name.partition(".")[0]
                aliases[alias.asname or target] = target
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    yield from _uses(tree, aliases, "")


def comparisons(tree: ast.AST) -> Iterator[tuple[str, set[str]]]:
    """(enclosing function, words) of each ``==`` and ``!=`` between two values that are not written there.

    The words are those that the names in it are made of, in the singular: ``sha256(self._tokens[0]) == shown_to`` in
    ``Door.open`` yields ``("Door.open", {"sha256", "self", "token", "shown", "to"})``. Names of constants, in capitals,
    have none, nor has what only its length is compared of.
    """
    yield from _comparisons(tree, "")


def _comparisons(node: ast.AST, where: str) -> Iterator[tuple[str, set[str]]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        where = f"{where}.{node.name}".lstrip(".")
    if isinstance(node, ast.Compare):
        values = [node.left, *node.comparators]
        for left, operator, right in zip(values, node.ops, values[1:], strict=False):
            if isinstance(operator, ast.Eq | ast.NotEq) and ast.Constant not in (type(left), type(right)):
                yield where, _words(left) | _words(right)
    for child in ast.iter_child_nodes(node):
        yield from _comparisons(child, where)


def _words(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Call) and _dotted(node.func) == "len":
        return set()
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    words = set() if name.isupper() else {word.removesuffix("s") for word in name.lower().split("_") if word}
    return words.union(*map(_words, ast.iter_child_nodes(node)))


def _uses(node: ast.AST, aliases: dict[str, str], where: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        where = f"{where}.{node.name}".lstrip(".")
    name = _dotted(node)
    if name:
        first, dot, rest = name.partition(".")
        yield where, aliases.get(first, first) + dot + rest
        return
    for child in ast.iter_child_nodes(node):
        yield from _uses(child, aliases, where)


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""
