"""What `greencoro doctor` found out, as lines for people or as JSON.

Pure: nothing is looked up here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

__all__ = ["Finding", "Level", "as_json", "exit_code", "ok_or_warn", "words_of"]

#: Number of the layout of `as_json`.
FORMAT = 1


class Level(Enum):
    """How good or bad a finding is."""

    #: As it should be.
    OK = "OK"
    #: It works, though perhaps not as meant.
    WARN = "WARN"
    #: It cannot work like this.
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check (str): Name of the check.

        level (Level): How it stands.

        text (str): What was found, in one line.

        advice (str): What to do about it; empty where nothing is to be done.

        data: The same for programs: keys and JSON values.
    """

    check: str
    level: Level
    text: str
    advice: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For people: the finding, and below it what to do."""
        found = [f"{self.check}: {self.text}"]
        if self.advice:
            found.append(f"      -> {self.advice}")
        return found


def ok_or_warn(is_ok: bool) -> Level:
    """The level of what either is as it should be, or at least works."""
    return Level.OK if is_ok else Level.WARN


def words_of(error: Exception) -> str:
    """What went wrong, for people: without the number of the system's error."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"


def exit_code(findings: Iterable[Finding]) -> int:
    """0 where nothing fails, else 1."""
    return int(any(finding.level is Level.FAIL for finding in findings))


def as_json(findings: Iterable[Finding]) -> dict[str, Any]:
    """One object for all of them; docs/reference/commands.md has its keys."""
    found = list(findings)
    return {
        "format": FORMAT,
        "ok": not exit_code(found),
        "findings": [
            {
                "check": each.check,
                "level": each.level.value,
                "text": each.text,
                "advice": each.advice,
                "data": dict(each.data),
            }
            for each in found
        ],
    }
