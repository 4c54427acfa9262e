"""Packs functions and classes as the text of their source.

Nothing travels with a text but itself: what it uses of its module's globals, and of a closure, has to be at the server,
where the text is run with the globals of ``__main__``. So jobs find there what components have defined and what jobs
have assigned, and nothing of the client's is in the way. Arguments are pickled as always; classes of ``__main__`` are
those of that name at the server.
"""

from __future__ import annotations

import inspect
import os
import textwrap
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from greencoro.compute import by_value
from greencoro.compute.by_value import Pickled
from greencoro.compute.culprit import refusal
from greencoro.compute.modules import UserModules
from greencoro.compute.packaging import PYTHON, data_file
from greencoro.compute.packed import Arguments, Call, Shipment
from greencoro.compute.parts import EMPTY, Entry, Package, SourceText, digest_of
from greencoro.compute.remembered import Remembered
from greencoro.errors import PackagingError

__all__ = ["NamedFunction", "SourcePackager", "source_of", "source_text"]


#: Functions and classes whose texts are kept.
_MAX_REMEMBERED = 1024


class NamedFunction:
    """In the place of a job's function: the one of this name that servers have already.

    Args:
        name (str): In their ``__main__``.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{self.__name__} is at the servers, and not here")

    def __repr__(self) -> str:
        return f"<{self.__name__} at the servers>"


def source_text(name: str, text: str, file: str, line: int = 1) -> SourceText:
    """A text that is to be run at the server.

    Raises:
        PackagingError: It is no Python.
    """
    content = text.encode()
    try:
        compile(text, file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise PackagingError(f"the source of {name} is no Python by itself: {error}") from error
    return SourceText(name, file, line, digest_of(content), content)


def source_of(thing: Callable[..., Any], path: str) -> SourceText:
    """The text that defines a function or class.

    Args:
        path (str): What to call it in messages.

    Raises:
        PackagingError: There is none.
    """
    name = getattr(thing, "__name__", "")
    try:
        lines, first = inspect.getsourcelines(thing)
        file = inspect.getsourcefile(thing) or f"<{name}>"
    except (OSError, TypeError) as error:
        raise PackagingError(f"{path}: the source of {thing!r} cannot be had: {error}") from error
    if not name.isidentifier():
        raise PackagingError(f"{path}: {thing!r} has no name under which its source would define it")
    # One that stands inside of another function, or of a class.
    return source_text(name, textwrap.dedent("".join(lines)), file, max(first, 1))


class SourcePackager:
    """Packs the code of one computation. A `packed.CodePackager`.

    Args:
        entry: What runs each job; it is called with the name of its function, its arguments and its keyword arguments,
            and returns a generator.

        preamble: Texts that every server runs before the components.
    """

    def __init__(self, entry: Entry, preamble: Sequence[SourceText] = ()) -> None:
        self._entry = entry
        self._preamble = preamble
        self._modules = UserModules()
        #: By name: the texts that every server has.
        self._texts: dict[str, SourceText] = {}
        #: By the id of each function or class, which is held, with its code: reading its file takes long.
        self._read: Remembered[tuple[Any, Any, SourceText]] = Remembered(_MAX_REMEMBERED)

    def components(self, components: Iterable[Any], path: str = "components") -> Package:
        """What is listed by hand: functions, classes, instances for their classes, modules, paths of files.

        Raises:
            PackagingError: One of them cannot be shipped.
        """
        packages = [Package(self._preamble, PYTHON)]
        for index, component in enumerate(components):
            packages.append(self._component(component, f"{path}[{index}]"))
        return EMPTY.merged(*packages)

    def _component(self, component: Any, path: str) -> Package:
        if isinstance(component, str | os.PathLike):
            return Package([data_file(Path(component), path)], PYTHON)
        if isinstance(component, types.ModuleType):
            try:
                return Package(self._modules.whole(component), PYTHON)
            except PackagingError as error:
                raise PackagingError(f"{path}: {error}") from error
        is_code = isinstance(component, type | types.FunctionType | types.MethodType)
        text = self._text(component if is_code else type(component), path)
        self._texts[text.name] = text
        return Package([text], PYTHON)

    def pack(self, obj: Callable[..., Any], path: str = "job") -> Shipment:
        """What runs the job; with the text of its function, unless that is at the servers already.

        Raises:
            PackagingError: There is no text.
        """
        if isinstance(obj, NamedFunction):
            return Shipment(self._entry, EMPTY)
        text = self._text(obj, path)
        is_known = self._texts.get(text.name) == text
        return Shipment(self._entry, EMPTY if is_known else Package([text], PYTHON))

    def _text(self, thing: Callable[..., Any], path: str) -> SourceText:
        code = getattr(thing, "__code__", None)
        known = self._read.get(id(thing))
        if known is not None and known[1] is code:
            return known[2]
        text = source_of(thing, path)
        self._read.put(id(thing), (thing, code, text))
        return text

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """A call of a function by its name at the server, which it has there by then.

        Raises:
            PackagingError: There is no text of it, or an argument cannot be shipped.
        """
        shipment = self.pack(function)
        name = function.__name__
        # What the entry is called with.
        pickled = _pickled(((name, args, kwargs), {}), args, kwargs, "job")
        return Call(name, shipment, Arguments(pickled.data, EMPTY, pickled), is_generator=True)

    def arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any], path: str = "job") -> Arguments:
        """The arguments of a call, pickled; nothing is sent for the names in them.

        Raises:
            PackagingError: One of them cannot be shipped.
        """
        pickled = _pickled((tuple(args), dict(kwargs)), args, kwargs, path)
        return Arguments(pickled.data, EMPTY, pickled)


def _pickled(whole: Any, args: Sequence[Any], kwargs: Mapping[str, Any], path: str) -> Pickled:
    try:
        return by_value.dump(whole)
    except Exception as error:
        for step, part in [(".args", args), (".kwargs", kwargs)]:
            try:
                by_value.dump(part)
            except Exception as inner:
                raise refusal(part, path + step, inner, by_value.dump) from inner
        raise refusal(whole, path, error, by_value.dump) from error
