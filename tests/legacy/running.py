"""Programs in the style of old, run by the launcher as processes of their own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

#: Before the secrets that are typed.
SECRET = "a secret of these tests"

PRELUDE = """
import os, sys, time
import asyncoro.disasyncoro as asyncoro
from asyncoro.disasyncoro import *
from asyncoro.disasyncoro import PeerStatus, SysCoro
"""


def legacy(program: Path, *arguments: object, directory: Path | None = None) -> subprocess.Popen:
    """Start a program, there; what it reads and writes is text."""
    return subprocess.Popen(
        [sys.executable, "-m", "greencoro.legacy", str(program), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def written(directory: Path, text: str, name: str = "program.py", prelude: str = PRELUDE) -> Path:
    """A program in a file; what is indented in common does not count."""
    path = directory / name
    path.write_text(prelude + textwrap.dedent(text))
    return path


def lines(output: str) -> list[str]:
    """What the program itself printed."""
    return [line for line in output.splitlines() if " asyncoro - " not in line]


def logged(output: str) -> list[str]:
    """What asyncoro logged, without the times."""
    return [line.partition(" asyncoro - ")[2] for line in output.splitlines() if " asyncoro - " in line]


def complaints(errors: str) -> list[str]:
    """What is on standard error, but for that others are waited for: on a busy machine they take their time."""
    return [line for line in errors.splitlines() if not line.startswith("greencoro: still waiting for ")]
