"""What travels when code is shipped: the parts of a package, in a fixed layout.

A package is a JSON header that lists its parts beside the contents of those parts as bytes. Nothing in the header or in
the layout is pickled, so that a scheduler or a daemon can hold, count and forward packages without running anything.
A part whose content the receiver already has travels as its digest alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar

from greencoro.errors import RemoteProtocolError

__all__ = [
    "EMPTY",
    "MAX_PARTS",
    "DataFile",
    "Definition",
    "Entry",
    "ModuleFile",
    "Package",
    "Part",
    "SourceText",
    "digest_of",
]

#: A package has at most this many parts.
MAX_PARTS = 10_000

_MAX_NAME = 1024
#: Of a source text: so many empty lines are put before it.
_MAX_LINE = 1 << 20
_DIGEST_LENGTH = 64


def digest_of(content: bytes) -> str:
    """SHA-256 of ``content``, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Definition:
    """What a name of the client's ``__main__`` is bound to.

    Attributes:
        module (str): ``"__main__"``.

        name (str): The name; ``""`` for a callable that has none (a lambda given as a job): it is found by its digest.

        digest (str): SHA-256 of the content.

        content (bytes | None): A pickle, for `loader` alone; None where the receiver is known to have it.
    """

    kind: ClassVar[str] = "definition"

    module: str
    name: str
    digest: str
    content: bytes | None = field(repr=False)


@dataclass(frozen=True)
class ModuleFile:
    """The source of one of the user's own modules.

    Attributes:
        name (str): Its dotted name.

        is_package (bool): Whether it is the ``__init__`` of a package.

        imports (tuple[str, ...]): Those of the user's modules that it imports.

        digest (str): SHA-256 of the content.

        content (bytes | None): The source as in the file; None where the receiver is known to have it.
    """

    kind: ClassVar[str] = "module"

    name: str
    is_package: bool
    imports: tuple[str, ...]
    digest: str
    content: bytes | None = field(repr=False)

    @property
    def path(self) -> str:
        """Where it belongs below a directory of ``sys.path``, with slashes."""
        return self.name.replace(".", "/") + ("/__init__.py" if self.is_package else ".py")


@dataclass(frozen=True)
class DataFile:
    """A file for the server's working directory.

    Attributes:
        path (str): Relative to that directory, with slashes. The receiver checks it, not this class.

        mode (int): Its permissions, at most 0o777.

        digest (str): SHA-256 of the content.

        content (bytes | None): What is in it; None where the receiver is known to have it.
    """

    kind: ClassVar[str] = "file"

    path: str
    mode: int
    digest: str
    content: bytes | None = field(repr=False)


@dataclass(frozen=True)
class SourceText:
    """Source that is run with the globals of ``__main__``, as if it stood there.

    Attributes:
        name (str): What it defines, or a word for it; a later one of that name is run in its place.

        file (str): Where it comes from, for tracebacks.

        line (int): The number of its first line there, from 1 on.

        digest (str): SHA-256 of the content.

        content (bytes | None): The text, in UTF-8; None where the receiver is known to have it.
    """

    kind: ClassVar[str] = "source"

    name: str
    file: str
    line: int
    digest: str
    content: bytes | None = field(repr=False)


Part = Definition | ModuleFile | DataFile | SourceText

_KINDS: dict[str, type[Definition] | type[ModuleFile] | type[DataFile] | type[SourceText]] = {
    cls.kind: cls for cls in (Definition, ModuleFile, DataFile, SourceText)
}

# Kind -> the fields that identify or describe a part, beside its digest and content, with their types.
_FIELDS: dict[str, dict[str, type]] = {
    "definition": {"module": str, "name": str},
    "module": {"name": str, "is_package": bool, "imports": list},
    "file": {"path": str, "mode": int},
    "source": {"name": str, "file": str, "line": int},
}


@dataclass(frozen=True)
class Entry:
    """Which callable a job runs.

    Attributes:
        module (str): The module it is found in.

        name (str): Its dotted name there, or ``""``.

        digest (str): Of the definition without a name that it is; ``""`` where it has a name.
    """

    module: str
    name: str
    digest: str = ""

    def to_wire(self) -> list[str]:
        return [self.module, self.name, self.digest]

    @classmethod
    def from_wire(cls, fields: Any) -> Entry:
        """Raises RemoteProtocolError: These are not the fields of an entry."""
        if not isinstance(fields, list) or len(fields) != 3 or not all(isinstance(text, str) for text in fields):
            raise RemoteProtocolError("a malformed entry of a job")
        return _entry(*fields)


@lru_cache(1024)
def _entry(module: str, name: str, digest: str) -> Entry:
    # There are many jobs of few functions.
    if (
        max(map(len, (module, name, digest))) > _MAX_NAME
        or not _is_dotted(module)
        or bool(name) == bool(digest)
        or (name and not _is_dotted(name))
    ):
        raise RemoteProtocolError("a malformed entry of a job")
    return Entry(module, name, digest)


