"""The programs in `programs`, which are written for asyncoro, and how they are run and looked at."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.programs import Program, Programs

PROGRAMS = Path(__file__).parent / "programs"

#: What `asyncoro.logger` puts before its text.
_LOGGED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d+)? (?:asyncoro|pycos) - ")


class OldPrograms:
    """Runs programs written for asyncoro, each by the launcher in a process of its own, all with one secret.

    Attributes:
        programs: Where others, which are no such programs, can be started.
    """

    def __init__(self, programs: Programs) -> None:
        self.programs = programs

    def start(self, name: str, *arguments: object) -> OldProgram:
        """Start the program of that name; its input can be written to."""
        reading, writing = os.pipe()
        path = str(PROGRAMS / f"{name}.py")
        command = ["-m", "greencoro.legacy", path, *map(str, arguments)]
        program = self.programs.start(*command, stdin=reading)
        os.close(reading)
        return OldProgram(name, program, writing)

    def run(self, name: str, *arguments: object, seconds: float = 50.0) -> None:
        """Run the program to its end and check that it prints what its docstring says, and nothing else."""
        program = self.start(name, *arguments)
        printed = program.ends(seconds)
        assert printed == output(name), f"{name} printed:\n{printed}"

    def node(self, *options: object) -> Program:
        """Start the node daemon, as people did for programs such as these."""
        script = str(PROGRAMS.parent.parent.parent / "scripts" / "discoronode.py")
        node = self.programs.start(script, "--daemon", *map(str, options))
        node.announcement = node.line()
        return node


class OldProgram:
    """A program that runs. What it prints is read without the lines of its log, which has to be quiet."""

    def __init__(self, name: str, program: Program, writing: int) -> None:
        self.name = name
        self.program = program
        self._writing = writing

    def line(self, seconds: float = 40.0) -> str:
        """The next line that it prints."""
        while True:
            line = self.program.line(seconds)
            if not self._is_logged(line):
                return line

    def type(self, text: str) -> None:
        """Give it a line of input."""
        os.write(self._writing, f"{text}\n".encode())

    def end_input(self) -> None:
        """Say that no further input comes; may be repeated."""
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def ends(self, seconds: float = 40.0) -> str:
        """What it prints from here to its end, which has to be one without an error; its input stays open."""
        code = self.program.wait(seconds)
        self.end_input()
        lines = self.program.rest().splitlines(keepends=True)
        errors = self.program.errors()
        assert code == 0, f"{self.name}: exit {code}\n{''.join(lines)}\n{errors}"
        assert not re.search("Traceback|WARNING|ERROR", errors), f"{self.name}: {errors}"
        return "".join(line for line in lines if not self._is_logged(line))

    def _is_logged(self, line: str) -> bool:
        found = _LOGGED.match(line)
        if found is None:
            return False
        assert not re.search("uncaught|exception|error|warning|fail", line), f"{self.name} logged: {line}"
        return True


@contextmanager
def old_programs(directory: Path) -> Iterator[OldPrograms]:
    """To run them; at the end nothing of them is left.

    Args:
        directory: Of their secret, and the current one of each.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("GREENCORO_"):
                patch.delenv(name)
        patch.setenv("GREENCORO_SECRET_FILE", str(directory / "secret"))
        # Where the machine is busy, jobs that compute do so for longer than is usual.
        patch.setenv("GREENCORO_MAX_BLOCKED_SECONDS", "60")
        programs = Programs(directory)
        try:
            yield OldPrograms(programs)
        finally:
            programs.end()


def output(name: str) -> str:
    """What its docstring says that it prints."""
    text = ast.get_docstring(ast.parse((PROGRAMS / f"{name}.py").read_text()))
    assert text is not None
    block = re.search(r"prints?[^\n]*:\n\n((?:    [^\n]*\n?)+)", text, re.IGNORECASE)
    assert block is not None, f"the docstring of {name} does not say what it prints"
    return "".join(f"{line[4:]}\n" for line in block[1].splitlines())
