"""Pickles that carry functions and classes by value.

A thing that the server can find by its name, because the name is shipped too or belongs to an importable module, is
pickled by that name as always; the pickler notes the name. What has none (a lambda, a function or class made inside
another function, the function behind a decorator) is taken apart and carried whole. So is what is being *defined*: the
``root``, with everything that lies below its name (the methods of a class).

A function's globals are never carried. It names the module that they are, and notes the names it uses there.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
import functools
import io
import linecache
import marshal
import pickle
import sys
import types
import typing
import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from greencoro.compute import rebuild
from greencoro.compute.classes import bindings_of, maker_of, members_of, registered_at, silent_bases
from greencoro.compute.homes import MAIN, NOTHING, home_of, is_main, owner_of, private_globals, shipped_name
from greencoro.compute.modules import absolute_name, is_installed, submodules_used
from greencoro.compute.references import lines_of, references_of
from greencoro.compute.scattered import Scattered

__all__ = ["Pickled", "define", "dump", "is_plain"]

# Every module has these of its own.
_OF_EVERY_MODULE = frozenset({"__name__", "__builtins__", "__spec__", "__loader__", "__doc__", "__package__"})

_PLAIN = frozenset((bool, bytes, complex, float, int, str, type(None)))

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made at run time, so it has attributes to carry

_Reduction = tuple[Any, ...]


class Pickled(NamedTuple):
    """A pickle and what it needs at the place where it is opened.

    Attributes:
        data (bytes): For `loader` alone.

        names (frozenset[str]): Names of ``__main__`` that it refers to, or that its functions use at run time.

        modules (frozenset[str]): Modules that it refers to by name, whosesoever they are.

        scattered (tuple[Scattered, ...]): Those that are in it.
    """

    data: bytes
    names: frozenset[str]
    modules: frozenset[str]
    scattered: tuple[Scattered, ...] = ()


def dump(obj: Any, root: Any = NOTHING, buffers: Callable[[pickle.PickleBuffer], Any] | None = None) -> Pickled:
    """Pickle ``obj``.

    Args:
        root: A function or class around ``obj`` that is being defined.

        buffers: As pickle's ``buffer_callback``.

    Raises:
        Exception: What pickling some part of it raises.
    """
    file = io.BytesIO()
    pickler = _Pickler(file, root, buffers)
    pickler.dump(obj)
    return pickler.done(file)


def is_plain(values: Iterable[Any]) -> bool:
    """Is each of a kind that any pickler makes the same of, and whose pickle needs nothing where it is opened?"""
    return _PLAIN.issuperset(map(type, values))


def define(obj: Any, by_name: bool = False) -> Pickled:
    """Pickle what a name of ``__main__`` is bound to, as two pickles with one memo.

    Of a function or class by value the first is the bare object, the second how to fill it: a pair of a function and
    the state it takes. Of anything else the first is None, the second the object.

    Args:
        by_name (bool): ``obj`` is found under another name, so that its definition is only that name.

    Raises:
        Exception: What pickling some part of it raises.
    """
    file = io.BytesIO()
    pickler = _Pickler(file, NOTHING if by_name else obj, None)
    in_two_steps = isinstance(obj, types.FunctionType) or (isinstance(obj, type) and obj.__flags__ & _HEAP_TYPE)
    if in_two_steps and not by_name:
        pickler.dump(obj)
        pickler.dump(pickler.filling)
    else:
        pickler.dump(None)
        pickler.dump(obj)
    return pickler.done(file)


class _Pickler(pickle.Pickler):
    """Notes each name it pickles, and takes apart what has none."""

    def __init__(self, file: io.BytesIO, root: Any, buffers: Callable[[pickle.PickleBuffer], Any] | None) -> None:
        super().__init__(file, 5, buffer_callback=buffers)
        self.names: set[str] = set()
        self.modules: set[str] = set()
        self.scattered: dict[Scattered, None] = {}
        self._root = root
        self.filling: tuple[Any, ...] | None = None  # what makes the root of a bare function or class
        self._cells: set[int] = set()  # those whose content the pickle has already

    def done(self, file: io.BytesIO) -> Pickled:
        """What was written to the file, and noted."""
        return Pickled(file.getvalue(), frozenset(self.names), frozenset(self.modules), tuple(self.scattered))

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        reduce = _REDUCERS.get(kind)
        if reduce is not None:
            return reduce(self, obj)
        if isinstance(obj, type):
            return self._class(obj)
        module = kind.__module__
        self.modules.add(module)
        if is_main(module) and _reduces_by_itself(kind):
            return self._instance(obj)
        return NotImplemented

    def named(self, obj: Any) -> bool:
        """Whether ``obj`` goes by its name; the name is noted."""
        found = home_of(obj)
        if found is None or obj is self._root:
            return False
        module, name = found
        if module == MAIN:
            top = name.partition(".")[0]
            if self._root is not NOTHING and getattr(sys.modules[MAIN], top, NOTHING) is self._root:
                return False  # a method or inner class of the class that is being defined
            self.names.add(top)
        else:
            self.modules.add(module)
        return True

    def in_two_steps(self, obj: Any, make: Any, made_of: tuple[Any, ...], fill: Any, state: Any) -> _Reduction:
        """The reduction of a function or class; of the root, only the first step."""
        if obj is self._root:
            self.filling = fill, state
            return make, made_of
        return make, made_of, state, None, None, fill

    def cells(self, function: types.FunctionType) -> list[tuple[types.CellType, Any]]:
        """The contents of a function's closure that are not in the pickle yet.

        They go with the function's state, after the function itself: one that calls itself is in its own closure.
        """
        contents = []
        for cell in function.__closure__ or ():
            if id(cell) not in self._cells:
                self._cells.add(id(cell))
                contents += _content(cell)
        return contents

    def cell(self, cell: types.CellType) -> _Reduction:
        if id(cell) in self._cells:
            return rebuild.new_cell, ()
        self._cells.add(id(cell))
        for _, content in _content(cell):
            return rebuild.new_cell, (), content, None, None, rebuild.fill_cell
        return rebuild.new_cell, ()

    def globals_of(self, function: types.FunctionType) -> tuple[str | None, dict[str, Any], list[str]]:
        """What a function needs among its globals: their module, private ones by value, modules to import first."""
        used = references_of(function.__code__)
        namespace = function.__globals__
        module = owner_of(namespace)
        imports = []
        for name in used.names:
            value = namespace.get(name, NOTHING)
            if isinstance(value, types.ModuleType):
                imports += submodules_used(value, used.attributes)
        if module == MAIN:
            self.names.update(name for name in used.names if name not in _OF_EVERY_MODULE)
        elif module is not None:
            self.modules.add(module)
        package = namespace.get("__package__") or ""
        for statement in used.imports:
            if statement.level and module == MAIN:
                self.names.add("__package__")
            base = absolute_name(statement.module, statement.level, package)
            self.modules.update([base, *(f"{base}.{name}" for name in statement.names)] if base else [])
        self.modules.update(imports)
        return module, private_globals(function), sorted(set(imports))

    def _class(self, cls: type) -> Any:
        if self.named(cls):
            return NotImplemented
        if not cls.__flags__ & _HEAP_TYPE:
            name = _TYPES.get(cls)
            return (getattr, (types, name)) if name else NotImplemented
        return _reduce_class(self, cls)

    def _instance(self, obj: Any) -> Any:
        """An instance of a class of ``__main__`` with a ``__reduce__`` of its own, which may say "I am this name"."""
        reduced = obj.__reduce_ex__(5)
        if not isinstance(reduced, str):
            return reduced
        if obj is self._root:
            return object.__new__, (type(obj),), getattr(obj, "__dict__", None) or None
        self.names.add(reduced.partition(".")[0])
        return reduced


_TYPES = {value: name for name, value in vars(types).items() if isinstance(value, type)}


def _reduces_by_itself(kind: type) -> bool:
    return any(getattr(kind, name) is not getattr(object, name) for name in ("__reduce__", "__reduce_ex__"))


def _content(cell: types.CellType) -> list[tuple[types.CellType, Any]]:
    try:
        return [(cell, cell.cell_contents)]
    except ValueError:  # nothing is assigned to that variable yet
        return []


def _reduce_code(pickler: _Pickler, code: types.CodeType) -> _Reduction:
    # Version 2 has no back references: equal code gives equal bytes, whoever else holds its constants.
    first, last = lines_of(code)
    # An installed file is at the server as well.
    lines = [] if is_installed(code.co_filename) else linecache.getlines(code.co_filename)[first - 1 : last]
    return rebuild.new_code, (marshal.dumps(code, 2), code.co_filename, first, tuple(lines))


def _reduce_function(pickler: _Pickler, function: types.FunctionType) -> Any:
    if pickler.named(function):
        return NotImplemented
    module, private, imports = pickler.globals_of(function)
    state = {
        "cells": pickler.cells(function),
        "imports": imports,
        "attributes": dict(function.__dict__),
        "__qualname__": function.__qualname__,
        "__module__": shipped_name(function.__module__),
        "__doc__": function.__doc__,
        "__defaults__": function.__defaults__,
        "__kwdefaults__": function.__kwdefaults__,
        "__annotations__": function.__annotations__,
    }
    if private:
        state["globals"] = private
    if getattr(function, "__type_params__", ()):
        state["__type_params__"] = function.__type_params__  # type: ignore[attr-defined]  # Python 3.12
    made = (function.__code__, module, function.__name__, function.__closure__)
    return pickler.in_two_steps(function, rebuild.new_function, made, rebuild.fill_function, state)


def _reduce_class(pickler: _Pickler, cls: type) -> _Reduction:
    metaclass = type(cls)
    namespace: dict[str, Any] = {"__module__": shipped_name(cls.__module__), "__qualname__": cls.__qualname__}
    namespace |= {name: vars(cls)[name] for name in ("__slots__", "__orig_bases__") if name in vars(cls)}
    bare = (maker_of(metaclass), metaclass, cls.__name__, cls.__bases__)
    state: dict[str, Any] = {"attributes": bindings_of(cls)}
    if isinstance(cls, enum.EnumType):
        values, state["members"] = members_of(cls)
        with_members = (*bare, namespace, values, getattr(cls, "_boundary_", None))
        rebuild.new_enum(*with_members)  # proves here, where the user can act on it, that the server will be able to
        return pickler.in_two_steps(cls, rebuild.new_enum, with_members, rebuild.fill_enum, state)
    state["registered"] = registered_at(cls)
    made = (*bare, namespace, silent_bases(cls))
    return pickler.in_two_steps(cls, rebuild.new_class, made, rebuild.fill_class, state)


def _reduce_module(pickler: _Pickler, module: types.ModuleType) -> _Reduction:
    name = shipped_name(module.__name__)
    if sys.modules.get(module.__name__) is not module:
        raise pickle.PicklingError(f"cannot pickle module {name!r}: it cannot be imported by its name")
    if name != MAIN:
        pickler.modules.add(name)
    return rebuild.module, (name,)


def _reduce_property(pickler: _Pickler, value: property) -> _Reduction:
    return type(value), (value.fget, value.fset, value.fdel, value.__doc__)


def _reduce_wrapped_method(pickler: _Pickler, value: Any) -> _Reduction:
    return type(value), (value.__func__,)


def _reduce_cached_property(pickler: _Pickler, value: Any) -> _Reduction:
    return rebuild.new_cached_property, (value.func, value.attrname)


def _reduce_cache(pickler: _Pickler, cache: Any) -> Any:
    if pickler.named(cache):
        return NotImplemented
    parameters = cache.cache_parameters()
    made = (cache.__wrapped__, parameters["maxsize"], parameters["typed"])
    return rebuild.new_cache, made, dict(vars(cache))


def _reduce_type_variable(pickler: _Pickler, variable: Any) -> Any:
    if pickler.named(variable):
        return NotImplemented
    kind = type(variable).__name__
    options: dict[str, Any] = {}
    if kind != "TypeVarTuple":
        options = {"bound": variable.__bound__}
        options |= {
            name: value
            for name in ("covariant", "contravariant", "infer_variance")
            if (value := getattr(variable, f"__{name}__", False))
        }
    owner, constraints = shipped_name(variable.__module__), getattr(variable, "__constraints__", ())
    return rebuild.new_type_variable, (kind, variable.__name__, owner, constraints, options)


def _reduce_new_type(pickler: _Pickler, new_type: Any) -> Any:
    if pickler.named(new_type):
        return NotImplemented
    return typing.NewType, (new_type.__name__, new_type.__supertype__), dict(vars(new_type))


def _reduce_type_alias(pickler: _Pickler, alias: Any) -> Any:
    return NotImplemented if pickler.named(alias) else (type(alias), (alias.__name__, alias.__value__))


def _reduce_scattered(pickler: _Pickler, scattered: Scattered) -> _Reduction:
    pickler.scattered[scattered] = None
    return scattered.__reduce__()


def _reduce_sentinel(pickler: _Pickler, sentinel: Any) -> _Reduction:
    """One of the objects that `dataclasses` compares by identity."""
    return getattr, (dataclasses, next(name for name, value in vars(dataclasses).items() if value is sentinel))


def _reduce_mapping_proxy(pickler: _Pickler, proxy: Any) -> _Reduction:
    return types.MappingProxyType, (dict(proxy),)


def _reduce_weak_mapping(pickler: _Pickler, mapping: Any) -> _Reduction:
    return type(mapping), (dict(mapping),)


_SENTINELS = ("MISSING", "KW_ONLY", "_HAS_DEFAULT_FACTORY", "_FIELD", "_FIELD_CLASSVAR", "_FIELD_INITVAR")

# By exact type: looked up for every object that is pickled.
_REDUCERS: dict[type, Callable[[_Pickler, Any], Any]] = {
    types.FunctionType: _reduce_function,
    types.CodeType: _reduce_code,
    types.CellType: _Pickler.cell,
    types.ModuleType: _reduce_module,
    types.MappingProxyType: _reduce_mapping_proxy,
    property: _reduce_property,
    abc.abstractproperty: _reduce_property,
    staticmethod: _reduce_wrapped_method,
    classmethod: _reduce_wrapped_method,
    functools.cached_property: _reduce_cached_property,
    Scattered: _reduce_scattered,
    type(functools.lru_cache(len)): _reduce_cache,
    typing.TypeVar: _reduce_type_variable,
    typing.ParamSpec: _reduce_type_variable,
    typing.TypeVarTuple: _reduce_type_variable,
    typing.NewType: _reduce_new_type,
    weakref.WeakKeyDictionary: _reduce_weak_mapping,
    weakref.WeakValueDictionary: _reduce_weak_mapping,
    **{type(getattr(dataclasses, name)): _reduce_sentinel for name in _SENTINELS},
    **({typing.TypeAliasType: _reduce_type_alias} if hasattr(typing, "TypeAliasType") else {}),
}
