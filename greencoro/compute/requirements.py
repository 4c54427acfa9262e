"""What of the packages that a computation needs a server lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from greencoro.compute.versions import Version

__all__ = [
    "MAX_CHARACTERS",
    "MAX_REQUIREMENTS",
    "Requirement",
    "differences",
    "lacking",
    "normalized",
    "parse_requirements",
]

_REQUIREMENT = re.compile(r"\s*(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?P<rest>.*)", re.ASCII)
_CLAUSE = re.compile(r"\s*(?P<operator>~=|===?|!=|<=|>=|<|>)\s*(?P<version>[^\s,=<>!~][^\s,]*)\s*", re.ASCII)
MAX_REQUIREMENTS = 1000
MAX_CHARACTERS = 1000


class _Clause(NamedTuple):
    operator: str
    text: str

    def holds(self, version: Version) -> bool:
        if self.text.endswith(".*"):
            wanted = Version.parse(self.text.removesuffix(".*"))
            length = self.text.count(".")
            return version.is_within(wanted.epoch, _padded(wanted, length)) is (self.operator == "==")
        wanted = Version.parse(self.text)
        match self.operator:
            case "==":
                return version == wanted
            case "!=":
                return version != wanted
            case ">=":
                return version >= wanted
            case "<=":
                return version <= wanted
            case "<":
                # PEP 440: what leads to a version is not before it in this sense, 2.0rc1 is not < 2.0.
                same = 4 if wanted.post >= 0 else 2
                return version < wanted and (wanted.is_before_its_release() or version[:same] != wanted[:same])
            case ">":
                # And what was added to one is not after it, 2.0.post1 is not > 2.0.
                return version > wanted and version.without_additions() != wanted
            case _:  # ~=2.1: at least that, of the series 2
                length = _release_length(self.text) - 1
                return version >= wanted and version.is_within(wanted.epoch, _padded(wanted, length))


class Requirement(NamedTuple):
    """One package, with what its version has to be.

    Attributes:
        name (str): As it was written.

        clauses: Conditions, which must all hold; where there are none, every version will do.
    """

    name: str
    clauses: tuple[_Clause, ...]

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """``numpy``, ``numpy>=2,<3``, ``numpy==2.1.*``, ``numpy~=2.1``.

        Raises:
            TypeError: It is no text.

            ValueError: It names no package, or has what is not checked here (extras, markers, addresses).
        """
        if not isinstance(text, str):
            raise TypeError(f"a requirement is a text such as 'numpy>=2', not {text!r}")
        match = _REQUIREMENT.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
        if match is None:
            raise ValueError(f"requirement {text[:MAX_CHARACTERS]!r} names no package")
        rest = match["rest"].strip()
        clauses = []
        for part in rest.split(",") if rest else []:
            clause = _CLAUSE.fullmatch(part)
            if clause is None:
                raise ValueError(f"requirement {text!r}: {part.strip()!r} is no condition such as '>=2'")
            clauses.append(_checked(text, clause["operator"], clause["version"]))
        return cls(match["name"], tuple(clauses))

    def __str__(self) -> str:
        return self.name + ",".join(clause.operator + clause.text for clause in self.clauses)

    def is_met_by(self, version: str) -> bool:
        """Do all conditions hold for it? A version that is none meets only a requirement without conditions."""
        if not self.clauses:
            return True
        try:
            there = Version.parse(version)
        except ValueError:
            return False
        return all(clause.holds(there) for clause in self.clauses)


def parse_requirements(texts: Iterable[str]) -> tuple[Requirement, ...]:
    """The requirements of a computation.

    Raises:
        TypeError, ValueError: As `Requirement.parse`; also for one text in place of a list of them.
    """
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise TypeError(f"requirements takes a list of texts such as 'numpy>=2', not {texts!r}")
    requirements = tuple(map(Requirement.parse, texts))
    if len(requirements) > MAX_REQUIREMENTS:
        raise ValueError(f"{len(requirements)} requirements are more than the {MAX_REQUIREMENTS} that are taken")
    return requirements


def lacking(
    wanted: Iterable[Requirement], here: Mapping[str, str], there: Mapping[str, str], where: str = "there"
) -> list[str]:
    """What a server lacks, a sentence for each requirement that is not met; empty where it has everything.

    Args:
        here, there: Versions of installed packages by their `normalized` names, at the client and at the server.

        where (str): What to call the server: ``"at node b"``.
    """
    sentences = []
    for requirement in wanted:
        name = normalized(requirement.name)
        at_client = (
            f"{requirement.name} {here[name]} here" if name in here else f"{requirement.name} not installed here"
        )
        if name not in there:
            sentences.append(f"{at_client}, absent {where}")
        elif not requirement.is_met_by(there[name]):
            sentences.append(f"{at_client}, {there[name]} {where}, where {requirement} is wanted")
    return sentences


def differences(
    wanted: Iterable[Requirement], here: Mapping[str, str], there: Mapping[str, str], where: str = "there"
) -> list[str]:
    """Packages without conditions whose minor version is another one there than here, a sentence each.

    Arguments as for `lacking`. They are no reason to refuse a server.
    """
    return [
        f"{requirement.name} {here[name]} here, {there[name]} {where}"
        for requirement in wanted
        if not requirement.clauses and (name := normalized(requirement.name)) in here and name in there
        if _minor(here[name]) != _minor(there[name])
    ]


def normalized(name: str) -> str:
    """The name that all spellings of a package's name have in common (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _checked(requirement: str, operator: str, text: str) -> _Clause:
    if operator == "===":
        raise ValueError(f"requirement {requirement!r}: '===' is not checked here, write '=='")
    plain = text.removesuffix(".*") if operator in ("==", "!=") else text
    try:
        Version.parse(plain)
    except ValueError as error:
        raise ValueError(f"requirement {requirement!r}: {error}") from None
    if plain != text and re.fullmatch(r"(?:[0-9]+!)?[0-9.]+", plain) is None:
        raise ValueError(f"requirement {requirement!r}: '.*' follows the numbers of a release")
    if operator == "~=" and _release_length(text) < 2:
        raise ValueError(f"requirement {requirement!r}: '~=' takes a version of two numbers or more")
    return _Clause(operator, text)


def _release_length(text: str) -> int:
    """How many numbers it was written with, zeros included."""
    match = re.match(r"v?(?:[0-9]+!)?([0-9.]*[0-9])", text, re.IGNORECASE)
    return 0 if match is None else match[1].count(".") + 1


def _padded(version: Version, length: int) -> tuple[int, ...]:
    return (version.release + (0,) * length)[:length]


def _minor(text: str) -> object:
    try:
        version = Version.parse(text)
    except ValueError:
        return text
    return version.epoch, _padded(version, 2)
