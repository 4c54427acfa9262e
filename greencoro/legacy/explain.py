"""What of a program for asyncoro would be written otherwise today, line by line, before it is run.

It is read, not watched: that costs the run nothing, and tells of lines that this run does not come to as well. What
reading does not tell is said.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import CodeType
from typing import Any

from greencoro.hub.main_program import MainProgram
from greencoro.legacy.old_calls import Site, sites

__all__ = ["explanation", "with_explanation"]


def with_explanation(program: MainProgram) -> MainProgram:
    """The program, for which `explanation` is printed on standard error when it is loaded."""

    def load() -> tuple[CodeType, dict[str, Any]]:
        code, attributes = program.load()
        directory = program.directory
        print("\n".join(explanation(Path(attributes["__file__"]), Path(directory))), file=sys.stderr, flush=True)
        return code, attributes

    return replace(program, load=load)


def explanation(main: Path, directory: Path) -> list[str]:
    """A line for each place in a program where asyncoro is used.

    Args:
        main: The file that is run.

        directory: Where modules of the program's own are, which are read too if it imports them.
    """
    lines: list[str] = []
    told: set[str] = set()
    same = unknown = 0
    for path in _files(main, directory):
        shown = _shown(path)
        try:
            found = sites(path.read_bytes().decode())
        except (OSError, SyntaxError, ValueError) as error:
            lines.append(f"{shown}: cannot be read: {error}")
            continue
        for site in found:
            note = "" if site.spelling is None else site.spelling.note
            if site.spelling is None:
                unknown += 1
            elif site.new == site.old and not note:
                same += 1
                continue
            lines.append(_line(shown, site))
            if note and note not in told:
                told.add(note)
                lines.append(f"    {note}")
    return [
        f"greencoro legacy: how {_shown(main)} would be written for greencoro itself, without the yields:",
        *lines,
        *([f"{same} more are written the same."] if same else []),
        *([f"{unknown} with a ? are of a class, or in a way, that reading alone does not tell."] if unknown else []),
        "Methods that are not yielded, of objects whose class it does not tell, are not listed.",
        "",
    ]


def _line(shown: str, site: Site) -> str:
    if site.new is None:
        new = "?"
    elif site.new == "":
        new = "(nothing)"
    else:
        new = "the same" if site.new == site.old else site.new
    return f"{shown}:{site.line}: {site.old}  ->  {new}"


def _shown(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(os.getcwd()))
    except ValueError:
        return str(path)


def _files(main: Path, directory: Path) -> Iterator[Path]:
    """The program's file, then the modules in its directory that are imported, each once."""
    waiting, seen = [main], {main.resolve()}
    while waiting:
        path = waiting.pop(0)
        yield path
        for module in _imported(path, directory):
            if module.resolve() not in seen:
                seen.add(module.resolve())
                waiting.append(module)


def _imported(path: Path, directory: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        # Whoever reads it next says so.
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _modules(directory, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = path.parents[node.level - 1] if 0 < node.level <= len(path.parents) else directory
            parts = node.module.split(".") if node.module else []
            yield from _modules(base, parts)
            for alias in node.names:
                yield from _modules(base, [*parts, alias.name])


def _modules(directory: Path, parts: list[str]) -> Iterator[Path]:
    for count in range(1, len(parts) + 1):
        place = directory.joinpath(*parts[:count])
        yield from (file for file in (place.with_name(f"{place.name}.py"), place / "__init__.py") if file.is_file())
