"""The launcher, as people run it."""

import subprocess
import sys

import pytest


def run(*arguments, module="greencoro.legacy", **kwargs):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, **kwargs)


@pytest.fixture
def program(tmp_path):
    def write(text, name="program.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


SHOW = "import asyncoro, sys\nprint(asyncoro.__version__, __name__, sys.argv[1:])\n"


def test_a_program_is_run_as_main_with_its_arguments(program):
    ran = run(program(SHOW), "--help", "x")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "4.2.1 __main__ ['--help', 'x']\n", "")


def test_a_module_is_run_too(program, tmp_path):
    program(SHOW, "shows.py")
    ran = run("-m", "shows", "x", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "4.2.1 __main__ ['x']\n")


def test_as_a_command_of_greencoro_it_does_the_same(program):
    ran = run("legacy", program(SHOW), module="greencoro")
    assert ran.stdout == "4.2.1 __main__ []\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "greencoro legacy: which program?"),
        (["-m"], "greencoro legacy: which program?"),
        (["-x"], "greencoro legacy: there is no option -x"),
        (["none.py"], "greencoro legacy: cannot read none.py: No such file or directory"),
        (["-m", "none.such"], "greencoro legacy: there is no module none.such"),
    ],
)
def test_what_cannot_be_run_is_refused_with_one_line_and_2(tmp_path, arguments, line):
    ran = run(*arguments, cwd=tmp_path)
    assert (ran.returncode, ran.stderr.splitlines()[0]) == (2, line)


def test_help_is_there():
    ran = run("--help")
    assert ran.returncode == 0 and ran.stdout.startswith("usage: greencoro legacy PROGRAM.py")
