"""Running the example programs, as a test that reads their output or as modules whose parts it calls."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"


@contextlib.contextmanager
def importable_examples() -> Iterator[None]:
    """The examples as modules; afterwards none of them stays imported."""
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    sys.path.insert(0, str(EXAMPLES))
    try:
        yield
    finally:
        sys.path.remove(str(EXAMPLES))
        for name in names:
            sys.modules.pop(name, None)


def example(name: str) -> ModuleType:
    """An example program, imported (call it within `importable_examples`)."""
    return importlib.import_module(name)


def program_environment(**variables: str) -> dict[str, str]:
    """The environment for a program that finds this checkout's greencoro, wherever it is started."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path} | variables


def run_program(
    *arguments: str | Path, directory: Path | None = None, timeout: float = 50.0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python with ``arguments`` to its end, output and errors as text; killed after ``timeout`` seconds."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=directory,
        env=program_environment(**environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Block(NamedTuple):
    """A fenced code block: its language (or directive), its content, and the text since the block before."""

    language: str
    content: str
    before: str


def fenced_blocks(text: str) -> Iterator[Block]:
    """Each fenced code block of a Markdown text, in order."""
    end = 0
    for match in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(match.group(1).strip(), match.group(2), text[end : match.start()].strip())
        end = match.end()
