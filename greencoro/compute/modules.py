"""Which modules are the user's own, with the source files that those need.

A module of the standard library, of site-packages or of greencoro is expected at the server. Any other module with a
``.py`` file is the user's and is shipped: the file, the ``__init__`` of each package above it, and in turn every module
of the user's that these import. Imports are read from the source, those inside functions too; one that is put together
at run time is not seen, so such a module has to be listed among the components.
"""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import os
import site
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from greencoro.compute.parts import DataFile, ModuleFile, digest_of
from greencoro.errors import PackagingError
from greencoro.hub import native

__all__ = ["UserModules", "absolute_name", "is_installed", "submodules_used"]

#: Python 3.11 counts for all threads together how deep its parser is, and raises SystemError where two parse at once.
_parsing = native.Lock()


class _Source(NamedTuple):
    """A module's file, with the spec it was read for and the user's modules that it imports."""

    spec: importlib.machinery.ModuleSpec
    file: ModuleFile | None  # None for a namespace package, which is a directory without a file
    imports: tuple[str, ...]


class UserModules:
    """The user's modules, each file read once until its module is reloaded."""

    def __init__(self) -> None:
        self._sources: dict[str, _Source] = {}

    def is_users(self, name: str) -> bool:
        """Whether the module of this name is shipped as a file.

        Raises:
            PackagingError: It has the name of a module of the standard library, so it would hide that at the server.
        """
        spec = _spec(name)
        if spec is None or name.partition(".")[0] in ("__main__", "__mp_main__"):
            return False
        if spec.origin is None or spec.origin == "namespace":
            return any(not is_installed(place) for place in spec.submodule_search_locations or ())
        if not spec.has_location or not spec.origin.endswith(".py") or is_installed(spec.origin):
            return False
        if name.partition(".")[0] in sys.stdlib_module_names:
            raise PackagingError(
                f"{spec.origin}: cannot ship a module that is called like the standard library's {name!r}; rename it"
            )
        return True

    def files(self, names: Iterable[str]) -> dict[str, ModuleFile]:
        """The files of the user's modules among ``names`` and of all they need, packages first.

        Raises:
            PackagingError: A file cannot be read, or is no Python.
        """
        found: dict[str, ModuleFile] = {}
        seen: set[str] = set()
        waiting = [name for name in names if self.is_users(name)]
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            source = self._source(name)
            if source.file is not None:
                found[name] = source.file
            waiting += [*_packages_above(name), *source.imports]
        return {name: found[name] for name in sorted(found)}

    def whole(self, module: types.ModuleType) -> list[ModuleFile | DataFile]:
        """The files of a module, or of all that is in a package, with everything they need.

        Raises:
            PackagingError: It is none of the user's modules, or a file cannot be read.
        """
        name = module.__name__
        if not self.is_users(name):
            raise PackagingError(f"module {name}: is no module of your own with a .py file, so it cannot be shipped")
        names, others = [name], []
        for directory in getattr(module, "__path__", ()):
            for path in sorted(Path(directory).rglob("*")):
                inside = path.relative_to(directory)
                if "__pycache__" in inside.parts or not path.is_file():
                    continue
                words = [*name.split("."), *inside.with_suffix("").parts]
                if path.suffix == ".py" and all(word.isidentifier() for word in words):
                    names.append(".".join(words[:-1] if words[-1] == "__init__" else words))
                else:
                    place = "/".join((*name.split("."), *inside.parts))
                    content = path.read_bytes()
                    others.append(DataFile(place, path.stat().st_mode & 0o777, digest_of(content), content))
        return [*self.files(names).values(), *others]

    def _source(self, name: str) -> _Source:
        spec = _spec(name)
        assert spec is not None, "asked only for modules that is_users() found"
        known = self._sources.get(name)
        if known is None or known.spec is not spec:
            known = self._sources[name] = self._read(name, spec)
        return known

    def _read(self, name: str, spec: importlib.machinery.ModuleSpec) -> _Source:
        if spec.origin is None or spec.origin == "namespace":
            return _Source(spec, None, ())
        is_package = spec.submodule_search_locations is not None
        try:
            content = Path(spec.origin).read_bytes()
            with _parsing:
                tree = ast.parse(content, spec.origin)
        except (OSError, SyntaxError, ValueError) as err:
            raise PackagingError(f"module {name}: its file cannot be shipped: {err}") from err
        package = name if is_package else name.rpartition(".")[0]
        imports = tuple(sorted({found for found in _imported(tree, package) if self.is_users(found)}))
        return _Source(spec, ModuleFile(name, is_package, imports, digest_of(content), content), imports)


def absolute_name(module: str, level: int, package: str) -> str:
    """The dotted name that ``from`` + ``level`` dots + ``module`` means inside ``package``; ``""`` if it has none."""
    if not level:
        return module
    words = package.split(".") if package else []
    base = words[: len(words) - level + 1]
    return ".".join([*base, *([module] if module else [])]) if base else ""


def submodules_used(module: types.ModuleType, attributes: frozenset[str]) -> list[str]:
    """The loaded submodules of a package that a function with these attribute names may reach through it."""
    prefix = module.__name__ + "."
    if not hasattr(module, "__path__"):
        return []
    loaded = [name for name in tuple(sys.modules) if name.startswith(prefix)]
    return [name for name in loaded if attributes.issuperset(name[len(prefix) :].split("."))]


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Every name that a source imports and that may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute_name(node.module or "", node.level, package)
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)


def _packages_above(name: str) -> list[str]:
    words = name.split(".")
    return [".".join(words[:end]) for end in range(1, len(words))]


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """The spec of a module, found without importing anything; None where there is no such module."""
    module = sys.modules.get(name)
    if module is not None:
        spec: importlib.machinery.ModuleSpec | None = getattr(module, "__spec__", None)
        return spec
    package = name.rpartition(".")[0]
    if not package:
        return _find(name, None)
    above = _spec(package)
    if above is None or above.submodule_search_locations is None:
        return None
    return _find(name, tuple(above.submodule_search_locations))


def _find(name: str, places: tuple[str, ...] | None) -> importlib.machinery.ModuleSpec | None:
    # One that is not loaded has no spec of its own yet, so each look-up makes another: keep the first.
    key = name, tuple(sys.path) if places is None else places
    spec = _found.get(key) or importlib.machinery.PathFinder.find_spec(name, places)
    if spec is not None:
        _found[key] = spec
    return spec


_found: dict[tuple[str, tuple[str, ...]], importlib.machinery.ModuleSpec] = {}


@functools.cache
def _installed_places() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    places = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    places += [*site.getsitepackages(), site.getusersitepackages()]
    places.append(str(Path(__file__).parents[1]))  # greencoro's own, wherever it is and whatever name it goes by
    return tuple({os.path.realpath(place) + os.sep for place in places})


@functools.lru_cache(maxsize=4096)
def is_installed(path: str) -> bool:
    """Whether a file belongs to the standard library or to site-packages.

    A virtual environment may lie inside the user's own tree; the tree of the user's never lies inside these.
    """
    return (os.path.realpath(path) + os.sep).startswith(_installed_places())
