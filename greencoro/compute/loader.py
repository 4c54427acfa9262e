"""Installs what a `packaging.Packager` packed, in the process that runs its jobs.

Opening a package runs what its maker put into it: that is what it is for. So this is the one module of this package
that unpickles, it is used in server processes only, which exist to run their client's code, and a package reaches it
only over an authenticated link (docs/explanation/trust.md).

All jobs share one ``__main__``: the functions of the client's main module have it as their globals. A name is bound
again only when the client sends another definition than the one it sent last, so that what a job stored under a name
stays there. A text of source is run in the same way: once, until another of its name comes.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import pickle
import sys
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from greencoro.compute import confined_files
from greencoro.compute.homes import MAIN, NOTHING, is_main
from greencoro.compute.packaging import PYTHON
from greencoro.compute.parts import DataFile, Definition, Entry, ModuleFile, Package, Part, SourceText, digest_of
from greencoro.compute.rebuild import remember_lines
from greencoro.errors import PackagingError

__all__ = ["Loader", "fresh_main"]

Content = bytes | bytearray

#: Files of more than this are kept on the disk alone.
_LARGE_BYTES = 1 << 20


def fresh_main() -> types.ModuleType:
    """Put an empty main module in the place of this process's own, for a computation's functions to live in.

    The functions of the module that was there keep their globals.
    """
    main = types.ModuleType(MAIN)
    vars(main)["__builtins__"] = sys.modules["builtins"]
    # Who started this process through multiprocessing knows its main module by the second name.
    sys.modules[MAIN] = sys.modules["__mp_main__"] = main
    return main


class Loader:
    """What one computation has installed in this process.

    Calls of `install` must not overlap: what a module does while it is imported may let other coroutines run. What came
    once is kept until the process ends with its computation, as the client then sends its digest only.

    Args:
        directory: The working directory of the jobs; the user's modules are written there and found there first.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory).absolute()
        self._kept: dict[str, Content] = {}
        #: Where large files were written, whose content is not kept in memory besides.
        self._written: dict[str, DataFile] = {}
        self._received: dict[tuple[str, str], str] = {}
        self._definitions: dict[str, Definition] = {}
        self._nameless: dict[str, Any] = {}
        self._imports: dict[str, tuple[str, ...]] = {}
        self._current: set[str] = set()  # digests of packages that hold as they are
        # While definitions are installed: those not begun, those made bare, and what their names were bound to before.
        self._waiting: dict[str, Definition] = {}
        self._bare: dict[str, tuple[Definition, _Unpickler, Any]] = {}
        self._before: dict[str, Any] = {}
        self._making = False
        if str(self._directory) not in sys.path:
            sys.path.insert(0, str(self._directory))

    def keep(self, package: Package) -> None:
        """Remember the contents of a package, for itself and later ones; any thread may call this as it arrives."""
        for part in package.parts:
            if part.content is not None:
                self._kept[part.digest] = part.content

    def keep_content(self, digest: str, content: Content) -> None:
        """As `keep`, with the content of a part that comes later."""
        self._kept[digest] = content

    def has(self, packages: Iterable[str]) -> bool:
        """Is all of the packages with these digests installed, as it is in them?"""
        return self._current.issuperset(packages)

    def missing(self, package: Package) -> frozenset[str]:
        """The digests whose content `install` needs and that came neither with this package nor earlier."""
        here = self._kept.keys() | self._written.keys()
        return frozenset(p.digest for p in package.parts if p.content is None and p.digest not in here)

    def install(self, package: Package) -> None:
        """Make everything in a package available to jobs.

        Raises:
            PackagingError: Another version of Python packed it, contents are `missing`, or a part cannot be loaded; the
                message names the part. Then no name is bound anew, except by a text of source; files written before
                that one stay.
        """
        if package.digest in self._current:
            return
        if package and package.python != PYTHON:
            raise PackagingError(
                f"the client packs with Python {package.python}, this server runs Python {PYTHON} "
                f"({sys.executable}); both need the same version"
            )
        self.keep(package)
        missing = self.missing(package)
        if missing:
            raise PackagingError(f"a package came without the content of {len(missing)} parts that this server lacks")
        changed = [part for part in package.parts if not self._is_installed(part)]
        self._read_back(changed)
        if changed:
            self._current.clear()
        modules = [part for part in changed if isinstance(part, ModuleFile)]
        if modules:
            self._install_modules(modules)
        for part in changed:
            if isinstance(part, DataFile):
                confined_files.write(self._directory, part.path, self._kept[part.digest], part.mode)
                self._received[part.kind, part.path] = part.digest
        for part in changed:
            if isinstance(part, SourceText):
                self._run(part)
        definitions = [part for part in changed if isinstance(part, Definition)]
        self._define(definitions)
        for part in changed:
            if isinstance(part, DataFile) and len(self._kept.get(part.digest, b"")) > _LARGE_BYTES:
                del self._kept[part.digest]
                self._written[part.digest] = part
        self._definitions |= {part.name: part for part in definitions if part.name}
        self._current.add(package.digest)

    def definitions(self) -> Package:
        """What the names of ``__main__`` were bound to last, with all contents."""
        parts = [replace(part, content=bytes(self._kept[part.digest])) for part in self._definitions.values()]
        return Package(parts, PYTHON)

    def resolve(self, entry: Entry) -> Any:
        """The callable of a job.

        Raises:
            PackagingError: It is not here; the message names it.
        """
        if entry.digest:
            if entry.digest not in self._nameless:
                raise PackagingError("the job's function was not shipped")
            return self._nameless[entry.digest]
        try:
            found: Any = sys.modules[MAIN] if is_main(entry.module) else importlib.import_module(entry.module)
            for word in entry.name.split("."):
                found = getattr(found, word)
        except Exception as err:
            raise PackagingError(f"{entry.module}.{entry.name}: {_reason(err)}") from err
        return found

    def load_arguments(self, data: Content, buffers: Iterable[Any] = ()) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments that `Packager.arguments` pickled.

        Args:
            buffers: Those that travelled beside the pickle, in order.

        Raises:
            PackagingError: They cannot be unpickled here.
        """
        try:
            args, kwargs = pickle.loads(data, buffers=buffers)
        except Exception as err:
            raise PackagingError(f"the arguments of the job: {_reason(err)}") from err
        return args, kwargs

    def load_scattered(self, data: bytes | bytearray) -> Any:
        """The object that was scattered as this.

        Raises:
            PackagingError: It cannot be unpickled here.
        """
        try:
            (thing,), _ = pickle.loads(data)
        except Exception as err:
            raise PackagingError(f"what was scattered: {_reason(err)}") from err
        return thing

    def _is_installed(self, part: Part) -> bool:
        """Whether the last that was received under the part's name is this."""
        if isinstance(part, Definition) and not part.name:
            return part.digest in self._nameless
        key = part.name if isinstance(part, Definition | SourceText) else part.path
        return self._received.get((part.kind, key)) == part.digest

    def _read_back(self, parts: Iterable[Part]) -> None:
        """Have the contents at hand that are only in the files that were written for others."""
        for part in parts:
            file = self._written.get(part.digest)
            if file is None or part.digest in self._kept:
                continue
            try:
                content = (self._directory / file.path).read_bytes()
            except OSError:
                content = b""
            if digest_of(content) != part.digest:
                raise PackagingError(f"file {file.path!r} was changed here, and its content is wanted again")
            self._kept[part.digest] = content

    def _install_modules(self, files: list[ModuleFile]) -> None:
        ours = [file for file in files if not self._is_in_use(file)]
        changed = set()
        try:
            for file in ours:
                confined_files.write(self._directory, file.path, self._kept[file.digest])
                # Compiled code is told from stale by the time in seconds and the size; a small change alters neither.
                with suppress(FileNotFoundError):
                    os.unlink(importlib.util.cache_from_source(str(self._directory / file.path)))
                self._received[file.kind, file.path] = file.digest
                self._imports[file.name] = file.imports
                changed.add(file.name)
        finally:
            importlib.invalidate_caches()
            self._forget(changed)

    def _run(self, part: SourceText) -> None:
        text = bytes(self._kept[part.digest]).decode()
        remember_lines(part.file, part.line, text.splitlines(keepends=True))
        with _naming(part):
            # As far down as it stands in its file.
            code = compile("\n" * (part.line - 1) + text, part.file, "exec", dont_inherit=True)
            exec(code, vars(sys.modules[MAIN]))
        self._received[part.kind, part.name] = part.digest

    def _is_in_use(self, file: ModuleFile) -> bool:
        """Whether this process already has that module, with the same source, from somewhere else."""
        origin = _origin(file.name)
        if origin is None or origin.is_relative_to(self._directory):
            return False
        if origin.read_bytes() != self._kept[file.digest]:
            raise PackagingError(f"module {file.name}: this server uses another of that name: {origin}")
        return True

    def _forget(self, changed: set[str]) -> None:
        """Have changed modules imported anew at their next use, and whichever imported something of theirs."""
        dependents = {name for name, imports in self._imports.items() if changed.intersection(imports)}
        if not dependents <= changed:
            self._forget(changed | dependents)
            return
        for name in changed:
            sys.modules.pop(name, None)

    def _define(self, definitions: list[Definition]) -> None:
        """Bind names: first all functions and classes, bare, then what fills them, and the values.

        Where loading one meets another, that comes first; so a class has its bases, and a value the classes it is made
        of. Half-made ones are met only in circles, such as a class that keeps a list of its subclasses.
        """
        self._waiting = {part.name: part for part in definitions if part.name}
        try:
            self._making = True
            while self._waiting:
                self._make(next(iter(self._waiting)))
            self._making = False
            while self._bare:
                self._fill(next(iter(self._bare)))
            for part in definitions:
                if not part.name:
                    self._nameless[part.digest] = _load(_Unpickler(self, self._kept[part.digest]), part)
        except BaseException:
            namespace = vars(sys.modules[MAIN])
            for name, before in self._before.items():
                if before is NOTHING:
                    namespace.pop(name, None)
                else:
                    namespace[name] = before
            raise
        finally:
            self._waiting, self._bare, self._before = {}, {}, {}
        self._received |= {(part.kind, part.name): part.digest for part in definitions if part.name}

    def require(self, name: str) -> None:
        """Have a name of ``__main__`` bound that waits for it, for another definition that refers to it."""
        self._make(name)
        # While all are still made, the bare one will do: a base class, a metaclass. A value has no such stage.
        if not self._making or (name in self._bare and self._bare[name][2] is None):
            self._fill(name)

    def _make(self, name: str) -> None:
        part = self._waiting.pop(name, None)
        if part is None:
            return
        unpickler = _Unpickler(self, self._kept[part.digest])
        made = _load(unpickler, part)
        self._bare[name] = part, unpickler, made
        namespace = vars(sys.modules[MAIN])
        self._before[name] = namespace.get(name, NOTHING)
        if made is not None:
            namespace[name] = made

    def _fill(self, name: str) -> None:
        if name not in self._bare:
            return
        part, unpickler, made = self._bare.pop(name)
        rest = _load(unpickler, part)
        if made is None:
            vars(sys.modules[MAIN])[name] = rest
        else:
            fill, state = rest
            with _naming(part):
                fill(made, state)


