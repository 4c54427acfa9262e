"""The program in which one side of a question runs.

Each question's file ends with `main`, so that the functions of a side are those of a script, as a user's would be.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.question import Question

#: Names the directory in memory of a side that is to have one.
MEMORY_VARIABLE = "BENCHMARKS_MEMORY_DIRECTORY"

#: The line by which a partner says that it is there, and where.
_READY = "ready "


def command(question: Question, side: str, operations: int, answer: Path) -> list[str]:
    """What runs a side once and has it write its sample to the file ``answer``."""
    return [sys.executable, "-m", f"benchmarks.{question.name}", "run", side, str(operations), str(answer)]


def main(question: Question) -> None:
    """Do what the command line asks: run a side, or be its partner."""
    role, name, *rest = sys.argv[1:]
    side = question.side(name)
    if role == "run":
        operations, answer = int(rest[0]), Path(rest[1])
        answer.write_text(json.dumps(dataclasses.asdict(side.run(operations))))
    elif role == "partner" and side.partner is not None:
        side.partner()
    else:
        sys.exit(f"{question.name}: {side.name} has no role {role!r}")


@contextlib.contextmanager
def partner(question: str, side: str) -> Iterator[str]:
    """Run a side's second process within the ``with`` statement; gives what it said to `announce`."""
    arguments = [sys.executable, "-m", f"benchmarks.{question}", "partner", side]
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith(_READY):
                    yield line.removeprefix(_READY).strip()
                    break
            else:
                raise RuntimeError(f"the partner of {side} ended before it was ready")
        finally:
            process.kill()


def memory_directory() -> Path:
    """The directory in memory that a side with ``in_memory`` shares with its partner; empty at first, removed later."""
    return Path(os.environ[MEMORY_VARIABLE])


def announce(where: str) -> None:
    """Tell the process that started this partner where it is."""
    print(_READY + where, flush=True)


def wait_to_be_killed() -> None:
    """Let the other threads of a partner work until its side is done with it."""
    signal.pause()
