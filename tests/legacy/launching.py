"""Programs run by the launcher, in a process of their own."""

import subprocess
import sys
import textwrap

import pytest


def run(*arguments, module="greencoro.legacy", **kwargs):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, **kwargs)


@pytest.fixture(name="program")
def program_fixture(tmp_path):
    """Write a program, and get its path: ``program(text, name="program.py")``."""

    def write(text, name="program.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write
