"""Facts as people are shown them, in notebooks and in the text of an object."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["counted", "sized", "table"]

#: Of one fact; what users name things may be of any length.
_MAX_CHARACTERS = 300
_MAX_ROWS = 50
_KIB = 1024


def table(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """A title, and a row for each fact, as HTML. All of it is escaped, and bounded."""
    rows = list(facts)
    lines = [f"<tr><th>{_shown(name)}</th><td>{_shown(value)}</td></tr>" for name, value in rows[:_MAX_ROWS]]
    if len(rows) > _MAX_ROWS:
        lines.append(f"<tr><th>and</th><td>{len(rows) - _MAX_ROWS} more</td></tr>")
    return f"<table><caption>{_shown(title)}</caption>{''.join(lines)}</table>"


def counted(number: int, what: str) -> str:
    """As in "1 server", "2 servers"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def sized(size: int) -> str:
    """As in "1 byte", "20 KiB", "1.5 MiB"."""
    if size < _KIB:
        return counted(size, "byte")
    number, unit = (size / _KIB, "KiB") if size < _KIB * _KIB else (size / _KIB / _KIB, "MiB")
    return f"{f'{number:.1f}'.removesuffix('.0')} {unit}"


def _shown(text: str) -> str:
    return escape(text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 1] + "…")