class _Unpickler(pickle.Unpickler):
    """Defines the names of ``__main__`` that it meets and that still wait to be defined."""

    def __init__(self, loader: Loader, data: Content) -> None:
        super().__init__(io.BytesIO(data))
        self._loader = loader

    def find_class(self, module: str, name: str) -> Any:
        if is_main(module):
            self._loader.require(name.partition(".")[0])
        return super().find_class(module, name)


@contextmanager
def _naming(part: Definition | SourceText) -> Iterator[None]:
    """Errors inside say what they are about."""
    label = f"{MAIN}.{part.name}" if part.name else "the job's function"
    try:
        yield
    except PackagingError as err:
        raise PackagingError(f"{label}: {err}") from err
    except Exception as err:
        raise PackagingError(f"{label}: {_reason(err)}") from err


def _load(unpickler: _Unpickler, part: Definition) -> Any:
    with _naming(part):
        return unpickler.load()


def _reason(error: Exception) -> str:
    if isinstance(error, PackagingError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return f"needs the module {error.name!r}, which this server ({sys.executable}) cannot import"
    return f"cannot be loaded at this server: {type(error).__name__}: {error}"


def _origin(name: str) -> Path | None:
    """The file that a loaded module came from; None for one that is not loaded, or a directory without a file."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return None if file is None else Path(file)
