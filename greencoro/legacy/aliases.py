"""Modules that are found under names of old."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["MODULES", "add"]

#: What stands behind each name.
MODULES = {
    "asyncoro": "greencoro.legacy.asyncoro",
    "asyncoro.asyncfile": "greencoro.legacy.asyncfile",
    "asyncoro.disasyncoro": "greencoro.legacy.disasyncoro",
    "asyncoro.discoro": "greencoro.legacy.discoro",
    "asyncoro.discoro_schedulers": "greencoro.legacy.discoro_schedulers",
}
# Programs of its last years call it so on Python 3.
MODULES |= {f"asyncoro3{name.removeprefix('asyncoro')}": module for name, module in MODULES.items()}
# What its successor calls them.
MODULES |= {
    "pycos": "greencoro.legacy.pycos",
    "pycos.asyncfile": "greencoro.legacy.asyncfile",
    "pycos.config": "greencoro.legacy.pycos_config",
    "pycos.dispycos": "greencoro.legacy.dispycos",
    "pycos.netpycos": "greencoro.legacy.netpycos",
}


class _Alias(Loader):
    """Brings a module that has another name as well."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._own_spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._name)
        self._own_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # It has run under its own name, by which it can be reloaded, too.
        module.__spec__ = self._own_spec


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        module = MODULES.get(name)
        return None if module is None else ModuleSpec(name, _Alias(module))


_finder = _Finder()


def add() -> None:
    """From now on they are found; may be called again."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
