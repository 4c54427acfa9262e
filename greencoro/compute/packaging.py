"""Packs a function with all that it needs to run in another process.

A `Packager` walks from a callable to every name of ``__main__`` that it reaches: through global names of its code and
of code nested in it, class bodies, bases, metaclasses, defaults, closures, decorated functions, partials. Each name
becomes a `Definition`; each of the user's modules that is met on the way becomes files. How one thing is pickled is
`by_value`'s part, which module is whose is `modules`'.

A walk is remembered with what it saw. Packing again then only looks whether each name is still bound to the same
object, and each function still has the same code and defaults. A container changed in place and an attribute set on a
class are not seen: what varies from job to job is passed as an argument. Two names for one object other than a function
or class become two objects at the server; closures under different names no longer share a variable there.
"""

from __future__ import annotations

import os
import pickle
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from operator import attrgetter, is_
from pathlib import Path
from typing import Any

from greencoro.compute import by_value
from greencoro.compute.by_value import Pickled
from greencoro.compute.culprit import refusal
from greencoro.compute.homes import MAIN, NOTHING, home_of
from greencoro.compute.modules import UserModules
from greencoro.compute.parts import EMPTY, DataFile, Definition, Entry, ModuleFile, Package, Part, digest_of
from greencoro.errors import PackagingError

__all__ = ["PYTHON", "Arguments", "Packager", "Shipment"]

#: The version of this Python that the other side must have too: code objects differ between any two.
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

# Walks of one kind that are remembered. Lambdas given as jobs may be any number.
_MAX_REMEMBERED = 1024

_changeable = attrgetter("__code__", "__defaults__", "__kwdefaults__")
_content = attrgetter("cell_contents")


@dataclass(frozen=True)
class Shipment:
    """A callable, ready to be shipped.

    Attributes:
        entry (Entry): What the job runs.

        package (Package): What has to be installed before.
    """

    entry: Entry
    package: Package


@dataclass(frozen=True)
class Arguments:
    """The arguments of a call, as a snapshot.

    Attributes:
        data (bytes): For `Loader.load_arguments` alone.

        package (Package): The classes and functions in them that have to be installed before; mostly `EMPTY`.
    """

    data: bytes
    package: Package


@dataclass(frozen=True)
class _Defined:
    """What a name was bound to when its definition was made."""

    value: Any
    changeable: tuple[Any, ...]
    modules: tuple[tuple[str, str], ...]
    needs: Pickled
    part: Definition


_Names = tuple[Mapping[str, Any], Iterable[str]]


class _Watch:
    """What a walk saw, to be compared with what is there now."""

    __slots__ = ("_bindings", "_cells", "_contents", "_functions", "_signatures")

    def __init__(self, bindings: Iterable[_Names], functions: Iterable[types.FunctionType], root: Any) -> None:
        self._bindings = []
        for namespace, found in bindings:
            names = tuple(found)
            self._bindings.append((namespace, names, tuple(namespace.get(name, NOTHING) for name in names)))
        self._functions = tuple(functions)
        self._signatures = tuple(chain.from_iterable(map(_changeable, self._functions)))
        self._cells = tuple(getattr(root, "__closure__", None) or ())
        self._contents = tuple(cell.cell_contents for cell in self._cells if _is_filled(cell))

    def holds(self) -> bool:
        for namespace, names, values in self._bindings:
            if not all(map(is_, map(namespace.get, names, repeat(NOTHING)), values)):
                return False
        if not all(map(is_, chain.from_iterable(map(_changeable, self._functions)), self._signatures)):
            return False
        try:
            return all(map(is_, map(_content, self._cells), self._contents))
        except ValueError:  # a variable of the closure has no value: as good as changed
            return False


