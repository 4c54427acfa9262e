"""Facts as notebooks show them."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["table"]

#: Of one fact; what users name things may be of any length.
_MAX_CHARACTERS = 300
_MAX_ROWS = 50


def table(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """A title, and a row for each fact, as HTML. All of it is escaped, and bounded."""
    rows = list(facts)
    lines = [f"<tr><th>{_shown(name)}</th><td>{_shown(value)}</td></tr>" for name, value in rows[:_MAX_ROWS]]
    if len(rows) > _MAX_ROWS:
        lines.append(f"<tr><th>and</th><td>{len(rows) - _MAX_ROWS} more</td></tr>")
    return f"<table><caption>{_shown(title)}</caption>{''.join(lines)}</table>"


def _shown(text: str) -> str:
    return escape(text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 1] + "…")
