"""The launcher, as people run it."""

import os
import pty
import signal
import subprocess
import sys
import textwrap

import pytest

from .launching import program_fixture, run  # noqa: F401

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
    assert ran.returncode == 0 and ran.stdout.startswith("usage: greencoro legacy [--explain] PROGRAM.py")


HOT_SWAP = """
    import asyncoro

    def old(coro=None):
        coro.hot_swappable(True)
        while True:
            yield coro.receive()

    def swap(text, name):
        exec(text)
        return locals()[name]

    c = asyncoro.Coro(old)
    new = swap('def new(coro=None):\\n    yield coro.receive()\\n    print("swapped", coro.name)', 'new')
    c.hot_swap(new)
    c.send(1)
    c.value()
"""


def test_what_exec_defines_in_a_function_locals_finds_there(program):
    ran = run(program(HOT_SWAP))
    assert (ran.stderr, ran.stdout.splitlines()[-1]) == ("", "swapped new")


@pytest.mark.parametrize(
    "text",
    [
        "exec('x = 1')\nprint(x)",
        "space = {}\nexec('x = 1', space)\nprint(space['x'])",
        "outer, inner = {}, {}\nexec('x = 1', outer, inner)\nprint(inner['x'])",
        "def f():\n    y = 1\n    exec('print(y)')\nf()",
        "class C:\n    exec('x = 1')\nprint(C.x)",
    ],
)
def test_other_uses_of_exec_are_as_they_were(program, text):
    ran = run(program(text))
    assert (ran.stdout, ran.stderr) == ("1\n", "")


STATUS = """
    import asyncoro, sys

    def work(coro=None):
        yield coro.sleep(0.2)
        print("done")

    def broken(coro=None):
        yield coro.sleep(0.01)
        raise KeyError(1)

    asyncoro.logger.setLevel(asyncoro.logger.ERROR)
    asyncoro.Coro(broken)
    asyncoro.Coro(work)
"""


@pytest.mark.parametrize(("end", "status"), [("", 0), ("sys.exit(7)", 7), ("sys.exit('no')", 1), ("1 / 0", 1)])
def test_the_end_waits_for_coroutines_and_the_status_is_the_main_programs(program, end, status):
    ran = run(program(STATUS + "    " + end))
    assert (ran.returncode, ran.stdout) == (status, "done\n")


def test_a_traceback_shows_the_programs_frames_only(program):
    path = program(
        """
        import asyncoro

        def sub(coro):
            yield coro.sleep(0.01)
            1 / 0

        def work(coro=None):
            yield sub(coro)

        asyncoro.Coro(work).value()
        raise KeyError(5)
        """
    )
    ran = run(path)
    lines = [line for line in (ran.stdout + ran.stderr).splitlines() if line.startswith("  File")]
    assert lines == [
        f'  File "{path}", line 9, in work',
        f'  File "{path}", line 6, in sub',
        f'  File "{path}", line 12, in <module>',
    ]


BLOCKED = """
    import asyncoro, sys

    def tick(coro=None):
        coro.set_daemon()
        for number in range(3):
            print("tick", number, flush=True)
            yield coro.sleep(0.01)
        print("ready", flush=True)
        try:
            yield coro.receive()
        finally:
            print("cleaned", flush=True)

    asyncoro.logger.setLevel(asyncoro.logger.ERROR)
    asyncoro.Coro(tick)
"""


def read_until(stream, word):
    lines = []
    while word not in lines:
        line = stream.readline()
        assert line, lines
        lines.append(line.strip())
    return lines


@pytest.mark.parametrize(
    "blocking",
    ["input()", "import socket; s = socket.socket(); s.bind(('', 0)); s.listen(); s.accept()"],
    ids=["input", "accept"],
)
def test_coroutines_go_on_while_the_main_thread_blocks_and_ctrl_c_ends_it(program, blocking):
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "greencoro.legacy", program(BLOCKED + "    " + blocking)],
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert read_until(process.stdout, "ready") == ["tick 0", "tick 1", "tick 2", "ready"]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
        os.close(leader)
        os.close(follower)
    assert (process.returncode, out, err) == (-signal.SIGINT, "cleaned\n", "")


def test_ctrl_c_is_a_keyboard_interrupt_to_the_main_thread(program):
    text = BLOCKED + "    try:\n        input()\n    except KeyboardInterrupt:\n        print('caught', flush=True)\n"
    process = subprocess.Popen(
        [sys.executable, "-m", "greencoro.legacy", program(text)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    read_until(process.stdout, "ready")
    process.send_signal(signal.SIGINT)
    lines = read_until(process.stdout, "cleaned")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, lines, out, err) == (0, ["caught", "cleaned"], "", "")


def test_coroutines_may_start_threads_when_the_main_program_is_over(program):
    """Which Python 3.12.0 and 3.12.1 refuse from there on, unless somebody waits for them before."""
    text = """
    import asyncoro

    def late(coro=None):
        yield coro.sleep(0.3)
        total = yield asyncoro.AsyncThreadPool(1).async_task(sum, [1, 2])
        print("total", total)

    asyncoro.Coro(late)
    """
    ran = run(program(textwrap.dedent(text)))
    assert (ran.returncode, ran.stderr) == (0, "") and ran.stdout.endswith("total 3\n")