class Package:
    """Parts that belong together, in the order in which they were found; two parts never have one name.

    Args:
        parts: Of parts of one name the last counts.

        python (str): The Python that packed them, as ``"3.11"``. Code objects are understood only by the same.
    """

    __slots__ = ("_digest", "parts", "python")

    def __init__(self, parts: Iterable[Part], python: str) -> None:
        self.parts: tuple[Part, ...] = tuple({_key(part): part for part in parts}.values())
        self.python = python
        self._digest = ""

    def __repr__(self) -> str:
        return f"<Package of {len(self.parts)} parts, {self.size} bytes>"

    def __bool__(self) -> bool:
        return bool(self.parts)

    @property
    def digest(self) -> str:
        """One digest for the whole: two packages have the same where they install the same."""
        if not self._digest:
            self._digest = digest_of(repr(sorted((_key(part), part.digest) for part in self.parts)).encode())
        return self._digest

    @property
    def size(self) -> int:
        """Bytes of content that are in it."""
        return sum(len(part.content) for part in self.parts if part.content is not None)

    def digests(self) -> frozenset[str]:
        """The digest of every part, those without content included."""
        return frozenset(part.digest for part in self.parts)

    def without(self, known: Collection[str]) -> Package:
        """The same package with no content for the parts whose digest is in ``known``."""
        return Package((replace(p, content=None) if p.digest in known else p for p in self.parts), self.python)

    def merged(self, *others: Package) -> Package:
        """This package with the parts of others; of parts of one name the last counts."""
        packages = [package for package in (self, *others) if package]
        if len(packages) <= 1:
            return packages[0] if packages else self
        return Package((part for package in packages for part in package.parts), packages[0].python)

    def to_wire(self) -> tuple[dict[str, Any], list[bytes]]:
        """A header that `json` can carry, and the contents it announces, in order."""
        listed: list[dict[str, Any]] = []
        contents: list[bytes] = []
        for part in self.parts:
            fields = {name: kind(getattr(part, name)) for name, kind in _FIELDS[part.kind].items()}
            size = None if part.content is None else len(part.content)
            listed.append({"kind": part.kind, **fields, "digest": part.digest, "size": size})
            if part.content is not None:
                contents.append(part.content)
        return {"python": self.python, "parts": listed}, contents

    @classmethod
    def from_wire(cls, header: Any, contents: Sequence[bytes | bytearray | memoryview]) -> Package:
        """The package that `to_wire` took apart; every content is checked against its digest.

        Raises:
            RemoteProtocolError: Header and contents are no package.
        """
        if not isinstance(header, dict) or header.keys() != {"python", "parts"}:
            raise RemoteProtocolError("the header of a package lacks fields or has others")
        python, listed = header["python"], header["parts"]
        if not isinstance(python, str) or len(python) > 16 or not isinstance(listed, list):
            raise RemoteProtocolError("the header of a package has fields of the wrong type")
        if len(listed) > MAX_PARTS:
            raise RemoteProtocolError(f"a package of {len(listed)} parts; {MAX_PARTS} are allowed")
        remaining = iter(contents)
        package = cls([_part(fields, remaining) for fields in listed], python)
        if next(remaining, None) is not None:
            raise RemoteProtocolError("a package has more contents than its header lists")
        if len(package.parts) != len(listed):
            raise RemoteProtocolError("a package lists a part twice")
        return package


#: Nothing to install.
EMPTY = Package((), "")


def _part(fields: Any, contents: Iterator[bytes | bytearray | memoryview]) -> Part:
    kind = fields.get("kind") if isinstance(fields, dict) else None
    expected = _FIELDS.get(kind, {}) if isinstance(kind, str) else {}
    if not isinstance(kind, str) or not expected or fields.keys() != {"kind", "digest", "size", *expected}:
        raise RemoteProtocolError("a part of a package lacks fields or has others")
    values = {name: fields[name] for name in expected}
    for name, value in values.items():
        # Not isinstance: True is an int, and no mode.
        if type(value) is not expected[name] or (isinstance(value, str) and len(value) > _MAX_NAME):
            raise RemoteProtocolError(f"a part of a package has a malformed {name}")
    values = _checked(kind, values)
    digest, size = fields["digest"], fields["size"]
    if not isinstance(digest, str) or len(digest) != _DIGEST_LENGTH or set(digest) - set("0123456789abcdef"):
        raise RemoteProtocolError("a part of a package has a malformed digest")
    content = None
    if size is not None:
        received = next(contents, None)
        if type(size) is not int or received is None or len(received) != size:
            raise RemoteProtocolError("a part of a package does not have the announced size")
        content = bytes(received)
        if digest_of(content) != digest:
            raise RemoteProtocolError("a part of a package does not have the announced digest")
    return _KINDS[kind](**values, digest=digest, content=content)


def _checked(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    if kind == "definition":
        good = values["module"] == "__main__" and (not values["name"] or values["name"].isidentifier())
    elif kind == "module":
        names = [values["name"], *values["imports"]]
        good = len(names) <= MAX_PARTS and all(isinstance(name, str) and _is_dotted(name) for name in names)
        values = {**values, "imports": tuple(values["imports"])}
    elif kind == "source":
        good = values["name"].isidentifier() and 0 < values["line"] <= _MAX_LINE
    else:
        good = 0 <= values["mode"] <= 0o777
    if not good:
        raise RemoteProtocolError(f"a {kind} in a package has a name, mode or line that none can have")
    return values


def _is_dotted(name: str) -> bool:
    return all(word.isidentifier() for word in name.split("."))


def _key(part: Part) -> tuple[str, str]:
    """What tells parts apart: a later part of the same key replaces an earlier one."""
    if isinstance(part, DataFile):
        return part.kind, part.path
    if isinstance(part, Definition):
        return part.kind, part.name or part.digest
    return part.kind, part.name
