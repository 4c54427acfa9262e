"""A program run as ``__main__`` in this process, as the interpreter would run it."""

from __future__ import annotations

import builtins
import importlib.util
import io
import linecache
import os
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import BuiltinImporter, ModuleSpec, SourceFileLoader
from types import CodeType, TracebackType
from typing import Any

from greencoro.hub import exit as process_exit

__all__ = ["MainProgram", "file_program", "module_program", "run_as_main", "standard_input_program", "text_program"]

# From the end of the main program on these start no thread, which coroutines that go on then may need: to send a file,
# to look up a name. So they are waited for before it. (https://github.com/python/cpython/issues/113964)
_NO_THREADS_AT_EXIT = (3, 12) <= sys.version_info < (3, 12, 2)


@dataclass(frozen=True)
class MainProgram:
    """What is to be run.

    Attributes:
        argument_zero (str): ``sys.argv[0]``; empty where only importing the program's packages tells it.

        directory (str): What stands first in ``sys.path`` meanwhile.

        load: Returns the code, and the attributes of the module `__main__`. What it raises is the program's fault.
    """

    argument_zero: str
    directory: str
    load: Callable[[], tuple[CodeType, dict[str, Any]]]


def file_program(path: str) -> MainProgram:
    """The program in a file, or in a directory with a ``__main__.py``.

    Raises:
        FileNotFoundError: There is none that can be read; the sentence says why.
    """
    # As the interpreter has it: absolute, and otherwise as given.
    whole = os.path.join(os.getcwd(), path)
    if os.path.isdir(whole):
        main = os.path.join(whole, "__main__.py")
        if not os.path.isfile(main):
            raise FileNotFoundError(f"{path} is a directory without a __main__.py")
        return MainProgram(path, whole, lambda: _load_file(_read(main, path), main, package=""))
    source = _read(whole, path)
    return MainProgram(path, os.path.dirname(os.path.realpath(whole)), lambda: _load_file(source, whole, package=None))


def module_program(name: str) -> MainProgram:
    """The program that is a module, or a package with a module ``__main__``, found when it is run."""
    return MainProgram("", os.getcwd(), lambda: _load_module(name))


def text_program(source: str) -> MainProgram:
    """The program that is this text, as after ``python -c``."""
    return MainProgram("-c", "", lambda: _load_text(source))


def standard_input_program() -> MainProgram:
    """The program that is all of standard input, as with ``python -``, but a terminal is read to its end first.

    Where standard input is closed it is an empty one, as it is there.
    """
    return MainProgram("-", "", _load_standard_input)


def run_as_main(program: MainProgram, arguments: list[str], command: str) -> int:
    """Run ``program`` as the module `__main__`, which it stays.

    Args:
        program: What to run.

        arguments: After its name.

        command: What runs it, for whoever reads that it cannot.

    Returns:
        int: The exit code: 0; 1 where an exception was not caught, which was told as the interpreter tells it; 2 where
        there is no such module.

    Raises:
        SystemExit: As the program raised it.

        KeyboardInterrupt: As the program raised it; it was told already.
    """
    sys.argv[:] = [program.argument_zero or "-m", *arguments]
    if not sys.flags.safe_path:
        # In place of the directory of the command itself.
        sys.path[0] = program.directory
    try:
        code, attributes = program.load()
        module = types.ModuleType("__main__")
        vars(module).update(attributes)
        if not program.argument_zero:
            sys.argv[0] = attributes["__file__"]
        sys.modules["__main__"] = module
        exec(code, vars(module))
    except SystemExit:
        raise
    except _NoModuleError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 2
    except BaseException as error:
        trace = _without_our_frames(error.__traceback__)
        error.__traceback__ = trace
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
        sys.excepthook(type(error), error, trace)
        if isinstance(error, KeyboardInterrupt):
            # The interpreter ends by SIGINT where this arrives at its top, and has nothing to add to what was told.
            sys.excepthook = _say_nothing
            raise
        return 1
    finally:
        # It is over, and has nothing to say about Ctrl-C any more; without this, what follows here would.
        process_exit.prepare()
        if _NO_THREADS_AT_EXIT and not isinstance(sys.exception(), KeyboardInterrupt):
            process_exit.while_pools_work()
    return 0


class _NoModuleError(Exception):
    """There is no such module to run."""


def _read(whole: str, path: str) -> bytes:
    try:
        with io.open_code(whole) as file:
            return file.read()
    except OSError as error:
        raise FileNotFoundError(f"cannot read {path}: {error.strerror}") from None


def _load_file(source: bytes, path: str, package: str | None) -> tuple[CodeType, dict[str, Any]]:
    loader = SourceFileLoader("__main__", path)
    spec = None if package is None else importlib.util.spec_from_file_location("__main__", path, loader=loader)
    attributes = {
        "__file__": path,
        "__cached__": None if spec is None else spec.cached,
        "__loader__": loader,
        "__package__": package,
        "__spec__": spec,
        "__builtins__": builtins,
    }
    return compile(source, path, "exec", dont_inherit=True), attributes


def _load_text(source: str) -> tuple[CodeType, dict[str, Any]]:
    if sys.version_info >= (3, 13):
        # From then on the interpreter's tracebacks show its lines.
        linecache.cache["<string>"] = (len(source), None, source.splitlines(keepends=True), "<string>")
    return compile(source, "<string>", "exec", dont_inherit=True), _attributes_without_file()


def _load_standard_input() -> tuple[CodeType, dict[str, Any]]:
    source = b"" if sys.stdin is None else sys.stdin.buffer.read()
    code = compile(source, "<stdin>", "exec", dont_inherit=True)
    # What looks like a file's name there is the interpreter's doing.
    return code, {**_attributes_without_file(), "__file__": "<stdin>", "__cached__": None}


def _attributes_without_file() -> dict[str, Any]:
    return {
        "__loader__": BuiltinImporter,
        "__package__": None,
        "__spec__": None,
        "__annotations__": {},
        "__builtins__": builtins,
    }


def _load_module(name: str) -> tuple[CodeType, dict[str, Any]]:
    spec = _find(name)
    if spec.submodule_search_locations is not None:
        spec = _find(f"{name}.__main__")
    loader: Any = spec.loader
    code = loader.get_code(spec.name) if hasattr(loader, "get_code") else None
    if code is None:
        raise _NoModuleError(f"the module {name} is not written in Python, and cannot be run")
    return code, {
        "__file__": spec.origin,
        "__cached__": spec.cached,
        "__loader__": loader,
        "__package__": spec.parent,
        "__spec__": spec,
        "__builtins__": builtins,
    }


def _find(name: str) -> ModuleSpec:
    try:
        spec = None if name.startswith(".") else importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        # Its package is missing. Where something that the package imports is missing, that is the program's fault.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        spec = None
    except ValueError:  # a module without a spec
        spec = None
    if spec is None:
        raise _NoModuleError(f"there is no module {name}")
    return spec


def _without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def _say_nothing(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """In place of `sys.excepthook`."""
