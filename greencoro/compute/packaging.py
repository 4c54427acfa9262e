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
from operator import is_
from pathlib import Path
from typing import Any

from greencoro.compute import by_value
from greencoro.compute.by_value import Pickled
from greencoro.compute.culprit import refusal
from greencoro.compute.homes import MAIN, NOTHING, home_of
from greencoro.compute.modules import UserModules
from greencoro.compute.packed import Arguments, Call, Shipment
from greencoro.compute.parts import EMPTY, DataFile, Definition, Entry, ModuleFile, Package, Part, digest_of
from greencoro.compute.remembered import Remembered
from greencoro.errors import PackagingError
from greencoro.hub.binding import bind, is_generator_function, name_of

__all__ = ["PYTHON", "Packager", "data_file"]

#: The version of this Python that the other side must have too: code objects differ between any two.
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

# Walks of one kind that are remembered. Lambdas given as jobs may be any number.
_MAX_REMEMBERED = 1024
#: Of functions without names, together with what they hold.
_MAX_REMEMBERED_BYTES = 64 * 1024 * 1024

#: Of values that any pickler makes the same of.
_NO_NEEDS = Pickled(b"", frozenset(), frozenset())


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

    __slots__ = ("_bindings", "_cells", "_functions")

    def __init__(self, bindings: Iterable[_Names], functions: Iterable[types.FunctionType], root: Any) -> None:
        self._bindings = [
            (namespace, name, namespace.get(name, NOTHING)) for namespace, names in bindings for name in names
        ]
        self._functions = [(each, *_changeable(each)) for each in functions]
        cells = getattr(root, "__closure__", None) or ()
        self._cells = [(cell, cell.cell_contents if _is_filled(cell) else NOTHING) for cell in cells]

    def holds(self) -> bool:
        # Looked at with every job: plain loops, for most walks have seen a few things only.
        for namespace, name, value in self._bindings:
            if namespace.get(name, NOTHING) is not value:
                return False
        for function, code, defaults, keyword_defaults in self._functions:
            if (
                function.__code__ is not code
                or function.__defaults__ is not defaults
                or function.__kwdefaults__ is not keyword_defaults
            ):
                return False
        try:
            return all(cell.cell_contents is content for cell, content in self._cells)
        except ValueError:  # a variable of the closure has no value: as good as changed
            return False


def _changeable(function: types.FunctionType) -> tuple[Any, Any, Any]:
    return function.__code__, function.__defaults__, function.__kwdefaults__


class Packager:
    """Packs the jobs of one computation. Any thread may use it: where two do at once, the same work is done twice."""

    def __init__(self) -> None:
        self._modules = UserModules()
        self._defined: dict[str, _Defined] = {}
        #: By the id of each callable.
        self._shipments: Remembered[tuple[Any, Shipment, _Watch]] = Remembered(_MAX_REMEMBERED, _MAX_REMEMBERED_BYTES)
        #: By names and modules.
        self._packages: Remembered[tuple[Package, _Watch]] = Remembered(_MAX_REMEMBERED)

    def pack(self, obj: Callable[..., Any], path: str = "job") -> Shipment:
        """A callable with all that it needs.

        Packing a function or class again costs microseconds as long as nothing that it uses was bound anew, however
        much it holds: the last ones are kept. A bound method, a partial or another callable object is pickled anew
        each time, as arguments are.

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
            whole = Package([*package.parts, part], PYTHON)
            shipment = Shipment(Entry(MAIN, "", part.digest), whole, len(pickled.data))
        if found is not None or isinstance(obj, types.FunctionType):
            # Holds obj, so that its id stays its own.
            self._shipments.put(id(obj), (obj, shipment, watch), shipment.own_size)
        return shipment

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """A call of a job's function with all that both need.

        Raises:
            As `pack` and `arguments`.

            TypeError: It is a generator function, or does not take these arguments.
        """
        if is_generator_function(function):
            raise TypeError(
                f"{name_of(function)} is a generator function; write a job as a plain function, without yield: "
                "receive(), sleep() and the rest wait by themselves"
            )
        shipment = self.pack(function)
        bind(function, args, kwargs)
        return Call(name_of(function), shipment, self.arguments(args, kwargs))

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
        if not kwargs and by_value.is_plain(args):
            return Arguments(pickle.dumps(call, 5), EMPTY, _NO_NEEDS)
        try:
            pickled = by_value.dump(call, buffers=buffers)
        except Exception as err:
            for step, part in [(".args", call[0]), (".kwargs", call[1])]:
                try:
                    by_value.dump(part)
                except Exception as inner:
                    raise refusal(part, path + step, inner, by_value.dump) from inner
            raise refusal(call, path, err, by_value.dump) from err
        # As it is now: what is scattered may be opened by the job, and its classes be bound anew since it was pickled.
        names = pickled.names.union(*(each.needs.names for each in pickled.scattered))
        modules = pickled.modules.union(*(each.needs.modules for each in pickled.scattered))
        if not names and not modules:
            return Arguments(pickled.data, EMPTY, pickled)
        key = names, modules
        known = self._packages.get(key)
        if known is None or not known[1].holds():
            known = self._walk(*key, path, NOTHING, None)
            self._packages.put(key, known)
        return Arguments(pickled.data, known[0], pickled)

    def components(self, components: Iterable[Any], path: str = "components") -> Package:
        """What is listed by hand: functions, classes, modules, packages, paths of files.

        A file given by a relative path that leads below the working directory keeps its place there; any other, so
        every absolute path, is put at the top.

        Raises:
            PackagingError: One of them cannot be shipped.
        """
        packages = []
        files: dict[str, Path] = {}
        for index, component in enumerate(components):
            where = f"{path}[{index}]"
            if isinstance(component, str | os.PathLike):
                source = Path(component)
                part = data_file(source, where)
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
            return _plain(by_value.dump(value), path)
        except PackagingError:
            raise
        except Exception as err:
            raise refusal(value, path, err, by_value.dump) from err

    def _pickle_definition(self, name: str, value: Any, path: str) -> Pickled:
        # One that goes by another name, here or in another module, is that: the name is bound to the same object.
        by_name = home_of(value) not in (None, (MAIN, name))
        try:
            return _plain(by_value.define(value, by_name), path)
        except PackagingError:
            raise
        except Exception as err:
            raise refusal(value, path, err, lambda part: by_value.dump(part, NOTHING if by_name else value)) from err


def _plain(pickled: Pickled, path: str) -> Pickled:
    """Code is installed before it is known which job it is for."""
    for scattered in pickled.scattered:
        raise PackagingError(f"{path}: holds {scattered!r}, which is to be an argument of the job")
    return pickled


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018  # reading it is the question
    except ValueError:
        return False
    return True


def data_file(source: Path, path: str) -> DataFile:
    """A file as it is now; ``path`` is what to call it where it cannot be read."""
    try:
        content = source.read_bytes()
        mode = source.stat().st_mode & 0o777
    except OSError as err:
        raise PackagingError(f"{path}: {source} cannot be read: {err.strerror}") from err
    place = Path(os.path.normpath(source))
    if place.is_absolute() or ".." in place.parts:
        place = Path(place.name)
    return DataFile(place.as_posix(), mode, digest_of(content), content)
