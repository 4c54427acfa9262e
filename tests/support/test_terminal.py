import os
import signal
import sys

import pytest

from tests.support.terminal import AtTerminal

ENVIRONMENT = dict(os.environ)


def python(code):
    return AtTerminal([sys.executable, "-c", code], ENVIRONMENT)


def test_the_program_has_a_terminal_and_its_output_and_exit_code_are_seen():
    with python(
        "import sys; print(*(f.isatty() for f in (sys.stdin, sys.stdout, sys.stderr))); sys.exit(3)"
    ) as program:
        assert program.wait(10) == 3
    assert program.output == "True True True\r\n"


def test_what_is_typed_is_read():
    with python("print('asked'); print('got', input())") as program:
        program.read_until(lambda output: "asked" in output, 10)
        program.type("this\n")
        assert program.wait(10) == 0
    assert program.output.endswith("got this\r\n")


def test_ctrl_c_reaches_the_program_and_what_it_started():
    # Not signal.pause(): a signal that comes just before it begins does not end it.
    code = (
        "import subprocess, sys, time\n"
        "waits = 'while True: time.sleep(0.01)'\n"
        "try:\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; print(1, flush=True)\\n' + waits])\n"
        "    print(2, flush=True)\n"
        "    exec(waits)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(100 - child.wait())\n"
    )
    with python(code) as program:
        # Both are where Ctrl-C is to find them.
        program.read_until(lambda output: "1" in output and "2" in output, 10)
        program.type("\x03")
        assert program.wait(10) == 100 + signal.SIGINT


def test_a_program_that_says_something_else_or_goes_on_is_a_failure_that_shows_its_output():
    with python("print('something')") as program, pytest.raises(AssertionError, match="something"):
        program.read_until(lambda output: "else" in output, 10)
    with (
        python("print('still here', flush=True); input()") as program,
        pytest.raises(AssertionError, match="did not end"),
    ):
        program.wait(0.5)