class Packager:
    """Packs the jobs of one computation. Any thread may use it: where two do at once, the same work is done twice."""

    def __init__(self) -> None:
        self._modules = UserModules()
        self._defined: dict[str, _Defined] = {}
        self._shipments: dict[int, tuple[Any, Shipment, _Watch]] = {}
        self._packages: dict[tuple[frozenset[str], frozenset[str]], tuple[Package, _Watch]] = {}

    def pack(self, obj: Callable[..., Any], path: str = "job") -> Shipment:
        """A callable with all that it needs.

        Packing a function or class again costs microseconds as long as nothing that it uses was bound anew. A bound
        method, a partial or another callable object is pickled anew each time, as arguments are.

        Args:
            path (str): What to call it in messages.

        Raises:
            PackagingError: It or something that it uses cannot be shipped; names the path to that.
        """
        known = self._shipments.get(id(obj))
        if known is not None and known[2].holds():
            return known[1]
        if not callable(obj):
            raise PackagingError(f"{path}: a {type(obj).__name__} cannot be called")
        found = home_of(obj)
        if found is not None:
            module, name = found
            names = {name.partition(".")[0]} if module == MAIN else set()
            package, watch = self._walk(names, set() if module == MAIN else {module}, path, obj, obj)
            shipment = Shipment(Entry(module, name), package)
        else:
            pickled = self._pickle(obj, path)
            part = self._definition("", pickled, self._fingerprint(pickled.modules, path))
            package, watch = self._walk(pickled.names, pickled.modules, path, NOTHING, obj)
            shipment = Shipment(Entry(MAIN, "", part.digest), Package([*package.parts, part], PYTHON))
        if found is not None or isinstance(obj, types.FunctionType):
            _make_room(self._shipments)
            self._shipments[id(obj)] = obj, shipment, watch  # holds obj, so that its id stays its own
        return shipment

    def arguments(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        path: str = "job",
        buffers: Callable[[pickle.PickleBuffer], Any] | None = None,
    ) -> Arguments:
        """The arguments of a call, pickled, with what is needed to unpickle them.

        Args:
            path (str): What to call the job in messages.

            buffers: As pickle's ``buffer_callback``: takes big buffers that are to travel beside the pickle.

        Raises:
            PackagingError: One of them cannot be shipped, as in ``job.args[1].lock: cannot pickle ...``.
        """
        call = tuple(args), dict(kwargs)
        try:
            pickled = by_value.dump(call, buffers=buffers)
        except Exception as err:
            for step, part in [(".args", call[0]), (".kwargs", call[1])]:
                try:
                    by_value.dump(part)
                except Exception as inner:
                    raise refusal(part, path + step, inner, by_value.dump) from inner
            raise refusal(call, path, err, by_value.dump) from err
        if not pickled.names and not pickled.modules:
            return Arguments(pickled.data, EMPTY)
        key = pickled.names, pickled.modules
        known = self._packages.get(key)
        if known is None or not known[1].holds():
            _make_room(self._packages)
            known = self._packages[key] = self._walk(*key, path, NOTHING, None)
        return Arguments(pickled.data, known[0])

    def components(self, components: Iterable[Any], path: str = "components") -> Package:
        """What is listed by hand: functions, classes, modules, packages, paths of files.

        A file below the working directory keeps its place relative to it, any other is put at the top.

        Raises:
            PackagingError: One of them cannot be shipped.
        """
        packages = []
        files: dict[str, Path] = {}
        for index, component in enumerate(components):
            where = f"{path}[{index}]"
            if isinstance(component, str | os.PathLike):
                source = Path(component)
                part = _data_file(source, where)
                if files.setdefault(part.path, source).resolve() != source.resolve():
                    raise PackagingError(f"{where}: {source} and {files[part.path]} would both become {part.path}")
                packages.append(Package([part], PYTHON))
            elif isinstance(component, types.ModuleType):
                packages.append(Package(self._whole(component, where), PYTHON))
            elif callable(component):
                packages.append(self.pack(component, where).package)
            else:
                kind = type(component).__name__
                raise PackagingError(f"{where}: a {kind} is no function, class, module or path of a file")
        return EMPTY.merged(*packages)

    def _whole(self, module: types.ModuleType, path: str) -> Sequence[Part]:
        try:
            return self._modules.whole(module)
        except PackagingError as err:
            raise PackagingError(f"{path}: {err}") from err

    def _walk(
        self, names: Iterable[str], modules: Iterable[str], path: str, obj: Any, root: Any
    ) -> tuple[Package, _Watch]:
        """Everything that is reached from names of ``__main__`` and from modules.

        Args:
            obj: What ``path`` is the path of; whatever else is reached is called by its name below that.

            root: What is packed, whose closure is watched.
        """
        namespace = vars(sys.modules[MAIN])
        waiting = {name: path if namespace.get(name, NOTHING) is obj else f"{path}.{name}" for name in sorted(names)}
        reached: dict[str, _Defined | None] = {}
        paths_of_modules = dict.fromkeys(modules, path)
        while waiting:
            name = next(iter(waiting))  # the oldest: paths are the shortest that way
            where = waiting.pop(name)
            value = namespace.get(name, NOTHING)
            if value is NOTHING:
                reached[name] = None  # a builtin, or a name that will be bound later
                continue
            defined = reached[name] = self._define(name, value, where)
            for module in defined.needs.modules:
                paths_of_modules.setdefault(module, where)
            for other in sorted(defined.needs.names):
                if other not in reached and other not in waiting:
                    waiting[other] = f"{where}.{other}"
        definitions = [defined for defined in reached.values() if defined is not None]
        files = self._files(paths_of_modules)
        package = Package([*files.values(), *(defined.part for defined in definitions)], PYTHON)
        loaded = [name for name in files if name in sys.modules]
        bindings: list[_Names] = [(namespace, reached), (sys.modules, [MAIN, *loaded])]
        bindings += [(vars(sys.modules[name]), ["__spec__"]) for name in loaded]  # a reload makes another spec
        functions = [d.value for d in definitions if isinstance(d.value, types.FunctionType)]
        if isinstance(root, types.FunctionType) and root not in functions:
            functions.append(root)
        return package, _Watch(bindings, functions, root)

    def _files(self, paths: Mapping[str, str]) -> dict[str, ModuleFile]:
        """The files behind modules, each with the path to what needs it."""
        files: dict[str, ModuleFile] = {}
        for name, path in paths.items():
            try:
                files |= self._modules.files([name])
            except PackagingError as err:
                raise PackagingError(f"{path}: {err}") from err
        return files

    def _define(self, name: str, value: Any, path: str) -> _Defined:
        known = self._defined.get(name)
        changeable = _changeable(value) if isinstance(value, types.FunctionType) else ()
        if known is not None and known.value is value and all(map(is_, known.changeable, changeable)):
            modules = self._fingerprint(known.needs.modules, path)
            if modules == known.modules:
                return known
            pickled = known.needs
        else:
            pickled = self._pickle_definition(name, value, path)
            modules = self._fingerprint(pickled.modules, path)
        part = self._definition(name, pickled, modules)
        self._defined[name] = _Defined(value, changeable, modules, pickled, part)
        return self._defined[name]

    def _definition(self, name: str, pickled: Pickled, modules: tuple[tuple[str, str], ...]) -> Definition:
        # What follows a pickle is not read. It makes a definition that uses a changed module another one.
        content = pickled.data + "".join(f"\n{module}={digest}" for module, digest in modules).encode()
        return Definition(MAIN, name, digest_of(content), content)

    def _fingerprint(self, modules: Iterable[str], path: str) -> tuple[tuple[str, str], ...]:
        files = self._files(dict.fromkeys(modules, path))
        return tuple(sorted((name, file.digest) for name, file in files.items()))

    def _pickle(self, value: Any, path: str) -> Pickled:
        try:
            return by_value.dump(value)
        except PackagingError:
            raise
        except Exception as err:
            raise refusal(value, path, err, by_value.dump) from err

    def _pickle_definition(self, name: str, value: Any, path: str) -> Pickled:
        # One that goes by another name, here or in another module, is that: the name is bound to the same object.
        by_name = home_of(value) not in (None, (MAIN, name))
        try:
            return by_value.define(value, by_name)
        except PackagingError:
            raise
        except Exception as err:
            raise refusal(value, path, err, lambda part: by_value.dump(part, NOTHING if by_name else value)) from err


def _make_room(remembered: dict[Any, Any]) -> None:
    if len(remembered) >= _MAX_REMEMBERED:
        remembered.pop(next(iter(remembered)), None)


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018  # reading it is the question
    except ValueError:
        return False
    return True


def _data_file(source: Path, path: str) -> DataFile:
    try:
        content = source.read_bytes()
        mode = source.stat().st_mode & 0o777
    except OSError as err:
        raise PackagingError(f"{path}: {source} cannot be read: {err.strerror}") from err
    here, there = Path.cwd(), Path(os.path.abspath(source))
    place = there.relative_to(here).as_posix() if there.is_relative_to(here) else there.name
    return DataFile(place, mode, digest_of(content), content)
